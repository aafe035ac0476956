"""SFeed packets -> ticks."""

from __future__ import annotations

from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection

from brokers.contract import BrokerSession
from brokers.errors import WireError
from brokers.feedloop import AuthRefused
from brokers.feedsocket import Shared
from brokers.kotak.feed.socket import KotakSocket
from brokers.kotak.mapping.market import wire_key
from brokers.kotak.wire import sfeed
from brokers.model import Mode
from brokers.wants import Merged

BATCH = 100
PHASES = {
    1: "open",
    2: "closed",
    3: "pre-open ending",
    4: "pre-open ended",
    5: "auction change",
    6: "closing start",
    7: "closing end",
    8: "continuous closed for auction",
    9: "price band set",
    10: "auction started",
    11: "market orders restricted",
    12: "auction ended",
}
"""Words of market status codes (kotak-wire.md section 10)."""
LEVELS: Mapping[Mode, str] = {Mode.LTP: "lite", Mode.QUOTE: "touch", Mode.DEPTH: "depth"}


def apply_picture(merged: Merged, picture: sfeed.Picture) -> None:
    merged.quoted = True
    merged.ltp = picture.ltp
    merged.last_trade_ms = picture.time_s * 1000 or merged.last_trade_ms
    merged.last_quantity = picture.last_quantity
    merged.average_price = picture.average_price
    merged.volume = picture.volume
    merged.total_buy_quantity = picture.total_buy_quantity
    merged.total_sell_quantity = picture.total_sell_quantity
    merged.open, merged.high, merged.low = picture.open, picture.high, picture.low
    merged.prev_close = picture.close
    merged.oi = picture.oi
    bid, ask = picture.best()
    if bid is not None:
        merged.bid, merged.bid_quantity = bid.price, bid.quantity
    if ask is not None:
        merged.ask, merged.ask_quantity = ask.price, ask.quantity
    if picture.level >= sfeed.DEPTH:
        merged.depth = picture.depth


def apply_mini(merged: Merged, mini: sfeed.Mini) -> None:
    merged.ltp = mini.ltp
    merged.last_quantity = mini.last_quantity
    merged.last_trade_ms = mini.time_s * 1000 or merged.last_trade_ms
    merged.prev_close = mini.close


def apply_index(merged: Merged, index: sfeed.Index) -> None:
    merged.quoted = True
    merged.ltp = index.value
    merged.open, merged.high, merged.low = index.open, index.high, index.low
    merged.prev_close = index.close
    merged.last_trade_ms = index.time_s * 1000 or merged.last_trade_ms


class SFeedSocket(KotakSocket):
    """One SFeed connection."""

    name = "sfeed"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._dividers: Mapping[int, int] = sfeed.DIVIDERS
        self._sent: dict[str, str] = {}

    async def _login(self, socket: ClientConnection, session: BrokerSession) -> None:
        at_ms = self._shared.clock.time_ns() // 1_000_000
        await socket.send(sfeed.auth(session.attributes["ucc"], session.secrets["sid"].reveal(), at_ms))
        while True:
            data = await socket.recv()
            if isinstance(data, str) and isinstance(reply := sfeed.read_control(data), sfeed.AuthReply):
                break
        if not reply.accepted:
            raise AuthRefused(f"SFeed answered {reply.code}")
        self._dividers = reply.dividers

    def _reset(self) -> None:
        self._dividers = sfeed.DIVIDERS
        self._reset_subscriptions()

    def _reset_subscriptions(self) -> None:
        self._sent = {}

    async def _sync(self, socket: ClientConnection) -> None:
        wanted = {
            wire_key(merged.instrument): ("index" if merged.is_index else LEVELS[merged.mode], merged)
            for merged in self._wants
        }
        added: dict[str, list[str]] = {}
        dropped: dict[str, list[str]] = {}
        for key, (what, merged) in wanted.items():
            if self._sent.get(key) != what:
                added.setdefault(what, []).append(key)
                merged.fresh = True
        for key, what in self._sent.items():
            if key not in wanted or wanted[key][0] != what:
                dropped.setdefault(what, []).append(key)
        # the new level first: between the two messages the instrument must not fall silent
        self._sent = {key: what for key, (what, _) in wanted.items()}
        for what, keys in added.items():
            for start in range(0, len(keys), BATCH):
                await socket.send(sfeed.subscribe(what, keys[start : start + BATCH]))
        for what, keys in dropped.items():
            for start in range(0, len(keys), BATCH):
                await socket.send(sfeed.unsubscribe(what, keys[start : start + BATCH]))

    def frame(self, data: bytes | str, received_ns: int) -> None:
        if isinstance(data, str):
            self._control(data)
            return
        try:
            for packet in sfeed.split(data):
                try:
                    decoded = sfeed.decode(packet, self._dividers)
                except WireError as exc:
                    self.bad(packet, str(exc))
                    continue
                if decoded is not None:
                    self._heard(decoded, received_ns)
        except WireError as exc:
            self.bad(data, str(exc))

    def _control(self, text: str) -> None:
        try:
            message = sfeed.read_control(text)
        except WireError as exc:
            self.bad(exc.frame, str(exc))
            return
        if isinstance(message, sfeed.AuthReply) and not message.accepted:
            raise AuthRefused(f"SFeed answered {message.code}")
        self.count("sfeed control")

    def _heard(self, decoded: sfeed.Decoded, received_ns: int) -> None:
        match decoded:
            case sfeed.Picture():
                self.count("sfeed picture")
                merged = self._wants.find(decoded.segment, decoded.token)
                if merged is not None:
                    apply_picture(merged, decoded)
            case sfeed.Mini():
                self.count("sfeed mini")
                merged = self._wants.find(decoded.segment, decoded.token)
                if merged is not None:
                    apply_mini(merged, decoded)
            case sfeed.Index():
                self.count("sfeed index")
                merged = self._wants.find(decoded.segment, decoded.name) or self._wants.find(
                    decoded.segment, decoded.token
                )
                if merged is not None:
                    apply_index(merged, decoded)
            case sfeed.MarketStatus():
                self.count("sfeed status")
                status = self._shared.counters.market_status
                status[decoded.segment] = PHASES.get(decoded.code, f"phase {decoded.code}")
                return
            case _:
                self.count("sfeed auction")
                return
        if merged is None:
            self._shared.counters.unknown_instruments += 1
            return
        live, merged.fresh = not merged.fresh, False
        self.emit(merged, received_ns, live=live)
