"""Orders both ways: the bodies that are sent, and what a book row, a trade row or an order alert says.

Source: Dhan API v2, "Orders", "Live Order Update"; OpenAlgo's Dhan adapter (protective prices).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from brokers import protection
from brokers.contract import InstrumentLookup
from brokers.dhan.mapping import words
from brokers.errors import InvalidRequest
from brokers.model import (
    Action,
    Instrument,
    OrderChange,
    OrderRequest,
    OrderUpdate,
    PriceType,
    SentTerms,
)
from brokers.rows import OrderTable, Place, Row, TradeTable

_UPDATE_SEGMENTS = {
    ("NSE", "E"): "NSE_EQ",
    ("NSE", "D"): "NSE_FNO",
    ("NSE", "C"): "NSE_CURRENCY",
    ("NSE", "M"): "NSE_COMM",
    ("BSE", "E"): "BSE_EQ",
    ("BSE", "D"): "BSE_FNO",
    ("BSE", "C"): "BSE_CURRENCY",
    ("MCX", "M"): "MCX_COMM",
}
_TAG = re.compile(r"[A-Za-z0-9 _-]{1,25}")
# percent beyond the trigger: (trigger up to and including, percent); then the rest
_OPTION_STEPS = (("9.9999", "5"), ("99.9999", "3"), ("499.9999", "2"), ("Infinity", "1"))
_OTHER_STEPS = (("99.9999", "2"), ("500", "1"), ("Infinity", "0.5"))


def correlation_id(tag: str) -> str:
    """Our tag as Dhan keeps it. Never altered: a changed tag could not be found again.

    Raises:
        InvalidRequest: Longer than 25 characters or with characters Dhan does not take.
    """
    if not _TAG.fullmatch(tag):
        raise InvalidRequest(
            f"order tag {tag!r} must be 1-25 characters of letters, digits, space, '_' and '-'"
        )
    return tag


def protective_price(action: Action, trigger: Decimal, tick: Decimal, is_option: bool) -> Decimal:
    """Limit price of a stop that should fill like a market order.

    Dhan fills or refuses STOP_LOSS_MARKET, so an SL-M goes out as STOP_LOSS with this price: a percentage
    beyond the trigger, on a tick, at least one tick away and never below one tick.
    """
    steps = _OPTION_STEPS if is_option else _OTHER_STEPS
    percent = next(Decimal(p) for most, p in steps if trigger <= Decimal(most))
    return protection.beyond(action, trigger, percent, tick)


def terms(
    price_type: PriceType, price: Decimal, trigger: Decimal, action: Action, instrument: Instrument
) -> SentTerms:
    """What really goes out: SL-M becomes SL with a protective price; the rest stays, unused prices zero."""
    is_option, tick = instrument.instrument_type in ("CE", "PE"), protection.tick_of(instrument)
    return protection.terms(
        price_type, price, trigger, lambda at: protective_price(action, at, tick, is_option)
    )


def place_body(
    client_id: str, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms
) -> dict[str, Any]:
    """JSON of ``POST /orders``. Unused keys are left out: Dhan refuses empty strings (DH-905)."""
    body: dict[str, Any] = {
        "dhanClientId": client_id,
        "correlationId": correlation_id(tag),
        "transactionType": order.action.value,
        "exchangeSegment": instrument.broker_exchange,
        "productType": words.PRODUCT_WORD[order.product],
        "orderType": words.PRICE_WORD[sent.price_type],
        "validity": "DAY",
        "securityId": instrument.token,
        "quantity": order.quantity,
        "price": float(sent.price),
        "afterMarketOrder": False,
    }
    return body | _optional(sent, order.disclosed_quantity)


def modify_body(client_id: str, change: OrderChange, sent: SentTerms) -> dict[str, Any]:
    """JSON of ``PUT /orders/{id}``. ``quantity`` is the order's total, not the rest."""
    body: dict[str, Any] = {
        "dhanClientId": client_id,
        "orderId": change.order_id,
        "orderType": words.PRICE_WORD[sent.price_type],
        "legName": "ENTRY_LEG",
        "quantity": change.quantity,
        "price": float(sent.price),
        "validity": "DAY",
    }
    return body | _optional(sent, change.disclosed_quantity)


def _optional(sent: SentTerms, disclosed: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if sent.price_type is PriceType.SL:
        body["triggerPrice"] = float(sent.trigger_price)
    if disclosed > 0:
        body["disclosedQuantity"] = disclosed
    return body


ORDER = OrderTable(
    words=words.WORDS,
    place=words.ROW_PLACE,
    order_id="orderId",
    action="transactionType",
    quantity="quantity",
    price_type="orderType",
    product="productType",
    price="price",
    trigger_price="triggerPrice",
    status="orderStatus",
    filled="filledQty filled_qty",  # postback rows spell it the second way
    average="averageTradedPrice",
    tag="correlationId",
    reason="omsErrorDescription",
    exchange_order_id="exchangeOrderId",
    placed_at="createTime",
    updated_at="updateTime",
    always_a_reason=False,  # on other orders the field holds CONFIRMED and the like
)
ALERT = OrderTable(
    words=words.WORDS,
    place=Place("exchangesegment", "securityid", "symbol"),
    order_id="orderno",
    action="txntype",
    quantity="quantity",
    price_type="ordertype",
    product="product",
    price="price",
    trigger_price="triggerprice",
    status="status",
    filled="tradedqty",
    average="avgtradedprice",
    tag="correlationid",
    reason="reasondescription",
    exchange_order_id="exchorderno",
    placed_at="orderdatetime",
    updated_at="lastupdatedtime",
    always_a_reason=False,
)
TRADE = TradeTable(
    words=words.WORDS,
    place=words.ROW_PLACE,
    trade_id="exchangeTradeId",
    order_id="orderId",
    action="transactionType",
    product="productType",
    quantity="tradedQuantity",
    price="tradedPrice",
    traded_at="exchangeTime updateTime",
)
order, trade = ORDER.read, TRADE.read


def update(data: Row, lookup: InstrumentLookup, seen_ns: int) -> OrderUpdate:
    """``Data`` of one order alert, in camelCase (live) or PascalCase (documented) or both at once.

    Args:
        seen_ns: Wall time of the frame's arrival.

    Raises:
        WireError: No order number, side or type that can be read.
    """
    row: dict[str, Any] = {}
    for name, value in data.items():
        # both spellings may stand in one object, one of them empty
        lower = name.lower()
        if not row.get(lower):
            row[lower] = value
    exchange, segment = words.field(row, "exchange").upper(), words.field(row, "segment").upper()
    row["exchangesegment"] = _UPDATE_SEGMENTS.get((exchange, segment), f"{exchange}_{segment}")
    traded = words.money(row.get("tradedprice"))
    return OrderUpdate(ALERT.read(row, lookup), seen_ns, traded if traded > 0 else None)
