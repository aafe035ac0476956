"""The POST endpoints of ``/api/v1``, and the feed's pushes, without Flask around them.

Flask's contexts, routing, signals and hooks cost more than such a request's own work. What is answered is
the same: the dispatcher is the one of the Flask routes, and what is unusual about a request (another method,
a path not in the table, no plain body) is left to Flask.
"""

from __future__ import annotations

from typing import Any

from flask import Request, Response
from marshmallow import Schema
from werkzeug.exceptions import HTTPException

from gateway.api import dispatch, errors, internal, reply
from gateway.api.parts import Endpoint, Parts
from gateway.api.surface import ENDPOINTS
from gateway.http.gate import Environ, StartResponse

UPDATES = "/internal/order-update"
NOSNIFF = ("X-Content-Type-Options", "nosniff")
SAME_ORIGIN = ("Cross-Origin-Resource-Policy", "same-origin")
VARY = ("Vary", "Origin")
CORS_METHODS = "GET, POST, OPTIONS"
CORS_HEADERS = "Content-Type, Authorization, X-Requested-With, Idempotency-Key"


class _Whole(Request):
    """A request whose body is here in full; werkzeug's way to it guards against streams that never end."""

    def get_data(self, *_: object, **__: object) -> Any:
        return self.environ["wsgi.input"].read(int(self.environ["CONTENT_LENGTH"]))


class Direct:
    """Answers what it knows; None leaves a request to Flask. Args: ``max_body_bytes`` as Flask has it."""

    def __init__(self, parts: Parts, max_body_bytes: int) -> None:
        self._parts = parts
        self._dispatcher = dispatch.Dispatcher(parts)
        self._instance = parts.settings.name
        self._most = max_body_bytes
        self._routes: dict[str, tuple[Endpoint, Schema]] = {}
        for endpoint in ENDPOINTS:
            if endpoint.method == "POST" and not endpoint.bare_only and "<" not in endpoint.path:
                path = f"{dispatch.PREFIX}/{endpoint.path}"
                self._routes[path] = self._routes[f"{path}/"] = (endpoint, endpoint.schema())

    @property
    def paths(self) -> frozenset[str]:
        return frozenset({*self._routes, UPDATES})

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes] | None:
        path = environ["PATH_INFO"]
        route = self._routes.get(path)
        if (route is None and path != UPDATES) or environ["REQUEST_METHOD"] != "POST":
            return None
        length = environ.get("CONTENT_LENGTH", "")
        if not length.isdigit() or int(length) > self._most:
            return None
        if route is None:
            return self._pushed(environ, start_response)
        try:
            answer = self._dispatcher.serve(*route, _Whole(environ, populate_request=False))
        except HTTPException as exc:
            answer = reply.problem(dispatch.of_http(exc), self._instance)
        return send(answer, environ, start_response)

    def _pushed(self, environ: Environ, start_response: StartResponse) -> list[bytes] | None:
        """Two or three for each order. Who has not the key, or cannot spell, meets Flask's route."""
        if not internal.is_own(self._parts, environ.get("HTTP_X_ALGO_INTERNAL", "")):
            return None
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        try:
            internal.take_updates(self._parts, raw)
        except Exception as exc:  # noqa: BLE001 - top of a request: it becomes an answer, as in Flask's handler
            return send(reply.problem(errors.of_exception(exc), self._instance), environ, start_response)
        start_response("204 No Content", [NOSNIFF, SAME_ORIGIN])
        return []


def send(answer: Response, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """An answer with the headers every answer of the API has."""
    body = answer.get_data()
    headers = [*answer.headers.items(), NOSNIFF, SAME_ORIGIN, *cors(environ)]
    start_response(answer.status, headers)
    return [body]


def cors(environ: Environ) -> list[tuple[str, str]]:
    """Pages of this instance's own names may read API answers; others get no header and read nothing."""
    origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
    if origin is None or origin not in (f"http://{host}", f"https://{host}"):
        return [VARY]
    return [
        VARY,
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", CORS_METHODS),
        ("Access-Control-Allow-Headers", CORS_HEADERS),
        ("Access-Control-Max-Age", "86400"),
    ]


def decorate(response: Response, environ: dict[str, Any]) -> None:
    """``send``'s headers on a response of Flask's."""
    for name, value in (NOSNIFF, SAME_ORIGIN, *cors(environ)):
        response.headers[name] = value
