"""Moving windows that count requests: one deque per address, endpoint and window. In memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

MOST_KEYS = 10_000
Rate = tuple[int, int]
"""Requests, seconds."""


class Windows:
    """All windows of one process, by limit class. Thread-safe."""

    def __init__(
        self, rates: Mapping[str, tuple[Rate, ...]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = dict(rates)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hits: dict[tuple[str, str, int], deque[float]] = {}

    def hit(self, name: str, endpoint: str, address: str) -> float | None:
        """Count one request; None when it may pass, else the seconds until one may. A refusal counts nothing.

        Args:
            name: The limit class.
            endpoint: Each endpoint has its own windows.
        """
        now = self._monotonic()
        with self._lock:
            windows = [self._window(endpoint, address, seconds, now) for _, seconds in self._rates[name]]
            waits = [
                window[-amount] + seconds - now
                for window, (amount, seconds) in zip(windows, self._rates[name], strict=True)
                if len(window) >= amount
            ]
            if waits:
                return max(waits)
            for window in windows:
                window.append(now)
        return None

    def _window(self, endpoint: str, address: str, seconds: int, now: float) -> deque[float]:
        window = self._hits.get((endpoint, address, seconds))
        if window is None:
            if len(self._hits) >= MOST_KEYS:
                self._hits = {k: w for k, w in self._hits.items() if w and w[-1] > now - k[2]}
            window = self._hits[(endpoint, address, seconds)] = deque()
        while window and window[0] <= now - seconds:
            window.popleft()
        return window
