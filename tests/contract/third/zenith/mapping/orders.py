"""Orders both ways: the bodies that are sent, and what a book row, a trade row or an order message says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.zenith.mapping import words

from brokers import protection
from brokers.contract import InstrumentLookup
from brokers.model import (
    Action,
    Instrument,
    Order,
    OrderChange,
    OrderRequest,
    OrderUpdate,
    PriceType,
    SentTerms,
)
from brokers.rows import OrderTable, Row, TradeTable

PROTECTION_PERCENT = Decimal(1)

ORDER = OrderTable(
    words=words.WORDS,
    place=words.PLACE,
    order_id="orderId",
    action="side",
    quantity="quantity",
    price_type="type",
    product="product",
    price="price",
    trigger_price="trigger",
    status="status",
    filled="filled",
    average="average",
    tag="tag",
    reason="reason",
    exchange_order_id="exchangeOrderId",
    placed_at="placedAt",
    updated_at="updatedAt",
)
TRADE = TradeTable(
    words=words.WORDS,
    place=words.PLACE,
    trade_id="tradeId",
    order_id="orderId",
    action="side",
    product="product",
    quantity="quantity",
    price="price",
    traded_at="tradedAt",
)
order, trade = ORDER.read, TRADE.read


def terms(
    price_type: PriceType,
    price: Decimal,
    trigger: Decimal,
    action: Action,
    instrument: Instrument,
) -> SentTerms:
    """An SL-M leaves as SL, since exchanges refuse market stops from programs."""
    tick = protection.tick_of(instrument)
    return protection.terms(
        price_type,
        price,
        trigger,
        lambda at: protection.beyond(action, at, PROTECTION_PERCENT, tick),
    )


def place_body(order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms) -> dict[str, object]:
    """JSON of a new order. The tag goes out unaltered: a changed one could not be found again."""
    return {
        "segment": instrument.broker_exchange,
        "token": instrument.token,
        "side": words.SIDE[order.action],
        "product": words.PRODUCT_WORD[order.product],
        "tag": tag,
        **_terms(order.quantity, order.disclosed_quantity, sent),
    }


def _terms(quantity: int, disclosed: int, sent: SentTerms) -> dict[str, object]:
    return {
        "type": words.PRICE_WORD[sent.price_type],
        "quantity": quantity,
        "disclosed": disclosed,
        "price": str(sent.price),
        "trigger": str(sent.trigger_price),
    }


def modify_body(
    change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
) -> dict[str, object]:
    """JSON of a change. ``quantity`` is the order's total, not the rest."""
    return _terms(change.quantity, change.disclosed_quantity, sent)


def order_id(data: Any) -> str:
    """The order's number in the answer to a write, empty when it names none."""
    return str(data.get("orderId") or "") if isinstance(data, dict) else ""


def update(row: Row, lookup: InstrumentLookup, seen_ns: int) -> OrderUpdate:
    """One order message. ``seen_ns``: wall time of the frame's arrival."""
    return OrderUpdate(order(row, lookup), seen_ns)
