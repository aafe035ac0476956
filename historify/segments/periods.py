"""Which file of a series a bar belongs to. Pure.

Daily bars of a series share one file, for ever: 20 years are 5,000 rows, and one file costs a reader one
open. Minutes go into a file for each month of the running year and one for each closed year: an append
rewrites at most a month, and a reader of years opens few files.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from historify.days import day_bounds, trading_date
from historify.model import DAY, MINUTE

WHOLE = "all"
FILE_NAME = re.compile(r"^\.?(?P<period>all|\d{4}(?:-\d{2})?)\.e(?P<epoch>\d+)-\d+\.parquet(?:\.tmp)?$")
"""Period, epoch of its writer, a count; with a dot and ``.tmp`` while it is being written."""


class Period(NamedTuple):
    """Bars with ``lo <= ts < hi`` (epoch seconds) live in one file."""

    name: str
    lo: int
    hi: int


def period_of(interval: str, ts: int, running_year: int) -> Period:
    """The period a new bar is filed under.

    Args:
        running_year: Year of today's IST date; years before it are closed.
    """
    if interval == DAY:
        return Period(WHOLE, -(2**62), 2**62)
    day = trading_date(ts, interval)
    return year(day.year) if day.year < running_year else month(day.year, day.month)


def month(of: int, number: int) -> Period:
    after = date(of + number // 12, number % 12 + 1, 1)
    lo, hi = day_bounds(MINUTE, date(of, number, 1), after - timedelta(days=1))
    return Period(f"{of:04d}-{number:02d}", lo, hi)


def year(of: int) -> Period:
    lo, hi = day_bounds(MINUTE, date(of, 1, 1), date(of, 12, 31))
    return Period(f"{of:04d}", lo, hi)


def named(name: str) -> Period:
    """The period of a name that ``period_of`` gave."""
    if name == WHOLE:
        return Period(WHOLE, -(2**62), 2**62)
    parts = [int(part) for part in name.split("-")]
    return year(parts[0]) if len(parts) == 1 else month(parts[0], parts[1])


def told(lo: int, hi: int) -> str:
    """A range of bars for a message, in UTC."""
    first, last = (f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%d %H:%M}" for ts in (lo, hi))
    return f"{first} to {last} UTC"
