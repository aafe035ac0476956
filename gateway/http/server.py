"""The HTTP/1.1 server of the api process: one thread per connection, a bounded number of connections.

Flask-SocketIO in threading mode needs real threads and the raw socket of a WebSocket upgrade; orders need
keep-alive, no Nagle delay, one ``send`` per answer, and a thread that no idle browser tab can take. Measured
against werkzeug, gunicorn gthread, waitress and cheroot in ``scripts/bench/wsgi.py``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.http.answer import Answer
from gateway.http.head import CHUNK_SIZE, BadRequest, body_length, parse_head

log = logging.getLogger(__name__)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

LINGER_S = 1.0
LINGER_BYTES = 16 * 1024 * 1024

_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_CODES = {
    408: "REQUEST_TIMEOUT",
    413: "TOO_LARGE",
    431: "HEAD_TOO_LARGE",
    503: "TOO_MANY_CONNECTIONS",
}


@dataclass(frozen=True, slots=True)
class ServerRules:
    """Limits of the server.

    Attributes:
        connections: Open connections at most; one thread each. A new one over it takes the place of the
            longest idle keep-alive connection, else of the request that has been arriving longest (an
            honest one is here within milliseconds), or is answered 503 when all are being served.
        idle_s: How long a keep-alive connection may say nothing.
        read_s: How long one read inside a request may take.
        request_s: How long a whole request may take to arrive, so that a byte now and then holds nothing.
        max_head_bytes, max_body_bytes: Larger requests are answered 431 and 413.
    """

    connections: int = 160
    idle_s: float = 75.0
    read_s: float = 10.0
    request_s: float = 20.0
    max_head_bytes: int = 32 * 1024
    max_body_bytes: int = 8 * 1024 * 1024


_TIMEVAL = struct.Struct("@ll") if sys.platform != "win32" else None
"""What SO_RCVTIMEO takes; zeros wait for ever. Windows (untested) keeps Python's timeout."""


def _timeval(seconds: float) -> bytes:
    assert _TIMEVAL is not None
    return _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1_000_000))


class _Gone(Exception):
    """The peer went away or said nothing in time."""


class _Handover:
    """The raw socket as a WebSocket library sees it; remembers that it was used."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.taken = False

    def __getattr__(self, name: str) -> Any:
        if name in ("send", "recv", "sendall"):
            self.taken = True
        return getattr(self._sock, name)


class Server:
    """Bind at once (raises ``OSError`` when the port is taken), serve with ``serve_forever``."""

    def __init__(self, app: WsgiApp, host: str, port: int, rules: ServerRules | None = None) -> None:
        self.app = app
        self.rules = rules or ServerRules()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
            self._listener.listen(256)
        except OSError:
            self._listener.close()
            raise
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._stopping = False

    @property
    def connections(self) -> int:
        return len(self._open)

    def serve_forever(self) -> None:
        """Accept until ``stop``. Returns when the listener is closed."""
        while not self._stopping:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                if self._stopping:
                    return
                time.sleep(0.05)  # out of file descriptors: wait for some to close
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, sock, str(peer[0]), int(peer[1]))
            if not self._admit(connection):
                connection.refuse(503, "too many connections")
                continue
            threading.Thread(target=connection.run, name=f"http-{peer[1]}", daemon=True).start()

    def stop(self, within_s: float = 2.0) -> None:
        """Take no more connections, let running requests finish, close what is idle."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        until = time.monotonic() + within_s
        while True:
            with self._lock:
                open_now = list(self._open)
            for connection in open_now:
                if connection.idle_since is not None:
                    connection.wake()
            if not any(not c.upgraded for c in open_now) or time.monotonic() >= until:
                break
            time.sleep(0.01)
        for connection in open_now:
            connection.wake()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def _admit(self, connection: _Connection) -> bool:
        with self._lock:
            if len(self._open) >= self.rules.connections:
                idle = [c for c in self._open if c.idle_since is not None]
                arriving = [c for c in self._open if c.arriving_since is not None]
                if idle:
                    oldest = min(idle, key=lambda c: c.idle_since or 0.0)
                elif arriving:
                    oldest = min(arriving, key=lambda c: c.arriving_since or 0.0)
                else:
                    return False
                oldest.wake()
                self._open.discard(oldest)
            self._open.add(connection)
            return True

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)


class _Connection:
    """One client socket and its thread."""

    def __init__(self, server: Server, sock: socket.socket, peer: str, peer_port: int) -> None:
        self.server = server
        self.sock = sock
        self.peer = peer
        self.peer_port = peer_port
        self.buffer = bytearray()
        self.idle_since: float | None = time.monotonic()
        self.arriving_since: float | None = None
        self.upgraded = False
        self._arrive_by = 0.0
        self._patience_s = -1.0

    def run(self) -> None:
        try:
            self._wait_at_most(self.server.rules.idle_s, write_s=self.server.rules.read_s)
            while self._one_request():
                pass
        except _Gone:
            pass
        except OSError:
            pass  # the peer closed while we wrote; nothing to tell anybody
        except Exception:
            # top of the thread: one connection's trouble ends that one alone
            log.exception("connection thread failed")
        finally:
            self.server._forget(self)
            self._close()

    def _wait_at_most(self, seconds: float, *, write_s: float | None = None) -> None:
        """Longest wait of one read, and of one write; 0 waits for ever.

        The kernel keeps it: Python's own timeout costs a ``poll`` beside every call and a call to change it,
        and each of them gives the interpreter away.
        """
        if _TIMEVAL is None:
            self.sock.settimeout(seconds or None)
            return
        if seconds != self._patience_s:
            self._patience_s = seconds
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
        if write_s is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(write_s))

    def wake(self) -> None:
        """End the wait for another request, from another thread."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def refuse(self, status: int, reason: str) -> None:
        code = _CODES.get(status, "INVALID_REQUEST")
        body = f'{{"status":"error","message":"{reason}","code":"{code}"}}'.encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            self._wait_at_most(1.0, write_s=1.0)
            self.sock.sendall(head.encode() + body)
            self.sock.shutdown(socket.SHUT_WR)
        if status == 503:
            self._close()

    def _linger(self) -> None:
        """Read on for a moment: closing on unread bytes resets the connection, and the answer is lost."""
        until = time.monotonic() + LINGER_S
        left = LINGER_BYTES
        with contextlib.suppress(OSError):
            while left > 0 and (wait_s := until - time.monotonic()) > 0:
                self._wait_at_most(wait_s)
                data = self.sock.recv(65536)
                if not data:
                    return
                left -= len(data)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def _one_request(self) -> bool:
        """Serve one request; False when the connection ends."""
        try:
            environ, keep = self._read_request()
        except BadRequest as exc:
            self.refuse(exc.status, str(exc))
            self._linger()
            return False
        self.arriving_since = None
        handover: _Handover | None = None
        if "upgrade" in environ.get("HTTP_CONNECTION", "").lower():
            handover = _Handover(self.sock)
            environ["werkzeug.socket"] = handover  # the name simple-websocket looks for
            self.upgraded = True
            self._wait_at_most(0.0, write_s=0.0)
        answer = Answer(self.sock, head_only=environ["REQUEST_METHOD"] == "HEAD", keep=keep)
        answer.http10 = environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        result = self.server.app(environ, answer.start)
        try:
            if handover is not None and handover.taken:
                return False
            if self.upgraded:
                self.upgraded = False
                self._wait_at_most(self.server.rules.idle_s, write_s=self.server.rules.read_s)
            answer.write_all(result, stopping=self.server.stopping)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return answer.keep

    def _more(self) -> None:
        if self._arrive_by and time.monotonic() > self._arrive_by:
            raise BadRequest(408, "the request took too long to arrive")
        if self._arrive_by:
            self._wait_at_most(self.server.rules.read_s)
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, BlockingIOError) as exc:
            if self.buffer:
                raise BadRequest(408, "the request stopped half way") from exc
            raise _Gone from exc
        if not data:
            raise _Gone
        self.buffer += data

    def _read_request(self) -> tuple[dict[str, Any], bool]:
        rules = self.server.rules
        if not self.buffer:
            self._arrive_by = 0.0
            self.idle_since = time.monotonic()
            self._wait_at_most(rules.idle_s)
            if self.server.stopping:
                raise _Gone
            self._more()
        received_ns = time.time_ns()
        self.arriving_since = time.monotonic()
        self.idle_since = None
        self._arrive_by = self.arriving_since + rules.request_s
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > rules.max_head_bytes:
                raise BadRequest(431, "request head too large")
            self._more()
        if end > rules.max_head_bytes:
            raise BadRequest(431, "request head too large")
        head = bytes(self.buffer[:end])
        del self.buffer[: end + 4]
        environ = parse_head(head)
        body = self._read_body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["algo.received_ns"] = received_ns
        environ["REMOTE_ADDR"] = self.peer
        environ["REMOTE_PORT"] = self.peer_port
        environ["SERVER_NAME"] = self.server.host
        environ["SERVER_PORT"] = str(self.server.port)
        wish = environ.get("HTTP_CONNECTION", "").lower()
        keep = "keep-alive" in wish if environ["SERVER_PROTOCOL"] == "HTTP/1.0" else "close" not in wish
        return environ, keep

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        limit = self.server.rules.max_body_bytes
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        length = body_length(environ)
        if length > limit:
            raise BadRequest(413, "request body too large")
        if (length or coding) and environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if coding:
            body = self._read_chunked(limit)
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input_terminated"] = True
            return body
        while len(self.buffer) < length:
            self._more()
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        return body

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > 1024:
                raise BadRequest(400, "chunk line too long")
            self._more()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    def _read_chunked(self, limit: int) -> bytes:
        body = bytearray()
        while True:
            size_text = self._line().split(b";", 1)[0].strip()
            if not CHUNK_SIZE.match(size_text):
                raise BadRequest(400, "bad chunk size")
            size = int(size_text, 16)
            if len(body) + size > limit:
                raise BadRequest(413, "request body too large")
            if size == 0:
                while self._line():
                    pass  # trailers are read and dropped
                return bytes(body)
            while len(self.buffer) < size + 2:
                self._more()
            if self.buffer[size : size + 2] != b"\r\n":
                raise BadRequest(400, "bad chunk end")
            body += self.buffer[:size]
            del self.buffer[: size + 2]
