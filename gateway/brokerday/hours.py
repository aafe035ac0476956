"""Pure: when the markets of an instance open next, and whether now is a quiet time.

Light: the supervisor plans by it too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import IST

LOOK_AHEAD = 15
"""Days; no exchange is closed for longer."""
DAY = timedelta(days=1)
MARGIN = timedelta(minutes=30)
"""Before an open nothing is begun that could wait."""


@functools.cache
def trading_calendar(*, always: bool) -> Calendar:
    """The exchanges' hours; ``always`` for simulated ones that never close."""
    return AlwaysOpen() if always else FileCalendar()


def first_open(calendar: Calendar, exchanges: Iterable[str], on: date) -> datetime | None:
    """The first moment of one IST date at which one of the exchanges trades; None when none does."""
    sessions = (calendar.session(exchange, on) for exchange in exchanges)
    return min((one.opens for one in sessions if one is not None), default=None)


def next_open(calendar: Calendar, exchanges: Iterable[str], now: datetime) -> datetime | None:
    """The next first open after ``now``, in IST; None when the calendar knows none, or is always open."""
    names = tuple(exchanges)
    today = now.astimezone(IST).date()
    if is_endless(calendar, names, today):
        return None
    days = (first_open(calendar, names, today + n * DAY) for n in range(LOOK_AHEAD))
    return next((opens for opens in days if opens is not None and opens > now), None)


def is_endless(calendar: Calendar, exchanges: Iterable[str], on: date) -> bool:
    """Some exchange trades around the clock (the simulated one): there is no open to be ready for."""
    sessions = (calendar.session(exchange, on) for exchange in exchanges)
    return any(one is not None and one.closes - one.opens >= DAY for one in sessions)


def is_open(calendar: Calendar, exchanges: Iterable[str], now: datetime) -> bool:
    return any(calendar.is_open(exchange, now) for exchange in exchanges)


def is_quiet(calendar: Calendar, exchanges: Iterable[str], now: datetime, margin: timedelta) -> bool:
    """Nothing trades now, nor within ``margin``: the time for restarts, updates and rotation.

    Where some exchange never closes any time is as good: a quieter one will not come.
    """
    names = tuple(exchanges)
    if is_endless(calendar, names, now.astimezone(IST).date()):
        return True
    if is_open(calendar, names, now):
        return False
    opens = next_open(calendar, names, now)
    return opens is None or opens - now > margin


def trading_day_start(calendar: Calendar, exchanges: Iterable[str], now: datetime, cut_off: time) -> datetime:
    """The newest cut-off (an IST time) of a day with trading that has passed.

    A special session before the cut-off moves it to an hour before that session.
    """
    names = tuple(exchanges)
    today = now.astimezone(IST).date()
    for n in range(LOOK_AHEAD):
        opens = first_open(calendar, names, today - n * DAY)
        if opens is None:
            continue
        cut = datetime.combine(today - n * DAY, cut_off, IST)
        if not is_endless(calendar, names, today - n * DAY):
            cut = min(cut, opens - timedelta(hours=1))
        if cut <= now:
            return cut
    return datetime.combine(today - LOOK_AHEAD * DAY, cut_off, IST)
