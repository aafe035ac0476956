"""Every error of every endpoint has a ``code``: documented, and the same wherever the cause is the same."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from brokers.errors import (
    BrokerDown,
    BrokerError,
    EntriesBlocked,
    InvalidRequest,
    IpNotAllowed,
    LeaseRefused,
    LoginRequired,
    NotFound,
    NotReady,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RiskLimit,
    RoleMissing,
    SettingsError,
    StoreError,
    WireError,
)
from brokers.model import OrderStatus
from gateway.api import errors, historify, leases, older, openapi, panic
from gateway.api.dispatch import Dispatcher
from gateway.api.errors import STATUS
from gateway.api.older import OlderDispatcher
from gateway.api.parts import Endpoint
from gateway.api.schemas import AnyBody
from gateway.api.surface import ENDPOINTS, WEBHOOKS
from gateway.http.server import Server
from gateway.trading.answers import OrderAnswer
from tests.gateway.api.rig import Rig, running

ROOT = Path(__file__).parents[3]
OWN = (*ENDPOINTS, *panic.ENDPOINTS, *leases.ENDPOINTS, *historify.ENDPOINTS)
ALL = (*OWN, *older.ENDPOINTS)
DOCUMENT = openapi.document(OWN, older.ENDPOINTS)
KEYED = [one for one in ALL if one.auth != "none"]
NAMED = [
    *("BROKER_DISCONNECTED", "SYMBOL_NOT_FOUND", "INSUFFICIENT_MARGIN", "INVALID_QUANTITY"),
    *("PRICE_OUT_OF_RANGE", "DUPLICATE_ORDER", "MARKET_CLOSED", "RATE_LIMITED", "OUTCOME_UNKNOWN"),
    *("IP_NOT_ALLOWED", "AUTH_EXPIRED"),
]
FINER = ["ORDER_REJECTED", "ORDER_NOT_OPEN", "FREEZE_QUANTITY", "NEVER_HEARD_OF"]
LEASES = ["HELD", "LOST", "EXPIRED", "REQUIRED", "UNAVAILABLE"]
LOCAL = ["SYMBOL_NOT_FOUND", "INVALID_QUANTITY", "PRICE_OUT_OF_RANGE", "MARKET_CLOSED"]

CAUSES: list[tuple[Exception, str]] = [
    (LoginRequired("session"), "AUTH_EXPIRED"),
    (IpNotAllowed("address"), "IP_NOT_ALLOWED"),
    (RateLimited("slow", retry_after_s=2.0), "RATE_LIMITED"),
    (OutcomeUnknown("lost"), "OUTCOME_UNKNOWN"),
    (BrokerDown("no route"), "BROKER_DISCONNECTED"),
    (WireError("what", b"?"), "WIRE"),
    (NotSupported("no such thing"), "NOT_SUPPORTED"),
    (NotFound("no order"), "ORDER_NOT_FOUND"),
    (NotReady("loading"), "NOT_READY"),
    (BrokerError("something"), "BROKER_ERROR"),
    (EntriesBlocked("panic"), "ENTRIES_BLOCKED"),
    (StoreError("disk"), "STORE"),
    (SettingsError("env"), "SETTINGS"),
    (RuntimeError("a bug"), "INTERNAL"),
    (RiskLimit("too much", limit="RISK_DAY_LOSS"), "RISK_LIMIT"),
    (RiskLimit("margin", limit="RISK_CHECK_MARGIN", code="INSUFFICIENT_MARGIN"), "INSUFFICIENT_MARGIN"),
    (RiskLimit("margin", limit="RISK_CHECK_MARGIN", code="MARGIN_UNKNOWN"), "MARGIN_UNKNOWN"),
    (RoleMissing("no execute"), "ROLE_MISSING"),
    *((LeaseRefused("no", code=f"STRATEGY_LEASE_{end}"), f"STRATEGY_LEASE_{end}") for end in LEASES),
    (OrderRejected("no"), "ORDER_REJECTED"),
    *((OrderRejected("no", code=code), code) for code in NAMED[2:7]),
    *((InvalidRequest("no", code=code), code) for code in LOCAL),
    (InvalidRequest("no"), "INVALID_REQUEST"),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        # some classes allow five requests a minute
        one.parts.limits.hit = lambda *_: None  # type: ignore[method-assign]
        yield one


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def documented(endpoint: Endpoint, status: int) -> str:
    path = "/" + endpoint.path.replace("<", "{").replace(">", "}")
    return str(DOCUMENT["paths"][path][endpoint.method.lower()]["responses"][str(status)]["description"])


def ask(rig: Rig, endpoint: Endpoint, method: str = "", slash: bool = False, **more: Any) -> Any:
    path = f"/api/v1/{endpoint.path.replace('<symbol>', 'NSE:SBIN')}{'/' if slash else ''}"
    return rig.app.test_client().open(path, method=method or endpoint.method, **more)


def check(endpoint: Endpoint, answer: Any, code: str, status: int) -> None:
    body = answer.json
    assert (answer.status_code, body["status"], body["code"]) == (status, "error", code), name_of(endpoint)
    sentence = "error" if endpoint in older.ENDPOINTS else "message"
    assert body[sentence], body
    assert code in documented(endpoint, status), name_of(endpoint)


@pytest.mark.parametrize("endpoint", KEYED, ids=name_of)
def test_what_a_handler_raises_has_the_same_code_and_status_everywhere(rig, endpoint):
    kind = OlderDispatcher if endpoint in older.ENDPOINTS else Dispatcher
    for exc, code in CAUSES:

        def fail(parts, call, exc=exc):
            raise exc

        broken = replace(endpoint, handler=fail)
        given: dict[str, Any] = {"json": {"apikey": rig.key}}
        if endpoint.method == "GET":
            given = {"query_string": {"apikey": rig.key}}
        with rig.app.test_request_context("/", method=endpoint.method, **given):
            answer = kind(rig.parts).serve(broken, AnyBody())
        check(endpoint, answer, code, STATUS[code])
        assert ("Retry-After" in answer.headers) == (code == "RATE_LIMITED")


@pytest.mark.parametrize("endpoint", KEYED, ids=name_of)
def test_what_goes_wrong_before_a_handler_has_one_too(rig, endpoint, monkeypatch):
    bad_key = {"apikey": "f" * 64}
    if endpoint.method == "POST":
        for body in (b"", b"{", b"\xff", b'"text"', b"[]"):
            check(endpoint, ask(rig, endpoint, data=body), "INVALID_REQUEST", 400)
        large = ask(rig, endpoint, data=b"x" * (1024 * 1024 + 1))
        check(endpoint, large, "TOO_LARGE", 413)
    if endpoint.handler is not None and endpoint.method == "POST" and endpoint.path != "chart":
        unknown = ask(rig, endpoint, json={"apikey": rig.key, "no_such_field": 1})
        check(endpoint, unknown, "INVALID_REQUEST", 400)
    wrong = replace(endpoint, schema=AnyBody, handler=endpoint.handler)
    kind = OlderDispatcher if endpoint in older.ENDPOINTS else Dispatcher
    given = {"query_string": bad_key} if endpoint.method == "GET" else {"json": bad_key}
    with rig.app.test_request_context("/", method=endpoint.method, **given):
        check(endpoint, kind(rig.parts).serve(wrong, AnyBody()), "INVALID_API_KEY", endpoint.bad_key_status)
    if not endpoint.bare_only:
        check(endpoint, ask(rig, endpoint, method="PUT", slash=True), "METHOD_NOT_ALLOWED", 405)
    check(endpoint, ask(rig, endpoint, method="PUT"), "NOT_FOUND", 404)
    monkeypatch.setattr(rig.parts.limits, "hit", lambda *_: 2.5)
    limited = ask(rig, endpoint, **given)
    check(endpoint, limited, "RATE_LIMITED", 429)
    assert limited.headers["Retry-After"] == "3"


@pytest.mark.parametrize("endpoint", [e for e in KEYED if e.auth == "session"], ids=name_of)
def test_without_a_broker_session_it_is_auth_expired(rig, endpoint, monkeypatch):
    def gone() -> None:
        raise LoginRequired("no session")

    monkeypatch.setattr(rig.parts.session, "check", gone)
    served = replace(endpoint, handler=lambda parts, call: {"status": "success"})
    kind = OlderDispatcher if endpoint in older.ENDPOINTS else Dispatcher
    given: dict[str, Any] = {"json": {"apikey": rig.key}}
    if endpoint.method == "GET":
        given = {"query_string": {"apikey": rig.key}}
    with rig.app.test_request_context("/", method=endpoint.method, **given):
        check(endpoint, kind(rig.parts).serve(served, AnyBody()), "AUTH_EXPIRED", 403)


@pytest.mark.parametrize("code", [*NAMED, *FINER])
def test_an_order_that_failed_after_the_journal_answers_as_one_refused_before_it(code):
    answer = OrderAnswer("", OrderStatus.REJECTED, None, code, "why", 7)
    found = errors.of_answer(answer)
    assert (found.code, found.status) == (code, STATUS.get(code, 400))
    assert found.body("dhan")["code"] == code


@pytest.mark.parametrize("rule", WEBHOOKS)
def test_webhooks_have_codes(rig, rule, monkeypatch):
    path = re.sub(r"<\w+>", "abc", rule)
    client = rig.app.test_client()
    for answer in (
        client.post(path, data=b"{"),
        client.post(path, json={"symbol": "SBIN"}),
        client.get(path),
        client.post(path, data=b"x" * (1024 * 1024 + 1)),
    ):
        assert answer.status_code >= 400
        assert answer.json["code"] in STATUS, answer.json
    monkeypatch.setattr(rig.parts.limits, "hit", lambda *_: 2.5)
    assert client.post(path, json={}).json["code"] == "RATE_LIMITED"


def test_what_never_reaches_an_endpoint_has_one(rig):
    client = rig.app.test_client()
    told = [
        (client.get("/api/v1/nothing"), 404, "NOT_FOUND"),
        (client.get("/internal/status"), 403, "FORBIDDEN"),
        (client.get("/api/v1/ping", headers={"Host": "evil.example"}), 403, "HOST_NOT_ALLOWED"),
        (rig.internal("POST", "keys", {}), 400, "INVALID_REQUEST"),
        (rig.internal("DELETE", "keys/999"), 404, "NOT_FOUND"),
    ]
    for answer, status, code in told:
        assert (answer.status_code, answer.json["code"]) == (status, code)


@dataclass
class Raw:
    request: bytes
    status: int
    code: str


RAW = [
    Raw(b"NONSENSE\r\n\r\n", 400, "INVALID_REQUEST"),
    Raw(b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505, "INVALID_REQUEST"),
    Raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431, "HEAD_TOO_LARGE"),
    Raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413, "TOO_LARGE"),
]


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.code + str(raw.status))
def test_what_the_server_itself_refuses_has_one(rig, raw):
    server = Server(rig.app, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
            line.sendall(raw.request)
            said = b""
            while part := line.recv(65536):
                said += part
    finally:
        server.stop()
    assert said.startswith(b"HTTP/1.1 %d " % raw.status), said[:100]
    assert b'"code":"%s"' % raw.code.encode() in said


def test_every_code_in_the_source_is_in_the_table():
    """A word nobody documented would be an answer nobody can rely on."""
    said: dict[str, str] = {}
    for folder in ("gateway/api", "gateway/trading", "gateway/strategies", "gateway/triggers", "gateway"):
        for path in (ROOT / folder).glob("*.py"):
            text = path.read_text()
            for found in re.findall(r'(?:code=|_no\(\s*)"([A-Z_]{4,})"', text):
                said[found] = str(path.relative_to(ROOT))
    own = {"FORBIDDEN", "SIGN_IN_REQUIRED"}  # not below /api
    known = {*STATUS, *own}
    unlisted = {code: where for code, where in said.items() if code not in known and "RISK_" not in code}
    assert unlisted == {}
    assert set(NAMED) <= set(STATUS)
