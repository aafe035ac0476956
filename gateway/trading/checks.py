"""What the broker or the exchange rules would refuse, refused here with the reason (O8). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import (
    DERIVATIVE_EXCHANGES,
    INDEX_EXCHANGES,
    Action,
    Instrument,
    OrderRequest,
    PriceType,
    Product,
)

NEEDS_PRICE = frozenset({PriceType.LIMIT, PriceType.SL})
NEEDS_TRIGGER = frozenset({PriceType.SL, PriceType.SL_M})


@dataclass(frozen=True, slots=True)
class Around:
    """What a check needs to know beside the request.

    Attributes:
        nearest: Symbols like an unknown one, best first.
        last_price: For the side of a stop's trigger; None when not known, then that check is left out.
    """

    exchanges: frozenset[str]
    calendar: Calendar
    now: datetime
    nearest: Callable[[str, str], list[str]]
    last_price: float | None = None


def check(request: OrderRequest, instrument: Instrument | None, around: Around) -> Instrument:
    """The instrument of a request that may be sent.

    Raises:
        InvalidRequest: Why not, with one of the codes ``SYMBOL_NOT_FOUND``, ``SYMBOL_EXPIRED``,
            ``NOT_TRADABLE``, ``INVALID_QUANTITY``, ``FREEZE_QUANTITY``, ``INVALID_PRODUCT``,
            ``PRICE_OUT_OF_RANGE``, ``INVALID_TRIGGER``, ``MARKET_CLOSED``.
    """
    found = _instrument(request, instrument, around)
    check_terms(
        found,
        request.action,
        request.price_type,
        quantity=request.quantity,
        price=request.price,
        trigger=request.trigger_price,
        disclosed=request.disclosed_quantity,
        last_price=around.last_price,
    )
    _product(request, found)
    _market_open(request, around)
    return found


def check_terms(
    instrument: Instrument,
    action: Action,
    price_type: PriceType,
    *,
    quantity: int,
    price: Decimal,
    trigger: Decimal,
    disclosed: int = 0,
    last_price: float | None = None,
) -> None:
    """Quantity and prices of a new or changed order. Raises as ``check``."""
    _quantity(instrument, quantity, disclosed)
    _price("price", price, instrument, needed=price_type in NEEDS_PRICE, price_type=price_type)
    _price("trigger_price", trigger, instrument, needed=price_type in NEEDS_TRIGGER, price_type=price_type)
    if price_type in NEEDS_TRIGGER:
        _trigger_side(action, price_type, price, trigger, last_price)


def _instrument(request: OrderRequest, instrument: Instrument | None, around: Around) -> Instrument:
    key = request.key
    if key.exchange in INDEX_EXCHANGES:
        raise _no("NOT_TRADABLE", "exchange", f"{key} is an index: it has quotes, but no orders")
    if key.exchange not in around.exchanges:
        known = ", ".join(sorted(e for e in around.exchanges if e not in INDEX_EXCHANGES))
        raise _no("NOT_TRADABLE", "exchange", f"this broker has no orders on {key.exchange}; it has {known}")
    if instrument is None:
        near = around.nearest(key.symbol, key.exchange)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise _no(
            "SYMBOL_NOT_FOUND",
            "symbol",
            f"Symbol '{key.symbol}' not found for exchange '{key.exchange}'.{hint}",
        )
    today = around.now.astimezone(IST).date()
    if instrument.expired or (instrument.expiry is not None and instrument.expiry < today):
        when = f" on {instrument.expiry:%d-%b-%Y}" if instrument.expiry else ", it is no longer listed"
        raise _no("SYMBOL_EXPIRED", "symbol", f"{key} expired{when}")
    if instrument.instrument_type == "INDEX" or instrument.tick_size <= 0:
        raise _no("NOT_TRADABLE", "symbol", f"{key} cannot be traded")
    return instrument


def _quantity(instrument: Instrument, quantity: int, disclosed: int) -> None:
    if quantity <= 0:
        raise _no("INVALID_QUANTITY", "quantity", f"quantity is {quantity}, expected more than 0")
    lot = instrument.lot_size
    if lot > 1 and quantity % lot:
        below = quantity // lot * lot
        near = f"{below} or {below + lot}" if below else f"{lot}"
        raise _no(
            "INVALID_QUANTITY",
            "quantity",
            f"quantity {quantity} is not a multiple of the lot of {instrument.key.symbol}, {lot}; "
            f"nearest: {near}",
        )
    if instrument.freeze_qty and quantity > instrument.freeze_qty:
        raise _no(
            "FREEZE_QUANTITY",
            "quantity",
            f"quantity {quantity} is above the exchange's largest order of {instrument.freeze_qty} for "
            f"{instrument.key.symbol}; split it",
        )
    if not 0 <= disclosed <= quantity:
        raise _no(
            "INVALID_QUANTITY",
            "disclosed_quantity",
            f"disclosed quantity {disclosed}, expected 0 to {quantity}",
        )


def _price(
    field: str, value: Decimal, instrument: Instrument, *, needed: bool, price_type: PriceType
) -> None:
    if not value.is_finite() or value < 0:
        raise _no("PRICE_OUT_OF_RANGE", field, f"{field} is {value}, expected a number above 0")
    if not needed:
        return  # unused prices are not sent
    if value == 0:
        raise _no("PRICE_OUT_OF_RANGE", field, f"a {price_type} order needs a {field}")
    tick = instrument.tick_size
    if value % tick:
        below = value // tick * tick
        raise _no(
            "PRICE_OUT_OF_RANGE",
            field,
            f"{field} {value} is not a multiple of {instrument.key.symbol}'s tick of {tick.normalize():f}; "
            f"nearest: {below:f} or {below + tick:f}",
        )


def _trigger_side(
    action: Action, price_type: PriceType, price: Decimal, trigger: Decimal, last_price: float | None
) -> None:
    """A buy stop waits above the market and may not be limited below its trigger; a sell stop mirrored."""
    buying = action is Action.BUY
    if price_type is PriceType.SL and (price < trigger if buying else price > trigger):
        side = "at or above" if buying else "at or below"
        raise _no(
            "INVALID_TRIGGER",
            "trigger_price",
            f"a {action} SL order needs its price {side} the trigger {trigger}",
        )
    if last_price is None or last_price <= 0:
        return
    if (float(trigger) <= last_price) if buying else (float(trigger) >= last_price):
        side = "above" if buying else "below"
        raise _no(
            "INVALID_TRIGGER",
            "trigger_price",
            f"a {action} stop needs its trigger {side} the last price {last_price:g}, it is {trigger}",
        )


def _product(request: OrderRequest, instrument: Instrument) -> None:
    derivative = request.key.exchange in DERIVATIVE_EXCHANGES
    if request.product is Product.CNC and derivative:
        raise _no(
            "INVALID_PRODUCT", "product", f"CNC is for delivery of shares; {instrument.key} takes NRML or MIS"
        )
    if request.product is Product.NRML and not derivative:
        raise _no("INVALID_PRODUCT", "product", f"NRML is for derivatives; {instrument.key} takes CNC or MIS")


def _market_open(request: OrderRequest, around: Around) -> None:
    exchange = request.key.exchange
    if around.calendar.is_open(exchange, around.now):
        return
    today = around.now.astimezone(IST)
    session = around.calendar.session(exchange, today.date())
    hours = f"today {session.opens:%H:%M}-{session.closes:%H:%M} IST" if session else "no session today"
    raise _no("MARKET_CLOSED", "exchange", f"{exchange} is closed now ({today:%H:%M} IST; {hours})")


def _no(code: str, field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, fields={field: [message]}, code=code)
