"""Did a byte leave? Every way a connection can fail, over real sockets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from brokers.errors import BrokerDown, OutcomeUnknown
from brokers.transport import Transport
from tests.ports import free_ports

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def server(behave: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A listener that hands each connection and its number to ``behave``; yields URL and what it read."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []
    stop = threading.Event()

    def read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return data
            data += part
        return data

    def run() -> None:
        number = 0
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    data = read(connection)
                    if data:
                        seen.append(data)
                    behave(connection, number)
                except OSError:
                    pass
            number += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", seen
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close alone does not
        listener.close()
        thread.join(5)


def reset(connection: socket.socket, number: int) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_refused_means_nothing_left() -> None:
    [port] = free_ports(1)
    with pytest.raises(BrokerDown):
        Transport().send("POST", f"http://127.0.0.1:{port}/x", headers={}, body=b"order")


def test_a_name_that_does_not_resolve_means_nothing_left() -> None:
    with pytest.raises(BrokerDown):
        Transport().send("POST", "http://no-such-host.invalid/x", headers={}, body=b"order")


def test_a_failed_tls_handshake_means_nothing_left() -> None:
    with server(lambda c, n: c.sendall(b"not tls at all")) as (url, _), pytest.raises(BrokerDown):
        Transport().send("POST", url.replace("http", "https"), headers={}, body=b"order")


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(reset, id="reset after reading"),
        pytest.param(lambda c, n: None, id="closed without an answer"),
        pytest.param(lambda c, n: c.sendall(HALF), id="truncated"),
        pytest.param(lambda c, n: c.sendall(b"\x00\x01garbage\r\n\r\n"), id="not HTTP"),
        pytest.param(lambda c, n: threading.Event().wait(1.5), id="slow"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_after_bytes_left_the_outcome_is_unknown_and_nothing_is_sent_again(
    behave: Callable[[socket.socket, int], None], method: str
) -> None:
    with server(behave) as (url, seen):
        with pytest.raises(OutcomeUnknown):
            Transport().send(method, url, headers={}, body=b"order", read_timeout_s=0.5)
        assert len(seen) == 1


def test_a_write_is_not_redirected_and_not_retried_on_5xx() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"
    with server(lambda c, n: c.sendall(moved)) as (url, seen):
        assert Transport().send("POST", url, headers={}, body=b"order").status == 302
        assert len(seen) == 1


def test_a_read_is_repeated_until_it_works() -> None:
    def behave(connection: socket.socket, number: int) -> None:
        if number == 0:
            reset(connection, number)
        elif number == 1:
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            connection.sendall(OK)

    with server(behave) as (url, seen):
        reply = Transport().fetch("GET", url, headers={})
        assert (reply.status, reply.body, len(seen)) == (200, b"ok", 3)


def test_a_read_gives_up_by_name() -> None:
    with server(reset) as (url, _), pytest.raises(BrokerDown):
        Transport(read_retries=1).fetch("GET", url, headers={})


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("1.5", 1.5), ("Wed, 21 Oct 2026", None)])
def test_retry_after(header: str, seconds: float | None) -> None:
    answer = f"HTTP/1.1 429 Slow\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n".encode()
    with server(lambda c, n: c.sendall(answer)) as (url, _):
        assert Transport().send("POST", url, headers={}).retry_after_s == seconds


def test_a_connection_is_used_again_until_the_broker_closes_it() -> None:
    """Closed between two requests: the next goes out on a new connection; nothing is lost or doubled."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[int] = []

    def run() -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            taken.append(0)
            with connection:
                for _ in range(2):
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    taken[-1] += 1
                    connection.sendall(OK)
            closed.release()

    closed = threading.Semaphore(0)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    transport = Transport()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    for number in range(6):
        assert transport.send("POST", url, headers={}).body == b"ok"
        if number % 2:
            assert closed.acquire(timeout=5)
    thread.join(5)
    listener.close()
    transport.close()
    assert taken == [2, 2, 2]


@pytest.mark.parametrize(
    ("path", "headers"), [("/x", {"Auth": "a\r\nX: y"}), ("/x", {"Auth": "€"})], ids=["split", "no latin"]
)
def test_a_request_that_cannot_be_written_never_leaves(path: str, headers: dict[str, str]) -> None:
    answering = server(lambda connection, _: connection.sendall(OK))
    with answering as (url, seen), pytest.raises(BrokerDown, match="cannot be sent"):
        Transport().send("POST", url, headers=headers, body=b"order")
    assert seen == []


def test_an_address_is_written_as_a_url_must_be() -> None:
    with server(lambda connection, _: connection.sendall(OK)) as (url, seen):
        Transport().send("GET", f"{url}/nse_cm|11536?q=a b", headers={})
    assert seen[0].startswith(b"GET /x/nse_cm%7C11536?q=a%20b HTTP/1.1\r\n")
