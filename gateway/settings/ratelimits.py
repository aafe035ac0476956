"""How often a caller may ask. Names and syntax are OpenAlgo's."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.envfile import EnvFile


@dataclass(frozen=True, slots=True)
class RateLimits:
    """OpenAlgo's syntax: ``"10 per second"``, several joined by ``;``."""

    api: str
    order: str
    smart_order: str
    login_minute: str
    login_hour: str
    webhook: str
    strategy: str = "200 per minute"


def read(env: EnvFile) -> RateLimits:
    """The texts as they stand; ``gateway.api.limits`` refuses what cannot be read."""
    return RateLimits(
        api=env.text("API_RATE_LIMIT", "50 per second"),
        order=env.text("ORDER_RATE_LIMIT", "10 per second"),
        smart_order=env.text("SMART_ORDER_RATE_LIMIT", "10 per second"),
        login_minute=env.text("LOGIN_RATE_LIMIT_MIN", "5 per minute"),
        login_hour=env.text("LOGIN_RATE_LIMIT_HOUR", "25 per hour"),
        webhook=env.text("WEBHOOK_RATE_LIMIT", "100 per minute"),
        strategy=env.text("STRATEGY_RATE_LIMIT", "200 per minute"),
    )
