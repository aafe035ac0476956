"""What smart, basket, split and margin requests hold. A field not named here is refused by name.

Source: openalgo-api, sections 2.1 and 2.4.
"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate, validates_schema

from gateway.api.fields import (
    ACTIONS,
    EXCHANGES,
    PRICE_TYPES,
    PRODUCTS,
    Number,
    Whole,
    at_least_zero,
    lease_text,
    named,
    one_of,
    positive_quantity,
    text,
    whole_at_least_zero,
    whole_quantity,
)
from gateway.api.schemas import KeyOnly


class OrderItem(Schema):
    """One order of a basket: an order without key and strategy, which stand beside the list."""

    exchange = one_of(EXCHANGES)
    symbol = named()
    action = one_of(ACTIONS)
    quantity = positive_quantity()
    pricetype = one_of(PRICE_TYPES, "MARKET")
    product = one_of(PRODUCTS, "MIS")
    price = at_least_zero("Price")
    trigger_price = at_least_zero("Trigger price")
    disclosed_quantity = whole_at_least_zero("Disclosed quantity")

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)


class Smart(KeyOnly, OrderItem):
    """``position_size`` is the signed target; a decimal is truncated (TradingView sends them)."""

    strategy = text()
    strategy_lease = lease_text()
    quantity = at_least_zero("Quantity", required=True)
    position_size = Number(required=True)
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))


class Basket(KeyOnly):
    """``POST /basketorder``."""

    strategy = text()
    strategy_lease = lease_text()
    orders = fields.List(fields.Nested(OrderItem), required=True)


class Split(KeyOnly, OrderItem):
    """``POST /splitorder``: one order in parts of ``splitsize``."""

    strategy = text()
    strategy_lease = lease_text()
    splitsize = Whole(
        required=True, validate=validate.Range(min=1, error="Split size must be a positive integer.")
    )


class MarginPosition(Schema):
    """One order whose margin is asked for."""

    symbol = fields.String(required=True, validate=validate.Length(min=1, max=50))
    exchange = one_of(EXCHANGES)
    action = one_of(ACTIONS)
    product = one_of(PRODUCTS)
    pricetype = one_of(PRICE_TYPES)
    quantity = positive_quantity()
    price = at_least_zero("Price")
    trigger_price = at_least_zero("Trigger price")

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)


class MarginOf(KeyOnly):
    """``POST /margin``: what these orders would block together."""

    positions = fields.List(
        fields.Nested(MarginPosition), required=True, validate=validate.Length(min=1, max=50)
    )
