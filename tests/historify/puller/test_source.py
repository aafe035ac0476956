"""An instance's api as the puller sees it: errors by status, a kept connection, whom to ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.errors import (
    BrokerDown,
    BrokerError,
    InvalidRequest,
    LoginRequired,
    NotSupported,
    RateLimited,
    SettingsError,
)
from brokers.secret import Secret
from historify.model import Series
from historify.puller import config
from historify.puller.config import Candidate
from historify.puller.health import Health
from historify.puller.roster import SICK_S, Roster
from historify.puller.source import Source
from tests.ports import free_ports

SBIN = Series("NSE", "M&M", "1m")
DAY = date(2026, 11, 20)
VALID = {
    "broker": "dhan",
    "session": "valid",
    "message": "",
    "chunk_days": {"1m": 90},
    "exchanges": ["NSE"],
    "years": {"1m": 5},
    "oi": True,
}


class Api:
    """An api that answers what it is told."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, json.dumps(VALID).encode(), {}
        self.candles: bytes | None = None
        self.asked: list[tuple[str, str | None, bytes]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                api.asked.append((self.path, self.headers.get("X-Algo-Historify"), raw))
                body = api.body if api.candles is None or self.command == "GET" else api.candles
                self.send_response(api.status)
                for name, value in {**api.headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def source(self, name: str = "dhan", *, standby: bool = False) -> Source:
        url = f"http://127.0.0.1:{self.server.server_port}"
        return Source(Candidate(name, "dhan", url, standby), Secret("s3cret"))

    def says(self, **more: Any) -> None:
        self.body = json.dumps(VALID | more).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    one = Api()
    yield one
    one.close()


def test_a_pull_carries_the_secret_and_gets_the_bytes(api):
    api.body = b"\x00raw"
    source = api.source()
    assert source.pull(SBIN, DAY, DAY) == b"\x00raw"
    path, secret, body = api.asked[0]
    assert (path, secret) == ("/internal/history", "s3cret")
    assert json.loads(body) == {
        "exchange": "NSE",
        "symbol": "M&M",
        "interval": "1m",
        "start": "2026-11-20",
        "end": "2026-11-20",
    }
    source.close()
    assert "s3cret" not in repr(source.candidate)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "AUTH_EXPIRED", LoginRequired),
        (429, "RATE_LIMITED", RateLimited),
        (404, "SYMBOL_NOT_FOUND", InvalidRequest),
        (400, "INVALID_REQUEST", InvalidRequest),
        (501, "NOT_SUPPORTED", NotSupported),
        (502, "WIRE", BrokerError),
        (503, "BROKER_DISCONNECTED", BrokerDown),
        (500, "INTERNAL", BrokerDown),
        (403, "FORBIDDEN", BrokerDown),
    ],
)
def test_a_refusal_becomes_its_kind(api, status, code, error):
    api.status, api.headers = status, {"Retry-After": "0.250"}
    api.body = json.dumps({"code": code, "message": "why"}).encode()
    source = api.source()
    with pytest.raises(error, match="why") as caught:
        source.pull(SBIN, DAY, DAY)
    assert type(caught.value) is error
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 0.25
    source.close()


def test_an_api_that_is_not_there_is_down_and_named():
    [port] = free_ports(1)
    source = Source(Candidate("dhan", "dhan", f"http://127.0.0.1:{port}"), Secret("x"))
    with pytest.raises(BrokerDown, match=f"dhan: its api at http://127.0.0.1:{port} does not answer"):
        source.capability()


def test_the_first_capable_one_pulls_and_only_a_named_standby_after_it(api):
    clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
    [port] = free_ports(1)
    dead = Source(Candidate("dead", "dhan", f"http://127.0.0.1:{port}"), Secret("x"))
    stranger, named = api.source("stranger"), api.source("named", standby=True)
    alone = Roster([dead, stranger], clock)
    assert alone.choose() is None
    assert "dead: its api" in alone.reasons[0]
    roster = Roster([dead, stranger, named], clock)
    found = roster.choose()
    assert found is not None
    assert (found[0].candidate.instance, found[1].limits.chunk_days) == ("named", {"1m": 90})
    api.says(session="refused", message="PIN is wrong")
    assert roster.choose() is None
    assert roster.reasons[1] == "named: broker session refused (PIN is wrong)"
    api.says(session="refused")
    seen = roster.ask(named)
    assert not isinstance(seen, str)
    assert (seen.ready, seen.tried) == (False, False)
    api.says()
    roster.sick(named, "HTTP 500")
    assert roster.choose() is None
    clock.advance(SICK_S)
    assert roster.choose() is not None
    for source in (stranger, named):
        source.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"venue": "paper"}, "paper"),
        ({"hours": "always", "venue": "live"}, "always"),
        ({"candidates": [{"instance": "a", "broker": "dhan", "api": "localhost"}]}, "localhost"),
        ({"port": None}, "TypeError"),
    ],
)
def test_a_wrong_configuration_says_where(tmp_path: Path, change, said):
    plain = {"store": "x", "venue": "sim", "port": 1, "secret_file": "k", "candidates": []}
    path = tmp_path / "historify.json"
    path.write_text(json.dumps(plain))
    assert config.read(path).venue == "sim"
    path.write_text(json.dumps(plain | change))
    with pytest.raises(SettingsError, match=said):
        config.read(path)
    path.write_text("{")
    with pytest.raises(SettingsError, match="historify.json"):
        config.read(path)


def test_health_answers_loopback_names_alone():
    import urllib.error
    import urllib.request

    health = Health(0, lambda: {"ready": False, "state": "idle"})
    health.start()
    try:
        url = f"http://127.0.0.1:{health.port}/health"
        assert json.load(urllib.request.urlopen(f"{url}/live"))["status"] == "ok"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url}/ready")
        assert (caught.value.code, json.load(caught.value)["state"]) == (503, "idle")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(f"{url}/live", headers={"Host": "evil.example"}))
        assert caught.value.code == 403
    finally:
        health.stop()
