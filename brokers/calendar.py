"""Trading sessions by exchange and date, from a dated data file.

The file (``brokers/data/calendar.json``) is data a user can replace: default sessions per exchange, closed
days, special sessions. Weekends are closed unless a special session says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from brokers.clock import IST

DATA = Path(__file__).parent / "data" / "calendar.json"


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session; both ends aware, in IST."""

    opens: datetime
    closes: datetime


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """One day that is not an ordinary one.

    Attributes:
        kind: ``TRADING_HOLIDAY``, ``SETTLEMENT_HOLIDAY`` or ``SPECIAL_SESSION``.
        closed: Exchanges that do not trade on it.
        description: What the day is; empty when the file does not say.
    """

    on: date
    kind: str
    closed: frozenset[str]
    description: str


class Calendar(Protocol):
    """Which sessions there are; ``FileCalendar`` or ``AlwaysOpen``."""

    def session(self, exchange: str, on: date) -> Session | None:
        """The session of one exchange on one IST date; None when closed."""
        ...

    def is_open(self, exchange: str, at: datetime) -> bool:
        """Whether the exchange trades at that moment (aware; the closing moment is closed)."""
        ...


class FileCalendar:
    """Sessions from the data file."""

    def __init__(self, path: Path = DATA) -> None:
        raw = json.loads(path.read_text())
        self._hours: dict[str, tuple[time, time]] = {
            exchange: (time.fromisoformat(hours[0]), time.fromisoformat(hours[1]))
            for exchange, hours in raw["hours"].items()
        }
        self._closed: dict[date, frozenset[str]] = {}
        self._special: dict[date, Mapping[str, tuple[time, time]]] = {}
        self._days: list[SpecialDay] = []
        for day in raw["days"]:
            on = date.fromisoformat(day["date"])
            self._closed[on] = frozenset(day.get("closed", ()))
            self._special[on] = {
                exchange: (time.fromisoformat(h[0]), time.fromisoformat(h[1]))
                for exchange, h in day.get("open", {}).items()
            }
            kind = day.get("kind") or ("TRADING_HOLIDAY" if self._closed[on] else "SPECIAL_SESSION")
            self._days.append(SpecialDay(on, kind, self._closed[on], day.get("description", "")))
        self.dated: str = raw["dated"]

    def days(self) -> list[SpecialDay]:
        """Every special day of the file, in its order (ascending by date)."""
        return list(self._days)

    def session(self, exchange: str, on: date) -> Session | None:
        """See ``Calendar``. An index has its exchange's hours; an exchange not in the file is closed."""
        exchange = exchange.removesuffix("_INDEX")
        hours = self._special.get(on, {}).get(exchange)
        if hours is None:
            closed = on.weekday() >= 5 and exchange != "CRYPTO"
            if closed or exchange in self._closed.get(on, ()) or exchange not in self._hours:
                return None
            hours = self._hours[exchange]
        opens = datetime.combine(on, hours[0], IST)
        closes = datetime.combine(on, hours[1], IST)
        if hours[1] == time(0):
            closes += timedelta(days=1)
        return Session(opens, closes)

    def is_open(self, exchange: str, at: datetime) -> bool:
        """See ``Calendar``."""
        session = self.session(exchange, at.astimezone(IST).date())
        return session is not None and session.opens <= at < session.closes


class AlwaysOpen:
    """The simulated exchange: one session per IST day, midnight to midnight."""

    def session(self, exchange: str, on: date) -> Session | None:
        """The whole IST day, of any exchange."""
        opens = datetime.combine(on, time(0), IST)
        return Session(opens, opens + timedelta(days=1))

    def is_open(self, exchange: str, at: datetime) -> bool:
        """Always."""
        return True
