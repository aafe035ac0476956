"""Calls in plain JSON: what an answer means, decided by status and code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from brokers import errors
from brokers.clock import SystemClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.jsoncalls import Dialect, JsonCalls
from brokers.reasons import Refusal
from brokers.secret import Secret
from brokers.transport import Transport

NOW = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
SESSION = BrokerSession("acme", "1", {"token": Secret("t0ken")}, {}, NOW, NOW + timedelta(hours=1))


def refusal_in(data: Any) -> Refusal:
    found = data if isinstance(data, dict) else {}
    return Refusal(str(found.get("code", "")), str(found.get("text", "")))


def headers_of(session: BrokerSession) -> dict[str, str]:
    return {"Auth": session.secrets["token"].reveal()}


DIALECT = Dialect("Acme", headers_of, refusal_in, frozenset({"L1"}), frozenset({"A1"}))
Asked = list[tuple[str, str, str, bytes]]
Answer = tuple[int, bytes]


@pytest.fixture
def server() -> Iterator[tuple[Callable[[Answer], JsonCalls], Asked]]:
    asked: Asked = []
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, self.headers["Auth"], body))
            status, said = answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *args: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def calls(answer: Answer) -> JsonCalls:
        answers[:] = [answer]
        url = f"http://127.0.0.1:{http.server_address[1]}/"
        context = BrokerContext({}, {"rest": url}, {}, SystemClock(), None)  # type: ignore[arg-type]
        return JsonCalls(DIALECT, context, lambda: SESSION, Transport(read_retries=0))

    yield calls, asked
    http.shutdown()
    http.server_close()


def test_a_write_goes_out_once_with_the_session_and_says_what_came(server: Any) -> None:
    calls, asked = server
    reply, data = calls((200, b'{"id": "7"}')).write("POST", "/orders", {"q": 1})
    assert (reply.status, data) == (200, {"id": "7"})
    assert asked == [("POST", "/orders", "t0ken", json.dumps({"q": 1}).encode())]
    calls((204, b"null"))
    assert calls((200, b'[{"a": 1}]')).rows("/orders") == [{"a": 1}]
    assert asked[-1] == ("GET", "/orders", "t0ken", b"")


REFUSED = [
    (429, b"{}", errors.RateLimited, errors.RateLimited),
    (500, b'{"code": "L1"}', errors.OutcomeUnknown, errors.BrokerDown),
    (403, b'{"code": "A1"}', errors.IpNotAllowed, errors.IpNotAllowed),
    (200, b'{"code": "L1"}', errors.LoginRequired, errors.LoginRequired),
    (401, b"{}", errors.LoginRequired, errors.LoginRequired),
    (400, b"<html>", errors.OutcomeUnknown, errors.WireError),
    (200, b"<html>", errors.OutcomeUnknown, errors.WireError),
    (400, b'{"code": "X", "text": "insufficient funds"}', errors.OrderRejected, errors.BrokerError),
]


@pytest.mark.parametrize(("status", "body", "write", "read"), REFUSED)
def test_only_a_readable_no_is_a_no(server: Any, status: int, body: bytes, write: type, read: type) -> None:
    calls, asked = server
    with pytest.raises(errors.BrokerError) as caught:
        calls((status, body)).write("POST", "/orders", None)
    assert type(caught.value) is write
    assert len(asked) == 1
    with pytest.raises(errors.BrokerError) as caught:
        calls((status, body)).read("GET", "/orders")
    assert type(caught.value) is read


def test_the_words_of_a_rejection_become_a_code(server: Any) -> None:
    with pytest.raises(errors.OrderRejected) as caught:
        server[0](REFUSED[-1][:2]).write("POST", "/orders", {})
    assert (caught.value.code, caught.value.broker_code) == ("INSUFFICIENT_MARGIN", "X")


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'"x"'])
def test_what_is_no_list_of_rows_is_never_an_empty_book(server: Any, body: bytes) -> None:
    with pytest.raises(errors.WireError):
        server[0]((200, body)).rows("/orders")
