"""Packets as Dhan's servers send them: values in, bytes out. No socket, clock or exchange here.

Everything is little endian. Prices of the live feed are float32, of the depth feeds float64; times are
the IST wall clock written as if it were a UTC epoch.

Source: Dhan API v2, Live Market Feed and Full Market Depth, packet tables.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

IST_OFFSET_S = 19_800

TICKER, V1_DEPTH, QUOTE, OI, PREV_CLOSE, STATUS, FULL, DISCONNECT = 2, 3, 4, 5, 6, 7, 8, 50
DEPTH_BID, DEPTH_ASK = 41, 51

_HEADER = struct.Struct("<BHBI")  # code, length with header, segment, security id
_TICKER = struct.Struct("<BHBIfI")
_PREV_CLOSE = struct.Struct("<BHBIfI")
_OI = struct.Struct("<BHBII")
_QUOTE = struct.Struct("<BHBIfHIfIIIffff")
_FULL = struct.Struct("<BHBIfHIfIIIIIIffff")
_V1_DEPTH = struct.Struct("<BHBIf")
_LEVEL = struct.Struct("<IIHHff")
_DISCONNECT = struct.Struct("<BHBIH")
_DEPTH_HEADER = struct.Struct("<HBBII")  # length, code, segment, security id, sequence or rows
_DEPTH_LEVEL = struct.Struct("<dII")
_DEPTH_DISCONNECT = struct.Struct("<HBBIIH")

_U16, _U32 = 0xFFFF, 0xFFFFFFFF
FULL_BYTES = _FULL.size + 5 * _LEVEL.size
DEPTH_20_ROWS = 20
DEPTH_200_ROWS = 200


class Level(NamedTuple):
    """One step of the five-level book; prices in rupees, zeros where a side has no such step."""

    bid_qty: int
    ask_qty: int
    bid_orders: int
    ask_orders: int
    bid_price: float
    ask_price: float


class DepthRow(NamedTuple):
    """One row of one side of the 20- or 200-level book."""

    price: float
    quantity: int
    orders: int


class Trade(NamedTuple):
    """What quote and full packets share up to the totals; rupees, ``time_raw`` from `wall_epoch`."""

    ltp: float
    ltq: int
    time_raw: int
    average: float
    volume: int
    total_sell: int
    total_buy: int


class Day(NamedTuple):
    """Open, close, high, low in wire order, rupees. ``close`` is yesterday's until the session ends."""

    open: float
    close: float
    high: float
    low: float


EMPTY_LEVEL = Level(0, 0, 0, 0, 0.0, 0.0)
EMPTY_ROW = DepthRow(0.0, 0, 0)


def wall_epoch(at: datetime | None) -> int:
    """Dhan's spelling of a time: seconds since the epoch of the IST wall clock; 0 for "never traded"."""
    return 0 if at is None else int(at.timestamp()) + IST_OFFSET_S


def ticker(segment: int, security_id: int, ltp: float, time_raw: int) -> bytes:
    """Code 2, 16 bytes."""
    return _TICKER.pack(TICKER, _TICKER.size, segment, security_id, ltp, time_raw)


def prev_close(segment: int, security_id: int, close: float, prev_oi: int) -> bytes:
    """Code 6, 16 bytes: yesterday's close in rupees and open interest."""
    return _PREV_CLOSE.pack(PREV_CLOSE, _PREV_CLOSE.size, segment, security_id, close, _u32(prev_oi))


def open_interest(segment: int, security_id: int, oi: int) -> bytes:
    """Code 5, 12 bytes; comes along with quote subscriptions."""
    return _OI.pack(OI, _OI.size, segment, security_id, _u32(oi))


def quote(segment: int, security_id: int, trade: Trade, day: Day) -> bytes:
    """Code 4, 50 bytes. The last quantity has 16 bits; larger ones are clamped (Dhan's way is unknown)."""
    return _QUOTE.pack(QUOTE, _QUOTE.size, segment, security_id, *_trade(trade), *day)


def full(
    segment: int,
    security_id: int,
    trade: Trade,
    oi: tuple[int, int, int],
    day: Day,
    levels: Sequence[Level],
) -> bytes:
    """Code 8, 162 bytes.

    Args:
        oi: Open interest now, the day's highest, the day's lowest.
        levels: At most five, best first; missing ones are zeros.
    """
    now, high, low = oi
    head = _FULL.pack(
        FULL, FULL_BYTES, segment, security_id, *_trade(trade), _u32(now), _u32(high), _u32(low), *day
    )
    return head + _five(levels)


def v1_depth(segment: int, security_id: int, ltp: float, levels: Sequence[Level]) -> bytes:
    """Code 3, 112 bytes: not part of v2, still parsed by the official client."""
    size = _V1_DEPTH.size + 5 * _LEVEL.size
    return _V1_DEPTH.pack(V1_DEPTH, size, segment, security_id, ltp) + _five(levels)


def market_status(segment: int, security_id: int = 0) -> bytes:
    """Code 7, header only; its body, if any, is undocumented."""
    return _HEADER.pack(STATUS, _HEADER.size, segment, security_id)


def disconnect(reason: int, segment: int = 0, security_id: int = 0) -> bytes:
    """Code 50, 10 bytes: why the server is about to close."""
    return _DISCONNECT.pack(DISCONNECT, _DISCONNECT.size, segment, security_id, reason)


def depth_side(code: int, segment: int, security_id: int, sequence: int, rows: Sequence[DepthRow]) -> bytes:
    """One side of the 20-level book, 332 bytes: always 20 rows, the unused ones zero.

    Args:
        code: ``DEPTH_BID`` or ``DEPTH_ASK``.
    """
    padded = [*rows[:DEPTH_20_ROWS], *[EMPTY_ROW] * (DEPTH_20_ROWS - len(rows))]
    return _depth(code, segment, security_id, sequence, padded)


def depth_200_side(code: int, segment: int, security_id: int, rows: Sequence[DepthRow]) -> bytes:
    """One side of the 200-level book: 12 + 16 bytes a row, the header carries the number of rows."""
    rows = rows[:DEPTH_200_ROWS]
    return _depth(code, segment, security_id, len(rows), rows)


def depth_disconnect(reason: int) -> bytes:
    """Code 50 of the depth sockets, 14 bytes.

    The reason stands at offset 12 as documented and is repeated at 8, where the official client looks for it.
    """
    return _DEPTH_DISCONNECT.pack(_DEPTH_DISCONNECT.size, DISCONNECT, 0, 0, reason, reason)


def _trade(trade: Trade) -> tuple[float, int, int, float, int, int, int]:
    return (
        trade.ltp,
        min(trade.ltq, _U16),
        trade.time_raw,
        trade.average,
        _u32(trade.volume),
        _u32(trade.total_sell),
        _u32(trade.total_buy),
    )


def _five(levels: Sequence[Level]) -> bytes:
    padded = [*levels[:5], *[EMPTY_LEVEL] * (5 - len(levels))]
    return b"".join(_LEVEL.pack(*level) for level in padded)


def _depth(code: int, segment: int, security_id: int, third: int, rows: Sequence[DepthRow]) -> bytes:
    size = _DEPTH_HEADER.size + len(rows) * _DEPTH_LEVEL.size
    head = _DEPTH_HEADER.pack(size, code, segment, security_id, third)
    return head + b"".join(_DEPTH_LEVEL.pack(*row) for row in rows)


def _u32(value: int) -> int:
    return min(max(value, 0), _U32)
