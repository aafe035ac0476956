"""Dhan's words <-> ours: orders, trades, positions, holdings, funds. Pure.

Dhan says "none" as ``null``, ``""``, ``"NA"``, ``"0"`` and ``"0001-01-01 …"``; its times are IST without a
zone. Amounts become ``Decimal`` through their shortest text, so 2845.55 stays 2845.55.

Source: Dhan API v2, "Orders", "Portfolio", "Funds", "Live Order Update", and the annexure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from brokers.clock import IST
from brokers.contract import InstrumentLookup
from brokers.errors import InvalidRequest, WireError
from brokers.model import (
    Action,
    Funds,
    Holding,
    Instrument,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Position,
    PriceType,
    Product,
    SentTerms,
    Trade,
)

Row = Mapping[str, Any]

PRODUCTS = {Product.CNC: "CNC", Product.NRML: "MARGIN", Product.MIS: "INTRADAY"}
# MTF, CO and BO have no name in OpenAlgo: shown as they are
_OUR_PRODUCT = {
    "CNC": "CNC",
    "MARGIN": "NRML",
    "INTRADAY": "MIS",
    "C": "CNC",
    "M": "NRML",
    "I": "MIS",
    "F": "MTF",
    "V": "CO",
    "B": "BO",
}
_ORDER_TYPES = {PriceType.MARKET: "MARKET", PriceType.LIMIT: "LIMIT", PriceType.SL: "STOP_LOSS"}
_OUR_PRICE_TYPE = {
    "MARKET": PriceType.MARKET,
    "MKT": PriceType.MARKET,
    "LIMIT": PriceType.LIMIT,
    "LMT": PriceType.LIMIT,
    "STOP_LOSS": PriceType.SL,
    "SL": PriceType.SL,
    "STOP_LOSS_MARKET": PriceType.SL_M,
    "SLM": PriceType.SL_M,
}
_ACTIONS = {"BUY": Action.BUY, "B": Action.BUY, "SELL": Action.SELL, "S": Action.SELL}
_STATUSES = {
    "TRANSIT": OrderStatus.OPEN,
    "PENDING": OrderStatus.OPEN,
    "PART_TRADED": OrderStatus.OPEN,
    # spelling of a part fill on the update socket is not published
    "PARTIALLY_TRADED": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "PARTIAL": OrderStatus.OPEN,
    "PARTTRADED": OrderStatus.OPEN,
    "MODIFIED": OrderStatus.OPEN,
    "INACTIVE": OrderStatus.OPEN,
    "CONFIRM": OrderStatus.OPEN,
    "TRIGGERED": OrderStatus.OPEN,
    "TRADED": OrderStatus.COMPLETE,
    "CLOSED": OrderStatus.COMPLETE,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}
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
_NONE = frozenset({"", "NA", "0", "0001-01-01", "0001-01-01 00:00:00"})
_TAG = re.compile(r"[A-Za-z0-9 _-]{1,25}")
# percent beyond the trigger: (trigger up to and including, percent); then the rest
_OPTION_STEPS = (("9.9999", "5"), ("99.9999", "3"), ("499.9999", "2"), ("Infinity", "1"))
_OTHER_STEPS = (("99.9999", "2"), ("500", "1"), ("Infinity", "0.5"))


def text(value: object) -> str:
    """A string field; every spelling of "none" becomes ``""``."""
    found = "" if value is None else str(value).strip()
    return "" if found in _NONE else found


def money(value: object) -> Decimal:
    """Rupees from a JSON number or text; none is zero. Raises ``WireError`` for anything else."""
    found = text(value)
    try:
        number = Decimal(found) if found else Decimal(0)
    except InvalidOperation as exc:
        raise WireError(f"not a number: {found[:40]!r}") from exc
    if not number.is_finite():
        raise WireError(f"not a number: {found[:40]!r}")
    return number


def count(value: object) -> int:
    """A quantity; Dhan sends some as floats or text."""
    return int(money(value))


def ist_time(value: object) -> datetime | None:
    """``YYYY-MM-DD HH:MM:SS`` or ``DD/MM/YYYY HH:MM[:SS]`` in IST -> aware UTC; None for "none".

    An unreadable or empty time is None: it must not hide the order that carries it.
    """
    found = text(value).replace("T", " ").split(".")[0]
    for form in ("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%Y-%m-%d"):
        try:
            at = datetime.strptime(found, form).replace(tzinfo=IST)
        except ValueError:
            continue
        # 1980 is Dhan's word for "never traded", year 1 for "not yet"
        return at.astimezone(UTC) if at.year >= 2000 else None
    return None


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

    Source: OpenAlgo's Dhan adapter (issues 1647, 1649).
    """
    steps = _OPTION_STEPS if is_option else _OTHER_STEPS
    percent = next(Decimal(p) for most, p in steps if trigger <= Decimal(most))
    tick = tick if tick > 0 else Decimal("0.05")
    away = trigger * percent / 100
    if action is Action.SELL:
        on_tick = ((trigger - away) / tick).to_integral_value(ROUND_FLOOR) * tick
        return max(min(on_tick, trigger - tick), tick)
    on_tick = ((trigger + away) / tick).to_integral_value(ROUND_CEILING) * tick
    return max(on_tick, trigger + tick)


def terms(
    price_type: PriceType, price: Decimal, trigger: Decimal, action: Action, instrument: Instrument
) -> SentTerms:
    """What really goes out: SL-M becomes SL with a protective price; the rest stays, unused prices zero."""
    if price_type is PriceType.MARKET:
        return SentTerms(PriceType.MARKET, Decimal(0), Decimal(0))
    if price_type is PriceType.LIMIT:
        return SentTerms(PriceType.LIMIT, price, Decimal(0))
    if price_type is PriceType.SL_M:
        is_option = instrument.instrument_type in ("CE", "PE")
        price = protective_price(action, trigger, instrument.tick_size, is_option)
    return SentTerms(PriceType.SL, price, trigger)


def place_body(
    client_id: str, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms
) -> dict[str, Any]:
    """JSON of ``POST /orders``. Unused keys are left out: Dhan refuses empty strings (DH-905)."""
    body: dict[str, Any] = {
        "dhanClientId": client_id,
        "correlationId": correlation_id(tag),
        "transactionType": order.action.value,
        "exchangeSegment": instrument.broker_exchange,
        "productType": PRODUCTS[order.product],
        "orderType": _ORDER_TYPES[sent.price_type],
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
        "orderType": _ORDER_TYPES[sent.price_type],
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


def status(word: object, order_type: PriceType, filled: int) -> OrderStatus:
    """Dhan's status word in any case. ``unknown`` for a word nobody has seen: never guessed.

    An untriggered stop has no status of its own: a PENDING stop without a fill is shown as trigger pending.
    """
    name = text(word).upper().replace(" ", "_").replace("-", "_")
    found = _STATUSES.get(name, OrderStatus.UNKNOWN)
    if name == "PENDING" and order_type in (PriceType.SL, PriceType.SL_M) and not filled:
        return OrderStatus.TRIGGER_PENDING
    return found


def in_transit(word: object) -> bool:
    """Whether the order is not yet at the exchange; Dhan answers DH-906 to its modify or cancel then."""
    return text(word).upper() == "TRANSIT"


def key_of(segment: str, security_id: str, symbol: str, lookup: InstrumentLookup) -> InstrumentKey:
    """Our key when the table knows the id, else Dhan's segment and symbol (or id when it has none)."""
    instrument = lookup.by_token(segment, security_id)
    return instrument.key if instrument else InstrumentKey(segment, symbol or security_id)


def row_key(row: Row, lookup: InstrumentLookup) -> InstrumentKey:
    names = ("exchangeSegment", "securityId", "tradingSymbol")
    segment, security_id, symbol = (text(row.get(name)) for name in names)
    return key_of(segment, security_id, symbol, lookup)


def _action(word: object) -> Action:
    try:
        return _ACTIONS[text(word).upper()]
    except KeyError:
        raise WireError(f"unknown side {word!r}") from None


def _price_type(word: object) -> PriceType:
    try:
        return _OUR_PRICE_TYPE[text(word).upper()]
    except KeyError:
        raise WireError(f"unknown order type {word!r}") from None


def product_of(word: object) -> str:
    found = text(word).upper()
    return _OUR_PRODUCT.get(found, found)


def order(row: Row, lookup: InstrumentLookup) -> Order:
    """One row of the order book. Raises ``WireError`` when id, side or type cannot be read."""
    order_id = text(row.get("orderId"))
    if not order_id:
        raise WireError("order row without orderId")
    price_type = _price_type(row.get("orderType"))
    # postback rows spell it filled_qty
    filled = count(row.get("filledQty", row.get("filled_qty")))
    state = status(row.get("orderStatus"), price_type, filled)
    return Order(
        order_id=order_id,
        key=key_of(
            text(row.get("exchangeSegment")),
            text(row.get("securityId")),
            text(row.get("tradingSymbol")),
            lookup,
        ),
        action=_action(row.get("transactionType")),
        quantity=count(row.get("quantity")),
        price_type=price_type,
        product=product_of(row.get("productType")),
        price=money(row.get("price")),
        trigger_price=money(row.get("triggerPrice")),
        status=state,
        filled_quantity=filled,
        average_price=money(row.get("averageTradedPrice")),
        tag=text(row.get("correlationId")),
        raw_status=text(row.get("orderStatus")),
        rejection_reason=_reason(row.get("omsErrorDescription"), state),
        exchange_order_id=text(row.get("exchangeOrderId")),
        placed_at=ist_time(row.get("createTime")),
        updated_at=ist_time(row.get("updateTime")),
        in_transit=in_transit(row.get("orderStatus")),
    )


def _reason(value: object, state: OrderStatus) -> str:
    """The broker's text; on other orders the field holds CONFIRMED and the like."""
    return text(value) if state is OrderStatus.REJECTED else ""


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
    order_id = text(row.get("orderno"))
    if not order_id:
        raise WireError("order alert without an order number")
    price_type = _price_type(row.get("ordertype"))
    filled = count(row.get("tradedqty"))
    quantity = count(row.get("quantity"))
    state = status(row.get("status"), price_type, filled)
    exchange, segment = text(row.get("exchange")).upper(), text(row.get("segment")).upper()
    found = Order(
        order_id=order_id,
        key=key_of(
            _UPDATE_SEGMENTS.get((exchange, segment), f"{exchange}_{segment}"),
            text(row.get("securityid")),
            text(row.get("symbol")),
            lookup,
        ),
        action=_action(row.get("txntype")),
        quantity=quantity,
        price_type=price_type,
        product=product_of(row.get("product")),
        price=money(row.get("price")),
        trigger_price=money(row.get("triggerprice")),
        status=state,
        filled_quantity=filled,
        average_price=money(row.get("avgtradedprice")),
        tag=text(row.get("correlationid")),
        raw_status=text(row.get("status")),
        rejection_reason=_reason(row.get("reasondescription"), state),
        exchange_order_id=text(row.get("exchorderno")),
        placed_at=ist_time(row.get("orderdatetime")),
        updated_at=ist_time(row.get("lastupdatedtime")),
        in_transit=in_transit(row.get("status")),
    )
    traded = money(row.get("tradedprice"))
    return OrderUpdate(found, seen_ns, traded if traded > 0 else None)


def trade(row: Row, lookup: InstrumentLookup) -> Trade:
    return Trade(
        trade_id=text(row.get("exchangeTradeId")),
        order_id=text(row.get("orderId")),
        key=key_of(
            text(row.get("exchangeSegment")),
            text(row.get("securityId")),
            text(row.get("tradingSymbol")),
            lookup,
        ),
        action=_action(row.get("transactionType")),
        product=product_of(row.get("productType")),
        quantity=count(row.get("tradedQuantity")),
        price=money(row.get("tradedPrice")),
        traded_at=ist_time(row.get("exchangeTime")) or ist_time(row.get("updateTime")),
    )


def position(row: Row, lookup: InstrumentLookup) -> Position:
    """Dhan sends no last price here; profit is its own, over the day."""
    realized, unrealized = money(row.get("realizedProfit")), money(row.get("unrealizedProfit"))
    return Position(
        key=key_of(
            text(row.get("exchangeSegment")),
            text(row.get("securityId")),
            text(row.get("tradingSymbol")),
            lookup,
        ),
        product=product_of(row.get("productType")),
        quantity=count(row.get("netQty")),
        average_price=money(row.get("costPrice")),
        ltp=None,
        pnl=realized + unrealized,
        realized_pnl=realized,
        unrealized_pnl=unrealized,
        buy_quantity=count(row.get("buyQty")),
        sell_quantity=count(row.get("sellQty")),
    )


def holding(row: Row, lookup: InstrumentLookup) -> Holding:
    """``exchange`` is "ALL": the id is tried as NSE's, then as BSE's, and must carry the same symbol."""
    security_id, symbol = text(row.get("securityId")), text(row.get("tradingSymbol"))
    found = [lookup.by_token(segment, security_id) for segment in ("NSE_EQ", "BSE_EQ")]
    same = [i for i in found if i and i.broker_symbol == symbol] or [i for i in found if i]
    quantity = count(row.get("totalQty"))
    average = money(row.get("avgCostPrice"))
    ltp = money(row.get("lastTradedPrice")) or None
    pnl = percent = None
    if ltp is not None:
        pnl = (ltp - average) * quantity
        percent = (ltp - average) / average * 100 if average else None
    return Holding(
        key=same[0].key if same else InstrumentKey("NSE", symbol or security_id),
        quantity=quantity,
        average_price=average,
        ltp=ltp,
        pnl=pnl,
        pnl_percent=percent,
    )


def funds(row: Row, positions: list[Position]) -> Funds:
    """``availabelBalance`` (sic) includes the collateral; day profit comes from the positions."""
    collateral = money(row.get("collateralAmount"))
    balance = row.get("availabelBalance", row.get("availableBalance"))
    if balance is None:
        raise WireError("fund limit without availabelBalance")
    return Funds(
        available_cash=money(balance) - collateral,
        collateral=collateral,
        m2m_realized=sum((p.realized_pnl or Decimal(0) for p in positions), Decimal(0)),
        m2m_unrealized=sum((p.unrealized_pnl or Decimal(0) for p in positions), Decimal(0)),
        utilised_debits=money(row.get("utilizedAmount")),
        available_margin=money(balance),
    )
