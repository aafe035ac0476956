"""When a paper day's fixed events are due: square-off, close, reset. Pure; the calendar is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from brokers.calendar import AlwaysOpen, Calendar
from brokers.clock import IST

BEFORE_CLOSE = timedelta(minutes=15)
"""In a session that does not contain the exchange's square-off time (Muhurat, a short day)."""


class Hours:
    """Times of one exchange day.

    An exchange that never closes (the simulated one) has no square-off: its day ends at midnight, and what
    is held intraday is carried, as its broker would.
    """

    def __init__(self, calendar: Calendar, square_off: Mapping[str, time]) -> None:
        self._calendar = calendar
        self._square_off = {} if isinstance(calendar, AlwaysOpen) else square_off

    def square_off(self, exchange: str, on: date) -> datetime | None:
        """When intraday positions of an exchange are closed on a day; None when they are not."""
        at = self._square_off.get(exchange)
        session = self._calendar.session(exchange, on)
        if at is None or session is None:
            return None
        usual = datetime.combine(on, at, IST)
        return usual if session.opens < usual < session.closes else session.closes - BEFORE_CLOSE

    def squares_off(self, exchange: str) -> bool:
        """Intraday positions of this exchange are not carried."""
        return exchange in self._square_off

    def closes(self, exchange: str, on: date) -> datetime | None:
        session = self._calendar.session(exchange, on)
        return None if session is None else session.closes


def ist_day(at: datetime) -> date:
    return at.astimezone(IST).date()
