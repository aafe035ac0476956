"""One at a time for each of many things: callers of different keys never wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brokers.errors import RateLimited
from gateway.trading.tasks import THREADS, Lock, Tasks

RETRY_S = 1.0


@dataclass(slots=True)
class _Line:
    lock: Lock
    waiting: int = 0


class Turns:
    """A lock per key, kept only while somebody holds or wants it. Thread-safe."""

    def __init__(self, tasks: Tasks = THREADS) -> None:
        self._tasks = tasks
        self._guard = threading.Lock()
        self._lines: dict[Hashable, _Line] = {}

    @contextmanager
    def take(self, key: Hashable, patience_s: float) -> Iterator[None]:
        """Hold the key's turn.

        Raises:
            RateLimited: It did not come within ``patience_s``; nothing was done.
        """
        with self._guard:
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = _Line(self._tasks.lock())
            line.waiting += 1
        try:
            if not line.lock.acquire(timeout=patience_s):
                raise RateLimited(
                    f"earlier requests for the same position took longer than {patience_s:g} s; "
                    "nothing was sent",
                    retry_after_s=RETRY_S,
                )
            try:
                yield
            finally:
                line.lock.release()
        finally:
            with self._guard:
                line.waiting -= 1
                if not line.waiting:
                    del self._lines[key]
