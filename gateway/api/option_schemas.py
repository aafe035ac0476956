"""What option requests hold. A field not named here is refused by name.

Source: openalgo-api, sections 2.1 and 2.7.
"""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from brokers.errors import InvalidRequest
from brokers.model import DERIVATIVE_EXCHANGES
from gateway.api.fields import (
    ACTIONS,
    EXCHANGES,
    PRICE_TYPES,
    Number,
    Whole,
    at_least_zero,
    lease_text,
    named,
    one_of,
    text,
    whole_at_least_zero,
)
from gateway.api.schemas import KeyOnly
from gateway.options import strikes

OPTION_TYPES = ["CE", "PE", "ce", "pe"]
OPTION_PRODUCTS = ["MIS", "NRML"]


class ExpiryDate(fields.String):
    """``28MAR24`` (also as ``expiry`` shows it, ``28-MAR-24``); a ``date`` from here on."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        given: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            return strikes.expiry_date(given)
        except InvalidRequest as exc:
            raise ValidationError("Not a valid expiry, expected DDMMMYY.") from exc


class ClockTime(fields.String):
    """``15:30``; a ``time`` from here on."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        given: str = super()._deserialize(value, attr, data, **kwargs)
        hours, colon, minutes = given.partition(":")
        if not (colon and len(minutes) == 2 and given.replace(":", "", 1).isascii()):
            raise ValidationError("Not a valid time, expected HH:MM.")
        try:
            return time(int(hours), int(minutes))
        except ValueError as exc:
            raise ValidationError("Not a valid time, expected HH:MM.") from exc


def _offset() -> fields.String:
    return fields.String(required=True, validate=validate.Length(min=1, max=8))


def _expiry(*, required: bool = False) -> ExpiryDate:
    return ExpiryDate(required=True) if required else ExpiryDate(load_default=None, allow_none=True)


def _step() -> Whole:
    return Whole(load_default=None, allow_none=True, validate=validate.Range(min=1, max=100_000))


def _percent() -> Number:
    return Number(
        load_default=None, allow_none=True, validate=validate.Range(min=Decimal(0), max=Decimal(100))
    )


class OptionTerms(Schema):
    """How an order for one option is to be sent."""

    action = one_of(ACTIONS)
    quantity = Whole(required=True, validate=validate.Range(min=1))
    splitsize = Whole(load_default=0, allow_none=True, validate=validate.Range(min=0))
    pricetype = one_of(PRICE_TYPES, "MARKET")
    product = one_of(OPTION_PRODUCTS, "MIS")
    price = at_least_zero("Price")
    trigger_price = at_least_zero("Trigger price")
    disclosed_quantity = whole_at_least_zero("Disclosed quantity")


class OptionSymbol(KeyOnly):
    """``POST /optionsymbol``: the contract at an ``offset`` from the strike at the money."""

    underlying = named()
    exchange = one_of(EXCHANGES)
    offset = fields.String(required=True, validate=validate.OneOf(strikes.OFFSETS))
    option_type = one_of(OPTION_TYPES)
    expiry_date = _expiry()
    strike_int = _step()
    strategy = text(required=False)


class OptionChain(KeyOnly):
    """``expiry_date`` may be left out when the underlying holds one (section 8, row 4)."""

    underlying = named()
    exchange = one_of(EXCHANGES)
    expiry_date = _expiry()
    strike_count = Whole(load_default=None, allow_none=True, validate=validate.Range(min=1, max=100))
    with_greeks = fields.Boolean(load_default=False)
    interest_rate = _percent()


class SyntheticFuture(KeyOnly):
    """``POST /syntheticfuture``."""

    underlying = named()
    exchange = one_of(EXCHANGES)
    expiry_date = _expiry(required=True)


class GreeksItem(Schema):
    """One contract, and what it is an option on where its symbol does not say."""

    symbol = named()
    exchange = one_of(sorted({*DERIVATIVE_EXCHANGES, "CRYPTO"}))
    underlying_symbol = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=64))
    underlying_exchange = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(EXCHANGES)
    )


class OptionGreeks(KeyOnly, GreeksItem):
    """``POST /optiongreeks``; ``interest_rate`` in percent a year."""

    interest_rate = _percent()
    forward_price = Number(load_default=None, allow_none=True, validate=validate.Range(min=Decimal(0)))
    expiry_time = ClockTime(load_default=None, allow_none=True)


class MultiOptionGreeks(KeyOnly):
    """``POST /multioptiongreeks``: one rate and one time of expiry for all."""

    symbols = fields.List(fields.Nested(GreeksItem), required=True, validate=validate.Length(min=1, max=50))
    interest_rate = _percent()
    expiry_time = ClockTime(load_default=None, allow_none=True)


class OptionsOrder(KeyOnly, OptionTerms):
    """``POST /optionsorder``: an order for the contract ``OptionSymbol`` would name."""

    strategy = text()
    strategy_lease = lease_text()
    underlying = named()
    exchange = one_of(EXCHANGES)
    offset = _offset()
    option_type = one_of(OPTION_TYPES)
    expiry_date = _expiry()
    strike_int = _step()
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))


class Leg(OptionTerms):
    """One leg of ``OptionsMultiOrder``; its expiry in place of the common one."""

    offset = _offset()
    option_type = one_of(OPTION_TYPES)
    expiry_date = _expiry()


class OptionsMultiOrder(KeyOnly):
    """``POST /optionsmultiorder``: legs at one price of the underlying, buys before sells."""

    strategy = text()
    strategy_lease = lease_text()
    underlying = named()
    exchange = one_of(EXCHANGES)
    expiry_date = _expiry()
    strike_int = _step()
    legs = fields.List(fields.Nested(Leg), required=True, validate=validate.Length(min=1, max=20))
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))


def expiry_given(explicit: date | None, embedded: date | None) -> date:
    """The first of the two that is there.

    Raises:
        InvalidRequest: Neither.
    """
    found = explicit or embedded
    if found is None:
        message = "Expiry date is required: send expiry_date, or an underlying such as NIFTY28MAR24FUT"
        raise InvalidRequest(message, fields={"expiry_date": ["Missing data for required field."]})
    return found
