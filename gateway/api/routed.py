"""``/internal/routed/*``: what the route ``best`` asks of one instance.

How it stands, to carry out a request, and what became of an order whose answer was lost.

The route sends every order once. When no answer comes it does not send again: it asks here, and an order this
instance has never journaled is closed in the same breath. Bytes that were still on their way are refused when
they arrive, so "nothing was sent" stays true. Closing needs no disk: what has not been carried out when this
process ends never will be.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.datastructures import Headers

from brokers.errors import BrokerError, InvalidRequest
from brokers.model import InstrumentKey
from gateway.api import errors, modes, orders, reply, semiauto
from gateway.api.dispatch import body_of, perform
from gateway.api.health import readiness
from gateway.api.names import in_openalgos_words, key_of
from gateway.api.parts import Call, Endpoint, Parts
from gateway.api.surface import ENDPOINTS

PLACING = frozenset({"placeorder", "placesmartorder"})
MODES = ("live", "analyze")
CLOSED_KEPT = 20_000
"""Closed orders remembered, the oldest forgotten first: bytes on their way arrive within seconds."""
_BY_PATH: Mapping[str, tuple[Endpoint, Schema]] = {
    one.path: (one, one.schema()) for one in ENDPOINTS if one.method == "POST" and one.handler is not None
}


class RoutedCall(Schema):
    """``attempt``: of a new order, from 1. ``mode``: refused when the instance is in another."""

    endpoint = fields.String(required=True, validate=validate.OneOf(sorted(_BY_PATH)))
    body = fields.Raw(required=True)
    mode = fields.String(load_default="", validate=validate.OneOf(("", *MODES)))
    attempt = fields.Integer(load_default=1, validate=validate.Range(min=1))


class RoutedOrder(RoutedCall):
    """An order the route hands to this instance, for the endpoint it came in by."""

    endpoint = fields.String(required=True, validate=validate.OneOf(sorted(PLACING)))
    mode = fields.String(required=True, validate=validate.OneOf(MODES))


@dataclass
class Fence:
    """Which attempts of which orders are being carried out, and which never will be. Thread-safe."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _flying: dict[str, int] = field(default_factory=dict)
    _closed: OrderedDict[str, int] = field(default_factory=OrderedDict)

    @contextlib.contextmanager
    def passing(self, client_order_id: str, attempt: int) -> Iterator[bool]:
        """False inside when this attempt was closed: it must not be carried out."""
        with self._lock:
            closed = attempt <= self._closed.get(client_order_id, 0)
            if not closed:
                self._flying[client_order_id] = self._flying.get(client_order_id, 0) + 1
        if closed:
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                self._flying[client_order_id] -= 1
                if not self._flying[client_order_id]:
                    del self._flying[client_order_id]

    def flies(self, client_order_id: str) -> bool:
        """Some attempt of it is being carried out now."""
        with self._lock:
            return client_order_id in self._flying

    def close(self, client_order_id: str, attempt: int, known: Callable[[], bool]) -> str:
        """``in flight``, ``known`` (the journal has it) or ``never``: it was not and will not be sent."""
        with self._lock:
            if client_order_id in self._flying:
                return "in flight"
            if known():
                return "known"
            self._closed[client_order_id] = max(attempt, self._closed.get(client_order_id, 0))
            self._closed.move_to_end(client_order_id)
            while len(self._closed) > CLOSED_KEPT:
                self._closed.popitem(last=False)
            return "never"


def add_routes(internal: Blueprint, parts: Parts) -> None:
    fence = Fence()

    @internal.get("/routed/standing")
    def standing() -> Response:
        asked = request.args
        return reply.json(_standing(parts, asked.get("exchange", ""), asked.get("symbol", "")))

    @internal.post("/routed/call")
    def call() -> Response:
        asked = RoutedCall().load(body_of(request.get_data(cache=False)))
        return reply.json(_called(parts, fence, asked))

    @internal.post("/routed/settle")
    def settle() -> Response:
        asked = RoutedOrder().load(body_of(request.get_data(cache=False)))
        return reply.json(_settled(parts, fence, asked))


# -- how it stands --------------------------------------------------------------------------------------


def _standing(root: Parts, exchange: str, symbol: str) -> dict[str, Any]:
    """What a decision needs. ``symbol``: as everybody spells it here.

    ``books`` is None while the broker's cannot be read: then they are not empty, but unknown.
    """
    parts = root.now() if root.now is not None else root
    ready = readiness(parts)
    found: dict[str, Any] = {
        "instance": parts.settings.name,
        "venue": parts.settings.venue.value,
        "mode": "analyze" if parts.analyzing() else "live",
        "ready": ready["ready"],
        "waiting_for": ready["waiting_for"],
        "executes": "execute" in parts.settings.roles,
        "semi_auto": parts.queue is not None and parts.queue.needs_approval,
        "blocked": parts.desk.guards.blocked(),
        "symbol": key_of(parts, exchange, symbol).symbol if symbol else "",
        "market_open": parts.hours.is_open(exchange, parts.clock.now()) if exchange else None,
        "books": None,
    }
    try:
        held, working = parts.desk.books.in_play()
        found["books"] = {"positions": _shown(held), "orders": _shown(working)}
    except BrokerError as exc:
        found["books_error"] = str(exc)
    return found


def _shown(keys: frozenset[InstrumentKey]) -> list[str]:
    return sorted(f"{key.exchange}:{key.symbol}" for key in keys)


# -- a request ------------------------------------------------------------------------------------------


def _called(root: Parts, fence: Fence, asked: Mapping[str, Any]) -> dict[str, Any]:
    """``http`` and ``answer`` as the public endpoint would have answered.

    Of a new order also ``journaled``: false proves that it has not been sent, and no attempt of it is being
    carried out.
    """
    endpoint, schema = _BY_PATH[asked["endpoint"]]
    parts = modes.pinned(root, endpoint)
    given = asked["body"] if isinstance(asked["body"], dict) else {}
    client_id = str(given.get("client_order_id") or "")
    if endpoint.path not in PLACING:
        return _carry_out(parts, endpoint, schema, asked, given)
    if not client_id:
        raise InvalidRequest("a routed order needs a client_order_id")
    with fence.passing(client_id, asked["attempt"]) as passes:
        if not passes:
            refused = errors.Problem(409, "ORDER_CLOSED", f"order {client_id} was given up before it arrived")
            return {**_told(refused, parts), "journaled": parts.desk.knows(client_id)}
        found = _carry_out(parts, endpoint, schema, asked, given)
    return {**found, "journaled": fence.flies(client_id) or parts.desk.knows(client_id)}


def _carry_out(
    parts: Parts, endpoint: Endpoint, schema: Schema, asked: Mapping[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    mode = "analyze" if parts.analyzing() else "live"
    try:
        if asked["mode"] not in ("", mode):
            wrong = f"{parts.settings.name} is in {mode} mode, and this was meant for {asked['mode']} mode"
            return _told(errors.Problem(409, "MODE_CHANGED", wrong), parts)
        data = schema.load({**given, "apikey": "route"})
        if endpoint.auth == "session" and not endpoint.brokerless(data):
            parts.session.check()
        call = Call(data, request.environ.get("algo.received_ns") or parts.clock.time_ns(), Headers())
        if parts.queue is not None and parts.queue.needs_approval and endpoint.path in semiauto.QUEUED:
            said = f"{parts.settings.name} is in semi-auto mode: orders wait there for approval"
            return _told(errors.Problem(403, "SEMI_AUTO", said), parts)
        # an order that may go is not put into the queue any more: nobody waits for a person here
        waits = None if endpoint.path in semiauto.QUEUED else semiauto.held_back(parts, endpoint, given, call)
        answer: Any = waits or perform(parts, endpoint, call)
    except ValidationError as exc:
        return _told(errors.invalid_fields(exc.messages, endpoint.style), parts)
    except semiauto.NotInSemiAuto as exc:
        return _told(errors.Problem(403, "SEMI_AUTO", str(exc)), parts)
    except Exception as exc:  # noqa: BLE001 (top of a request; of_exception logs what is not ours)
        return _told(errors.of_exception(exc), parts)
    if isinstance(answer, Response):
        return {"http": answer.status_code, "answer": answer.get_json(silent=True)}
    return {"http": 200, "answer": answer}


def _told(found: errors.Problem, parts: Parts) -> dict[str, Any]:
    return {"http": found.status, "answer": found.body(parts.settings.name)}


# -- an order whose answer was lost ---------------------------------------------------------------------


def _settled(root: Parts, fence: Fence, asked: Mapping[str, Any]) -> dict[str, Any]:
    """``state``: ``in flight``, ``never``, or ``known`` with what its first request is answered now."""
    endpoint, schema = _BY_PATH[asked["endpoint"]]
    parts = _in_mode(root, asked["mode"])
    try:
        data = in_openalgos_words(parts, schema.load({**asked["body"], "apikey": "route"}))
    except ValidationError:
        # what no schema takes has never become an order
        data = None
    client_id = str(asked["body"].get("client_order_id") or "")
    state = fence.close(client_id, asked["attempt"], lambda: parts.desk.knows(client_id))
    if state != "known":
        return {"state": state}
    try:
        if data is None:
            raise InvalidRequest("the id belongs to another order", code="CLIENT_ORDER_ID_REUSED")
        wanted = orders.request_of(data)
        answer = parts.desk.first_answer(client_id, wanted.key, wanted.product.value)
    except InvalidRequest as exc:
        return {"state": state, **_told(errors.of_exception(exc), parts)}
    if answer is None:
        return {"state": "in flight"}
    if answer.ok:
        return {
            "state": state,
            "http": 200,
            "answer": modes.told(parts, endpoint, orders.taken(answer, wanted)),
        }
    found = modes.told_problem(parts, endpoint, errors.of_answer(answer))
    return {"state": state, **_told(found, parts)}


def _in_mode(parts: Parts, mode: str) -> Parts:
    """The parts of one mode, whichever the instance is in now."""
    if mode == "analyze" and parts.sandbox is not None:
        paper = parts.sandbox
        return replace(parts, desk=paper.desk, market=paper.market, analyzing=lambda: True)
    return replace(parts, analyzing=lambda: False)
