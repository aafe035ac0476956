"""Answers of instances in the route's words, and several of them put together. Pure.

An order id here is ``dhan:2511…``: two brokers may give the same number. ``R17`` is an order by its line in
the route's journal, while its instance has given no id. Of several instances every one must have answered: a
book with one broker missing would be a wrong book.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from brokers.errors import InvalidRequest
from supervisor.routing.model import Answer, Row, State

NUMBER = re.compile(r"R([1-9][0-9]{0,15})\Z")
Bodies = Mapping[str, Mapping[str, Any]]
"""What each instance answered, by name, in the fixed order."""


def told(row: Row, *, repeated: bool = False) -> Answer:
    """What the caller of a new order hears."""
    where = {"instance": row.chosen.instance, "client_order_id": row.order.client_order_id}
    if row.state is State.OPEN and not row.answer:
        return Answer(504, {**unknown(row), **where})
    body = marked(row.chosen.instance, row.answer)
    if row.state is State.OPEN:
        body.setdefault("orderid", row.shown_id)
    if repeated:
        body["repeated"] = True
    return Answer(row.http, {**body, **where})


def unknown(row: Row) -> dict[str, Any]:
    """The honest answer while its instance has not said what became of an order."""
    name = row.chosen.instance
    return {
        "status": "error",
        "code": "OUTCOME_UNKNOWN",
        "message": f"{name} has not said what became of the order; it may have been carried out there. "
        "It is being asked for",
        "next_step": f"Do not send it under a new id. Ask with orderstatus and orderid R{row.number}, or "
        f"repeat the same client_order_id; the order book of {name} has it if it was carried out.",
        "orderid": f"R{row.number}",
        "order_status": "unknown",
    }


def parsed(text: str, names: Sequence[str]) -> tuple[str, str]:
    """An order id of the route: ``("dhan", "2511…")``, or ``("", "17")`` for ``R17``.

    Raises:
        InvalidRequest: It is not one of ours.
    """
    if match := NUMBER.match(text):
        return "", match[1]
    name, found, order_id = text.partition(":")
    if not found or name not in names or not order_id:
        shown = f"{names[0]}:…" if names else "name:…"
        raise InvalidRequest(
            f"'{text}' is not an order id of the route: they look like {shown} or R17", code="ORDER_NOT_FOUND"
        )
    return name, order_id


def marked(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """An instance's answer with the route's order ids."""
    found = dict(body)
    for field in ("orderid", "parent_order_id"):
        if found.get(field):
            found[field] = f"{name}:{found[field]}"
    for field in ("canceled_orders", "working_orders"):
        if isinstance(found.get(field), list):
            found[field] = [f"{name}:{one}" for one in found[field]]
    for field in ("closed_positions", "failed_closures", "failed_cancellations"):
        if isinstance(found.get(field), list):
            found[field] = [{**marked(name, one), "instance": name} for one in found[field]]
    if isinstance(found.get("data"), dict) and "orderid" in found["data"]:
        found["data"] = {**marked(name, found["data"]), "instance": name}
    return found


def order_books(bodies: Bodies) -> dict[str, Any]:
    rows = _rows(bodies, lambda body: body["data"]["orders"])
    statistics = _added([body["data"]["statistics"] for body in bodies.values()])
    as_of = min(
        (str(body["data"]["as_of"]) for body in bodies.values() if "as_of" in body["data"]), default=""
    )
    return {"status": "success", "data": {"orders": rows, "statistics": statistics, "as_of": as_of}}


def lists(bodies: Bodies) -> dict[str, Any]:
    """Trades, positions: one row after the other, each with its ``instance``."""
    return {"status": "success", "data": _rows(bodies, lambda body: body["data"])}


def quantities(bodies: Bodies) -> dict[str, Any]:
    """The net quantity over all of them."""
    return {"status": "success", "quantity": sum(int(body["quantity"]) for body in bodies.values())}


def cancelled(bodies: Bodies, failed: Mapping[str, str]) -> Answer:
    """``failed``: instances that did not answer, or said no to the whole of it, and why."""
    done = [one for body in bodies.values() for one in body.get("canceled_orders", ())]
    left = [one for body in bodies.values() for one in body.get("failed_cancellations", ())]
    left += [
        {"orderid": f"{name}:*", "message": why, "reason": why, "instance": name}
        for name, why in failed.items()
    ]
    message = f"Canceled {len(done)} orders. Failed to cancel {len(left)} orders."
    if failed:
        message += f" Not known of {', '.join(failed)}: {'; '.join(failed.values())}."
    body = {"message": message, "canceled_orders": done, "failed_cancellations": left}
    return _of_all(body, bool(done or not left), bool(failed))


def closed(bodies: Bodies, failed: Mapping[str, str]) -> Answer:
    """As ``cancelled``, of positions."""
    done = [one for body in bodies.values() for one in body.get("closed_positions", ())]
    left = [one for body in bodies.values() for one in body.get("failed_closures", ())]
    left += [{"position": f"{name}:*", "message": why, "instance": name} for name, why in failed.items()]
    message = "All Open Positions Squared Off"
    if left:
        message = f"Closed {len(done)} positions. Failed to close {len(left)} positions."
    if failed:
        message += f" Not known of {', '.join(failed)}: {'; '.join(failed.values())}."
    body = {"message": message, "closed_positions": done, "failed_closures": left}
    return _of_all(body, bool(done or not left), bool(left))


def _of_all(body: dict[str, Any], any_worked: bool, partly: bool) -> Answer:
    if not any_worked:
        return Answer(503, {"status": "error", "code": "NO_ROUTE", **body})
    return Answer(200, {"status": "partial" if partly else "success", **body})


def _rows(bodies: Bodies, of: Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]) -> list[Any]:
    return [{**marked(name, row), "instance": name} for name, body in bodies.items() for row in of(body)]


def _added(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of the same name, added."""
    found: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
                found[name] = found.get(name, 0) + value
    return found
