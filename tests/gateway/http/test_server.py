"""The server over real sockets: keep-alive, limits, full house, orderly stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from simple_websocket import Server as WebSocket
from websockets.sync.client import connect

from gateway.http.server import Server, ServerRules


def echo(environ, start):
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if path == "/stream":
        start("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one,", b"", b"two"])
    if path == "/fail":
        raise RuntimeError("a bug in the application")
    answer = json.dumps({"path": path, "body": body.decode("latin-1")}).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


@contextmanager
def serving(app: Callable[..., object] = echo, **rules: float) -> Iterator[Server]:
    server = Server(app, "127.0.0.1", 0, ServerRules(**rules))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def raw(server: Server, data: bytes) -> bytes:
    """Everything the server says until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        sock.sendall(data)
        sock.settimeout(5)
        answer = b""
        while part := sock.recv(65536):
            answer += part
        return answer


def test_one_connection_serves_many_requests():
    with serving() as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for number in range(5):
            client.request("POST", "/x", body=f"n{number}")
            assert json.loads(client.getresponse().read())["body"] == f"n{number}"
        assert server.connections == 1
        client.close()


def test_pipelined_requests_are_answered_in_order():
    with serving() as server:
        one = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"
        two = b"POST /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nb"
        answer = raw(server, one + two)
    assert answer.index(b'"/1"') < answer.index(b'"/2"')
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_chunked_body_is_read_and_a_generator_is_sent_chunked():
    with serving() as server:
        answer = raw(
            server,
            b"POST /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        )
        assert b'"body": "abcde"' in answer
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("GET", "/stream")
        response = client.getresponse()
        assert response.getheader("Transfer-Encoding") == "chunked"
        assert response.read() == b"one,two"
        client.close()


def test_a_head_request_gets_the_length_and_no_body():
    with serving() as server:
        answer = raw(server, b"HEAD /h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: " in head
    assert body == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 40_000, 431),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_not_a_request_is_refused_and_the_connection_closed(data, status):
    with serving() as server:
        answer = raw(server, data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b'"status":"error"' in answer


def test_a_request_that_stops_half_way_is_cut_off():
    with serving(request_s=60, read_s=0.2) as server:
        answer = raw(server, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_request_that_trickles_in_is_cut_off():
    with serving(request_s=0.3, read_s=60) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), 5)
        sock.settimeout(0.02)
        answer, end = b"", time.monotonic() + 5
        while not answer:
            assert time.monotonic() < end, "a byte now and then holds the thread"
            sock.sendall(b"G")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(100)
        sock.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_makes_room_when_the_house_is_full():
    with serving(connections=2) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(2)]
        until(lambda: server.connections == 2)
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("POST", "/new", body="x")
        assert client.getresponse().status == 200
        client.close()
        idle[0].settimeout(5)
        assert idle[0].recv(1) == b"", "the longest idle one was closed"
        for sock in idle:
            sock.close()


def test_with_every_thread_busy_a_new_connection_is_told_so():
    release = threading.Event()
    busy = threading.Event()

    def slow(environ, start):
        busy.set()
        release.wait(10)
        return echo(environ, start)

    with serving(slow, connections=1) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("GET", "/busy")
        assert busy.wait(5)
        answer = raw(server, b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        release.set()
        assert client.getresponse().status == 200
        client.close()


def test_the_slowest_half_request_makes_room_when_the_house_is_full():
    with serving(connections=3) as server:
        slow = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(3)]
        for sock in slow:
            sock.sendall(b"GET / HT")
            until(
                lambda sock=sock: sum(c.arriving_since is not None for c in server._open) > slow.index(sock)
            )
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("POST", "/order", body="x")
        assert client.getresponse().status == 200
        client.close()
        slow[0].settimeout(5)
        assert slow[0].recv(1) == b"", "the one that has been arriving longest was closed"
        for sock in slow:
            sock.close()


def test_a_request_being_served_is_never_cut_for_a_new_one():
    release, busy = threading.Event(), threading.Semaphore(0)

    def slow(environ, start):
        busy.release()
        release.wait(10)
        return echo(environ, start)

    with serving(slow, connections=2) as server:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=5) for _ in range(2)]
        for client in clients:
            client.request("GET", "/busy")
            assert busy.acquire(timeout=5)
        assert raw(server, b"").startswith(b"HTTP/1.1 503 ")
        release.set()
        assert [client.getresponse().status for client in clients] == [200, 200]
        for client in clients:
            client.close()


def test_a_refused_body_is_read_on_so_that_the_answer_arrives():
    body = b"a" * (4 * 1024 * 1024)
    with serving(max_body_bytes=1024) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("POST", "/big", body=body)
        assert client.getresponse().status == 413
        client.close()


def test_an_application_error_closes_that_connection_only():
    with serving() as server:
        assert raw(server, b"GET /fail HTTP/1.1\r\nHost: h\r\n\r\n") == b""
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        client.request("GET", "/after")
        assert client.getresponse().status == 200
        client.close()


def test_stop_lets_a_running_request_finish_and_takes_no_new_one():
    release = threading.Event()
    busy = threading.Event()

    def slow(environ, start):
        busy.set()
        release.wait(10)
        return echo(environ, start)

    server = Server(slow, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("GET", "/last")
    assert busy.wait(5)
    stopper = threading.Thread(target=server.stop, args=(5.0,))
    stopper.start()
    until(lambda: server.stopping)
    release.set()
    response = client.getresponse()
    assert response.status == 200
    assert response.getheader("Connection") == "close"
    stopper.join(5)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_a_websocket_upgrade_gets_the_raw_socket():
    def app(environ, start):
        ws = WebSocket(environ)
        ws.send(ws.receive() + "!")
        ws.close()
        start("200 OK", [])
        return []

    with serving(app) as server, connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
        ws.send("tick")
        assert ws.recv() == "tick!"


def test_a_taken_port_is_an_error_at_once():
    with serving() as server, pytest.raises(OSError, match="in use"):
        Server(echo, "127.0.0.1", server.port)
