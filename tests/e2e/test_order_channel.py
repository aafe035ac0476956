"""The ``orders`` channel through real processes that die: every journal event once, in order."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.e2e.fleet import Fleet, until
from tests.e2e.trader import Trader

pytestmark = [pytest.mark.e2e]
NAME = "dhan"


@pytest.fixture(scope="module")
def trader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trader]:
    fleet = Fleet(tmp_path_factory.mktemp("home"))
    fleet.init(NAME)
    try:
        fleet.ok("up", NAME, "--sim", "-d")
        yield Trader(fleet, NAME, fleet.key(NAME))
    finally:
        fleet.destroy()


class Follower:
    """A program that keeps what it has seen and asks for the rest, as any client should."""

    def __init__(self, trader: Trader) -> None:
        self._url = f"ws://127.0.0.1:{trader.fleet.ports[NAME]['WEBSOCKET_PORT']}"
        self._key = trader.key
        self.events: list[dict[str, object]] = []
        self._socket: ClientConnection | None = None
        self._stack = ExitStack()

    @property
    def numbers(self) -> list[object]:
        return [event["seq"] for event in self.events]

    def _open(self) -> ClientConnection:
        self._stack.close()
        socket = self._stack.enter_context(connect(self._url, proxy=None, open_timeout=2))
        for message in (
            {"action": "authenticate", "api_key": self._key},
            {"action": "subscribe", "channel": "orders", "from_seq": len(self.events) + 1},
        ):
            socket.send(json.dumps(message))
            answer = json.loads(socket.recv(5))
            if answer["status"] != "success":
                raise ConnectionError(answer["message"])
        return socket

    def read(self) -> None:
        """Whatever there is now; connects again after a loss."""
        try:
            self._socket = self._socket or self._open()
            while True:
                self.events.append(json.loads(self._socket.recv(0.2)))
        except TimeoutError:
            return
        except (OSError, WebSocketException):
            self._socket = None
            time.sleep(0.05)

    def close(self) -> None:
        self._stack.close()


def journaled(trader: Trader) -> list[tuple[int, str]]:
    path = trader.fleet.home / "db" / "sim" / f"openalgo_{NAME}.db"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute("select id, kind from order_events order by id").fetchall()
    finally:
        connection.close()


def kill(trader: Trader, role: str) -> None:
    [process] = [
        p for p in trader.fleet.processes() if role in p.cmdline() and "gateway" in " ".join(p.cmdline())
    ]
    process.kill()
    psutil.wait_procs([process], 5)


def test_every_order_event_reaches_a_follower_once_though_both_processes_are_killed(trader: Trader) -> None:
    follower, price = Follower(trader), trader.price()

    def placed(name: str) -> str:
        status, body = trader.place(name, price)
        assert status == 200, body
        return str(body["orderid"])

    first = placed("one")
    until(lambda: follower.read() or any(e["event"] == "acknowledged" for e in follower.events), 20, "live")
    kill(trader, "feed")
    placed("two")
    # the broker's push of this one finds no feed: the books tell when it is back
    trader.post("cancelorder", orderid=first, strategy="bad day")
    until(
        lambda: follower.read() or follower.numbers[-1:] == [journaled(trader)[-1][0]], 30, "the feed is back"
    )
    kill(trader, "api")
    until(lambda: trader.ready().get("ready"), 30, "the api process is back")
    third = placed("three")
    trader.post("cancelorder", orderid=third, strategy="bad day")

    def done() -> bool:
        follower.read()
        ended = {e["orderid"] for e in follower.events if e["order_status"] == "cancelled"}
        return {first, third} <= ended and follower.numbers[-1:] == [journaled(trader)[-1][0]]

    until(done, 30, "both cancellations")
    follower.close()
    assert follower.numbers == list(range(1, len(follower.events) + 1))
    assert [(e["seq"], e["event"]) for e in follower.events] == journaled(trader)[: len(follower.events)]
    assert {e["channel"] for e in follower.events} == {"orders"}
    # a push of the broker is in the journal before anybody sees it
    assert any(e["event"] == "update" for e in follower.events if e["orderid"] == third)
