"""Times of the order path."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.envfile import EnvFile


@dataclass(frozen=True, slots=True)
class TradingRules:
    """Times of the order path, seconds.

    Attributes:
        order_deadline_s: An order that cannot leave by then is answered RATE_LIMITED.
        broker_timeout_s: Longest wait for a broker's answer to a write.
        reconcile_positions_s, reconcile_orders_s: Periods of reconciliation.
        fires_missed_gtts: A GTT the gateway keeps, whose price was there and is gone when it looks again, is
            sent all the same.
    """

    order_deadline_s: float
    broker_timeout_s: float
    reconcile_positions_s: float
    reconcile_orders_s: float
    fires_missed_gtts: bool = False


def read(env: EnvFile) -> TradingRules:
    """Raises ``SettingsError``."""
    return TradingRules(
        order_deadline_s=env.number("ORDER_DEADLINE_SECONDS", 2.0, 0.05, 60.0),
        broker_timeout_s=env.number("BROKER_TIMEOUT_SECONDS", 10.0, 0.5, 120.0),
        reconcile_positions_s=env.number("RECONCILE_POSITIONS_SECONDS", 60.0, 1.0, 3600.0),
        reconcile_orders_s=env.number("RECONCILE_ORDERS_SECONDS", 10.0, 0.5, 3600.0),
        fires_missed_gtts=env.choice("GTT_MISSED", "tell", ("tell", "fire")) == "fire",
    )
