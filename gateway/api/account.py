"""Books, positions, holdings, funds: reads of the account."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from flask import Response

from brokers.errors import NotFound
from gateway.api import present, reply
from gateway.api.parts import Call, Parts
from gateway.trading.book import Book

# bytes of the book shown last, for as long as somebody holds it
_RENDERED: WeakKeyDictionary[Book, bytes] = WeakKeyDictionary()


def order_status(parts: Parts, call: Call) -> dict[str, Any]:
    order_id = call.data["orderid"]
    order = parts.desk.order(order_id)
    if order is None:
        raise NotFound(f"Order {order_id} not found")
    row = present.order_row(order, parts.desk.strategy_of(order_id))
    row["price_type"] = row["pricetype"]
    return {"status": "success", "data": row}


def order_book(parts: Parts, _call: Call) -> dict[str, Any] | Response:
    """``as_of`` says when the broker was asked: now, or at most half a second ago (``trading.book``)."""
    book = parts.desk.books.orders()
    if parts.analyzing():
        return _book_body(book)
    raw = _RENDERED.get(book)
    if raw is None:
        raw = _RENDERED[book] = reply.encode(_book_body(book))
    return reply.encoded(raw)


def _book_body(book: Book) -> dict[str, Any]:
    rows = [present.order_row(order, book.strategies.get(order.order_id, "")) for order in book.orders]
    statistics = present.order_statistics(book.orders)
    as_of = book.as_of.isoformat(timespec="milliseconds")
    return {"status": "success", "data": {"orders": rows, "statistics": statistics, "as_of": as_of}}


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
