"""Pure: stored candles -> the ticks a feed might have sent.

A candle says where the price was, not when. Four ticks stand for it: its open, then low and high (high and
low where it fell), then its close; a quarter of its volume each. There was no book, so bid and ask are the
price. The same candles always make the same ticks.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.model import InstrumentKey, Mode, Tick
from historify.model import LONG, Bars, Row

PARTS = 4
LAST_MS = 1000
"""The close is this long before the next candle's open."""


def playable(interval: str) -> bool:
    """Weeks and longer begin on days without trading; ticks of theirs would have no time."""
    return interval not in LONG or interval == "D"


def ticks(
    key: InstrumentKey, bars: Bars, interval: str, calendar: Calendar, prev_close: float
) -> Iterator[Tick]:
    """Ticks of one instrument, ascending.

    Args:
        bars: Of ``interval``, ascending.
        prev_close: Of the day before the first bar; 0 when that is not known.
    """
    rows = list(bars.rows())
    step_ms = _step_ms(interval)
    at: datetime | None = None
    opened = high = low = last = 0.0
    traded = 0
    for number, row in enumerate(rows):
        start_ms, length_ms = _span(row[0], step_ms, key.exchange, calendar)
        day = datetime.fromtimestamp(start_ms / 1000, IST).date()
        if at is None or at.date() != day:
            prev_close = last if number else prev_close
            opened, high, low, traded = row[1], row[1], row[1], 0
            at = datetime.combine(day, datetime.min.time(), IST)
        for part, (price, quantity) in enumerate(zip(_prices(row), _shares(row[5]), strict=True)):
            high, low, last, traded = max(high, price), min(low, price), price, traded + quantity
            offset_ms = length_ms - LAST_MS if part == PARTS - 1 else length_ms * part // (PARTS - 1)
            time_ms = start_ms + offset_ms
            yield Tick(
                key=key,
                mode=Mode.DEPTH,
                received_ns=time_ms * 1_000_000,
                ltp=price,
                last_trade_ms=time_ms,
                last_quantity=quantity,
                volume=traded,
                open=opened,
                high=high,
                low=low,
                prev_close=prev_close or None,
                oi=row[6],
                bid=price,
                ask=price,
            )


def together(streams: Sequence[Iterable[Tick]]) -> Iterator[Tick]:
    """Ticks of many instruments by time; at one moment in the order of ``streams``."""
    numbered = (
        ((tick.received_ns, number, tick) for tick in stream) for number, stream in enumerate(streams)
    )
    for _, _, tick in heapq.merge(*numbered, key=lambda each: each[:2]):
        yield tick


def _prices(row: Row) -> tuple[float, float, float, float]:
    _, opened, high, low, close, _, _ = row
    return (opened, low, high, close) if close >= opened else (opened, high, low, close)


def _shares(volume: int) -> tuple[int, ...]:
    part = volume // PARTS
    return (part,) * (PARTS - 1) + (volume - part * (PARTS - 1),)


def _step_ms(interval: str) -> int:
    """Length of a candle; 0 for a day, which is as long as its session."""
    if interval in LONG:
        return 0
    return int(interval[:-1]) * (3_600_000 if interval.endswith("h") else 60_000)


def _span(ts: int, step_ms: int, exchange: str, calendar: Calendar) -> tuple[int, int]:
    """First moment and length of a candle in milliseconds."""
    if step_ms:
        return ts * 1000, step_ms
    day = datetime.fromtimestamp(ts, UTC).date()
    session = calendar.session(exchange, day)
    if session is None:  # a day the calendar does not know of: the usual hours of a share
        opens = datetime(day.year, day.month, day.day, 9, 15, tzinfo=IST)
        return int(opens.timestamp()) * 1000, int(timedelta(hours=6, minutes=15).total_seconds()) * 1000
    length_s = (session.closes - session.opens).total_seconds()
    return int(session.opens.timestamp()) * 1000, int(length_s) * 1000
