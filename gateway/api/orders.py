"""Orders: place, modify, cancel, cancel all, close all. Every one of them goes through the desk."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask import Response

from brokers.errors import InvalidRequest, OrderRejected
from brokers.model import (
    Action,
    InstrumentKey,
    OrderChange,
    OrderRequest,
    PriceType,
    Product,
    SentTerms,
)
from gateway.api import errors, reply
from gateway.api.parts import Call, Parts
from gateway.trading.answers import Failure, OrderAnswer

PRICED = frozenset({PriceType.LIMIT, PriceType.SL})
TRIGGERED = frozenset({PriceType.SL, PriceType.SL_M})
LONGEST_CLIENT_ID = 64


def place(parts: Parts, call: Call) -> dict[str, Any] | Response:
    request = request_of(call.data)
    answer = parts.desk.place(
        request,
        strategy=call.data["strategy"],
        client_order_id=client_order_id(call),
        received_ns=call.received_ns,
        lease=call.data.get("strategy_lease", ""),
    )
    if not answer.ok:
        return reply.problem(errors.of_answer(answer), parts.settings.name)
    return taken(answer, request)


def modify(parts: Parts, call: Call) -> dict[str, Any] | Response:
    price_type = PriceType(call.data["pricetype"])
    change = OrderChange(
        order_id=call.data["orderid"],
        quantity=int(call.data["quantity"]),
        price_type=price_type,
        price=call.data["price"] if price_type in PRICED else Decimal(0),
        trigger_price=call.data["trigger_price"] if price_type in TRIGGERED else Decimal(0),
        disclosed_quantity=call.data["disclosed_quantity"],
    )
    answer = parts.desk.modify(
        change,
        strategy=call.data["strategy"],
        received_ns=call.received_ns,
        lease=call.data.get("strategy_lease", ""),
    )
    if not answer.ok:
        return reply.problem(errors.of_answer(answer), parts.settings.name)
    body = taken(answer, change)
    body["orderid"] = body["orderid"] or change.order_id
    return body


def cancel(parts: Parts, call: Call) -> dict[str, Any] | Response:
    answer = parts.desk.cancel(
        call.data["orderid"], strategy=call.data["strategy"], received_ns=call.received_ns
    )
    if not answer.ok:
        return reply.problem(errors.of_answer(answer), parts.settings.name)
    return {"status": "success", "orderid": answer.order_id or call.data["orderid"]}


def cancel_all(parts: Parts, call: Call) -> dict[str, Any]:
    """The whole account; ``strategy`` is only a label. All failed is an error, some failed is listed."""
    report = parts.desk.cancel_all(call.data.get("strategy", ""))
    if report.failed and not report.cancelled:
        raise _none_worked(report.failed, "cancel")
    return {
        "status": "success",
        "message": f"Canceled {len(report.cancelled)} orders. Failed to cancel {len(report.failed)} orders.",
        "canceled_orders": list(report.cancelled),
        "failed_cancellations": [
            {"orderid": f.what, "message": f.message, "reason": f.message, "code": f.code}
            for f in report.failed
        ],
    }


def close_all(parts: Parts, call: Call) -> dict[str, Any]:
    """The whole account. OpenAlgo hides failed exits; here some failed is ``partial``, all an error."""
    report = parts.desk.close_all(call.data.get("strategy", ""))
    if report.failed and not report.closed:
        raise _none_worked(report.failed, "close")
    closed = [
        {
            "symbol": e.key.symbol,
            "exchange": e.key.exchange,
            "product": str(e.product),
            "quantity": e.quantity,
            "orderid": e.order_id,
            "order_status": e.status.value,
        }
        for e in report.closed
    ]
    failed = [{"position": f.what, "message": f.message, "code": f.code} for f in report.failed]
    message = "All Open Positions Squared Off"
    if failed:
        message = f"Closed {len(closed)} positions. Failed to close {len(failed)} positions."
    return {
        "status": "partial" if failed else "success",
        "message": message,
        "closed_positions": closed,
        "failed_closures": failed,
    }


def request_of(
    data: Mapping[str, Any], *, action: Action | None = None, quantity: int | None = None
) -> OrderRequest:
    """The order a valid body describes; prices its type does not use are dropped.

    Args:
        action, quantity: Instead of the body's. What may be shown of another quantity is cut to it.
    """
    price_type = PriceType(data["pricetype"])
    disclosed: int = data["disclosed_quantity"]
    return OrderRequest(
        key=InstrumentKey(data["exchange"], data["symbol"]),
        action=action or Action(data["action"].upper()),
        quantity=int(data["quantity"]) if quantity is None else quantity,
        price_type=price_type,
        product=Product(data["product"]),
        price=data["price"] if price_type in PRICED else Decimal(0),
        trigger_price=data["trigger_price"] if price_type in TRIGGERED else Decimal(0),
        disclosed_quantity=disclosed if quantity is None else min(disclosed, quantity),
    )


def client_order_id(call: Call) -> str | None:
    """From the field or the ``Idempotency-Key`` header; both may stand when they agree.

    Raises:
        InvalidRequest: They differ, or the header is empty or too long.
    """
    field: str | None = call.data.get("client_order_id")
    header = call.headers.get("Idempotency-Key")
    if header is None:
        return field
    header = header.strip()
    if not 1 <= len(header) <= LONGEST_CLIENT_ID:
        raise InvalidRequest(f"Idempotency-Key must have 1 to {LONGEST_CLIENT_ID} characters")
    if field is not None and field != header:
        raise InvalidRequest("client_order_id and the Idempotency-Key header differ; send one of them")
    return header


def taken(answer: OrderAnswer, order: OrderRequest | OrderChange) -> dict[str, Any]:
    """The success body; says what was really sent when price protection changed it."""
    asked = SentTerms(order.price_type, order.price, order.trigger_price)
    body: dict[str, Any] = {"status": "success", "orderid": answer.order_id}
    if answer.repeated:
        body["repeated"] = True
    sent = answer.sent
    if sent is not None and sent != asked:
        body["sent"] = {
            "pricetype": sent.price_type.value,
            "price": float(sent.price),
            "trigger_price": float(sent.trigger_price),
        }
        shown = f"{sent.price_type.value} at {sent.price}" if sent.price else sent.price_type.value
        body["message"] = f"{asked.price_type.value} was sent as {shown} (price protection)"
    return body


def _none_worked(failed: tuple[Failure, ...], verb: str) -> OrderRejected:
    first = failed[0]
    return OrderRejected(
        f"Failed to {verb} all {len(failed)}: {first.what}: {first.message}", code=first.code or None
    )
