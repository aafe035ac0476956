"""What each endpoint accepts. A field not named here is refused by name (never ignore a stop silently).

Source: openalgo-api, sections 1.3, 2 and the gateway rules of section 8.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from gateway.api.fields import (
    ACTIONS,
    EXCHANGES,
    INTERVALS,
    PRICE_TYPES,
    PRODUCTS,
    TextOrNumber,
    Whole,
    api_key,
    at_least_zero,
    lease_text,
    named,
    one_of,
    positive_quantity,
    text,
    whole_at_least_zero,
    whole_quantity,
)
from gateway.scopes import ALL, shown


class KeyOnly(Schema):
    """Endpoints that take nothing but the key."""

    apikey = api_key()


class AnyBody(KeyOnly):
    """Endpoints that do not exist yet: the key is checked, the rest is not looked at."""

    class Meta:
        unknown = EXCLUDE


class Strategy(KeyOnly):
    """``strategy`` is a label and may be absent here (section 8, row 6)."""

    strategy = text(required=False)


class PlaceOrder(KeyOnly):
    """``POST /placeorder``."""

    strategy = text()
    strategy_lease = lease_text()
    exchange = one_of(EXCHANGES)
    symbol = named()
    action = one_of(ACTIONS)
    quantity = positive_quantity()
    pricetype = one_of(PRICE_TYPES, "MARKET")
    product = one_of(PRODUCTS, "MIS")
    price = at_least_zero("Price")
    trigger_price = at_least_zero("Trigger price")
    disclosed_quantity = whole_at_least_zero("Disclosed quantity")
    underlying_ltp = fields.Decimal(load_default=None, allow_none=True)
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)


class ModifyOrder(KeyOnly):
    """``POST /modifyorder``: the whole order again, under its id."""

    strategy = text()
    strategy_lease = lease_text()
    exchange = one_of(EXCHANGES)
    symbol = named()
    orderid = TextOrNumber(required=True, validate=validate.Length(min=1, max=64))
    action = one_of(ACTIONS)
    product = one_of(PRODUCTS)
    pricetype = one_of(PRICE_TYPES)
    price = at_least_zero("Price", required=True)
    quantity = positive_quantity()
    disclosed_quantity = whole_at_least_zero("Disclosed quantity", required=True)
    trigger_price = at_least_zero("Trigger price", required=True)

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)


class CancelOrder(KeyOnly):
    """``POST /cancelorder``."""

    strategy = text()
    orderid = TextOrNumber(required=True, validate=validate.Length(min=1, max=64))


class OrderStatusOf(Strategy):
    """``POST /orderstatus``."""

    orderid = TextOrNumber(required=True, validate=validate.Length(min=1, max=64))


class OpenPosition(Strategy):
    """``POST /openposition``: the net quantity of one symbol in one product."""

    symbol = named()
    exchange = named()
    product = one_of(PRODUCTS)


class OneSymbol(KeyOnly):
    """``POST /quotes`` and whatever else is about one instrument."""

    symbol = named()
    exchange = one_of(EXCHANGES)


class SymbolItem(Schema):
    """One instrument in a list."""

    symbol = named()
    exchange = one_of(EXCHANGES)


class ManySymbols(KeyOnly):
    """``POST /multiquotes``."""

    symbols = fields.List(
        fields.Nested(SymbolItem),
        required=True,
        validate=validate.Length(min=1, max=5000),
    )


class History(OneSymbol):
    """``POST /history``; both days are included."""

    interval = one_of(INTERVALS)
    start_date = fields.Date(required=True, format="%Y-%m-%d")
    end_date = fields.Date(required=True, format="%Y-%m-%d")
    source = one_of(["api", "db", "auto"], "api")

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        start, end = data.get("start_date"), data.get("end_date")
        if isinstance(start, date) and isinstance(end, date) and start > end:
            raise ValidationError("start_date must not be after end_date.", "start_date")


class Search(KeyOnly):
    """``POST /search``: words that all have to fit."""

    query = fields.String(required=True, validate=validate.Length(max=256))
    exchange = fields.String(validate=validate.OneOf(EXCHANGES))


class Expiry(KeyOnly):
    """``POST /expiry``: the expiries of an underlying."""

    symbol = named()
    exchange = one_of(EXCHANGES)
    instrumenttype = one_of(["futures", "options"])


class Instruments(KeyOnly):
    """``GET /instruments``: the whole table, or that of one exchange."""

    exchange = fields.String(validate=validate.OneOf(EXCHANGES))
    format = one_of(["json", "csv"], "json")


class Totp(Schema):
    """``POST /internal/login``."""

    totp = fields.String(load_default=None, allow_none=True, validate=validate.Regexp(r"\d{6}\Z"))


class InstrumentFiles(Schema):
    """``POST /internal/instruments/sync``: files to read instead of downloading."""

    csv = fields.List(fields.String(), load_default=list)


class Label(Schema):
    """``POST /internal/keys``. ``scopes``: names; all of them unless given."""

    label = named(longest=100)
    scopes = fields.List(fields.String(), load_default=lambda: shown(ALL), validate=validate.Length(max=20))


class FailedGeneration(Schema):
    """``POST /internal/session/renew``."""

    failed_generation = Whole(required=True)
