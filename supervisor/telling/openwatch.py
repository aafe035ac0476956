"""Who is not ready although the market is about to open, and when it is quiet: by the exchange calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.venue import Venue
from gateway.brokerday import hours
from gateway.brokerday.day import AFTER_OPEN, late_for_open
from gateway.settings import Settings
from supervisor.children.policy import State

MOST_S = 300.0
"""A clock that is set, or an instance that comes later, is noticed by then."""
NEAR_S = 20.0
ENOUGH = frozenset({State.READY.value, State.DEGRADED.value})
"""Degraded has its own events; an order can leave."""


class OpenWatch:
    """Args: ``now``: aware wall time; tests hand in their own."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._since: dict[str, datetime] = {}

    def late(self, one: Settings, sim_hours: str, row: Mapping[str, Any]) -> str:
        """Why an instance is late for the open; empty when it is not.

        Args:
            sim_hours: Instead of the instance's own, empty for those.
            row: As ``status.instance_row``.
        """
        now = self._now()
        since = self._since.setdefault(one.name, now)
        waits_for = "; ".join(str(text) for text in row.get("waiting_for") or ())
        ready = row["state"] in ENOUGH
        deadline = timedelta(minutes=one.day.open_deadline_minutes)
        opens = self._opens(one, sim_hours, now)
        return late_for_open(ready, now, opens, deadline, since, waits_for=waits_for)

    def is_quiet(self, one: Settings, sim_hours: str) -> bool:
        """Whether its markets are closed and stay so for a while: the time for what can wait."""
        calendar, exchanges = self._market(one, sim_hours)
        return hours.is_quiet(calendar, exchanges, self._now(), hours.MARGIN)

    def forget(self, name: str) -> None:
        """It was stopped on purpose: its next start is given its time."""
        self._since.pop(name, None)

    def wait_s(self, instances: Iterable[Settings], sim_hours: str) -> float:
        """How long nothing can become late."""
        now = self._now()
        return min((self._wait_s(one, sim_hours, now) for one in instances), default=MOST_S)

    def _wait_s(self, one: Settings, sim_hours: str, now: datetime) -> float:
        opens = self._opens(one, sim_hours, now)
        if opens is None:
            return MOST_S
        left_s = (opens - timedelta(minutes=one.day.open_deadline_minutes) - now).total_seconds()
        return min(left_s, MOST_S) if left_s > 0 else NEAR_S

    def _market(self, one: Settings, sim_hours: str) -> tuple[Calendar, tuple[str, ...]]:
        always = one.venue is Venue.SIM and (sim_hours or one.sim_hours) == "always"
        return hours.trading_calendar(always=always), tuple(one.spec.capabilities.exchanges)

    def _opens(self, one: Settings, sim_hours: str, now: datetime) -> datetime | None:
        """Today's first open until a little after it, else the next one."""
        calendar, exchanges = self._market(one, sim_hours)
        today = now.astimezone(IST).date()
        if hours.is_endless(calendar, exchanges, today):
            return None
        first = hours.first_open(calendar, exchanges, today)
        if first is not None and now < first + AFTER_OPEN:
            return first
        return hours.next_open(calendar, exchanges, now)
