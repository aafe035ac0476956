"""The older surface as a table beside OpenAlgo's, and how its requests and errors differ.

The key may come as ``X-API-KEY`` too, and an error says ``error`` where OpenAlgo says ``message``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Request, Response
from marshmallow import Schema

from gateway.api import legacy
from gateway.api.dispatch import PREFIX, Dispatcher
from gateway.api.errors import Problem
from gateway.api.parts import Endpoint, Handler, Parts
from gateway.api.schemas import KeyOnly
from gateway.scopes import Scope

API = "API_RATE_LIMIT"


def _row(
    scope: Scope, method: str, path: str, limit: str, schema: type[Schema], handler: Handler
) -> Endpoint:
    # V3: the fields stand under ``errors``; ``legacy.problem`` makes a sentence of them
    return Endpoint(method, path, limit, "V3", "session", schema, handler, scope=scope, key_header=True)


ENDPOINTS: tuple[Endpoint, ...] = (
    _row(Scope.TRADE, "POST", "orders/place", "ORDER_RATE_LIMIT", legacy.Place, legacy.place),
    _row(
        Scope.TRADE,
        "POST",
        "smartorders/place",
        "SMART_ORDER_RATE_LIMIT",
        legacy.PlaceSmart,
        legacy.place_smart,
    ),
    _row(Scope.READ, "GET", "orders", API, legacy.Filter, legacy.orders),
    _row(Scope.READ, "GET", "smartorders", API, legacy.Filter, legacy.smart_orders),
    _row(Scope.READ, "GET", "positions", API, KeyOnly, legacy.positions),
    _row(Scope.READ, "GET", "account", API, KeyOnly, legacy.account),
)


class OlderDispatcher(Dispatcher):
    """Serves the older endpoints of one api process."""

    def _fields(self, endpoint: Endpoint, schema: Schema, asked: Request) -> Any:
        given = super()._fields(endpoint, schema, asked)
        header = asked.headers.get("X-API-KEY")
        if isinstance(given, dict) and given.get("apikey") is None and header:
            return {**given, "apikey": header}
        return given

    def _problem(self, found: Problem) -> Response:
        return legacy.problem(found, self._instance)


def blueprint(parts: Parts) -> Blueprint:
    """Every endpoint in both slash forms, without redirects."""
    dispatcher = OlderDispatcher(parts)
    api = Blueprint("older", __name__)
    for endpoint in ENDPOINTS:
        view = _view(dispatcher, endpoint)
        name = f"{endpoint.method} {endpoint.path}"
        for form in (f"{PREFIX}/{endpoint.path}", f"{PREFIX}/{endpoint.path}/"):
            api.add_url_rule(form, name, view, methods=[endpoint.method], strict_slashes=True)
    return api


def _view(dispatcher: OlderDispatcher, endpoint: Endpoint) -> Callable[[], Response]:
    schema = endpoint.schema()
    return lambda: dispatcher.serve(endpoint, schema)
