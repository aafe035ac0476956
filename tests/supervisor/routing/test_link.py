"""What provably never left is told apart from what may have arrived."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.venue import Venue
from supervisor.routing import link
from supervisor.routing.link import Instances, Loopback
from supervisor.routing.model import Chosen, Lost, NotSent, Row, State
from tests.ports import free_ports
from tests.supervisor.routing.fleet import order
from tests.supervisor.test_plan import make

GOOD = b'{"http":200,"answer":{"status":"success","orderid":"1"},"journaled":true}'


def row() -> Row:
    return Row(1, order("a"), "NSE:SBIN", Chosen("dhan", "live", "why", {}), 3, State.OPEN, 0, {}, "", 0, 0)


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[bytes]]]:
    """One connection is read and answered."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                heard.append(line.recv(65536))
                answer(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5)


def loopback(home: Path, port: int) -> Loopback:
    make(home, "dhan", FLASK_PORT=str(port))
    return Loopback(Instances(home, Venue.SIM))


def said(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def test_an_order_carries_its_attempt_its_mode_and_the_key(tmp_path: Path) -> None:
    with listening(lambda line: line.sendall(said(GOOD))) as (port, heard):
        found = loopback(tmp_path, port).call(row())
    assert found["answer"]["orderid"] == "1"
    head, _, body = heard[0].partition(b"\r\n\r\n")
    sent = json.loads(body or b"{}")
    assert b"POST /internal/routed/call" in head
    assert b"X-Algo-Internal: " in head
    if sent:
        assert (sent["attempt"], sent["mode"], sent["body"]["client_order_id"]) == (3, "live", "a")


def test_nobody_there_means_nothing_left(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    one = loopback(tmp_path, port)
    with pytest.raises(NotSent, match="no connection"):
        one.call(row())
    (tmp_path / "instances" / "dhan.env").unlink()
    with pytest.raises(NotSent, match=r"dhan\.env"):
        one.call(row())
    with pytest.raises(SettingsError):
        Instances(tmp_path, Venue.SIM).settings("dhan")


@pytest.mark.parametrize(
    "answer",
    [
        lambda line: None,
        lambda line: line.sendall(b"nonsense"),
        lambda line: line.sendall(said(GOOD)[:-5]),
        lambda line: line.sendall(said(b"<html>")),
        lambda line: line.sendall(said(b'{"message":"full"}', 503)),
        lambda line: line.sendall(said(GOOD, 500)),
    ],
    ids=["closed", "nonsense", "torn", "html", "503", "500"],
)
def test_an_answer_that_cannot_be_read_is_no_answer(tmp_path: Path, answer) -> None:
    with listening(answer) as (port, _), pytest.raises(Lost):
        loopback(tmp_path, port).call(row())


def test_silence_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ORDER_S", 0.2)
    asked = threading.Event()
    with listening(lambda line: asked.wait(5) and None) as (port, _):
        with pytest.raises(Lost):
            loopback(tmp_path, port).call(row())
        asked.set()
