"""Stopping from the page asks the same questions as ``algo down``; what runs is a stand-in on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from brokers.venue import Venue
from supervisor import control
from supervisor.children.child import own_identity
from supervisor.state import RunFolder
from tests.supervisor.console.rig import Browser, build
from tests.supervisor.test_plan import make

LIVE = {"DHAN_CLIENT_ID": "1100000001", "DHAN_ACCESS_TOKEN": "x"}


class Machine:
    """An api with one working order, and a supervisor that writes down what it is asked."""

    def __init__(self, home: Path) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.open = {
            "market_open": True,
            "orders": ["BUY 5 NSE:SBIN"],
            "positions": [],
            "unknown": 0,
            "error": "",
        }
        self.api = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._threads = [threading.Thread(target=self.api.serve_forever, daemon=True)]
        self.names = ["dhan", "kotak"]
        self._folder = RunFolder(home, Venue.LIVE)
        self._loop = asyncio.new_event_loop()
        self._threads.append(threading.Thread(target=self._loop.run_forever, daemon=True))
        for thread in self._threads:
            thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(5)

    async def _serve(self) -> None:
        self._server = await control.serve(self._command, "word")
        self._folder.write_control(self._server.sockets[0].getsockname()[1], "word", own_identity())

    async def _command(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if command == "status":
            return {"instances": [{"name": name} for name in self.names]}
        self.asked.append((command, arguments.get("names")))
        return {"stopped": arguments.get("names"), "left": ["kotak"]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        machine = self

        class Api(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(machine.open)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                machine.asked.append((self.path, body["policy"]))
                self._answer({"cancelled": ["1"], "exits": [], "failed": []})

            def _answer(self, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *words: object) -> None:
                pass

        return Api

    def close(self) -> None:
        self.api.shutdown()
        self.api.server_close()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    # its command line does not name it, as a real supervisor's does
    monkeypatch.setattr(RunFolder, "supervisor", lambda self: psutil.Process())
    one = Machine(tmp_path)
    make(tmp_path, "dhan", venue=Venue.LIVE, FLASK_PORT=str(one.api.server_port), **LIVE)
    yield one
    one.close()


@pytest.fixture
def owner(machine: Machine, tmp_path: Path) -> Browser:
    browser = Browser(build(tmp_path, venue=Venue.LIVE))
    assert browser.make_owner().status_code == 303
    return browser


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_live_instance_with_an_open_order_is_not_ended(owner: Browser, machine: Machine, verb: str) -> None:
    answer = owner.call(f"instances/dhan/{verb}")
    assert (answer.status_code, answer.json["code"]) == (409, "STILL_OPEN")
    assert any("BUY 5 NSE:SBIN" in line for line in answer.json["lines"])
    assert machine.asked == [("stop-refused", ["dhan"])]


@pytest.mark.parametrize(("verb", "command"), [("stop", "down"), ("restart", "restart")])
def test_what_is_open_is_dealt_with_first(owner: Browser, machine: Machine, verb: str, command: str) -> None:
    answer = owner.call(f"instances/dhan/{verb}", {"open": "cancel"})
    assert answer.status_code == 200, answer.json
    assert machine.asked == [("/internal/open", "cancel"), (command, ["dhan"])]
    assert "dhan: 1 orders cancelled" in answer.json["lines"]


def test_it_may_be_kept_on_purpose(owner: Browser, machine: Machine) -> None:
    assert owner.call("instances/dhan/stop", {"force": True}).status_code == 200
    assert machine.asked == [("down", ["dhan"])]


def test_outside_hours_it_is_kept(owner: Browser, machine: Machine) -> None:
    machine.open["market_open"] = False
    assert owner.call("instances/dhan/stop").status_code == 200
    assert machine.asked == [("down", ["dhan"])]


def test_an_api_that_does_not_answer_is_no_clear_book(owner: Browser, machine: Machine) -> None:
    machine.open["error"] = "the broker does not answer"
    assert owner.call("instances/dhan/stop").json["code"] == "STILL_OPEN"


def test_the_last_one_is_answered_before_the_page_ends(owner: Browser, machine: Machine) -> None:
    machine.names = ["dhan"]
    answer = owner.call("instances/dhan/stop", {"force": True})
    assert "this page with it" in answer.json["lines"][-1]
    assert machine.asked == []


def test_a_name_that_does_not_run_is_said(owner: Browser, machine: Machine) -> None:
    answer = owner.call("instances/nobody/stop")
    assert (answer.status_code, machine.asked) == (400, [])
