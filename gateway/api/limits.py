"""Rate limits per client address and endpoint: OpenAlgo's syntax, moving window, in memory.

``limits`` reads the syntax. Its in-memory moving window starts a timer thread every few milliseconds of
traffic (a third of a request's time when measured), so the window itself is ours: one deque per key.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from limits import parse_many

from brokers.errors import SettingsError
from gateway.settings import RateLimits

GREEKS = "30 per minute"
MESSAGING = "30 per minute"
MOST_KEYS = 10_000


def classes_of(rates: RateLimits) -> Mapping[str, str]:
    """Limit class of ``openalgo-endpoints`` -> text; those without a setting have OpenAlgo's default."""
    return {
        "API_RATE_LIMIT": rates.api,
        "ORDER_RATE_LIMIT": rates.order,
        "SMART_ORDER_RATE_LIMIT": rates.smart_order,
        "WEBHOOK_RATE_LIMIT": rates.webhook,
        "STRATEGY_RATE_LIMIT": rates.strategy,
        "GREEKS_RATE_LIMIT": GREEKS,
        "TELEGRAM_RATE_LIMIT": MESSAGING,
        "WHATSAPP_RATE_LIMIT": MESSAGING,
        "PORTFOLIO_API_RATE_LIMIT": "10 per minute",
        "PORTFOLIO_TEARSHEET_RATE_LIMIT": "5 per minute",
        "SIP_API_RATE_LIMIT": "10 per minute",
        "BROADCAST_RATE_LIMIT": "5 per minute",
        "LOGIN_RATE_LIMIT": f"{rates.login_minute};{rates.login_hour}",
        "PAGE_RATE_LIMIT": "20 per second",
    }


class Limits:
    """All windows of one api process. Thread-safe."""

    def __init__(self, rates: RateLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises ``SettingsError`` naming the text that is not a rate."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hits: dict[tuple[str, str, int], deque[float]] = {}
        self._rates: dict[str, tuple[tuple[int, int], ...]] = {}
        for name, text in classes_of(rates).items():
            try:
                items = parse_many(text)
            except ValueError as exc:
                raise SettingsError(
                    f"{name} is '{text}', expected for example '10 per second' or '5 per minute;100 per day'"
                ) from exc
            self._rates[name] = tuple((item.amount, item.get_expiry()) for item in items)

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
