"""From an HTTP request to a handler and back: limit, parse, validate, key, session, call, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from flask import Blueprint, Flask, Request, Response, request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from brokers.errors import InvalidRequest
from gateway.api import errors, legacy, modes, reply, semiauto
from gateway.api.names import in_openalgos_words
from gateway.api.parts import Call, Endpoint, Parts
from gateway.api.surface import ENDPOINTS
from gateway.http.gate import caller

PREFIX = "/api/v1"
MARKET_DATA = frozenset(
    (
        *("quotes", "multiquotes", "depth", "history", "ticker/<symbol>", "syntheticfuture"),
        *("optionsymbol", "optionchain", "optiongreeks", "multioptiongreeks"),
    )
)
"""What RISK_DATA_PER_MINUTE counts."""
ANSWERED_IN_JSON = (
    *("/api/", "/internal/", "/web/api/", "/health/", "/metrics"),
    *("/strategy/", "/chartink/", "/flow/", "/postback/"),
)
"""Programs ask below these, whatever their ``Accept`` says."""
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Dispatcher:
    """Serves the endpoints of one api process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._instance = parts.settings.name

    def serve(self, endpoint: Endpoint, schema: Schema, asked: Request = request) -> Response:
        """Never raises: whatever goes wrong becomes the endpoint's error body.

        Args:
            asked: The request; Flask's present one unless given.
        """
        parts = modes.pinned(self._parts, endpoint)
        try:
            return self._serve(parts, endpoint, schema, asked)
        except ValidationError as exc:
            found = errors.invalid_fields(exc.messages, endpoint.style)
            return self._problem(modes.told_problem(parts, endpoint, found, validation=True))
        except semiauto.NotInSemiAuto as exc:
            return self._problem(errors.Problem(403, "SEMI_AUTO", str(exc)))
        except HTTPException:
            raise
        except Exception as exc:  # noqa: BLE001 (top of a request; of_exception logs what is not ours)
            return self._problem(modes.told_problem(parts, endpoint, errors.of_exception(exc)))

    def _serve(self, parts: Parts, endpoint: Endpoint, schema: Schema, asked: Request) -> Response:
        received_ns = asked.environ.get("algo.received_ns") or time.time_ns()
        name = f"{endpoint.method} {endpoint.path}"
        wait_s = parts.limits.hit(endpoint.limit, name, caller(asked.environ))
        given: Any = {}
        if endpoint.auth != "none" and (wait_s is None or "client_order_id" in schema.fields):
            try:
                given = self._fields(endpoint, schema, asked)
            except InvalidRequest:
                # what cannot be read is no repeat, and over the limit it is not looked at
                if wait_s is None:
                    raise
        if wait_s is not None and not _is_repeat(parts, given, asked):
            return self._problem(errors.rate_limited(wait_s))
        if endpoint.auth != "none":
            data = schema.load(given)
            key = parts.keys.verify(data["apikey"])
            if key is None:
                refused = errors.invalid_key()
                message = endpoint.bad_key_message or refused.message
                return self._problem(errors.Problem(endpoint.bad_key_status, refused.code, message))
            needed = endpoint.scope_for(data) or endpoint.scope
            if needed is not None and needed not in key.scopes:
                return self._problem(errors.scope_missing(needed, key.scopes))
            if parts.data_meter is not None and endpoint.path in MARKET_DATA:
                # such a request names no strategy in its body
                parts.data_meter.hit(asked.headers.get("X-Strategy") or f"key {key.id}")
        else:
            data = {}
        if endpoint.handler is None:
            return self._problem(not_yet(f"{PREFIX}/{endpoint.path}"))
        if endpoint.auth == "session" and not endpoint.brokerless(data):
            parts.session.check()
        call = Call(data, received_ns, asked.headers)
        answer: dict[str, Any] | Response | None = semiauto.held_back(parts, endpoint, given, call)
        if answer is None:
            answer = perform(parts, endpoint, call)
        return answer if isinstance(answer, Response) else reply.json(answer)

    def _fields(self, endpoint: Endpoint, schema: Schema, asked: Request) -> Any:
        if endpoint.method == "GET":
            given: dict[str, Any] = {**asked.args.to_dict(), **(asked.view_args or {})}
            if endpoint.handler is not None:
                # OpenAlgo reads absent query parameters as null
                given = {**{n: None for n, f in schema.fields.items() if f.required}, **given}
        else:
            given = body_of(asked.get_data(cache=False))
        if endpoint.key_header and isinstance(given, dict) and given.get("apikey") is None:
            header = asked.headers.get("X-API-KEY") or asked.args.get("apikey")
            return {**given, "apikey": header} if header else given
        return given

    def _problem(self, found: errors.Problem) -> Response:
        return reply.problem(found, self._instance)


def body_of(raw: bytes) -> Any:
    """JSON whatever the content type says (TradingView sends ``text/plain``).

    Raises:
        InvalidRequest: Not JSON.
    """
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        what = f"is not valid JSON: {exc}" if raw else "is empty, expected a JSON object"
        raise InvalidRequest(f"Request body {what}") from exc


def _is_repeat(parts: Parts, given: Any, asked: Request) -> bool:
    """An order sent again with its ``client_order_id``: it is answered before any limit (O4)."""
    if not isinstance(given, dict):
        return False
    client_id = given.get("client_order_id") or asked.headers.get("Idempotency-Key", "").strip()
    key = given.get("apikey")
    if not (isinstance(client_id, str) and client_id and isinstance(key, str)):
        return False
    return parts.keys.verify(key) is not None and parts.desk.knows(client_id)


def perform(parts: Parts, endpoint: Endpoint, call: Call) -> dict[str, Any] | Response:
    """A checked request to its handler: one that came now, or one that has waited."""
    assert endpoint.handler is not None
    parts = modes.pinned(parts, endpoint)
    spelt = in_openalgos_words(parts, call.data)
    answer = endpoint.handler(parts, Call(spelt, call.received_ns, call.headers))
    return modes.told(parts, endpoint, answer)


def of_http(exc: HTTPException) -> errors.Problem:
    return errors.Problem(exc.code or 500, "INVALID_REQUEST", exc.description or exc.name)


def not_yet(path: str) -> errors.Problem:
    return errors.Problem(501, "NOT_SUPPORTED", f"{path} is not available yet")


def blueprint(parts: Parts) -> Blueprint:
    """Every endpoint in both slash forms, without redirects."""
    dispatcher = Dispatcher(parts)
    api = Blueprint("api", __name__)
    for endpoint in ENDPOINTS:
        view = _view(dispatcher, endpoint)
        rule = f"{PREFIX}/{endpoint.path}"
        name = f"{endpoint.method} {endpoint.path}".replace(".", "_")
        forms = (rule,) if endpoint.bare_only else (rule, f"{rule}/")
        for form in forms:
            api.add_url_rule(form, name, view, methods=[endpoint.method], strict_slashes=True)

    return api


def _view(dispatcher: Dispatcher, endpoint: Endpoint) -> Callable[..., Response]:
    schema = endpoint.schema()

    def view(**_: str) -> Response:
        return dispatcher.serve(endpoint, schema)

    return view


def error_handlers(app: Flask, parts: Parts, page: Callable[[int, str], Response]) -> None:
    """404, 405, 413 and the unexpected, as JSON below ``/api`` and ``/internal``, as a page elsewhere."""
    instance = parts.settings.name

    def problem(found: errors.Problem) -> Response:
        if legacy.is_older(request.path):
            return legacy.problem(found, instance)
        return reply.problem(found, instance)

    def not_found() -> Response:
        return problem(errors.Problem(404, "NOT_FOUND", "Not found", {"path": request.path}))

    def told(found: errors.Problem) -> Response:
        return problem(found) if _wants_json() else page(found.status, _page_text(found))

    @app.errorhandler(NotFound)
    def on_not_found(_exc: NotFound) -> Response:
        return not_found() if _wants_json() else page(404, "There is no such page.")

    @app.errorhandler(MethodNotAllowed)
    def on_method(exc: MethodNotAllowed) -> Response:
        # OpenAlgo: 405 on the form with the slash, 404 on the bare one
        if request.path.startswith(PREFIX) and not request.path.endswith("/"):
            return not_found()
        if not _wants_json():
            return page(405, "This page cannot be asked for in that way.")
        message = "The method is not allowed for the requested URL."
        answer = problem(errors.Problem(405, "METHOD_NOT_ALLOWED", message))
        answer.headers["Allow"] = ", ".join(sorted(exc.valid_methods or ()))
        return answer

    @app.errorhandler(RequestEntityTooLarge)
    def on_too_large(_exc: RequestEntityTooLarge) -> Response:
        limit_kb = (app.config["MAX_CONTENT_LENGTH"] or 0) // 1024
        return problem(errors.Problem(413, "TOO_LARGE", f"Request body is larger than {limit_kb} KiB"))

    @app.errorhandler(HTTPException)
    def on_http(exc: HTTPException) -> Response:
        return told(of_http(exc))

    @app.errorhandler(Exception)
    def on_anything(exc: Exception) -> Response:
        return told(errors.of_exception(exc))


def _wants_json() -> bool:
    """A browser that goes to a page says it takes HTML; programs and the pages' own scripts do not."""
    is_page = "text/html" in request.headers.get("Accept", "")
    return request.path.startswith(ANSWERED_IN_JSON) or not is_page


def _page_text(found: errors.Problem) -> str:
    error_id: Mapping[str, Any] = found.extra
    suffix = f" (error {error_id['error_id']})" if "error_id" in error_id else ""
    return f"{found.message}{suffix}"
