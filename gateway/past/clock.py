"""The time of what is being played."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class PlayedClock:
    """Wall time is that of the newest tick; durations are real: threads and rate limits live by them."""

    def __init__(self, at_ns: int) -> None:
        self._ns = at_ns

    def now(self) -> datetime:
        whole, rest = divmod(self._ns, 1_000_000_000)
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest // 1000)

    def time_ns(self) -> int:
        return self._ns

    def monotonic(self) -> float:
        return time.monotonic()

    def move(self, to_ns: int) -> None:
        """Never backwards."""
        self._ns = max(self._ns, to_ns)
