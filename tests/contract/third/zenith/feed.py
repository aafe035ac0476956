"""Zenith's feed: one market socket and the order socket beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from brokers.zenith import SPEC, wire
from brokers.zenith.mapping import market, orders

from brokers.contract import BrokerSession
from brokers.model import Instrument, Mode, OrderUpdate
from brokers.plainfeed import PlainFeed, PlainSocket
from brokers.wants import Merged


def apply(merged: Merged, packet: wire.Packet) -> None:
    """Write what a packet says into what is known of its instrument."""
    merged.ltp, merged.last_trade_ms = packet.ltp, packet.traded_at_ms
    more = packet.more
    if merged.mode >= Mode.QUOTE and "o" in more:
        merged.quoted = True
        merged.open, merged.high, merged.low, merged.prev_close = more["o"], more["h"], more["l"], more["c"]
        merged.volume, merged.oi, merged.average_price = more["v"], more["oi"], more["a"]
        merged.last_quantity = more["q"]
        merged.total_buy_quantity, merged.total_sell_quantity = more["tb"], more["ts"]
    if merged.mode >= Mode.DEPTH and "b" in more:
        merged.depth = partial(market.depth, more)
        if more["b"] and more["s"]:
            (merged.bid, merged.bid_quantity, _), (merged.ask, merged.ask_quantity, _) = (
                more["b"][0],
                more["s"][0],
            )


class FeedSocket(PlainSocket):
    """The market socket."""

    def _hello(self, session: BrokerSession) -> str:
        return wire.login(session.secrets["token"].reveal())

    def _request(self, instruments: Sequence[Instrument], mode: Mode, *, wanted: bool) -> Iterable[str]:
        return (wire.subscribe if wanted else wire.unsubscribe)(instruments, mode)

    def _heard(self, data: bytes | str) -> Iterable[Merged | None]:
        for packet in wire.split(data):
            merged = self._wants.find(packet.segment, packet.token)
            if merged is not None:
                apply(merged, packet)
            yield merged


class ZenithFeed(PlainFeed):
    """Implements ``contract.Feed``."""

    spec = SPEC
    market = FeedSocket

    def _order_hello(self, session: BrokerSession) -> str:
        return wire.login(session.secrets["token"].reveal())

    def _order_read(self, data: bytes | str, received_ns: int) -> OrderUpdate | None:
        row = wire.order_news(data)
        return None if row is None else orders.update(row, self._context.instruments, received_ns)
