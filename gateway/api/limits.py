"""Rate limits per client address and endpoint: OpenAlgo's syntax, moving window, in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from brokers.errors import SettingsError
from gateway.settings import RateLimits

GREEKS = "30 per minute"
MESSAGING = "30 per minute"


def classes_of(rates: RateLimits) -> Mapping[str, str]:
    """Limit class of ``openalgo-endpoints`` -> text; those without a setting have OpenAlgo's default."""
    return {
        "API_RATE_LIMIT": rates.api,
        "ORDER_RATE_LIMIT": rates.order,
        "SMART_ORDER_RATE_LIMIT": rates.smart_order,
        "WEBHOOK_RATE_LIMIT": rates.webhook,
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
    """All windows of one api process."""

    def __init__(self, rates: RateLimits) -> None:
        """Raises ``SettingsError`` naming the text that is not a rate."""
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._items: dict[str, tuple[RateLimitItem, ...]] = {}
        for name, text in classes_of(rates).items():
            try:
                self._items[name] = tuple(parse_many(text))
            except ValueError as exc:
                raise SettingsError(
                    f"{name} is '{text}', expected for example '10 per second' or '5 per minute;100 per day'"
                ) from exc

    def hit(self, name: str, endpoint: str, address: str) -> float | None:
        """Count one request; None when it may pass, else the seconds until one may.

        Args:
            name: The limit class.
            endpoint: Each endpoint has its own windows.
        """
        for item in self._items[name]:
            if not self._limiter.hit(item, endpoint, address):
                reset_at = self._limiter.get_window_stats(item, endpoint, address).reset_time
                return max(0.05, reset_at - time.time())
        return None
