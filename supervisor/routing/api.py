"""``/api/v1`` of the route: orders to the instance the policy picks, data from one instance.

The key is the route's own (``algo route key create``). What belongs to one broker alone, and what would need
one decision for several orders, answers 501 and says what to do instead.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from brokers.errors import AlgoError, InvalidRequest, StoreError
from supervisor.routing import books
from supervisor.routing.config import Config
from supervisor.routing.forward import Forwarder
from supervisor.routing.journal import Journal
from supervisor.routing.keys import RouteKeys
from supervisor.routing.link import Loopback
from supervisor.routing.model import Answer, Lost, NotSent, Order, State
from supervisor.routing.watch import Watch

log = logging.getLogger(__name__)
PREFIX = "/api/v1"
LONGEST_ID = 64
PLACING = ("placeorder", "placesmartorder")
BY_ID = ("modifyorder", "cancelorder", "orderstatus")
MERGED: Mapping[str, Callable[[books.Bodies], dict[str, Any]]] = {
    "orderbook": books.order_books,
    "tradebook": books.lists,
    "positionbook": books.lists,
    "openposition": books.quantities,
}
EVERYWHERE = {"cancelallorder": books.cancelled, "closeposition": books.closed}
DATA = (
    *("quotes", "multiquotes", "depth", "history", "intervals", "symbol", "search", "expiry"),
    *("optionsymbol", "optionchain", "syntheticfuture", "optiongreeks", "multioptiongreeks"),
    *("market/holidays", "market/timings"),
)
INSTEAD = {
    "basketorder": "send each order with placeorder: each is decided by itself",
    "splitorder": "send each piece with placeorder",
    "optionsorder": "find the symbol with optionsymbol, then send it with placeorder",
    "optionsmultiorder": "find the symbols with optionsymbol, then send each leg with placeorder",
    "funds": "ask each instance: money at one broker buys nothing at another",
    "holdings": "ask each instance",
    "margin": "ask each instance: every broker blocks another amount",
}
OTHERWISE = "ask an instance itself; the route carries orders, books and market data"
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(enc_hook=str).encode
Body = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """Everything behind the address."""

    config: Config
    keys: RouteKeys
    journal: Journal
    forwarder: Forwarder
    link: Loopback
    watch: Watch
    pool: ThreadPoolExecutor


def blueprint(route: Route) -> Blueprint:
    """Every path below ``/api/v1``, with and without a slash at its end."""
    api = Blueprint("api", __name__, url_prefix=PREFIX)

    @api.route("/<path:path>", methods=["GET", "POST"])
    def serve(path: str) -> Response:
        try:
            found = answer(route, path.rstrip("/"), dict(_asked()))
        except InvalidRequest as exc:
            status = 404 if exc.code == "ORDER_NOT_FOUND" else 400
            found = Answer(status, problem(exc.code, str(exc)))
        except StoreError as exc:
            log.error("not carried out: %s", exc)
            told = f"Nothing was executed: the route's journal cannot be written ({exc})"
            found = Answer(503, problem("STORE", told))
        reply = Response(_encode(found.body), status=found.http, content_type="application/json")
        if "retry_after" in found.body:
            reply.headers["Retry-After"] = str(found.body["retry_after"])
        return reply

    return api


def problem(code: str, message: str, **more: Any) -> Body:
    return {"status": "error", "message": message, "code": code, **more}


def answer(route: Route, path: str, given: Body) -> Answer:
    """One request, its key first.

    Raises:
        InvalidRequest: The body is wrong.
        StoreError: The journal cannot be used; nothing was sent.
    """
    if not route.keys.verify(str(given.pop("apikey", ""))):
        step = "Make a key of the route with: algo route key create"
        return Answer(403, problem("INVALID_API_KEY", "Invalid openalgo apikey", next_step=step))
    if request.method != "POST":
        path = f"GET {path}"
    if path in PLACING:
        return route.forwarder.place(_order(path, given))
    if path in BY_ID:
        return _by_id(route, path, given)
    if path in MERGED:
        return _merged(route, path, given)
    if path in EVERYWHERE:
        worked, failed = _of_all(route, path, given)
        return EVERYWHERE[path](worked, failed)
    if path in DATA:
        return _one(route, route.config.data, path, given)
    if path == "ping":
        return Answer(200, _ping(route))
    step = INSTEAD.get(path, OTHERWISE)
    return Answer(501, problem("NOT_SUPPORTED", f"{path} is not for a route: {step}"))


def _asked() -> Body:
    if request.method == "GET":
        return {**request.args.to_dict(), "apikey": request.headers.get("X-API-KEY", "")}
    try:
        found = _decode(request.get_data(cache=False))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRequest(f"Request body is not valid JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise InvalidRequest("Request body must be a JSON object")
    return found


def _order(path: str, given: Body) -> Order:
    """The rest is checked by the instance it goes to.

    Raises:
        InvalidRequest: It names no contract, or two ids.
    """
    for name in ("exchange", "symbol"):
        if not isinstance(given.get(name), str) or not 1 <= len(given[name]) <= LONGEST_ID:
            raise InvalidRequest(str({name: ["Missing data for required field."]}))
    field, header = given.get("client_order_id"), request.headers.get("Idempotency-Key")
    if field is not None and header is not None and field != header:
        raise InvalidRequest("client_order_id and the Idempotency-Key header differ; send one of them")
    found = field if field is not None else header
    if found is None:
        found = f"route-{uuid.uuid4().hex}"
    if not isinstance(found, str) or not 1 <= len(found) <= LONGEST_ID:
        raise InvalidRequest(f"client_order_id must have 1 to {LONGEST_ID} characters")
    return Order(path, {**given, "client_order_id": found})


def _by_id(route: Route, path: str, given: Body) -> Answer:
    """To the instance that has the order.

    Raises:
        InvalidRequest: There is no such order.
    """
    text = str(given.get("orderid", ""))
    name, order_id = books.parsed(text, route.config.instances)
    if not name:
        row = route.forwarder.look_up(int(order_id))
        if row is None:
            raise InvalidRequest(f"there is no {text} in the route's journal", code="ORDER_NOT_FOUND")
        # an instance that has it without an id of the broker knows it by its own journal
        order_id = row.order_id or (f"J{row.answer['journal_id']}" if "journal_id" in row.answer else "")
        if row.state is State.OPEN and not order_id:
            return Answer(504, {**books.unknown(row), "instance": row.chosen.instance})
        if not order_id:
            said = row.answer.get("message") or "it had nothing to do"
            raise InvalidRequest(f"{text} never became an order: {said}", code="ORDER_NOT_FOUND")
        name = row.chosen.instance
    return _one(route, name, path, {**given, "orderid": order_id}, told_as=text)


def _one(route: Route, name: str, path: str, given: Body, told_as: str = "") -> Answer:
    """Carried out once by one instance. Reads and changes alike: a change without an answer is unknown."""
    try:
        http, body = route.link.carry_out(name, path, given)
    except NotSent as exc:
        step = f"Nothing was executed. See: algo status {name}"
        return Answer(503, problem("ROUTE_NOT_SENT", f"{name} cannot be reached: {exc}", next_step=step))
    except Lost as exc:
        if path in ("modifyorder", "cancelorder"):
            step = f"Look with orderstatus and orderid {told_as} before you send it again."
            said = f"{exc}; the change may have been carried out"
            return Answer(504, problem("OUTCOME_UNKNOWN", said, next_step=step, orderid=told_as))
        return Answer(502, problem("WIRE", str(exc)))
    if not isinstance(body, dict):
        return Answer(502, problem("WIRE", f"{name} gave no readable answer"))
    return Answer(http, books.marked(name, body) if told_as else body)


def _merged(route: Route, path: str, given: Body) -> Answer:
    """One book of all. One missing instance, or live and paper in one book, would make it a wrong one."""
    worked, failed = _of_all(route, path, given)
    if failed:
        said = "; ".join(f"{name}: {why}" for name, why in failed.items())
        step = "Ask the instances that answer themselves."
        return Answer(503, problem("NO_ROUTE", f"not all instances answer: {said}", next_step=step))
    modes = {name: str(body.get("mode", "live")) for name, body in worked.items()}
    if len(set(modes.values())) > 1:
        shown = ", ".join(f"{name} {mode}" for name, mode in modes.items())
        step = "Put all instances into one mode, or ask each one itself."
        return Answer(409, problem("NO_ROUTE", f"live and paper do not mix ({shown})", next_step=step))
    found = MERGED[path](worked)
    return Answer(200, found | ({"mode": "analyze"} if "analyze" in modes.values() else {}))


def _of_all(route: Route, path: str, given: Body) -> tuple[dict[str, Body], dict[str, str]]:
    """What each instance answered, with the route's ids; and why some did not. Asked once, all at once."""

    def ask(name: str) -> Body | str:
        try:
            http, body = route.link.carry_out(name, path, given)
        except NotSent as exc:
            return f"nothing was done there: {exc}"
        except Lost as exc:
            return f"{exc}; what was done there is not known"
        if http == 200 and isinstance(body, dict):
            return books.marked(name, body)
        return str(body.get("message", f"HTTP {http}")) if isinstance(body, dict) else f"HTTP {http}"

    names = route.config.instances
    worked: dict[str, Body] = {}
    failed: dict[str, str] = {}
    for name, found in zip(names, route.pool.map(ask, names), strict=True):
        if isinstance(found, str):
            failed[name] = found
        else:
            worked[name] = found
    return worked, failed


def _ping(route: Route) -> Body:
    config = route.config
    more = {"instances": list(config.instances), "data": config.data, "venue": config.venue.value}
    return {"status": "success", "data": {"message": "pong", "broker": "route", "instance": "route", **more}}


def health(route: Route) -> Body:
    """Ready as long as it serves: an instance that does not answer is shown, and its orders say so."""
    try:
        waiting = route.journal.open_count()
    except AlgoError as exc:
        return {"ready": False, "waiting_for": [f"the journal: {exc}"]}
    silent = [f"{name} ({why})" for name, why in route.watch.silent().items()]
    return {
        "ready": True,
        "state": f"{waiting}-open",
        "instances": list(route.config.instances),
        "data": route.config.data,
        "waiting_for": silent,
    }
