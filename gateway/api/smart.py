"""Smart orders: the caller names the position it wants, the order that leads there is worked out here.

Source: openalgo-api, section 2.1, the table of placesmartorder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask import Response

from brokers.errors import BrokerError, NotReady
from brokers.model import Action, InstrumentKey, OrderRequest, PriceType
from gateway.api import errors, orders, reply
from gateway.api.parts import Call, Parts
from gateway.store.journal import JournalRow
from gateway.trading import moving
from gateway.trading.answers import OrderAnswer

NOTHING_OPEN = "No OpenPosition Found. Not placing Exit order."
MATCHED = "Positions Already Matched. No Action needed."


@dataclass(frozen=True, slots=True)
class Trade:
    """What has to be traded to reach the target."""

    action: Action
    quantity: int


def plan(target: int, held: int, action: Action, quantity: int) -> Trade | str:
    """The first matching row of the table: a trade, or the message that says why there is none.

    Args:
        target, held: Signed quantities of exactly one (symbol, exchange, product).
        action, quantity: The request's; they count only when nothing is held and nothing is wanted.
    """
    if target == held == 0:
        return Trade(action, quantity) if quantity else NOTHING_OPEN
    if target == held:
        return MATCHED
    return Trade(Action.BUY if target > held else Action.SELL, abs(target - held))


def only_reduces(target: int, held: int) -> bool:
    return target * held >= 0 and abs(target) < abs(held)


def place(parts: Parts, call: Call) -> dict[str, Any] | Response:
    found = reach(parts, call)
    return reply.problem(found, parts.settings.name) if isinstance(found, errors.Problem) else found


def reach(parts: Parts, call: Call) -> dict[str, Any] | errors.Problem:
    """One at a time for each position; the position is read from the broker after the turn has come.

    Raises:
        RateLimited: The turn did not come in time.
        NotReady: An order for this position has an unknown outcome; another could double it.
    """
    data = call.data
    rules = parts.settings.trading
    key = InstrumentKey(data["exchange"], data["symbol"])
    client_id = orders.client_order_id(call)
    patience_s = rules.order_deadline_s + rules.broker_timeout_s
    with parts.desk.turns.take((key, data["product"]), patience_s):
        if client_id is not None:
            first = parts.desk.first_answer(client_id, key, data["product"])
            if first is not None:
                return _answer(first, orders.request_of(data))
        try:
            working = _settled(parts, key, data["product"])
            held = _held(parts, key, data["product"])
        except NotReady:
            raise
        except BrokerError as exc:
            found = errors.of_exception(exc)
            message = f"The position could not be read, so nothing was traded: {exc}"
            return replace(found, message=message)
        body = _towards(parts, call, held, client_id)
    if isinstance(body, dict) and working:
        # they may change the position later; the table does not know them
        body["working_orders"] = [row.shown_id for row in working]
    return body


def _towards(parts: Parts, call: Call, held: int, client_id: str | None) -> dict[str, Any] | errors.Problem:
    target, data = int(call.data["position_size"]), call.data
    trade = plan(target, held, Action(data["action"].upper()), int(data["quantity"]))
    if isinstance(trade, str):
        return {"status": "success", "message": trade}
    request = orders.request_of(data, action=trade.action, quantity=trade.quantity)
    answer = parts.desk.place(
        request,
        strategy=data["strategy"],
        client_order_id=client_id,
        received_ns=call.received_ns,
        lease=data.get("strategy_lease", ""),
        # a resting exit would make "close all" believe that the position is being closed
        is_exit=request.price_type is PriceType.MARKET and only_reduces(target, held),
    )
    return _answer(answer, request)


def _answer(answer: OrderAnswer, request: OrderRequest) -> dict[str, Any] | errors.Problem:
    return orders.taken(answer, request) if answer.ok else errors.of_answer(answer)


def _held(parts: Parts, key: InstrumentKey, product: str) -> int:
    """Net quantity the broker shows now. Raises its errors: a position that cannot be read is not zero."""
    return sum(p.quantity for p in parts.desk.positions() if (p.key, p.product) == (key, product))


def _settled(parts: Parts, key: InstrumentKey, product: str) -> list[JournalRow]:
    """Wait, for a short while, for orders about to change this position; those that then still work.

    Without it two alerts in the same second would both see the position before the first one's fill.

    Raises:
        NotReady: One of them has an unknown outcome.
        BrokerError: The order book cannot be read.
    """
    left = parts.desk.settled(key, product)
    doubtful = [row.shown_id for row in left.moving if moving.is_doubtful(row)]
    if doubtful:
        raise NotReady(
            f"the outcome of {', '.join(doubtful)} on {key} {product} is not known yet; nothing was sent, "
            "because another order could double it"
        )
    return left.rows
