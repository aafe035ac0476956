"""``/web/api/*``: what the scripts of the pages ask. A web session and its form token instead of an API key.

``call/<path>`` is every endpoint of ``/api/v1`` under the session: the same schemas, handlers and mode. A
person's own order is never held back for approval (semi-auto is for programs).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from brokers.errors import InvalidRequest, NotFound
from brokers.model import Order, Position
from gateway.api import errors, historify, present, reply, resolving, waiting
from gateway.api.dispatch import body_of, perform
from gateway.api.fields import EXCHANGES, PRODUCTS, named, one_of
from gateway.api.parts import Call, Endpoint
from gateway.api.surface import ENDPOINTS
from gateway.http.gate import caller, from_elsewhere
from gateway.store.users import User
from gateway.tickets import Tickets
from gateway.web import charts, latency, marketdata, strategies, traffic, watchlists
from gateway.web.lookup import Lookup
from gateway.web.shell import Web

BY_PATH = {(e.method, e.path): e for e in (*ENDPOINTS, *historify.ENDPOINTS) if e.handler is not None}
FOUND_AT_MOST = 60
LABEL = "web"
"""The strategy of an order made by hand on a page."""


class Orders(Schema):
    """Orders to cancel, by the broker's number."""

    orderids = fields.List(fields.String(), required=True, validate=validate.Length(min=1, max=2000))


class Held(Schema):
    """One position to close, as the book names it."""

    exchange = one_of(EXCHANGES)
    symbol = named()
    product = one_of(PRODUCTS)


class Positions(Schema):
    """Positions to close, all of what is held of each."""

    positions = fields.List(fields.Nested(Held), required=True, validate=validate.Length(min=1, max=500))


def blueprint(web: Web) -> Blueprint:
    api = Blueprint("page_api", __name__, url_prefix="/web/api")
    instance = web.parts.settings.name

    @api.before_request
    def guard() -> Response | None:
        endpoint = _endpoint()
        limit = endpoint.limit if endpoint else "PAGE_RATE_LIMIT"
        name = f"web {request.endpoint} {endpoint.path if endpoint else ''}"
        wait_s = web.parts.limits.hit(limit, name, caller(request.environ))
        if wait_s is not None:
            return reply.problem(errors.rate_limited(wait_s), instance)
        if web.user() is None:
            found = errors.Problem(401, "SIGN_IN_REQUIRED", "sign in first")
            return reply.problem(found, instance)
        wrong = from_elsewhere(request.environ) if request.method == "GET" else not web.csrf.valid()
        if wrong:
            found = errors.Problem(403, "FORM_OUT_OF_DATE", "this page is out of date: load it again")
            return reply.problem(found, instance)
        return None

    @api.errorhandler(ValidationError)
    def on_invalid(exc: ValidationError) -> Response:
        return reply.problem(errors.invalid_fields(exc.messages, "V2"), instance)

    _live_routes(api, web)
    _call_route(api, web)
    _book_routes(api, web)
    _watch_routes(api, web)
    latency.add_calls(api, web)
    charts.add_calls(api, web)
    marketdata.add_calls(api, web)
    strategies.add_calls(api, web)
    traffic.add_calls(api, web)
    # as the command line has them
    resolving.add_routes(api, web.parts)
    waiting.add_routes(api, web.parts)
    return api


def _live_routes(api: Blueprint, web: Web) -> None:
    tickets = Tickets(web.parts.settings.internal_key, web.parts.clock)

    @api.get("/state")
    def state() -> Response:
        return reply.json(web.live.state())

    @api.get("/books")
    def books() -> Response:
        return reply.json(web.live.books())

    @api.get("/day-line")
    def day_line() -> Response:
        points = web.live.line.points(paper=web.parts.analyzing())
        return reply.json({"points": [asdict(point) for point in points]})

    @api.post("/feed-ticket")
    def feed_ticket() -> Response:
        ticket = tickets.issue(web.sessions.sid, web.sessions.until)
        return reply.json({"ticket": ticket, "port": web.parts.settings.ws_port})


def _call_route(api: Blueprint, web: Web) -> None:
    @api.route("/call/<path:path>", methods=["GET", "POST"])
    def call(path: str) -> Response:
        endpoint = _endpoint()
        if endpoint is None:
            raise NotFound(f"there is no {request.method} /api/v1/{path}")
        given: Any = request.args.to_dict() if request.method == "GET" else body_of(request.get_data())
        if not isinstance(given, dict):
            raise InvalidRequest("expected a JSON object")
        data = endpoint.schema().load({**given, "apikey": LABEL})
        parts = web.now()
        if endpoint.auth == "session":
            parts.session.check()
        asked = Call(data, request.environ.get("algo.received_ns") or parts.clock.time_ns(), request.headers)
        answer = perform(parts, endpoint, asked)
        return answer if isinstance(answer, Response) else reply.json(answer)


def _endpoint() -> Endpoint | None:
    """The public endpoint a ``call/…`` is for."""
    path = (request.view_args or {}).get("path", "")
    return BY_PATH.get((request.method, path))


def _book_routes(api: Blueprint, web: Web) -> None:
    @api.post("/orders/cancel")
    def cancel_some() -> Response:
        """Those of a list that still work; each is told of."""
        wanted = frozenset(Orders().load(body_of(request.get_data()))["orderids"])
        parts = web.now()
        report = parts.desk.cancel_some(LABEL, lambda order: _id(order) in wanted)
        return _told(report.cancelled, report.failed)

    @api.post("/positions/exit")
    def exit_some() -> Response:
        rows = Positions().load(body_of(request.get_data()))["positions"]
        wanted = {(row["exchange"], row["symbol"], row["product"]) for row in rows}

        def is_wanted(one: Position) -> bool:
            return (str(one.key.exchange), one.key.symbol, str(one.product)) in wanted

        parts = web.now()
        report = parts.desk.close_some(LABEL, is_wanted)
        return _told([done.order_id for done in report.closed], report.failed)

    @api.get("/orders/<int:journal_id>/events")
    def events(journal_id: int) -> Response:
        """Evidence: everything known to have happened to one order."""
        return reply.json({"events": web.now().desk.unknowns.evidence(journal_id)})


def _id(order: Order) -> str:
    return order.order_id


def _told(done: Any, failed: Any) -> Response:
    rows = [{"what": one.what, "code": one.code, "message": one.message} for one in failed]
    return reply.json({"status": "partial" if rows else "success", "done": list(done), "failed": rows})


def _watch_routes(api: Blueprint, web: Web) -> None:
    lookup = Lookup(web.parts.instruments)

    @api.get("/search")
    def search() -> Response:
        text = request.args.get("q", "").strip()[:80]
        exchange = request.args.get("exchange") or None
        found = lookup.find(text, exchange, FOUND_AT_MOST)
        return reply.json({"data": [present.instrument_row(one) for one in found]})

    @api.get("/lists")
    def lists() -> Response:
        return reply.json({"lists": watchlists.of(web, _owner(web))})

    @api.put("/lists")
    def keep_lists() -> Response:
        kept = watchlists.Lists().load(body_of(request.get_data()))["lists"]
        watchlists.keep(web, _owner(web), kept)
        return reply.json({"lists": kept})


def _owner(web: Web) -> User:
    user = web.user()
    assert user is not None  # the guard has looked
    return user
