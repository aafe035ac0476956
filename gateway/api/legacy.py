"""The older surface: ``/orders``, ``/smartorders``, ``/positions``, ``/account``. Other words, the same desk.

A *smart order* here is a stop order: it waits for its trigger. With ``position_size`` it is OpenAlgo's smart
order, which leads to a position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields, validate, validates_schema

from brokers.errors import InvalidRequest
from brokers.model import Action, InstrumentKey, Order, OrderStatus, Position, PriceType
from gateway.api import errors, present, reply, smart
from gateway.api import orders as ordering
from gateway.api.fields import (
    ACTIONS,
    EXCHANGES,
    PRODUCTS,
    Number,
    at_least_zero,
    lease_text,
    named,
    one_of,
    positive_quantity,
    text,
    whole_at_least_zero,
    whole_quantity,
)
from gateway.api.parts import Call, Parts
from gateway.api.schemas import KeyOnly

PRICE_WORDS = {"MARKET": "MARKET", "LIMIT": "LIMIT", "SL": "SL", "SL-L": "SL", "SL-M": "SL-M"}
STATUSES: Mapping[OrderStatus, str] = {
    OrderStatus.OPEN: "OPEN",
    OrderStatus.TRIGGER_PENDING: "PENDING",
    OrderStatus.COMPLETE: "COMPLETE",
    OrderStatus.REJECTED: "REJECTED",
    OrderStatus.CANCELLED: "CANCELLED",
    OrderStatus.UNKNOWN: "UNKNOWN",
}
PATHS = frozenset({"orders/place", "smartorders/place", "orders", "smartorders", "positions", "account"})
_BUFFER = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(points?|pts?|ticks?)?", re.IGNORECASE)


class Buffer(fields.Field[tuple[Decimal, bool]]):
    """Points, or ticks when the text says so: ``2``, ``"2.5"``, ``"4 ticks"``. Value and "is in ticks"."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[Decimal, bool]:
        given = str(value).strip() if isinstance(value, str | int | Decimal) else ""
        found = _BUFFER.fullmatch(given)
        in_ticks = found is not None and (found[2] or "").lower().startswith("tick")
        number = Decimal(found[1]) if found else Decimal(0)
        if found is None or (in_ticks and number != number.to_integral_value()):
            raise ValidationError("Expected points such as '2' or whole ticks such as '4 ticks'.")
        return number, in_ticks


class Place(KeyOnly):
    """``limit_buffer`` may stand instead of ``price`` in a stop-limit order."""

    strategy = text()
    strategy_lease = lease_text()
    symbol = named()
    exchange = one_of(EXCHANGES)
    action = one_of(ACTIONS)
    quantity = positive_quantity()
    price_type = one_of(list(PRICE_WORDS), "MARKET")
    product = one_of(PRODUCTS, "MIS")
    price = at_least_zero("Price")
    trigger_price = at_least_zero("Trigger price")
    disclosed_quantity = whole_at_least_zero("Disclosed quantity")
    limit_buffer = Buffer()
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)

    @validates_schema
    def _buffer(self, data: dict[str, Any], **_: Any) -> None:
        if "limit_buffer" not in data:
            return
        if PRICE_WORDS[data["price_type"]] != "SL":
            raise ValidationError("Only for price_type SL (SL-L).", "limit_buffer")
        if data["price"]:
            raise ValidationError("Give price or limit_buffer, not both.", "limit_buffer")


class PlaceSmart(Place):
    """An order towards ``position_size``; ``quantity`` may be 0 then."""

    quantity = at_least_zero("Quantity", required=True)
    position_size = Number()

    @validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data["quantity"] and "position_size" not in data:
            raise ValidationError("Quantity must be a positive number.", "quantity")


class Filter(KeyOnly):
    """Which rows of a book: of a strategy, or of one order."""

    strategy = fields.String(validate=validate.Length(max=256))
    order_id = fields.String(validate=validate.Length(min=1, max=64))


def is_older(path: str) -> bool:
    """True for a path of this surface, whatever the method and the slashes around it."""
    return path.strip("/").removeprefix("api/v1/") in PATHS


def problem(found: errors.Problem, instance: str) -> Response:
    """An error in the older words: ``error`` for ``message``, ``order_id`` for ``orderid``."""
    body = found.body(instance)
    message = body.pop("message")
    bad_fields = body.get("errors")
    if found.code == "INVALID_REQUEST" and isinstance(bad_fields, Mapping):
        message = "; ".join(_sentences(bad_fields)) or message
    if "orderid" in body:
        body["order_id"] = body.pop("orderid")
    answer = reply.json({"status": body.pop("status"), "error": message, **body}, found.status)
    if found.retry_after_s is not None:
        answer.headers["Retry-After"] = str(errors.whole_seconds(found.retry_after_s))
    return answer


def _sentences(bad_fields: Mapping[Any, Any]) -> Iterator[str]:
    for name, messages in bad_fields.items():
        several = messages if isinstance(messages, list) else [messages]
        yield f"{name}: {' '.join(map(str, several))}"


def place(parts: Parts, call: Call) -> dict[str, Any] | Response:
    data = _translated(parts, call.data)
    request = ordering.request_of(data)
    answer = parts.desk.place(
        request,
        strategy=data["strategy"],
        client_order_id=ordering.client_order_id(call),
        received_ns=call.received_ns,
        lease=data.get("strategy_lease", ""),
    )
    if not answer.ok:
        return problem(errors.of_answer(answer), parts.settings.name)
    return _placed(parts, ordering.taken(answer, request))


def place_smart(parts: Parts, call: Call) -> dict[str, Any] | Response:
    """A stop order; or, with ``position_size``, the order that leads to that position."""
    if "position_size" not in call.data:
        return place(parts, call)
    data = _translated(parts, call.data)
    found = smart.reach(parts, Call(data, call.received_ns, call.headers))
    if isinstance(found, errors.Problem):
        return problem(found, parts.settings.name)
    return _placed(parts, found)


def _translated(parts: Parts, data: Mapping[str, Any]) -> dict[str, Any]:
    """The same order in the words of ``placeorder``."""
    price_type = PRICE_WORDS[data["price_type"]]
    found = {**data, "pricetype": price_type}
    if "limit_buffer" in data:
        row = parts.market.instrument(InstrumentKey(data["exchange"], data["symbol"]))
        action = Action(data["action"].upper())
        found["price"] = limit_price(data["trigger_price"], action, data["limit_buffer"], row.tick_size)
    return found


def limit_price(trigger: Decimal, action: Action, buffer: tuple[Decimal, bool], tick: Decimal) -> Decimal:
    """A stop's limit a buffer beyond its trigger, on tick: never nearer than the buffer says.

    Args:
        buffer: Value, and whether it counts ticks instead of rupees.
        tick: Rupees; zero for what cannot be traded (the desk refuses that).

    Raises:
        InvalidRequest: No trigger, or the limit would not be above zero.
    """
    if trigger <= 0:
        raise InvalidRequest("limit_buffer needs a trigger_price", code="INVALID_TRIGGER")
    value, in_ticks = buffer
    away = value * tick if in_ticks else value
    limit = trigger + away if action is Action.BUY else trigger - away
    if tick > 0:
        rounding = ROUND_CEILING if action is Action.BUY else ROUND_FLOOR
        limit = (limit / tick).to_integral_value(rounding) * tick
    if limit <= 0:
        raise InvalidRequest(
            f"limit_buffer puts the limit at {limit:f}, below zero or at it", code="PRICE_OUT_OF_RANGE"
        )
    return limit


def _placed(parts: Parts, body: dict[str, Any]) -> dict[str, Any]:
    found = dict(body)
    if "orderid" in found:
        found["order_id"] = found.pop("orderid")
    found["timestamp"] = present.ist(parts.clock.now())
    return found


def orders(parts: Parts, call: Call) -> dict[str, Any]:
    """Every order of the account today, newest state; the filters narrow it."""
    return {"status": "success", "orders": _rows(parts, call, parts.desk.orders())}


def smart_orders(parts: Parts, call: Call) -> dict[str, Any]:
    """Those with a trigger: PENDING while they wait for it, TRIGGERED while they work after it."""
    stops = [order for order in parts.desk.orders() if _is_stop(order)]
    return {"status": "success", "orders": _rows(parts, call, stops)}


def _rows(parts: Parts, call: Call, found: list[Order]) -> list[dict[str, Any]]:
    wanted_id, wanted_strategy = call.data.get("order_id"), call.data.get("strategy")
    rows = []
    for order in found:
        if wanted_id is not None and order.order_id != wanted_id:
            continue
        strategy = parts.desk.strategy_of(order.order_id)
        if wanted_strategy is not None and strategy != wanted_strategy:
            continue
        rows.append(order_row(order, strategy))
    return rows


def order_row(order: Order, strategy: str) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "strategy": strategy,
        "symbol": order.key.symbol,
        "exchange": order.key.exchange,
        "action": order.action.value,
        "quantity": order.quantity,
        "filled_quantity": order.filled_quantity,
        "price_type": order.price_type.value,
        "price": float(order.price),
        "trigger_price": float(order.trigger_price),
        "average_price": float(order.average_price),
        "product": str(order.product),
        "status": status_word(order),
        "rejection_reason": order.rejection_reason,
        "rejection_code": present.rejection_code(order),
        "timestamp": present.ist(order.placed_at or order.updated_at),
    }


def status_word(order: Order) -> str:
    """OPEN, COMPLETE, REJECTED, CANCELLED, PENDING, TRIGGERED or UNKNOWN."""
    if order.status is OrderStatus.OPEN and _is_stop(order):
        return "TRIGGERED"
    return STATUSES[order.status]


def _is_stop(order: Order) -> bool:
    # a broker may show a triggered stop as the limit order it has become, trigger and all
    return order.price_type in (PriceType.SL, PriceType.SL_M) or order.trigger_price > 0


def positions(parts: Parts, _call: Call) -> dict[str, Any]:
    rows = [position_row(p, parts.market.last_price(p.key)) for p in parts.desk.positions()]
    return {"status": "success", "positions": rows}


def position_row(position: Position, last_price: float | None) -> dict[str, Any]:
    """``null`` where neither broker nor feed knows a price; a zero would be a lie."""
    row = present.position_row(position, last_price)
    pnl, cost = row.get("pnl"), float(abs(position.average_price * position.quantity))
    return {
        "symbol": row["symbol"],
        "exchange": row["exchange"],
        "product": row["product"],
        "quantity": row["quantity"],
        "entry_price": row["average_price"],
        "ltp": row.get("ltp"),
        "pnl": pnl,
        "pnl_percentage": None if pnl is None else round(pnl / cost * 100, 2) if cost else 0.0,
    }


def account(parts: Parts, _call: Call) -> dict[str, Any]:
    """Rupees. ``equity`` is what can be used plus what is used; the percentage is the used part of it."""
    funds = parts.desk.funds()
    available = funds.available_margin
    if available is None:
        available = funds.available_cash + funds.collateral
    used = funds.utilised_debits
    equity = available + used
    return {
        "status": "success",
        "cash": _rupees(funds.available_cash),
        "equity": _rupees(equity),
        "used_margin": _rupees(used),
        "available_margin": _rupees(available),
        "margin_percentage": _rupees(used / equity * 100) if equity > 0 else 0.0,
    }


def _rupees(amount: Decimal) -> float:
    return float(round(amount, 2))
