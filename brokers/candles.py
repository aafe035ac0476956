"""Dates of candles: cutting a range into calls, and keeping what lies in it. Pure.

Dates are IST trading dates. A minute bar carries true UTC seconds, a daily one its date at 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from brokers.model import Candle

IST_OFFSET_S = 19_800
DAY_S = 86_400
_EPOCH = date(1970, 1, 1).toordinal()


def chunks(start: date, end: date, days: int) -> Iterator[tuple[date, date]]:
    """Cut [start, end] into pieces of at most ``days`` days, both ends inclusive, oldest first."""
    while start <= end:
        last = min(end, start + timedelta(days=days - 1))
        yield start, last
        start = last + timedelta(days=1)


def within(candles: Iterable[Candle], start: date, end: date, *, daily: bool) -> list[Candle]:
    """Those of [start, end], ascending, one for each time; of two with one time the later in order stays.

    Args:
        daily: The bars carry dates, not moments.
    """
    shift_s = 0 if daily else IST_OFFSET_S
    first, last = start.toordinal() - _EPOCH, end.toordinal() - _EPOCH
    found = {
        candle.opened_at_s: candle
        for candle in candles
        if first <= (candle.opened_at_s + shift_s) // DAY_S <= last
    }
    return [found[at] for at in sorted(found)]
