"""What is refused before a GTT is kept (O8): bad terms of its orders, triggers on the wrong side. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from brokers.calendar import AlwaysOpen
from brokers.errors import InvalidRequest
from brokers.model import GttRequest, Instrument
from gateway.trading import checks

FIELDS = ("triggerprice_sl", "triggerprice_tg")


def check(
    gtt: GttRequest,
    instrument: Instrument | None,
    *,
    exchanges: frozenset[str],
    now: datetime,
    nearest: Callable[[str, str], list[str]],
    last_price: float | None,
) -> Instrument:
    """The instrument of a GTT that may be kept. The market may be closed: it waits.

    Args:
        last_price: None when nobody knows it; then the side of a trigger is not checked.

    Raises:
        InvalidRequest: As ``trading.checks.check``; ``INVALID_TRIGGER`` when it would fire at once.
    """
    around = checks.Around(exchanges, AlwaysOpen(), now, nearest)
    found = instrument
    for number, leg in enumerate(gtt.legs):
        found = checks.check(gtt.order(number), instrument, around)
        field = FIELDS[leg.rises]
        on_tick(field, leg.trigger_price, found)
        if last_price is None or last_price <= 0:
            continue
        last = Decimal(str(last_price))
        wrong = leg.trigger_price <= last if leg.rises else leg.trigger_price >= last
        if wrong:
            side = "above" if leg.rises else "below"
            message = f"{field} is {leg.trigger_price}, expected {side} the last price {last_price:g}"
            raise InvalidRequest(message, fields={field: [message]}, code="INVALID_TRIGGER")
    assert found is not None  # every GTT has a leg, and ``check`` raised for an unknown instrument
    return found


def on_tick(field: str, price: Decimal, instrument: Instrument) -> None:
    """Raises ``InvalidRequest`` (``PRICE_OUT_OF_RANGE``) for a price between two ticks."""
    tick = instrument.tick_size
    if price > 0 and price % tick == 0:
        return
    below = price // tick * tick
    message = (
        f"{field} {price} is not a multiple of {instrument.key.symbol}'s tick of {tick.normalize():f}; "
        f"nearest: {below:f} or {below + tick:f}"
    )
    raise InvalidRequest(message, fields={field: [message]}, code="PRICE_OUT_OF_RANGE")


def same_order(old: GttRequest, new: GttRequest, *, product_too: bool) -> None:
    """A change may not make another order of it.

    Args:
        product_too: The broker that keeps it cannot change the product either.

    Raises:
        InvalidRequest: Trigger type, instrument or side (or product) differ.
    """
    parts: list[tuple[str, object, object]] = [
        ("trigger_type", len(old.legs), len(new.legs)),
        ("exchange", old.key.exchange, new.key.exchange),
        ("symbol", old.key.symbol, new.key.symbol),
        ("action", old.action, new.action),
    ]
    if product_too:
        parts.append(("product", old.product, new.product))
    wrong = [name for name, before, after in parts if before != after]
    if wrong:
        message = f"{', '.join(wrong)} of a GTT cannot be changed; cancel it and place another"
        raise InvalidRequest(message, fields={name: [message] for name in wrong})
