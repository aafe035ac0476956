"""Which bar a stored one belongs to. Pure: the calendar's hours go in, an SQL expression comes out.

Intraday bars start at that day's session open and every n minutes after it, W at Monday, M, Q and Y at their
first calendar day; the label is the start. Zones never enter: IST is a fixed 19,800 s ahead of UTC.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from brokers.calendar import Calendar
from historify.days import DAY_S, EPOCH, IST_S, shift_s
from historify.errors import WrongInterval
from historify.model import DAY, INTERVALS, INTRADAY, MINUTE

MINUTES = {"1m": 1, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240}
_TRUNC = {"M": "month", "Q": "quarter", "Y": "year"}


def stored(interval: str) -> str:
    """The stored interval another one is computed from.

    Raises:
        WrongInterval: It is none of ``INTERVALS``.
    """
    if interval not in INTERVALS:
        raise WrongInterval(f"interval {interval!r}: this store has {', '.join(INTERVALS)}")
    return MINUTE if interval in INTRADAY else DAY


def span(interval: str, start: date, end: date) -> tuple[int, int]:
    """Epoch seconds ``[lo, hi)`` of the stored bars a request needs.

    The bar that holds ``start`` is whole (a week asked from its Wednesday begins on Monday); nothing after
    ``end`` enters the last one, so it is what that evening's chart showed.
    """
    shift = shift_s(stored(interval))
    first = _first_day(interval, start)
    return midnight(first) - shift, midnight(end) + DAY_S - shift


def midnight(day: date) -> int:
    """00:00 UTC of a date, in epoch seconds."""
    return (day - EPOCH).days * DAY_S


def _first_day(interval: str, day: date) -> date:
    if interval == "W":
        return day - timedelta(days=day.weekday())
    if interval == "M":
        return day.replace(day=1)
    if interval == "Q":
        return day.replace(month=day.month - (day.month - 1) % 3, day=1)
    if interval == "Y":
        return day.replace(month=1, day=1)
    return day


def bucket(interval: str, calendar: Calendar, exchange: str, start: date, end: date) -> str | None:
    """SQL over column ``ts`` for the start of the bar; None where the stored bars are the answer."""
    if interval in (MINUTE, DAY):
        return None
    if interval == "W":  # 1970-01-01 was a Thursday
        return f"ts - ts % {DAY_S} - (ts // {DAY_S} + 3) % 7 * {DAY_S}"
    if interval in _TRUNC:
        return f"epoch_us(date_trunc('{_TRUNC[interval]}', make_timestamp(ts * 1000000))) // 1000000"
    step = MINUTES[interval] * 60
    return f"ts - (ts + {IST_S} - {_opening(calendar, exchange, start, end, step)}) % {step}"


def _opening(calendar: Any, exchange: str, start: date, end: date, step: int) -> str:
    """SQL for the seconds between a bar's IST midnight and its session's open, modulo ``step``.

    The grid counts from midnight, because every ``step`` divides a day.
    """
    days: defaultdict[int, list[int]] = defaultdict(list)
    for year in range(start.year, end.year + 1):
        first = (date(year, 1, 1) - EPOCH).days
        low = max((start - EPOCH).days - first, 0)
        high = (end - EPOCH).days - first
        for number, opens in enumerate(openings(calendar, exchange, year)[low : high + 1], first + low):
            days[opens % step].append(number)
    usual = max(days, key=lambda grid: len(days[grid]))
    if len(days) == 1:
        return str(usual)
    cases = " ".join(
        f"WHEN (ts + {IST_S}) // {DAY_S} IN ({', '.join(map(str, numbers))}) THEN {grid}"
        for grid, numbers in sorted(days.items())
        if grid != usual
    )
    return f"(CASE {cases} ELSE {usual} END)"


@lru_cache(maxsize=256)
def openings(calendar: Any, exchange: str, year: int) -> tuple[int, ...]:
    """Seconds from IST midnight to the session's open, for each day of a year.

    A day the calendar (kept by identity) holds closed takes the year's usual open: bars of a special session
    it does not know still fall into bars of the right length.
    """
    first = date(year, 1, 1)
    found: list[int | None] = []
    for number in range((date(year + 1, 1, 1) - first).days):
        session = calendar.session(exchange, first + timedelta(days=number))
        opens = session.opens if session else None
        found.append(opens.hour * 3600 + opens.minute * 60 + opens.second if opens else None)
    known = Counter(opens for opens in found if opens is not None)
    usual = known.most_common(1)[0][0] if known else 0
    return tuple(usual if opens is None else opens for opens in found)
