"""Stops that should fill like market orders, for brokers that refuse them from programs. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from brokers.errors import InvalidRequest
from brokers.model import Action, Instrument, PriceType, SentTerms

_USUAL_TICK = Decimal("0.05")


def terms(
    price_type: PriceType, price: Decimal, trigger: Decimal, limit: Callable[[Decimal], Decimal]
) -> SentTerms:
    """What really goes out: SL-M becomes SL with a protective price, unused prices become zero.

    Args:
        limit: Trigger -> limit price of an SL-M, rupees, on a tick.

    Raises:
        InvalidRequest: An SL-M without a trigger.
    """
    if price_type is PriceType.MARKET:
        return SentTerms(price_type, Decimal(0), Decimal(0))
    if price_type is PriceType.LIMIT:
        return SentTerms(price_type, price, Decimal(0))
    if price_type is PriceType.SL_M:
        if trigger <= 0:
            raise InvalidRequest(
                "SL-M needs a trigger price", fields={"trigger_price": ["Must be greater than 0."]}
            )
        price = limit(trigger)
    return SentTerms(PriceType.SL, price, trigger)


def tick_of(instrument: Instrument) -> Decimal:
    """The price step, rupees; the usual one where the table has none."""
    return instrument.tick_size if instrument.tick_size > 0 else _USUAL_TICK


def beyond(action: Action, trigger: Decimal, percent: Decimal, tick: Decimal) -> Decimal:
    """A price some percent beyond a trigger: on a tick, at least one away, never below one tick.

    Source: OpenAlgo's Dhan adapter (issues 1647, 1649).
    """
    away = trigger * percent / 100
    if action is Action.SELL:
        on_tick = ((trigger - away) / tick).to_integral_value(ROUND_FLOOR) * tick
        return max(min(on_tick, trigger - tick), tick)
    on_tick = ((trigger + away) / tick).to_integral_value(ROUND_CEILING) * tick
    return max(on_tick, trigger + tick)
