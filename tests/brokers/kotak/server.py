"""A small HTTP server on loopback that answers what a test tells it to, and can misbehave below HTTP."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from brokers.secret import Secret


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def jdata(self) -> dict[str, Any]:
        return json.loads(parse_qs(self.body.decode(), keep_blank_values=True)["jData"][0])


@dataclass(frozen=True, slots=True)
class Answer:
    """``raw`` set: those bytes instead of an HTTP answer, then an abrupt end."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    wait: threading.Event | None = None


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(body).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


class Server:
    """Answers by path; a list is used up one by one, its last one stays."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.routes: dict[str, Any] = {}
        self.release = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *answers: Answer | Callable[[Request], Answer]) -> None:
        self.routes[path] = list(answers)

    def asked(self, path: str) -> list[Request]:
        return [r for r in self.requests if r.path == path]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        known = self.routes.get(request.path)
        if known is None:
            prefix = next(
                (p for p in self.routes if p.endswith("*") and request.path.startswith(p[:-1])), None
            )
            known = self.routes[prefix] if prefix else [says({"code": "404", "message": "no such path"}, 404)]
        chosen = known.pop(0) if len(known) > 1 else known[0]
        return chosen(request) if callable(chosen) else chosen


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = server.answer(
                Request(
                    self.command,
                    unquote(parts.path),
                    parse_qs(parts.query),
                    {k.lower(): v for k, v in self.headers.items()},
                    body,
                )
            )
            if answer.wait is not None:
                answer.wait.wait(10)
            if answer.raw is not None:
                self.connection.sendall(answer.raw)
                # RST instead of FIN, so that the client sees a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            # the client left, or the test closed the connection
            with suppress(OSError, ValueError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

    return Handler


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        http.shutdown()
        http.server_close()
        thread.join(5)


CREDENTIALS = {
    "KOTAK_UCC": Secret("ABC12"),
    "KOTAK_MOBILE_NUMBER": Secret("9876543210"),
    "KOTAK_MPIN": Secret("123456"),
    "BROKER_API_SECRET": Secret("app-token"),
    "KOTAK_TOTP_SECRET": Secret("JBSWY3DPEHPK3PXP"),
}
