"""GTT orders: place, modify, cancel, book. The broker keeps them where it can, else this gateway does.

Source: openalgo-api, section 2.3. Beyond it every answer says who keeps the GTT (``kept_by``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from flask import Response

from brokers.errors import AlgoError, NotSupported
from brokers.model import Action, GttLeg, GttRequest, InstrumentKey, PriceType, Product
from gateway.api import errors, reply
from gateway.api.gtt_schemas import end_of
from gateway.api.orders import client_order_id
from gateway.api.parts import Call, Parts
from gateway.api.present import ist
from gateway.triggers.parts import GttAnswer, Gtts, Shown

QUOTED = 20
"""Rows without a fresh price are quoted up to this many instruments."""


def place(parts: Parts, call: Call) -> dict[str, Any] | Response:
    """Keep an order that is sent when the price is reached."""
    parts.desk.guards.vet(call.data["strategy"], call.data["strategy_lease"])
    answer = _gtts(parts).place(
        request_of(call.data),
        strategy=call.data["strategy"],
        client_order_id=client_order_id(call),
        expires_ns=end_of(call.data["expires_at"]),
    )
    return _answer(parts, answer)


def modify(parts: Parts, call: Call) -> dict[str, Any] | Response:
    """Replace the terms of an active GTT; its type, instrument and side stay."""

    def grows(strategy: str) -> None:
        """What is added is as new as another GTT of that strategy."""
        parts.desk.guards.vet(strategy, call.data["strategy_lease"])

    return _answer(parts, _gtts(parts).modify(call.data["trigger_id"], request_of(call.data), grows))


def cancel(parts: Parts, call: Call) -> dict[str, Any] | Response:
    """Cancel an active GTT."""
    return _answer(parts, _gtts(parts).cancel(call.data["trigger_id"]))


def book(parts: Parts, call: Call) -> dict[str, Any]:
    """GTTs that have not ended, or all of them with their ends (``status``: ``all``)."""
    rows = _gtts(parts).book(everything=call.data["status"] == "all")
    prices = _prices(parts, rows)
    return _mode(parts, {"status": "success", "data": [row_of(row, prices.get(row.key)) for row in rows]})


def request_of(data: Mapping[str, Any]) -> GttRequest:
    """The GTT a valid body describes: the falling leg first."""
    sl, tg = data["triggerprice_sl"] or Decimal(0), data["triggerprice_tg"] or Decimal(0)
    legs: tuple[GttLeg, ...]
    if data["trigger_type"] == "OCO":
        legs = (GttLeg(sl, data["stoploss"], rises=False), GttLeg(tg, data["target"], rises=True))
    else:
        legs = (GttLeg(tg or sl, data["price"], rises=tg > 0),)
    return GttRequest(
        key=InstrumentKey(data["exchange"], data["symbol"]),
        action=Action(data["action"].upper()),
        quantity=int(data["quantity"]),
        price_type=PriceType(data["pricetype"]),
        product=Product(data["product"]),
        legs=legs,
    )


def row_of(row: Shown, last_price: float | None) -> dict[str, Any]:
    """One row of the book; ``last_price`` is null when nobody knows it."""
    margin = {} if row.margin is None else {"margin_blocked": float(row.margin)}
    return margin | {
        "trigger_id": row.trigger_id,
        "trigger_type": "two-leg" if len(row.legs) > 1 else "single",
        "status": row.state,
        "exchange": row.key.exchange,
        "symbol": row.key.symbol,
        "trigger_prices": [float(leg.trigger_price) for leg in row.legs],
        "last_price": last_price,
        "legs": [
            {
                "action": row.action,
                "quantity": row.quantity,
                "price": float(leg.price),
                "pricetype": row.price_type,
                "product": row.product,
            }
            for leg in row.legs
        ],
        "created_at": ist(row.created_at),
        "updated_at": ist(row.updated_at),
        "expires_at": ist(row.expires_at),
        "strategy": row.strategy,
        "kept_by": row.kept_by.value,
        "orderid": row.order_id,
        "code": row.code,
        "reason": row.reason,
    }


def _gtts(parts: Parts) -> Gtts:
    found = parts.paper_gtt if parts.analyzing() else parts.gtt
    if found is None:
        raise NotSupported("GTT orders are not available here")
    return found


def _answer(parts: Parts, answer: GttAnswer) -> dict[str, Any] | Response:
    if not answer.ok:
        extra: dict[str, Any] = {"trigger_id": answer.trigger_id, "gtt_status": answer.state}
        if answer.broker_code:
            extra["broker_code"] = answer.broker_code
        if answer.repeated:
            extra["repeated"] = True
        status = errors.STATUS.get(answer.code, 400)
        found = errors.Problem(status, answer.code, answer.message, extra, answer.retry_after_s)
        return reply.problem(found, parts.settings.name)
    body: dict[str, Any] = {
        "status": "success",
        "trigger_id": answer.trigger_id,
        "kept_by": answer.kept_by.value,
    }
    if answer.message:
        body["message"] = answer.message
    if answer.repeated:
        body["repeated"] = True
    return _mode(parts, body)


def _mode(parts: Parts, body: dict[str, Any]) -> dict[str, Any]:
    return body | {"mode": "analyze"} if parts.analyzing() else body


def _prices(parts: Parts, rows: Iterable[Shown]) -> dict[InstrumentKey, float | None]:
    """Last prices; a book is not refused because a quote is."""
    found = {row.key: parts.market.last_price(row.key) for row in rows}
    unknown = [key for key, price in found.items() if price is None][:QUOTED]
    if unknown:
        try:
            quotes, _ = parts.market.quotes(unknown)
        except AlgoError:
            return found
        found |= {key: quote.ltp for key, quote in quotes.items()}
    return found
