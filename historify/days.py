"""Which trading day a bar belongs to. Pure.

A minute's day is its date in India, a daily bar carries 00:00 UTC of its date.
"""

from __future__ import annotations

from datetime import date

from historify.model import DAY

IST_S = 19_800
"""Seconds IST is ahead of UTC."""
DAY_S = 86_400
EPOCH = date(1970, 1, 1)
_FIRST = EPOCH.toordinal()


def shift_s(interval: str) -> int:
    """What to add to a ``ts`` so that its trading day begins at a multiple of ``DAY_S``."""
    return 0 if interval == DAY else IST_S


def trading_date(ts: int, interval: str) -> date:
    """The exchange's date of a bar."""
    return date.fromordinal((ts + shift_s(interval)) // DAY_S + _FIRST)


def day_start(ts: int, interval: str) -> int:
    """``ts`` of the first moment of a bar's trading day."""
    return ts - (ts + shift_s(interval)) % DAY_S


def day_bounds(interval: str, start: date, end: date) -> tuple[int, int]:
    """``lo <= ts < hi`` of the bars of trading days start..end, both inclusive."""
    shift = shift_s(interval)
    return (start - EPOCH).days * DAY_S - shift, ((end - EPOCH).days + 1) * DAY_S - shift
