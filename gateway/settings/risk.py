"""Risk limits of one instance, as its env file sets them. Every one is off unless it is set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from brokers.errors import SettingsError
from brokers.model import INDEX_EXCHANGES, Exchange, Product

MINUTES = re.compile(r"(\d{1,3})m")
CLOCK = re.compile(r"\d{2}:\d{2}")
YES_NO = ("true", "false")
REFUSE_ALLOW = ("refuse", "allow")
PAISA = Decimal("0.01")
MOST_RUPEES = 10**12
MOST_DIGITS = 12


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


class Source(Protocol):
    """Where texts of settings come from; the env file is one."""

    def text(self, name: str, default: str) -> str: ...

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str: ...

    def where(self, name: str) -> str: ...


def read(env: Source) -> RiskRules:
    """Raises ``SettingsError`` naming file and line."""
    return RiskRules(**{field: reader(env, name) for field, (name, reader) in READERS.items()})


def _rupees(env: Source, name: str) -> Decimal | None:
    text = env.text(name, "")
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not PAISA <= value <= MOST_RUPEES:
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected rupees, 0.01 to {MOST_RUPEES:,}")
    return value


def _count(env: Source, name: str) -> int | None:
    text = env.text(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) > 0):
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected a whole number above 0")
    return int(text)


def _words(env: Source, name: str, known: list[str]) -> frozenset[str]:
    words = [word.strip().upper() for word in env.text(name, "").split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise SettingsError(
                f"{env.where(name)}: {name} names {word}, expected some of {', '.join(known)}"
            )
    return frozenset(words)


def _square_off(env: Source, name: str) -> SquareOff | None:
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


def _yes(env: Source, name: str) -> bool:
    return env.choice(name, "false", YES_NO) == "true"


def _margin(env: Source, name: str) -> str:
    return env.choice(name, "refuse", REFUSE_ALLOW)


def _exchanges(env: Source, name: str) -> frozenset[str]:
    return _words(env, name, [e.value for e in Exchange if e not in INDEX_EXCHANGES])


def _products(env: Source, name: str) -> frozenset[str]:
    return _words(env, name, [p.value for p in Product])


def _closed(env: Source, name: str) -> frozenset[str]:
    return _products(env, name) or NO_RULES.square_off_products


READERS: Mapping[str, tuple[str, Callable[[Source, str], Any]]] = {
    "max_order_value": ("RISK_MAX_ORDER_VALUE", _rupees),
    "max_quantity": ("RISK_MAX_ORDER_QUANTITY", _count),
    "max_open_orders": ("RISK_MAX_OPEN_ORDERS", _count),
    "orders_per_minute": ("RISK_ORDERS_PER_MINUTE", _count),
    "data_per_minute": ("RISK_DATA_PER_MINUTE", _count),
    "exchanges": ("RISK_EXCHANGES", _exchanges),
    "products": ("RISK_PRODUCTS", _products),
    "day_loss": ("RISK_DAY_LOSS", _rupees),
    "day_loss_close": ("RISK_DAY_LOSS_CLOSE", _yes),
    "check_margin": ("RISK_CHECK_MARGIN", _yes),
    "margin_unknown": ("RISK_MARGIN_UNKNOWN", _margin),
    "square_off": ("RISK_SQUARE_OFF", _square_off),
    "square_off_products": ("RISK_SQUARE_OFF_PRODUCTS", _closed),
}
"""Field of ``RiskRules`` -> its setting, and what reads that."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "RISK_DAY_LOSS_CLOSE": YES_NO,
    "RISK_CHECK_MARGIN": YES_NO,
    "RISK_MARGIN_UNKNOWN": REFUSE_ALLOW,
}
"""Settings of few words."""
