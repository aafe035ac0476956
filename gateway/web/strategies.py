"""Strategies: who trades through this instance, what came of it, who may, and what waits for a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from flask import Blueprint, Response

from brokers.errors import AlgoError
from brokers.model import Action, OrderStatus
from gateway.api import leases, reply, waiting
from gateway.api.fields import EXCHANGES, PRODUCTS
from gateway.api.parts import Parts
from gateway.store.users import User
from gateway.strategies.lease import Free
from gateway.strategies.model import PLATFORMS, TradingMode
from gateway.web.riskpage import risk_lines
from gateway.web.shell import Web, show, signed_in

PER_STRATEGY = ("orders_per_minute", "data_per_minute")
"""Limits that are counted for each strategy; the others hold for the instance."""


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/strategies")
    def strategies() -> Response:
        def view(user: User) -> Response:
            first = {
                "overview": overview(web),
                "platforms": PLATFORMS,
                "modes": [mode.value for mode in TradingMode],
                "products": PRODUCTS,
                "exchanges": list(EXCHANGES),
            }
            return show(web, "strategies.html", user=user, module="pages/strategies.js", first=first)

        return signed_in(web, view)


def add_calls(api: Blueprint, web: Web) -> None:
    @api.get("/strategies/overview")
    def look() -> Response:
        return reply.json(overview(web))

    @api.delete("/leases/<path:strategy>")
    def free(strategy: str) -> Response:
        """The operator ends whatever lease there is: the holder's next entry is refused."""
        if web.parts.leases is None:
            raise AlgoError("this instance has no lease file")
        return reply.json(leases.shown(web.parts, web.parts.leases.apply(strategy, Free())))


def overview(web: Web) -> dict[str, Any]:
    """Every strategy id that traded today, has a webhook or a lease; see ``_Row``."""
    parts = web.now()
    rows: dict[str, dict[str, Any]] = {}
    problem = ""
    try:
        _add_orders(rows, parts)
    except AlgoError as exc:
        problem = str(exc)
    queue = parts.queue
    if queue is not None:
        for one in queue.strategies.all():
            _row(rows, one.name)["defined"] = waiting.strategy_row(parts, one)
    if parts.leases is not None:
        for held in parts.leases.all():
            _row(rows, held.strategy)["lease"] = leases.shown(parts, held)
    return {
        "now_ms": parts.clock.time_ns() // 1_000_000,
        "mode": "analyze" if parts.analyzing() else "live",
        "strategies": sorted(rows.values(), key=lambda row: row["strategy"].lower()),
        "problem": problem,
        "approvals": queue is not None and queue.needs_approval,
        "limits": limits(parts),
    }


def limits(parts: Parts) -> list[dict[str, Any]]:
    """The operator's limits in words; ``each``: counted for each strategy."""
    rules = parts.risk.now
    words = zip(fields(rules), risk_lines(rules), strict=True)
    return [{"name": name, "text": text, "each": field.name in PER_STRATEGY} for field, (name, text) in words]


def _row(rows: dict[str, dict[str, Any]], strategy: str) -> dict[str, Any]:
    fresh = {
        "strategy": strategy,
        "orders": 0,
        "open": 0,
        "filled": 0,
        "rejected": 0,
        "turnover": 0.0,
        "pnl": None,
        "unpriced": 0,
        "defined": None,
        "lease": None,
    }
    return rows.setdefault(strategy, fresh)


OPEN = (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING)


def _add_orders(rows: dict[str, dict[str, Any]], parts: Parts) -> None:
    """Counts of the day's orders and what their fills are worth now.

    The result is of the day's fills alone: bought and sold values, with what is left of them at its last
    price. A position carried in from before is nobody's.
    """
    book = parts.desk.books.orders()
    for order in book.orders:
        row = _row(rows, book.strategies.get(order.order_id, "") or "(elsewhere)")
        row["orders"] += 1
        row["open"] += order.status in OPEN
        row["rejected"] += order.status is OrderStatus.REJECTED
        row["filled"] += order.filled_quantity > 0
    for strategy, held in _fills(book).items():
        row = _row(rows, strategy)
        total = 0.0
        for key, (net, cash) in held.items():
            price = parts.market.last_price(key) if net else 0.0
            if price is None:
                row["unpriced"] += 1
                continue
            total += cash + net * float(price)
        row["pnl"] = round(total, 2)


def _fills(book: Any) -> dict[str, dict[Any, list[float]]]:
    """Strategy -> instrument -> net quantity and cash."""
    found: dict[str, dict[Any, list[float]]] = {}
    filled: Iterable[Any] = (order for order in book.orders if order.filled_quantity)
    for order in filled:
        strategy = book.strategies.get(order.order_id, "") or "(elsewhere)"
        pair = found.setdefault(strategy, {}).setdefault(order.key, [0.0, 0.0])
        sign = 1 if order.action is Action.BUY else -1
        pair[0] += sign * order.filled_quantity
        pair[1] -= sign * order.filled_quantity * float(order.average_price or 0)
    return found
