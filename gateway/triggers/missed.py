"""Which triggers a price reached while nobody looked: the day's high and low against what was known. Pure.

What is known of one GTT is a ``Mark``: the extremes of its session as of the last look. While prices are
heard, whatever reaches a trigger fires it; so a trigger between an old and a new extreme was reached unheard.
Only the newest session can be told: of sessions before it no broker's quote speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from brokers.clock import IST
from brokers.model import GttLeg, GttRequest, Quote


@dataclass(frozen=True, slots=True)
class Mark:
    """Highest and lowest price of one session (its IST date), as known at a wall time."""

    at_ns: int
    day: date
    high: Decimal
    low: Decimal

    def widened(self, other: Mark) -> Mark:
        """With what is known later; of another session that alone."""
        if other.day != self.day:
            return other
        return Mark(other.at_ns, other.day, max(self.high, other.high), min(self.low, other.low))


@dataclass(frozen=True, slots=True)
class Reached:
    """Leg and extreme of each trigger that was reached."""

    legs: tuple[tuple[int, Decimal], ...]


def mark_of(quote: Quote, now: datetime, *, is_open: bool) -> Mark | None:
    """What a quote says of its session; None when it does not say which session that is."""
    if quote.last_trade_ms:
        day = datetime.fromtimestamp(quote.last_trade_ms / 1000, UTC).astimezone(IST).date()
    elif is_open:
        day = now.astimezone(IST).date()
    else:
        return None
    high, low = Decimal(str(quote.high)), Decimal(str(quote.low))
    if not 0 < low <= high:
        return None
    return Mark(int(now.timestamp() * 1e9), day, high, low)


def reached(terms: GttRequest, since_ns: int, before: Mark | None, now: Mark) -> Reached | None:
    """The triggers that were reached between two looks; None without one.

    Args:
        since_ns: When the terms were set. Without a mark nothing can be said of that same day: its extremes
            hold what was traded before them, too.
        before: The last look, None when there was none.
    """
    known = before
    if before is None:
        if datetime.fromtimestamp(since_ns / 1e9, UTC).astimezone(IST).date() >= now.day:
            return None
    elif before.day > now.day:
        return None
    elif before.day < now.day:
        known = None
    legs = tuple(
        (number, now.high if leg.rises else now.low)
        for number, leg in enumerate(terms.legs)
        if _touched(leg, now) and not (known is not None and _touched(leg, known))
    )
    return Reached(legs) if legs else None


def _touched(leg: GttLeg, mark: Mark) -> bool:
    return mark.high >= leg.trigger_price if leg.rises else mark.low <= leg.trigger_price


def sentence(terms: GttRequest, found: Reached, before: Mark | None, *, fired: bool) -> str:
    """For a person: what was missed and what was done about it."""
    parts = [
        f"{terms.legs[number].trigger_price} (the day's {'high' if terms.legs[number].rises else 'low'} is "
        f"{extreme})"
        for number, extreme in found.legs
    ]
    since = f" since {_time(before.at_ns)} IST" if before is not None else ""
    done = "fired now" if fired else "not fired, still armed"
    return f"missed: {' and '.join(parts)} was reached while no price was heard{since}; {done}"


def _time(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone(IST):%Y-%m-%d %H:%M:%S}"
