"""Open dashboards never take the last thread from an order; every request but the quiet ones is logged."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from gateway.http.gate import Gate

HOSTS = ("127.0.0.1",)


def call(gate: Gate, path: str, **changes: str) -> tuple[str, bytes]:
    seen: list[str] = []
    environ: dict[str, Any] = {"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:5000", "REQUEST_METHOD": "GET"}
    body = b"".join(gate(environ | changes, lambda status, headers, exc=None: seen.append(status)))
    return seen[0], body


def answer(environ, start):
    start("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def test_tabs_over_the_cap_are_refused_while_orders_pass():
    entered, release = threading.Semaphore(0), threading.Event()

    def app(environ, start):
        if environ["PATH_INFO"].startswith("/socket.io"):
            entered.release()
            assert release.wait(5)
        return answer(environ, start)

    gate = Gate(app, allowed_hosts=HOSTS, may_listen=lambda environ: True, most_tabs=3)
    threads = [threading.Thread(target=call, args=(gate, "/socket.io/")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=5)
    assert gate.tabs == 3
    status, body = call(gate, "/socket.io/")
    assert status.startswith("503")
    assert b"TOO_MANY_TABS" in body
    assert call(gate, "/api/v1/placeorder")[0] == "200 OK"
    release.set()
    for thread in threads:
        thread.join(5)
    assert gate.tabs == 0
    assert call(gate, "/socket.io/")[0] == "200 OK"


def test_a_tab_that_fails_gives_its_place_back():
    def app(environ, start):
        raise RuntimeError("a bug")

    gate = Gate(app, allowed_hosts=HOSTS, may_listen=lambda environ: True, most_tabs=1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            call(gate, "/socket.io/")
    assert gate.tabs == 0


def test_requests_are_logged_with_status_and_duration_and_polls_are_not(caplog):
    gate = Gate(answer, allowed_hosts=HOSTS, may_listen=lambda environ: True)
    with caplog.at_level(logging.INFO, logger="gateway.request"):
        call(gate, "/api/v1/ping", REMOTE_ADDR="127.0.0.1")
        call(gate, "/health/live")
        call(gate, "/static/style.css")
    assert len(caplog.records) == 1
    record = caplog.records[0].__dict__
    assert (record["method"], record["path"], record["status"]) == ("GET", "/api/v1/ping", "200")
    assert record["ms"] >= 0


def test_what_may_be_a_secret_or_an_escape_sequence_in_a_path_is_not_logged(caplog):
    gate = Gate(answer, allowed_hosts=HOSTS, may_listen=lambda environ: True)
    with caplog.at_level(logging.INFO, logger="gateway.request"):
        call(gate, "/chartink/webhook/" + "0f" * 20)
        call(gate, "/x" * 500)
        call(gate, "/a\x1b]0;title\x07\nb")
    hook, long, escapes = (record.__dict__["path"] for record in caplog.records)
    assert escapes == "/a?]0;title??b"
    assert hook == "/chartink/webhook/***"
    assert len(long) == 200
