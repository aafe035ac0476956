"""What strangers try: other hosts, other origins, missing CSRF, wrong internal key, floods of bytes."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import web
from gateway.http.gate import host_allowed, same_origin
from gateway.http.server import Server
from tests.gateway.api.rig import Rig, running

TEMPLATES = Path(web.__file__).parent / "templates"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


@pytest.fixture(scope="module")
def server(rig: Rig) -> Iterator[Server]:
    one = Server(rig.app, "127.0.0.1", 0)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.stop()


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1/ping", "/health/live", "/internal/status", "/static/style.css", "/socket.io/?EIO=4"],
)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "a@127.0.0.1"]
)
def test_another_host_is_refused_on_every_request(server, path, host):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("GET", path, headers={"Host": host})
    answer = client.getresponse()
    assert answer.status == 403
    assert b"HOST_NOT_ALLOWED" in answer.read()
    client.close()


def test_more_slashes_are_no_way_round_the_sign_in(server):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("GET", "//socket.io/?EIO=4&transport=polling")
    assert client.getresponse().status == 401
    client.close()


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("127.0.0.1:5000", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:5000", True),
        ("", False),
        ("127.0.0.1:x", False),
        ("127.0.0.1:5000; script-src *", False),
        ("127.0.0.1/x", False),
        ("127.0.0.1:5000\n", False),
        ("[::1", False),
        ("localhost.evil", False),
        ("127.0.0.1@evil", False),
    ],
)
def test_a_host_is_compared_whole(host, fits):
    assert host_allowed(host, frozenset({"127.0.0.1", "localhost", "::1"})) is fits


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        (None, True),
        ("http://127.0.0.1:5000", True),
        ("https://127.0.0.1:5000", True),
        ("http://127.0.0.1:5001", False),
        ("http://localhost:5000", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:5000", False),
    ],
)
def test_an_origin_must_name_host_and_port(origin, same):
    environ = {"HTTP_HOST": "127.0.0.1:5000"}
    if origin is not None:
        environ["HTTP_ORIGIN"] = origin
    assert same_origin(environ) is same


@pytest.mark.parametrize("given", [None, "", "x" * 64])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "status"),
        ("POST", "keys"),
        ("GET", "keys"),
        ("DELETE", "keys/1"),
        ("POST", "login"),
        ("POST", "session/renew"),
        ("POST", "order-update"),
        ("POST", "instruments/sync"),
        ("GET", "positions-and-orders"),
        ("POST", "panic"),
        ("POST", "resume"),
    ],
)
def test_the_internal_calls_want_the_internal_key(rig, method, path, given):
    headers = {} if given is None else {"X-Algo-Internal": given}
    answer = rig.app.test_client().open(f"/internal/{path}", method=method, json={}, headers=headers)
    assert answer.status_code == 403
    assert answer.json["code"] == "FORBIDDEN"


def test_an_api_key_is_not_an_internal_key(rig):
    answer = rig.app.test_client().get("/internal/status", headers={"X-Algo-Internal": rig.key})
    assert answer.status_code == 403


def test_a_revoked_key_stops_within_a_second(rig):
    key_id, secret = rig.parts.keys.create("short")
    assert rig.post("ping", apikey=secret.reveal()).status_code == 200
    rig.parts.keys.revoke(key_id)
    assert rig.post("ping", apikey=secret.reveal()).status_code == 403


def test_a_bug_is_an_error_id_and_never_a_trace(rig, monkeypatch, caplog):
    def broken() -> object:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(rig.parts.session, "current", broken)
    answer = rig.post("ping")
    assert answer.status_code == 500
    assert answer.json["message"] == "An unexpected error occurred"
    text = answer.get_data(as_text=True)
    assert "secret detail" not in text
    assert "Traceback" not in text
    record = next(r for r in caplog.records if getattr(r, "error_id", "") == answer.json["error_id"])
    assert record.exc_info is not None


def test_answers_carry_the_headers_that_keep_browsers_careful(rig):
    page = rig.app.test_client().get("/setup")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "no-store"
    assert rig.post("ping").headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", sorted(p.name for p in TEMPLATES.glob("*.html")))
def test_no_page_has_inline_code_or_outside_resources(rig, name):
    source, _, _ = rig.app.jinja_env.loader.get_source(rig.app.jinja_env, name)
    assert "style=" not in source
    assert "<style" not in source
    assert not re.search(r"\son\w+=", source)
    assert "http://" not in source
    assert not re.findall(r"https://(?!www\.tradingview\.com/)", source), "only the attribution leads outside"
    for tag in source.split("<script")[1:]:
        words, inside = tag.split(">", 1)
        if 'type="application/json"' in words:
            # data for the page's script: never executed, and escaped for its place
            assert re.match(r"{{ \w+\|tojson }}</script>", inside)
            continue
        assert "src=" in words
        assert inside.startswith("</script>")
