"""What will happen when: orders to accept, sessions to end, the day to turn. Pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import IntEnum


class Due(IntEnum):
    """In the order in which they happen within one millisecond."""

    SQUARE_OFF = 0
    CLOSE = 1
    MIDNIGHT = 2
    ACCEPT = 3


@dataclass(slots=True)
class Agenda:
    """Times in milliseconds since the Unix epoch; the subject is an order id or a segment."""

    _heap: list[tuple[int, Due, int, str]] = field(default_factory=list)
    _count: int = 0

    def add(self, at_ms: int, due: Due, subject: str = "") -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_ms, due, self._count, subject))

    def pop(self, until_ms: int) -> tuple[int, Due, str] | None:
        """The next thing due by then."""
        if not self._heap or self._heap[0][0] > until_ms:
            return None
        at_ms, due, _, subject = heapq.heappop(self._heap)
        return at_ms, due, subject

    @property
    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None
