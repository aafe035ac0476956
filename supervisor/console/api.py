"""``/web/api/*``: what the scripts of the fleet page ask. A web session and its form token."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from brokers.errors import AlgoError, InvalidRequest
from gateway.http.gate import caller, from_elsewhere
from gateway.panicfile import POLICIES as PANIC_POLICIES
from supervisor.console import logs
from supervisor.console.pages import PAGE, Console
from supervisor.operations.panicking import End
from supervisor.operations.stopping import POLICIES as OPEN_POLICIES
from supervisor.operations.stopping import StillOpen

log = logging.getLogger(__name__)
MOST_TABS = 24
"""Open streams; each holds a thread and a connection."""
STATUS = {"STILL_OPEN": 409, "INVALID_REQUEST": 400}


def blueprint(console: Console) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/web/api")

    @api.before_request
    def guard() -> Response | None:
        wait_s = console.limits.hit(PAGE, f"api {request.method}", caller(request.environ))
        if wait_s is not None:
            answer = problem(429, "RATE_LIMITED", f"too many requests; again in {wait_s:.1f} s")
            answer.headers["Retry-After"] = str(max(1, round(wait_s)))
            return answer
        if console.user() is None:
            return problem(401, "SIGN_IN_REQUIRED", "sign in first")
        # a GET changes nothing, but another origin's page may not make us work either
        wrong = from_elsewhere(request.environ) if request.method == "GET" else not console.csrf.valid()
        if wrong:
            return problem(403, "FORM_OUT_OF_DATE", "this page is out of date: load it again")
        return None

    @api.errorhandler(AlgoError)
    def failed(exc: AlgoError) -> Response:
        lines = exc.lines if isinstance(exc, StillOpen) else ()
        status = 400 if isinstance(exc, InvalidRequest) else STATUS.get(exc.code, 502)
        return problem(status, exc.code, str(exc), lines)

    _reading(api, console)
    _doing(api, console)
    return api


def problem(status: int, code: str, message: str, lines: Sequence[str] = ()) -> Response:
    body = {"status": "error", "code": code, "message": message, "lines": list(lines)}
    answer = jsonify(body)
    answer.status_code = status
    return answer


def _reading(api: Blueprint, console: Console) -> None:
    tabs = threading.BoundedSemaphore(MOST_TABS)

    @api.get("/fleet")
    def fleet() -> Response:
        shown = console.watch.now()
        return jsonify({"fleet": shown.fleet, "books": shown.books})

    @api.get("/logs")
    def log_lines() -> Response:
        asked = request.args
        count = asked.get("count", "200")
        lines = logs.recent(
            console.config.data / "log",
            source=asked.get("source", "")[:60],
            level=asked.get("level", "DEBUG"),
            text=asked.get("text", "")[:200],
            since=asked.get("since", "")[:40],
            beats=asked.get("beats") == "yes",
            count=int(count) if count.isascii() and count.isdigit() else 200,
        )
        return jsonify({"lines": lines})

    @api.get("/stream")
    def stream() -> Response:
        if not tabs.acquire(blocking=False):
            return problem(503, "TOO_MANY_TABS", "too many open pages")
        sid, until = console.sessions.sid, console.sessions.until
        events = _Held(console.watch.stream(lambda: console.sessions.alive(sid, until)), tabs)
        return Response(events, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


class _Held:
    """An open stream and its place among the tabs, which is given back however it ends, once."""

    def __init__(self, events: Iterable[bytes], tabs: threading.BoundedSemaphore) -> None:
        self._events = iter(events)
        self._tabs: threading.BoundedSemaphore | None = tabs

    def __iter__(self) -> _Held:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        tabs, self._tabs = self._tabs, None
        end = getattr(self._events, "close", None)
        if end is not None:
            end()
        if tabs is not None:
            tabs.release()


def _doing(api: Blueprint, console: Console) -> None:
    actions = console.actions

    @api.post("/instances/<name>/start")
    def start(name: str) -> Response:
        return _told(console, actions.start(name))

    @api.post("/instances/<name>/stop")
    def stop(name: str) -> Response:
        return _told(console, actions.stop(name, _open_policy(), force=_flag("force")))

    @api.post("/instances/<name>/restart")
    def restart(name: str) -> Response:
        return _told(console, actions.restart(name, _open_policy(), force=_flag("force")))

    @api.post("/login")
    def login() -> Response:
        codes = _body().get("codes")
        if not isinstance(codes, dict) or not codes or len(codes) > 50:
            raise InvalidRequest(
                'expected {"codes": {"dhan": "123456"}}, an empty code where a seed is stored'
            )
        return _ended(
            console, actions.login({str(name): str(code or "")[:20] for name, code in codes.items()})
        )

    @api.post("/panic")
    def panic() -> Response:
        policy = _body().get("policy", "cancel")
        if policy not in PANIC_POLICIES:
            raise InvalidRequest(f"policy: expected one of {', '.join(PANIC_POLICIES)}")
        return _ended(console, actions.panic(policy))

    @api.post("/resume")
    def resume() -> Response:
        return _ended(console, actions.resume(day_loss=_flag("day_loss")))


def _body() -> dict[str, Any]:
    found = request.get_json(silent=True, force=True) if request.get_data() else {}
    if not isinstance(found, dict):
        raise InvalidRequest("expected a JSON object")
    return found


def _flag(name: str) -> bool:
    return _body().get(name) is True


def _open_policy() -> str | None:
    """What is to become of what is open at the broker; None: whatever the rules of `algo down` say."""
    policy = _body().get("open")
    if policy is not None and policy not in OPEN_POLICIES:
        raise InvalidRequest(f"open: expected one of {', '.join(OPEN_POLICIES)}")
    return str(policy) if policy is not None else None


def _told(console: Console, lines: Sequence[str]) -> Response:
    console.watch.soon()
    return jsonify({"status": "success", "lines": list(lines)})


def _ended(console: Console, ends: Sequence[End]) -> Response:
    console.watch.soon()
    status = "success" if all(end.done for end in ends) else "partial"
    return jsonify({"status": status, "instances": [asdict(end) for end in ends]})
