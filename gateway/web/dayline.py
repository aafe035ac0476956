"""The day's result as a line, from IST midnight on, kept in the instance's database.

A point is kept twice a minute, and while nothing changes every five minutes; the newest one is always there.
``look`` makes points while no page is open: of what the process knows already, never by asking the broker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import date

from brokers.clock import IST, Clock
from brokers.errors import AlgoError
from brokers.model import InstrumentKey, Position
from gateway.api.parts import Parts
from gateway.store.daypoints import DayPoints
from gateway.store.daypoints import Point as Point
from gateway.trading.risk import day_result

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Between two points of a page that is open."""
KEPT_MS = 30_000
"""Between two kept points: 2,880 a day at most."""
FLAT_MS = 300_000
"""The same while the result stands still."""
STALE_S = 180.0
"""Positions read longer ago make no point: a gap is honest, a wrong line is not."""


class DayLine:
    """One line for live orders, one for the sandbox. Thread-safe."""

    def __init__(self, clock: Clock, store: DayPoints | None = None) -> None:
        self._clock = clock
        self._store = store
        self._lock = threading.Lock()
        self._day: date | None = None
        self._lines: dict[bool, list[Point]] = {False: [], True: []}
        self._newest: dict[bool, Point | None] = {False: None, True: None}
        self._last = {False: float("-inf"), True: float("-inf")}

    def add(
        self,
        positions: Iterable[Position],
        last_price: Callable[[InstrumentKey], float | None],
        *,
        paper: bool,
        every_s: float = EVERY_S,
    ) -> None:
        """A point of now, unless the last one is too young."""
        now = self._clock.monotonic()
        if now - self._last[paper] < every_s:
            return
        self._last[paper] = now
        result = day_result(positions, last_price)
        at_ms = self._clock.time_ns() // 1_000_000
        point = Point(at_ms, float(result.realised), float(result.unrealised), len(result.unpriced))
        with self._lock:
            day = self._today()
            line = self._lines[paper]
            self._newest[paper] = point
            kept = not line or _worth_keeping(line[-1], point)
            if kept:
                line.append(point)
        if kept:
            self._keep(day, point, paper=paper)

    def look(self, parts: Parts) -> None:
        """A point of each line from what is known without asking the broker.

        Args:
            parts: Those of the account; the sandbox is in them.
        """
        if parts.session.status().state == "valid" and (known := parts.desk.last_positions()) is not None:
            age_s, positions = known
            if age_s <= STALE_S:
                parts.market.ticks.want(one.key for one in positions if one.quantity)
                self.add(positions, parts.market.last_price, paper=False, every_s=KEPT_MS / 1000)
        if parts.sandbox is not None and parts.analyzing():
            # its books are in this process
            sandbox = parts.sandbox
            self.add(sandbox.desk.positions(), sandbox.market.last_price, paper=True, every_s=KEPT_MS / 1000)

    def points(self, *, paper: bool) -> list[Point]:
        """Today's, oldest first."""
        with self._lock:
            self._today()
            line, newest = self._lines[paper], self._newest[paper]
            return [*line, newest] if newest is not None and newest is not line[-1] else list(line)

    def _today(self) -> date:
        """The IST day; a new one begins empty, or with what was kept of it. The caller holds the lock."""
        today = self._clock.now().astimezone(IST).date()
        if today != self._day:
            self._day = today
            self._lines = {paper: self._kept(today, paper=paper) for paper in (False, True)}
            self._newest = {False: None, True: None}
        return today

    def _kept(self, day: date, *, paper: bool) -> list[Point]:
        try:
            return self._store.of(day, paper=paper) if self._store is not None else []
        except AlgoError as exc:
            log.warning("the day's line cannot be read: %s", exc)
            return []

    def _keep(self, day: date, point: Point, *, paper: bool) -> None:
        try:
            if self._store is not None:
                self._store.add(day, point, paper=paper)
        except AlgoError as exc:
            # a page shows it all the same, until the process ends
            log.warning("a point of the day's line was not kept: %s", exc)


def _worth_keeping(last: Point, point: Point) -> bool:
    age_ms = point.at_ms - last.at_ms
    return age_ms >= FLAT_MS or (age_ms >= KEPT_MS and point.values != last.values)
