"""What answers of the sandbox hold beyond those of a live account (``A+`` in openalgo-api, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from brokers.model import Position
from gateway.api import present
from gateway.api.parts import Parts

Body = dict[str, Any]


def extended(parts: Parts, path: str, body: Body) -> Body:
    """``body`` with the keys analyze mode adds; itself when there are none."""
    more = EXTRAS.get(path)
    return body if more is None or body.get("status") != "success" else more(parts, body)


def profits(positions: list[Position]) -> tuple[list[Body], Body]:
    """Per position and in all; rupees. A position without a price counts as not having moved."""
    rows = []
    realized = unrealized = Decimal(0)
    for position in positions:
        earned, open_profit = position.realized_pnl or Decimal(0), position.unrealized_pnl or Decimal(0)
        realized += earned
        unrealized += open_profit
        cost = abs(position.average_price * position.quantity)
        rows.append(
            {
                "pnlpercent": float(round(open_profit / cost * 100, 2)) if cost else 0.0,
                "unrealized_pnl": _number(open_profit),
                "today_realized_pnl": _number(earned),
                "total_pnl_today": _number(earned + open_profit),
            }
        )
    totals = {
        "total_pnl": _number(realized + unrealized),
        "total_unrealized_pnl": _number(unrealized),
        "total_today_realized_pnl": _number(realized),
        "total_pnl_today": _number(realized + unrealized),
    }
    return rows, totals


def _positions(parts: Parts, body: Body) -> Body:
    found = {(p.key.exchange, p.key.symbol, str(p.product)): p for p in parts.desk.positions()}
    shown = [found.get((r["exchange"], r["symbol"], r["product"])) for r in body["data"]]
    more, totals = profits([p for p in shown if p is not None])
    extras = iter(more)
    rows = []
    for row, position in zip(body["data"], shown, strict=True):
        if position is None:  # gone between two readings: the day turned, or a reset
            continue
        instrument = parts.instruments.by_key(position.key)
        rows.append({**row, **next(extras), "lot_size": instrument.lot_size if instrument else 1})
    return {**body, "data": rows, **totals}


def _holdings(parts: Parts, body: Body) -> Body:
    settled = parts.sandbox.exchange.state().settled if parts.sandbox else {}
    rows = []
    for row in body["data"]["holdings"]:
        price = row.get("ltp", row.get("average_price", 0.0))
        key = f"{row['exchange']}:{row['symbol']}"
        more = {"current_value": round(row["quantity"] * price, 2), "settlement_date": settled.get(key, "")}
        rows.append({**row, **more})
    return {**body, "data": {**body["data"], "holdings": rows}}


def _trades(parts: Parts, body: Body) -> Body:  # noqa: ARG001
    return {**body, "data": [{**row, "price": row["average_price"]} for row in body["data"]]}


def _funds(parts: Parts, body: Body) -> Body:
    """Money as text, as the five live values are (section 8, row 8)."""
    if parts.sandbox is None:
        return body
    state, funds = parts.sandbox.exchange.state(), parts.desk.funds()
    exposure = sum((abs(p.quantity * p.average_price) for p in parts.desk.positions()), Decimal(0))
    total = funds.m2m_realized + funds.m2m_unrealized
    more = {
        "total_realized_pnl": _text(state.realized_before + funds.m2m_realized),
        "today_realized_pnl": _text(funds.m2m_realized),
        "grossexposure": _text(exposure),
        "totalpnl": _text(state.realized_before + total),
        "last_reset": present.ist(parts.sandbox.exchange.last_reset()),
        "reset_count": state.reset_count,
    }
    return {**body, "data": {**body["data"], **more}}


def _legs(parts: Parts, body: Body) -> Body:  # noqa: ARG001
    rows = [{**row, "mode": "analyze"} if "mode" in row else row for row in body["results"]]
    return {**body, "results": rows}


EXTRAS: dict[str, Callable[[Parts, Body], Body]] = {
    "positionbook": _positions,
    "holdings": _holdings,
    "tradebook": _trades,
    "funds": _funds,
    "optionsmultiorder": _legs,
}


def _number(amount: Decimal) -> float:
    return float(round(amount, 2))


def _text(amount: Decimal) -> str:
    return f"{amount:.2f}"
