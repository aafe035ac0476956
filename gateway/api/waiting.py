"""``/internal/*`` for strategies, their alerts, approvals and the order mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from brokers.errors import InvalidRequest, NotReady
from brokers.model import InstrumentKey, Product
from brokers.secret import Secret
from gateway.api import errors, reply, semiauto
from gateway.api.dispatch import body_of
from gateway.api.fields import EXCHANGES, PRODUCTS, Whole, named, one_of
from gateway.api.names import key_of
from gateway.api.parts import Parts
from gateway.http.gate import caller
from gateway.store.queued import QueuedOrder, Step
from gateway.store.strategies import NewStrategy
from gateway.strategies.model import PLATFORMS, Hours, Mapped, Strategy, TradingMode, time_of
from gateway.strategies.queue import MODES, SQUARE_OFF, Queue

SHOWN = 200
DECIDED = frozenset({"DECIDED", "REJECTED", "EXPIRED"})
POSITIVE = validate.Range(min=1, max=10**9)


class MappedSymbol(Schema):
    """What an alert's symbol is traded as."""

    exchange = one_of(EXCHANGES)
    symbol = named()
    quantity = Whole(required=True, validate=POSITIVE)
    product = one_of(PRODUCTS, "MIS")


class HoursOf(Schema):
    """HH:MM IST: entries from ``start`` to ``end``, positions closed at ``square_off``."""

    start = fields.String(required=True)
    end = fields.String(required=True)
    square_off = fields.String(required=True)


class StrategyOf(Schema):
    """A strategy that trades by alerts."""

    name = fields.String(
        required=True, validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}\Z", error="Not a name.")
    )
    platform = one_of(PLATFORMS, "tradingview")
    mode = one_of([mode.value for mode in TradingMode], "LONG")
    hours = fields.Nested(HoursOf, load_default=None, allow_none=True)
    symbols = fields.List(fields.Nested(MappedSymbol), load_default=list, validate=validate.Length(max=1000))


class Active(Schema):
    """Whether a strategy takes alerts."""

    active = fields.Boolean(required=True)


class ModeOf(Schema):
    """Whether orders wait for a person."""

    mode = one_of(MODES)


def add_routes(internal: Blueprint, parts: Parts) -> None:
    """Hang them into the guarded blueprint."""
    _strategy_routes(internal, parts)
    _symbol_routes(internal, parts)
    _approval_routes(internal, parts)


def _strategy_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.get("/strategies")
    def strategies() -> Response:
        return _limited(parts) or reply.json(
            {"strategies": [strategy_row(parts, one) for one in _queue(parts).strategies.all()]}
        )

    @internal.post("/strategies")
    def create_strategy() -> Response:
        if (refused := _limited(parts)) is not None:
            return refused
        given = _load(StrategyOf())
        hours = given["hours"]
        new = NewStrategy(
            name=given["name"],
            platform=given["platform"],
            mode=TradingMode(given["mode"]),
            hours=Hours(*(time_of(hours[n]) for n in ("start", "end", "square_off"))) if hours else None,
            symbols=[_mapped(parts, row) for row in given["symbols"]],
        )
        made = _queue(parts).strategies.create(new)
        parts.hide(Secret(made.webhook_id))
        return reply.json(strategy_row(parts, made))

    @internal.delete("/strategies/<name>")
    def delete_strategy(name: str) -> Response:
        if (refused := _limited(parts)) is not None:
            return refused
        _queue(parts).strategies.delete(name)
        return reply.json({"status": "success"})

    @internal.post("/strategies/<name>/switch")
    def switch_strategy(name: str) -> Response:
        if (refused := _limited(parts)) is not None:
            return refused
        return reply.json(
            strategy_row(parts, _queue(parts).strategies.switch(name, _load(Active())["active"]))
        )


def _symbol_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/strategies/<name>/symbols")
    def map_symbol(name: str) -> Response:
        if (refused := _limited(parts)) is not None:
            return refused
        mapped = _mapped(parts, _load(MappedSymbol()))
        return reply.json(strategy_row(parts, _queue(parts).strategies.map(name, mapped)))

    @internal.delete("/strategies/<name>/symbols/<symbol>")
    def unmap_symbol(name: str, symbol: str) -> Response:
        if (refused := _limited(parts)) is not None:
            return refused
        return reply.json(strategy_row(parts, _queue(parts).strategies.unmap(name, symbol)))


def _approval_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.get("/alerts")
    def alerts() -> Response:
        rows = _queue(parts).store.recent(sources=("webhook", SQUARE_OFF), most=SHOWN)
        return reply.json({"orders": [_row(row) for row in rows]})

    @internal.get("/approvals")
    def approvals() -> Response:
        queue = _queue(parts)
        queue.store.expire()
        steps = list(Step) if request.args.get("all") else [Step.WAITING]
        rows = queue.store.recent(steps=steps, most=SHOWN)
        return reply.json({"mode": queue.mode, "orders": [_row(row) for row in rows]})

    @internal.post("/approvals/<int:queued_id>/approve")
    def approve(queued_id: int) -> Response:
        return _decided(parts, _queue(parts).approve, queued_id)

    @internal.post("/approvals/<int:queued_id>/reject")
    def reject(queued_id: int) -> Response:
        return _decided(parts, _queue(parts).reject, queued_id)

    @internal.get("/order-mode")
    def mode() -> Response:
        return reply.json({"mode": _queue(parts).mode})

    @internal.post("/order-mode")
    def set_mode() -> Response:
        _queue(parts).set_mode(_load(ModeOf())["mode"])
        return reply.json({"mode": _queue(parts).mode})


def _decided(parts: Parts, decide: Callable[[int], QueuedOrder], queued_id: int) -> Response:
    """The row after the decision; 409 when another one stands already."""
    try:
        return reply.json(_row(decide(queued_id)))
    except InvalidRequest as exc:
        status = 409 if exc.code in DECIDED else errors.STATUS.get(exc.code, 400)
        return reply.problem(errors.Problem(status, exc.code, str(exc)), parts.settings.name)


def _queue(parts: Parts) -> Queue:
    if parts.queue is None:
        raise NotReady("this process has no strategies")
    return parts.queue


def _limited(parts: Parts) -> Response | None:
    wait_s = parts.limits.hit("STRATEGY_RATE_LIMIT", "strategies", caller(request.environ))
    return None if wait_s is None else reply.problem(errors.rate_limited(wait_s), parts.settings.name)


def _load(schema: Schema) -> dict[str, Any]:
    raw = request.get_data(cache=False)
    loaded: dict[str, Any] = schema.load(body_of(raw) if raw else {})
    return loaded


def _mapped(parts: Parts, row: dict[str, Any]) -> Mapped:
    """Raises ``InvalidRequest`` (``SYMBOL_NOT_FOUND``); an empty instrument table refuses nothing."""
    key = key_of(parts, row["exchange"], row["symbol"])
    if parts.instruments.by_key(key) is None and parts.instruments.count():
        near = ", ".join(parts.instruments.nearest(key.symbol, key.exchange))
        hint = f"; like it: {near}" if near else ""
        raise InvalidRequest(f"{key} is not in the instrument table{hint}", code="SYMBOL_NOT_FOUND")
    return Mapped(InstrumentKey(key.exchange, key.symbol), row["quantity"], Product(row["product"]))


def strategy_row(parts: Parts, one: Strategy) -> dict[str, Any]:
    hours = one.hours
    return {
        "id": one.id,
        "name": one.name,
        "platform": one.platform,
        "mode": one.mode.value,
        "active": one.active,
        "hours": {n: f"{getattr(hours, n):%H:%M}" for n in ("start", "end", "square_off")} if hours else None,
        "webhook_id": one.webhook_id,
        "webhook_url": f"{parts.settings.public_url}{one.path}",
        "symbols": [
            {
                "exchange": str(m.key.exchange),
                "symbol": m.key.symbol,
                "quantity": m.quantity,
                "product": m.product.value,
            }
            for m in one.symbols
        ],
    }


def _row(row: QueuedOrder) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "strategy": row.strategy,
        "kind": row.kind,
        "what": semiauto.QUEUED.get(row.kind, row.kind),
        "mode": "analyze" if row.paper else "live",
        "request": row.body,
        "state": row.step.value,
        "at": _iso(row.created_ns),
        "decided_at": _iso(row.decided_ns),
        "ended_at": _iso(row.ended_ns),
        "status": row.status,
        "answer": row.answer,
    }


def _iso(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat()
