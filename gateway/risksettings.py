"""Risk limits of one instance, as its env file sets them. Every one is off unless it is set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from brokers.errors import SettingsError
from brokers.model import INDEX_EXCHANGES, Exchange, Product

if TYPE_CHECKING:
    from gateway.settings import EnvFile

MINUTES = re.compile(r"(\d{1,3})m")
CLOCK = re.compile(r"\d{2}:\d{2}")
YES_NO = ("true", "false")


@dataclass(frozen=True, slots=True)
class SquareOff:
    """When intraday positions are closed: at an IST time of day, or so many minutes before each close."""

    at: time | None = None
    before_close_m: int = 0


@dataclass(frozen=True, slots=True)
class RiskRules:
    """Limits of the order path; None or empty is no limit. Rupees where a name says value or loss.

    Attributes:
        orders_per_minute, data_per_minute: For each strategy, in any rolling minute.
        exchanges, products: Allowed ones; empty allows all.
        day_loss: Realised and open loss of the day at which entries stop until the next day or a resume.
        day_loss_close: Close every position too when that happens.
        check_margin: Ask the broker before each order whether its margin is there.
        margin_unknown: ``refuse`` or ``allow`` an order whose margin could not be asked.
    """

    max_order_value: Decimal | None = None
    max_quantity: int | None = None
    max_open_orders: int | None = None
    orders_per_minute: int | None = None
    data_per_minute: int | None = None
    exchanges: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    day_loss: Decimal | None = None
    day_loss_close: bool = False
    check_margin: bool = False
    margin_unknown: str = "refuse"
    square_off: SquareOff | None = None
    square_off_products: frozenset[str] = frozenset({Product.MIS.value})

    @property
    def watches(self) -> bool:
        """Something has to be looked at between orders."""
        return self.day_loss is not None or self.square_off is not None


NO_RULES = RiskRules()
EXAMPLE = """\
# Risk limits; none holds unless it is set. Orders that only reduce a position pass them.
# RISK_MAX_ORDER_VALUE=500000      # rupees
# RISK_MAX_ORDER_QUANTITY=5000
# RISK_MAX_OPEN_ORDERS=40
# RISK_ORDERS_PER_MINUTE=60        # each strategy
# RISK_DATA_PER_MINUTE=600         # market data, each strategy (header X-Strategy, else the API key)
# RISK_EXCHANGES=NSE,NFO           # others are refused
# RISK_PRODUCTS=MIS,CNC
# RISK_DAY_LOSS=25000              # rupees, realised and open; entries stop until tomorrow or a resume
# RISK_DAY_LOSS_CLOSE=false        # close every position when it is reached
# RISK_CHECK_MARGIN=false          # ask the broker before each order; costs two requests
# RISK_MARGIN_UNKNOWN=refuse       # or allow, when the broker does not answer that
# RISK_SQUARE_OFF=15:15            # IST, or 15m: minutes before each exchange's close
# RISK_SQUARE_OFF_PRODUCTS=MIS
"""
"""What ``algo init`` and the example files say of them."""


def read(env: EnvFile) -> RiskRules:
    """Raises ``SettingsError`` naming file and line."""
    return RiskRules(
        max_order_value=_rupees(env, "RISK_MAX_ORDER_VALUE"),
        max_quantity=_count(env, "RISK_MAX_ORDER_QUANTITY"),
        max_open_orders=_count(env, "RISK_MAX_OPEN_ORDERS"),
        orders_per_minute=_count(env, "RISK_ORDERS_PER_MINUTE"),
        data_per_minute=_count(env, "RISK_DATA_PER_MINUTE"),
        exchanges=_words(env, "RISK_EXCHANGES", [e.value for e in Exchange if e not in INDEX_EXCHANGES]),
        products=_words(env, "RISK_PRODUCTS", [p.value for p in Product]),
        day_loss=_rupees(env, "RISK_DAY_LOSS"),
        day_loss_close=env.choice("RISK_DAY_LOSS_CLOSE", "false", YES_NO) == "true",
        check_margin=env.choice("RISK_CHECK_MARGIN", "false", YES_NO) == "true",
        margin_unknown=env.choice("RISK_MARGIN_UNKNOWN", "refuse", ("refuse", "allow")),
        square_off=_square_off(env, "RISK_SQUARE_OFF"),
        square_off_products=_words(env, "RISK_SQUARE_OFF_PRODUCTS", [p.value for p in Product])
        or NO_RULES.square_off_products,
    )


def _rupees(env: EnvFile, name: str) -> Decimal | None:
    text = env.text(name, "")
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected rupees above 0")
    return value


def _count(env: EnvFile, name: str) -> int | None:
    text = env.text(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected a whole number above 0")
    return int(text)


def _words(env: EnvFile, name: str, known: list[str]) -> frozenset[str]:
    words = [word.strip().upper() for word in env.text(name, "").split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise SettingsError(
                f"{env.where(name)}: {name} names {word}, expected some of {', '.join(known)}"
            )
    return frozenset(words)


def _square_off(env: EnvFile, name: str) -> SquareOff | None:
    text = env.text(name, "")
    if not text:
        return None
    if found := MINUTES.fullmatch(text):
        return SquareOff(before_close_m=int(found[1]))
    try:
        at = time.fromisoformat(text) if CLOCK.fullmatch(text) else None
    except ValueError:
        at = None
    if at is None:
        raise SettingsError(
            f"{env.where(name)}: {name} is {text}, expected an IST time such as 15:15, or minutes before the "
            "close such as 15m"
        )
    return SquareOff(at=at)
