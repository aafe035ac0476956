"""Rate limits per client address and endpoint: OpenAlgo's syntax, moving window, in memory.

``limits`` reads the syntax. Its in-memory moving window starts a timer thread every few milliseconds of
traffic (a third of a request's time when measured), so the window itself is ours: ``pagekit.windows``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from limits import parse_many

from brokers.errors import SettingsError
from gateway.pagekit.windows import Rate, Windows
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


class Limits(Windows):
    """All windows of one api process. Thread-safe."""

    def __init__(self, rates: RateLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises ``SettingsError`` naming the text that is not a rate."""
        found: dict[str, tuple[Rate, ...]] = {}
        for name, text in classes_of(rates).items():
            try:
                items = parse_many(text)
            except ValueError as exc:
                raise SettingsError(
                    f"{name} is '{text}', expected for example '10 per second' or '5 per minute;100 per day'"
                ) from exc
            found[name] = tuple((item.amount, item.get_expiry()) for item in items)
        super().__init__(found, monotonic)
