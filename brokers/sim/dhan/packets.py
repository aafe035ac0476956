"""Snapshots of the exchange as Dhan's packets. Pure."""

from __future__ import annotations

from datetime import datetime

from brokers.sim.dhan import ids, wire
from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.wire import Day, DepthRow, Level, Trade
from brokers.sim.exchange.types import BookLevel, Kind, Snapshot


class Packets:
    """Encodes snapshots; knows their segment and security id."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def where(self, snapshot: Snapshot) -> tuple[int, int]:
        """Segment byte and security id."""
        return ids.segment_code(snapshot.listing), self._directory.id(snapshot.listing)

    def ticker(self, snapshot: Snapshot) -> bytes:
        time_raw = wire.wall_epoch(_traded_at(snapshot))
        return wire.ticker(*self.where(snapshot), snapshot.ltp_paise / 100, time_raw)

    def quote(self, snapshot: Snapshot, *, closed: bool = False) -> bytes:
        """``closed``: the session is over, so the day's close is its last price and not yesterday's."""
        return wire.quote(*self.where(snapshot), _trade(snapshot), _day(snapshot, closed))

    def full(self, snapshot: Snapshot, *, closed: bool = False) -> bytes:
        oi = (snapshot.oi, snapshot.oi_day_high, snapshot.oi_day_low)
        return wire.full(
            *self.where(snapshot), _trade(snapshot), oi, _day(snapshot, closed), _levels(snapshot)
        )

    def open_interest(self, snapshot: Snapshot) -> bytes:
        return wire.open_interest(*self.where(snapshot), snapshot.oi)

    def prev_close(self, snapshot: Snapshot) -> bytes:
        return wire.prev_close(*self.where(snapshot), snapshot.prev_close_paise / 100, snapshot.prev_oi)

    def depth(self, snapshot: Snapshot, rows: int, sequence: int) -> bytes:
        """Bid and ask side in one message, as the official client needs them.

        Args:
            rows: 20 or 200.
            sequence: Carried by the 20-level header; the ask has the next number.
        """
        where = self.where(snapshot)
        tick = snapshot.listing.tick_paise
        bids = deepened(snapshot.bids, rows, -tick, snapshot.lower_circuit_paise, None)
        asks = deepened(snapshot.asks, rows, tick, None, snapshot.upper_circuit_paise)
        if rows == wire.DEPTH_20_ROWS:
            return wire.depth_side(wire.DEPTH_BID, *where, sequence, bids) + wire.depth_side(
                wire.DEPTH_ASK, *where, (sequence + 1) & 0xFFFFFFFF, asks
            )
        return wire.depth_200_side(wire.DEPTH_BID, *where, bids) + wire.depth_200_side(
            wire.DEPTH_ASK, *where, asks
        )


def deepened(
    levels: tuple[BookLevel, ...], rows: int, step_paise: int, lowest: int | None, highest: int | None
) -> list[DepthRow]:
    """A book side continued below its known levels, a tick a row, within the circuit limits.

    The exchange keeps five levels; what lies behind them repeats their sizes.
    """
    found = [DepthRow(level.price_paise / 100, level.quantity, level.orders) for level in levels[:rows]]
    if not levels:
        return found
    price = levels[-1].price_paise
    for number in range(len(found), rows):
        price += step_paise
        if price <= 0 or (lowest and price < lowest) or (highest and price > highest):
            break
        like = levels[number % len(levels)]
        found.append(DepthRow(price / 100, like.quantity, like.orders))
    return found


def _traded_at(snapshot: Snapshot) -> datetime | None:
    untraded = snapshot.volume == 0 and snapshot.listing.kind is not Kind.INDEX
    return None if untraded else snapshot.last_trade_at


def _trade(snapshot: Snapshot) -> Trade:
    return Trade(
        snapshot.ltp_paise / 100,
        snapshot.last_quantity,
        wire.wall_epoch(_traded_at(snapshot)),
        snapshot.average_paise / 100,
        snapshot.volume,
        snapshot.total_sell,
        snapshot.total_buy,
    )


def _day(snapshot: Snapshot, closed: bool) -> Day:
    close = snapshot.ltp_paise if closed else snapshot.prev_close_paise
    return Day(snapshot.open_paise / 100, close / 100, snapshot.high_paise / 100, snapshot.low_paise / 100)


def _levels(snapshot: Snapshot) -> list[Level]:
    """Five rows of both sides; where a side is shorter its numbers are zero."""
    rows = []
    for number in range(min(5, max(len(snapshot.bids), len(snapshot.asks)))):
        bid = snapshot.bids[number] if number < len(snapshot.bids) else BookLevel(0, 0, 0)
        ask = snapshot.asks[number] if number < len(snapshot.asks) else BookLevel(0, 0, 0)
        rows.append(
            Level(
                bid.quantity,
                ask.quantity,
                bid.orders,
                ask.orders,
                bid.price_paise / 100,
                ask.price_paise / 100,
            )
        )
    return rows
