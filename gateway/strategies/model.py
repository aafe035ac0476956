"""What a strategy is: a name, a secret webhook id, how it may trade, when, and what.

Source: openalgo-api, section 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey, Product

PLATFORMS = (
    "tradingview",
    "chartink",
    "amibroker",
    "metatrader",
    "excel",
    "python",
    "gocharting",
    "n8n",
    "other",
)
CHARTINK = "chartink"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class TradingMode(StrEnum):
    """Which positions a strategy's alerts may open."""

    LONG = "LONG"
    SHORT = "SHORT"
    BOTH = "BOTH"


@dataclass(frozen=True, slots=True)
class Mapped:
    """One instrument a strategy may trade. ``quantity``: of an entry whose alert names none."""

    key: InstrumentKey
    quantity: int
    product: Product


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of day of an intraday strategy, in IST.

    Entries are taken from ``start`` to ``end``, exits from ``start`` to ``square_off``; then every mapped
    position is closed, once a day.
    """

    start: time
    end: time
    square_off: time

    def __post_init__(self) -> None:
        if not self.start < self.end <= self.square_off:
            raise InvalidRequest(
                f"start {self.start:%H:%M} must be before end {self.end:%H:%M}, and end not after "
                f"square-off {self.square_off:%H:%M}"
            )


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy. ``hours`` is None for a positional one.

    Attributes:
        webhook_id: The only secret of its webhook; a random UUID.
        changed_ns: When it was made, switched on, or its hours were set: a square-off time before that is
            not made up for.
    """

    id: int
    name: str
    webhook_id: str
    platform: str
    mode: TradingMode
    hours: Hours | None
    active: bool
    changed_ns: int
    symbols: tuple[Mapped, ...] = ()

    def mapped(self, symbol: str) -> Mapped | None:
        """What the strategy knows under a symbol, in any case."""
        wanted = symbol.strip().upper()
        return next((m for m in self.symbols if m.key.symbol.upper() == wanted), None)

    @property
    def path(self) -> str:
        """Where its alerts are posted."""
        return f"/{'chartink' if self.platform == CHARTINK else 'strategy'}/webhook/{self.webhook_id}"


def time_of(text: str) -> time:
    """``HH:MM``. Raises ``InvalidRequest``."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"'{text}' is not a time of day such as 09:20")
    return time(int(found[1]), int(found[2]))


def time_in_india(now: datetime) -> time:
    """The time of day in IST, whole minutes as people write them plus seconds."""
    return now.astimezone(IST).time()
