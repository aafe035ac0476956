"""``/health/live`` and ``/health/ready`` of the process, on loopback."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
_OURS = frozenset({"127.0.0.1", "localhost"})

Report = Callable[[], dict[str, Any]]


class Health:
    """Serves ``report`` until ``stop``. Raises ``OSError`` when the port is taken."""

    def __init__(self, port: int, report: Report) -> None:
        self._server = _Server((HOST, port), _handler(report))
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # on Windows this would let a second process take the same port
    allow_reuse_address = os.name == "posix"


def _handler(report: Report) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5
        server_version = "algo"
        sys_version = ""

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            if host not in _OURS:
                self._answer(403, {"status": "error", "message": "host not allowed"})
            elif self.path == "/health/live":
                self._answer(200, {"status": "ok", "pid": os.getpid()})
            elif self.path == "/health/ready":
                found = report()
                self._answer(200 if found["ready"] else 503, found)
            else:
                self._answer(404, {"status": "error", "message": "no such page"})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Asked every few seconds: no line."""

    return Handler
