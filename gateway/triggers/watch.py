"""Which price fires which leg, and which price counts at all. Pure.

A price counts when it is fresh, when the exchange is open, and when it was traded in this session: the last
price a broker repeats before the first trade is yesterday's, and yesterday's price fires nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.model import GttRequest
from gateway.triggers.machine import first_crossed

MAX_AGE_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One last price.

    Attributes:
        seen_ms: Wall milliseconds at which it arrived here.
        traded_ms: When it was traded, None where the broker does not say.
    """

    price: Decimal
    seen_ms: int
    traded_ms: int | None = None


def counts(seen: Seen, exchange: str, now: datetime, calendar: Calendar, max_age_s: float) -> bool:
    """Whether a price may fire anything."""
    if seen.price <= 0 or now.timestamp() * 1000 - seen.seen_ms > max_age_s * 1000:
        return False
    if not calendar.is_open(exchange, now):
        return False
    session = calendar.session(exchange, now.astimezone(IST).date())
    if session is None or not seen.traded_ms:
        return session is not None
    return seen.traded_ms >= session.opens.timestamp() * 1000


def fired(
    terms: GttRequest, seen: Seen, now: datetime, calendar: Calendar, max_age_s: float = MAX_AGE_S
) -> int | None:
    """The leg a price fires, None when it fires none."""
    leg = first_crossed(terms, seen.price)  # first: nearly every price ends here
    if leg is None or not counts(seen, terms.key.exchange, now, calendar, max_age_s):
        return None
    return leg
