"""Many orders with one request: a basket of different ones, or one order in pieces.

Source: openalgo-api, section 2.1, basketorder and splitorder; section 8, row 33 (results in request order).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from brokers.errors import InvalidRequest, RateLimited
from brokers.model import Action, OrderRequest
from gateway.api import errors, orders
from gateway.api.parts import Call, Parts

MOST_CHILDREN = 100
AT_ONCE = 7
"""As many as fit into the brokers' shortest window. Every batch ends before the next begins, so each order
competes for one slot with at most six others and none of them is starved beyond its deadline."""
WHOLE_S = 60.0
"""A basket or split may take this long: what has not left by then is refused while the caller still waits."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the orders of one request share. ``deadline`` is monotonic seconds."""

    parts: Parts
    call: Call
    client_id: str | None
    deadline: float

    def send(self, number: int, request: OrderRequest) -> dict[str, Any]:
        """One order and its outcome; an error is a result, for the others' outcomes must be told too."""
        parts, call = self.parts, self.call
        try:
            if parts.clock.monotonic() >= self.deadline:
                raise RateLimited(
                    f"could not leave within {WHOLE_S:g} s of the request; nothing was sent",
                    retry_after_s=1.0,
                )
            answer = parts.desk.place(
                request,
                strategy=call.data["strategy"],
                client_order_id=None if self.client_id is None else f"{self.client_id}#{number}",
                received_ns=call.received_ns,
                lease=call.data.get("strategy_lease", ""),
            )
        except Exception as exc:  # noqa: BLE001 (top of one order; of_exception logs what is not ours)
            return errors.of_exception(exc).body(parts.settings.name)
        if not answer.ok:
            return errors.of_answer(answer).body(parts.settings.name)
        return orders.taken(answer, request)


def _sending(parts: Parts, call: Call) -> Sending:
    """With an ``Idempotency-Key``, each order has an id made from it, so a repeat sends none."""
    deadline = parts.clock.monotonic() + WHOLE_S
    return Sending(parts, call, orders.client_order_id(call), deadline)


def basket(parts: Parts, call: Call) -> dict[str, Any]:
    """BUYs before SELLs, so that hedges stand first; several at once; results in the order of the request.

    The top level is ``success`` whatever became of the orders: each result tells its own.
    """
    sending = _sending(parts, call)
    requests = [orders.request_of(item) for item in call.data["orders"]]
    found: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="basket") as pool:
        for action in (Action.BUY, Action.SELL):
            numbers = [n for n, request in enumerate(requests) if request.action is action]
            for batch in _batches(numbers):
                outcomes = pool.map(sending.send, batch, [requests[n] for n in batch])
                found.update(zip(batch, outcomes, strict=True))
    results = [_named(_who(request), found[number]) for number, request in enumerate(requests)]
    return {"status": "success", "results": results}


def _who(request: OrderRequest) -> dict[str, Any]:
    return {
        "symbol": request.key.symbol,
        "exchange": request.key.exchange,
        "product": request.product.value,
    }


def _named(what: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    # an error may carry messages under a field's name, and ``symbol`` must stay the symbol
    return {**what, **outcome, **what}


def _batches(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    return (numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE))


def split(parts: Parts, call: Call) -> dict[str, Any]:
    """One child after another, paced by the account's limiter.

    Raises:
        InvalidRequest: More than 100 children.
    """
    total, size = int(call.data["quantity"]), call.data["splitsize"]
    sending = _sending(parts, call)
    results = [
        _named(
            {"order_num": number, "quantity": quantity},
            sending.send(number, orders.request_of(call.data, quantity=quantity)),
        )
        for number, quantity in enumerate(children(total, size), start=1)
    ]
    return {"status": "success", "total_quantity": total, "split_size": size, "results": results}


def children(total: int, size: int) -> list[int]:
    """Full pieces and one remainder. Raises ``InvalidRequest`` for more than 100."""
    full, rest = divmod(total, size)
    if full + bool(rest) > MOST_CHILDREN:
        raise InvalidRequest(f"Total number of orders would exceed maximum limit of {MOST_CHILDREN}")
    return [size] * full + [rest] * bool(rest)
