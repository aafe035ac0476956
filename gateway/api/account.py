"""Books, positions, holdings, funds: reads of the account."""

from __future__ import annotations

from typing import Any

from brokers.errors import NotFound
from gateway.api import present
from gateway.api.parts import Call, Parts


def order_status(parts: Parts, call: Call) -> dict[str, Any]:
    order_id = call.data["orderid"]
    order = parts.desk.order(order_id)
    if order is None:
        raise NotFound(f"Order {order_id} not found")
    row = present.order_row(order, parts.desk.strategy_of(order_id))
    row["price_type"] = row["pricetype"]
    return {"status": "success", "data": row}


def order_book(parts: Parts, _call: Call) -> dict[str, Any]:
    orders = parts.desk.orders()
    rows = [present.order_row(order, parts.desk.strategy_of(order.order_id)) for order in orders]
    return {"status": "success", "data": {"orders": rows, "statistics": present.order_statistics(orders)}}


def trade_book(parts: Parts, _call: Call) -> dict[str, Any]:
    trades = parts.desk.trades()
    rows = [present.trade_row(trade, parts.desk.strategy_of(trade.order_id)) for trade in trades]
    return {"status": "success", "data": rows}


def position_book(parts: Parts, _call: Call) -> dict[str, Any]:
    rows = [present.position_row(p, parts.market.last_price(p.key)) for p in parts.desk.positions()]
    return {"status": "success", "data": rows}


def open_position(parts: Parts, call: Call) -> dict[str, Any]:
    """Net quantity as a number: zero only when the broker's book has no such position."""
    wanted = (call.data["exchange"], call.data["symbol"], call.data["product"])
    quantity = sum(
        p.quantity for p in parts.desk.positions() if (p.key.exchange, p.key.symbol, p.product) == wanted
    )
    return {"status": "success", "quantity": quantity}


def holdings(parts: Parts, _call: Call) -> dict[str, Any]:
    found = parts.desk.holdings()
    return {
        "status": "success",
        "data": {
            "holdings": [present.holding_row(holding) for holding in found],
            "statistics": present.holding_statistics(found),
        },
    }


def funds(parts: Parts, _call: Call) -> dict[str, Any]:
    return {"status": "success", "data": present.funds_row(parts.desk.funds())}


def ping(parts: Parts, _call: Call) -> dict[str, Any]:
    settings = parts.settings
    return {
        "status": "success",
        "data": {
            "message": "pong",
            "broker": settings.broker,
            "instance": settings.name,
            "venue": settings.venue.value,
            **({"mode": "analyze"} if parts.analyzing() else {}),
        },
    }
