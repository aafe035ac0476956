"""What is answered beside Flask is answered as Flask would."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.api import direct
from gateway.app import MAX_BODY_BYTES
from gateway.http.gate import Gate
from tests.gateway.api.rig import Rig


@pytest.fixture
def app(quiet: Rig) -> Any:
    return quiet.app


def without_direct(app: Any) -> Any:
    """The same application with every request left to Flask."""
    gate = app.wsgi_app
    assert isinstance(gate, Gate)
    plain = object.__new__(Gate)
    plain.__dict__.update(gate.__dict__)
    plain._direct = None
    return plain


CASES = [
    ("POST", "/api/v1/ping", {"apikey": "KEY"}, {}),
    ("POST", "/api/v1/ping/", {"apikey": "KEY"}, {}),
    ("POST", "//api/v1/ping", {"apikey": "KEY"}, {}),
    ("POST", "/api/v1/ping", {"apikey": "wrong"}, {}),
    ("POST", "/api/v1/ping", {}, {}),
    ("POST", "/api/v1/ping", {"apikey": "KEY", "extra": 1}, {}),
    ("POST", "/api/v1/ping", [], {}),
    ("POST", "/api/v1/ping", "not json", {}),
    ("POST", "/api/v1/ping", None, {}),
    ("GET", "/api/v1/ping", None, {}),
    ("GET", "/api/v1/ping/", None, {}),
    ("OPTIONS", "/api/v1/ping", None, {}),
    ("POST", "/api/v1/nothing", {"apikey": "KEY"}, {}),
    ("POST", "/api/v1/ping", {"apikey": "KEY"}, {"HTTP_ORIGIN": "http://127.0.0.1:5000"}),
    ("POST", "/api/v1/ping", {"apikey": "KEY"}, {"HTTP_ORIGIN": "http://elsewhere.example"}),
    ("POST", "/api/v1/ping", {"apikey": "x" * MAX_BODY_BYTES}, {}),
    ("POST", "/api/v1/quotes", {"apikey": "KEY", "symbol": "NOSUCH", "exchange": "NSE"}, {}),
    ("POST", "/api/v1/placeorder", {"apikey": "KEY"}, {}),
    ("POST", "/api/v1/telegram/notify", {"apikey": "KEY"}, {}),
]


@pytest.mark.parametrize(("method", "path", "body", "headers"), CASES)
def test_an_answer_beside_flask_is_flasks(quiet, app, method, path, body, headers):
    raw = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
    raw = raw.replace(b'"KEY"', json.dumps(quiet.key).encode())
    asked = {"method": method, "data": raw, "headers": {"Host": "127.0.0.1:5000"}}
    ours = app.test_client().open(path, environ_overrides=headers, **asked)
    gate, app.wsgi_app = app.wsgi_app, without_direct(app)
    theirs = app.test_client().open(path, environ_overrides=headers, **asked)
    app.wsgi_app = gate
    assert ours.status == theirs.status
    assert sorted(ours.headers.items()) == sorted(theirs.headers.items())
    assert ours.get_json(silent=True) == theirs.get_json(silent=True)


@pytest.mark.parametrize("key", ["own", "wrong", None])
@pytest.mark.parametrize("raw", [b"[]", b'[{"x": 1}]', b"not json"])
def test_pushed_updates_are_taken_and_refused_as_by_flask(quiet, app, key, raw):
    own = quiet.parts.settings.internal_key.reveal()
    headers = {"X-Algo-Internal": own if key == "own" else key} if key else {}
    ours = app.test_client().post("/internal/order-update", data=raw, headers=headers)
    gate, app.wsgi_app = app.wsgi_app, without_direct(app)
    theirs = app.test_client().post("/internal/order-update", data=raw, headers=headers)
    app.wsgi_app = gate
    assert ours.status_code == theirs.status_code
    assert ours.get_json(silent=True) == theirs.get_json(silent=True)
    assert (ours.status_code == 204) is (key == "own" and raw == b"[]")


def test_the_api_is_really_answered_beside_flask(quiet, app, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(app, "full_dispatch_request", lambda *_: seen.append("flask"))
    answer = app.test_client().post("/api/v1/ping", json={"apikey": quiet.key})
    assert answer.get_json()["data"]["message"] == "pong"
    assert seen == []


def test_other_pages_of_this_instance_may_read_answers_and_others_may_not():
    host = {"HTTP_HOST": "127.0.0.1:5000"}
    ours = dict(direct.cors({**host, "HTTP_ORIGIN": "http://127.0.0.1:5000"}))
    assert ours["Access-Control-Allow-Origin"] == "http://127.0.0.1:5000"
    assert direct.cors({**host, "HTTP_ORIGIN": "http://127.0.0.1:5001"}) == [direct.VARY]
