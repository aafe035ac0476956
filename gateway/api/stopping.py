"""``/internal/open``: what would be left at the broker if this instance stopped now, and ending it first."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from brokers.errors import AlgoError
from gateway.api import reply
from gateway.api.dispatch import body_of
from gateway.api.parts import Parts

POLICIES = ("cancel", "flatten")


class WindDown(Schema):
    """``flatten`` cancels, then closes every position with a market order."""

    policy = fields.String(required=True, validate=validate.OneOf(POLICIES))


def add_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.get("/open")
    def left_open() -> Response:
        return reply.json({"status": "success", **at_the_broker(parts)})

    @internal.post("/open")
    def wind_down() -> Response:
        asked = WindDown().load(body_of(request.get_data(cache=False)))
        cancelled = parts.desk.cancel_all()
        failed = [f"{one.what}: {one.message}" for one in cancelled.failed]
        exits: list[str] = []
        if asked["policy"] == "flatten":
            closed = parts.desk.close_all()
            exits = [one.order_id for one in closed.closed]
            failed += [f"{one.what}: {one.message}" for one in closed.failed]
        done = {"cancelled": list(cancelled.cancelled), "exits": exits, "failed": failed}
        return reply.json({"status": "partial" if failed else "success", **done})


def at_the_broker(parts: Parts) -> dict[str, Any]:
    """Working orders and open positions of the account, the broker's word; else ``error``."""
    exchanges = parts.settings.spec.capabilities.exchanges
    now = parts.clock.now()
    found: dict[str, Any] = {
        "market_open": any(parts.calendar.is_open(exchange, now) for exchange in exchanges),
        "orders": [],
        "positions": [],
        "unknown": 0,
        "error": "",
    }
    try:
        working = [o for o in parts.desk.orders() if not o.status.is_final]
        held = [p for p in parts.desk.positions() if p.quantity]
    except AlgoError as exc:
        return {**found, "error": str(exc)}
    found["unknown"] = sum(o.status.value == "unknown" for o in working)
    found["orders"] = [f"{o.action} {o.quantity} {o.key} ({o.status}, {o.order_id})" for o in working]
    found["positions"] = [f"{p.quantity:+d} {p.key} ({p.product})" for p in held]
    return found
