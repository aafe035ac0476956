"""The day's result as a line: one point every so often, from IST midnight on, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from brokers.clock import IST, Clock
from brokers.model import InstrumentKey, Position
from gateway.trading.risk import day_result

EVERY_S = 5.0
MOST = 20_000
"""A day of points every five seconds is 17,280."""


@dataclass(frozen=True, slots=True)
class Point:
    """Rupees. ``unpriced``: open positions nobody has a price for; they count nothing."""

    at_ms: int
    realised: float
    unrealised: float
    unpriced: int


class DayLine:
    """One line for live orders, one for the sandbox. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._day: date | None = None
        self._lines: dict[bool, list[Point]] = {False: [], True: []}
        self._last = {False: float("-inf"), True: float("-inf")}

    def add(
        self,
        positions: Iterable[Position],
        last_price: Callable[[InstrumentKey], float | None],
        *,
        paper: bool,
    ) -> None:
        """A point of now, unless the last one is too young."""
        now = self._clock.monotonic()
        if now - self._last[paper] < EVERY_S:
            return
        self._last[paper] = now
        result = day_result(positions, last_price)
        at_ms = self._clock.time_ns() // 1_000_000
        point = Point(at_ms, float(result.realised), float(result.unrealised), len(result.unpriced))
        today = self._clock.now().astimezone(IST).date()
        with self._lock:
            if today != self._day:
                self._day = today
                self._lines = {False: [], True: []}
            line = self._lines[paper]
            line.append(point)
            del line[:-MOST]

    def points(self, *, paper: bool) -> list[Point]:
        with self._lock:
            return list(self._lines[paper])
