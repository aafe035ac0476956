"""What goes back over the socket: head and body in as few sends as can be."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any


class Answer:
    """Collects status and headers, then writes them with the body in as few sends as can be."""

    def __init__(self, sock: socket.socket, *, head_only: bool, keep: bool) -> None:
        self._sock = sock
        self._head_only = head_only
        self.keep = keep
        self.http10 = False
        self._status = ""
        self._headers: list[tuple[str, str]] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        self._status, self._headers = status, headers
        return self._write_is_gone

    def _write_is_gone(self, data: bytes) -> None:
        raise NotImplementedError("write() of PEP 3333 is not offered; return an iterable")

    def write_all(self, result: Iterable[bytes], *, stopping: bool) -> None:
        code = self._status[:3]
        names = {name.lower() for name, _ in self._headers}
        bodiless = self._head_only or code in ("204", "304") or code[0] == "1"
        parts = result if isinstance(result, list | tuple) else None
        chunked = False
        extra = ""
        if "content-length" not in names and code not in ("204", "304"):
            if parts is not None or bodiless:
                extra = f"Content-Length: {sum(map(len, parts or ()))}\r\n"
            elif self.http10:
                self.keep = False
            else:
                chunked = True
                extra = "Transfer-Encoding: chunked\r\n"
        if stopping:
            self.keep = False
        lines = [f"HTTP/1.1 {self._status}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self._headers]
        if "date" not in names:
            lines.append(f"Date: {_http_date(int(time.time()))}\r\n")
        lines.append(f"{extra}Connection: {'keep-alive' if self.keep else 'close'}\r\n\r\n")
        head = "".join(lines).encode("latin-1")
        if bodiless:
            self._sock.sendall(head)
        elif not chunked:
            body = b"".join(result)
            self._sock.sendall(head + body if len(body) < 262_144 else head)
            if len(body) >= 262_144:
                self._sock.sendall(body)
        else:
            self._write_chunked(head, result)

    def _write_chunked(self, head: bytes, result: Iterable[bytes]) -> None:
        self._sock.sendall(head)
        for part in result:
            if part:
                self._sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        self._sock.sendall(b"0\r\n\r\n")


_date_cache: tuple[int, str] = (0, "")


def _http_date(second: int) -> str:
    global _date_cache  # one value, replaced whole: a race only formats twice
    at, text = _date_cache
    if at != second:
        text = formatdate(second, usegmt=True)
        _date_cache = (second, text)
    return text
