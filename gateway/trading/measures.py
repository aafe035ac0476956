"""Figures about orders, for ``/metrics`` and status pages."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.store.orderlog import OrderLog
from gateway.trading.limiter import LaneCounts


@dataclass(frozen=True, slots=True)
class Figures:
    """Orders and the limiter in numbers.

    Attributes:
        today: Orders made today or still unfinished, by state.
        events: Journal events of all time by kind.
        lanes: What the limiter did since the start of the process, by lane.
    """

    today: Mapping[str, int]
    events: Mapping[str, int]
    lanes: Mapping[str, LaneCounts]


class Tally:
    """Counts each event of the journal once, however often it is asked. Thread-safe."""

    def __init__(self, log: OrderLog) -> None:
        self._log = log
        self._seq = 0
        self._kinds: dict[str, int] = {}
        self._lock = threading.Lock()

    def events(self) -> dict[str, int]:
        with self._lock:
            last, fresh = self._log.kinds(self._seq)
            self._seq = last
            for kind, count in fresh.items():
                self._kinds[kind] = self._kinds.get(kind, 0) + count
            return dict(self._kinds)
