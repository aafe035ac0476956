"""What Dhan takes and what it makes of it: order bodies, price protection, odd stops. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from brokers.sim.dhan import ids
from brokers.sim.dhan.errors import INPUT, Refused
from brokers.sim.exchange.types import Listing, Side, Snapshot, Type

MODIFICATIONS = 25
CORRELATION = re.compile(r"[A-Za-z0-9 _-]{1,25}")
"""Documented as at most 30 characters; more than 25 were refused when tried."""

PRODUCTS = {"CNC": "CNC", "INTRADAY": "MIS", "MARGIN": "NRML", "MTF": "CNC"}
"""Dhan's product -> the exchange's. MTF is delivery on credit; CO and BO are not offered."""

# below this price in paise, basis points; then the rest
_OPTION_BANDS = (((1_000, 500), (10_000, 300), (50_000, 200)), 100)
_BANDS = (((10_000, 200), (50_000, 100)), 50)

_AMO_TIMES = frozenset({"PRE_OPEN", "OPEN", "OPEN_30", "OPEN_60"})
_ORDER_TYPES = frozenset({"LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_MARKET"})
STOP_MESSAGE = "Trigger Price should be greater than Price"


@dataclass(frozen=True, slots=True)
class Terms:
    """The changeable part of an order as the caller asked for it. Prices in rupees."""

    order_type: str
    quantity: int
    price: Decimal
    trigger: Decimal
    disclosed: int
    validity: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked order body."""

    side: Side
    segment: str
    security_id: int
    product: str
    terms: Terms
    after_market: bool
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes to the exchange instead of what was asked."""

    type: Type
    price: Decimal
    trigger: Decimal


def read_order(body: Mapping[str, object], account: str) -> Ask:
    """Check the body of a placement.

    Raises:
        Refused: DH-905, which does not say much more than that something is wrong.
    """
    if body.get("dhanClientId") != account:
        raise Refused("DH-905", INPUT)
    product = _choice(body, "productType", PRODUCTS)
    segment = _choice(body, "exchangeSegment", ids.CODES)
    side = _choice(body, "transactionType", {"BUY": 0, "SELL": 0})
    if body.get("afterMarketOrder") not in (None, True, False):
        raise Refused("DH-905", INPUT)
    after_market = body.get("afterMarketOrder") is True
    if after_market and body.get("amoTime") not in _AMO_TIMES:
        raise Refused("DH-905", INPUT)
    return Ask(
        side=Side(side),
        segment=segment,
        security_id=security_id(body.get("securityId")),
        product=product,
        terms=read_terms(body),
        after_market=after_market,
        correlation_id=_correlation(body.get("correlationId")),
    )


def read_terms(body: Mapping[str, object]) -> Terms:
    """The part placement and modification share. Raises ``Refused`` (DH-905, DH-906)."""
    order_type = _choice(body, "orderType", _ORDER_TYPES)
    validity = _choice(body, "validity", {"DAY": 0, "IOC": 0})
    quantity = _int(body, "quantity", required=True)
    disclosed = _int(body, "disclosedQuantity")
    price = _money(body, "price")
    trigger = _money(body, "triggerPrice")
    if quantity <= 0 or disclosed < 0 or price < 0 or trigger < 0:
        raise Refused("DH-905", INPUT)
    if disclosed and disclosed * 10 < quantity * 3:
        raise Refused("DH-905", "Disclosed quantity should be at least 30% of the quantity")
    if order_type in ("LIMIT", "STOP_LOSS") and price == 0:
        raise Refused("DH-905", "Price is required for this order type")
    if order_type == "MARKET" and price:
        raise Refused("DH-905", "Price is not allowed for this order type")
    if order_type.startswith("STOP_LOSS") and trigger == 0:
        raise Refused("DH-905", "Trigger price is required for this order type")
    return Terms(order_type, quantity, price, trigger, disclosed, validity)


def check_product(product: str, listing: Listing) -> None:
    """Delivery products belong to shares, MARGIN to contracts. Raises ``Refused`` (DH-905)."""
    cash = listing.expiry is None
    if (product in ("CNC", "MTF") and not cash) or (product == "MARGIN" and cash):
        raise Refused("DH-905", "Product type is not allowed for this segment")


def protect(terms: Terms, side: Side, market: Snapshot) -> Sent:
    """What Dhan sends to the exchange for these terms.

    Since March 2026 a MARKET order goes out as a LIMIT with a protective price, and can rest. Of the two
    reports about STOP_LOSS_MARKET both are kept, one per side: a SELL goes out at once as a LIMIT at 95 % of
    its trigger, a BUY is refused.

    Raises:
        Refused: DH-906 for a stop on the wrong side of its price.
    """
    listing = market.listing
    if terms.order_type == "MARKET":
        return Sent(Type.LIMIT, protected_price(side, market), Decimal(0))
    if terms.order_type == "LIMIT":
        return Sent(Type.LIMIT, terms.price, Decimal(0))
    if terms.order_type == "STOP_LOSS_MARKET":
        if side is Side.BUY:
            raise Refused("DH-906", STOP_MESSAGE)
        paise = int(terms.trigger * 95)
        return Sent(Type.LIMIT, _rupees(max(_floor(paise, listing), listing.tick_paise)), Decimal(0))
    if side is Side.SELL and terms.trigger < terms.price:
        raise Refused("DH-906", STOP_MESSAGE)
    if side is Side.BUY and terms.trigger > terms.price:
        raise Refused("DH-906", "Trigger Price should be less than Price")
    return Sent(Type.STOP_LIMIT, terms.price, terms.trigger)


def protected_price(side: Side, market: Snapshot) -> Decimal:
    """The worst price a MARKET order may trade at, on tick and within the circuit limits, in rupees.

    The bands are those users apply to stops (by price: options 5, 3, 2, 1 %; others 2, 1, 0.5 %); Dhan does
    not publish its own.
    """
    listing, ltp = market.listing, market.ltp_paise
    room = max(ltp * _band_bp(listing, ltp) // 10_000, listing.tick_paise)
    if side is Side.BUY:
        return _rupees(min(_floor(ltp + room, listing), market.upper_circuit_paise))
    return _rupees(max(-_floor(room - ltp, listing), market.lower_circuit_paise))


def _band_bp(listing: Listing, ltp_paise: int) -> int:
    steps, last = _OPTION_BANDS if ids.is_option(listing) else _BANDS
    return next((bp for below, bp in steps if ltp_paise < below), last)


def security_id(value: object) -> int:
    """Ids are strings on trading paths; a number is taken too. Raises ``Refused`` (DH-905)."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdigit():
        raise Refused("DH-905", INPUT)
    return int(text)


def _floor(paise: int, listing: Listing) -> int:
    return paise // listing.tick_paise * listing.tick_paise


def _rupees(paise: int) -> Decimal:
    return Decimal(paise) / 100


def _correlation(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not CORRELATION.fullmatch(value):
        raise Refused("DH-905", "Invalid correlationId")
    return value


def _choice(body: Mapping[str, object], field: str, allowed: Mapping[str, object] | frozenset[str]) -> str:
    value = body.get(field)
    if not isinstance(value, str) or value not in allowed:
        raise Refused("DH-905", INPUT)
    return value


def _int(body: Mapping[str, object], field: str, *, required: bool = False) -> int:
    value = body.get(field)
    if value is None and not required:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise Refused("DH-905", INPUT)


def _money(body: Mapping[str, object], field: str) -> Decimal:
    """Rupees of a body parsed with ``parse_float=Decimal``; null is nothing, an empty string is refused."""
    value = body.get(field)
    if value is None:
        return Decimal(0)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return Decimal(value)
    raise Refused("DH-905", INPUT)
