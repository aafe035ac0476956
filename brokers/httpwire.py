"""HTTP/1.1 as a client writes and reads it: requests into bytes, bytes into answers. No socket.

``http.client`` reads an answer's head with the e-mail parser; with urllib3 around it an exchange cost 0.3 ms
of CPU, most of what an order's way to the broker costs here. This is the part of HTTP brokers speak, and
strict: an answer that can be read in two ways, or that ends early, is ``Torn``.

Source: RFC 9112, sections 4 to 7.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping

MAX_HEAD_BYTES = 64 * 1024
_PIECE = 1 << 18
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_NO_VALUE = re.compile(r"[\x00\r\n]")
_TARGET = re.compile(r"/[\x21-\x7e]*\Z")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_WORD = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?\Z")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,12}\Z")


class Torn(Exception):
    """No whole, readable answer."""


def request(
    method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None, agent: str
) -> bytes:
    """One request.

    Raises:
        ValueError: A target or header that could be read as more than one; nothing must be sent.
    """
    if not _TARGET.match(target):
        raise ValueError("a request target with blanks, control characters or no slash")
    given = {name.lower() for name in headers}
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in (("Host", host), ("Accept-Encoding", "identity"), ("User-Agent", agent)):
        if name.lower() not in given:
            lines.append(f"{name}: {value}")
    if body is not None or method in _BODY_METHODS:
        lines.append(f"Content-Length: {len(body or b'')}")
    for name, value in headers.items():
        if not _NAME.match(name) or _NO_VALUE.search(value) or name.lower() == "content-length":
            raise ValueError(f"header {name!r} cannot be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")


class Answer:
    """Reads one answer from ``recv``, which returns b"" at the end of the stream.

    Attributes:
        status, headers, body: Header names in lower case; repeated ones joined with a comma.
        keep: The connection may carry another request.
    """

    __slots__ = ("_data", "_recv", "body", "headers", "keep", "status")

    def __init__(self, recv: Callable[[int], bytes], method: str) -> None:
        self._recv = recv
        self._data = b""
        self.status, self.headers, minor = self._head()
        while self.status < 200:  # 100 Continue, 103 Early Hints
            self.status, self.headers, minor = self._head()
        wish = self.headers.get("connection", "").lower()
        self.keep = "close" not in wish and (minor == 1 or "keep-alive" in wish)
        self.body = self._decoded(self._body(method))
        if self._data:
            self.keep = False  # whatever that is, the next answer would be read out of step

    def _more(self) -> bool:
        part = self._recv(_PIECE)
        self._data += part
        return bool(part)

    def _head(self) -> tuple[int, dict[str, str], int]:
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if len(self._data) > MAX_HEAD_BYTES:
                raise Torn("the head of the answer is too large")
            if not self._more():
                raise Torn("the answer ended inside its head" if self._data else "no answer")
        first, *lines = self._data[:end].split(b"\r\n")
        self._data = self._data[end + 4 :]
        word = _WORD.match(first)
        if word is None:
            raise Torn("not an HTTP answer")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            key = name.decode("latin-1").lower()
            if not colon or not _NAME.match(key):
                raise Torn("a header of the answer cannot be read")
            text = value.strip(b" \t").decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return int(word[2]), headers, int(word[1])

    def _body(self, method: str) -> bytes:
        if method == "HEAD" or self.status in (204, 304):
            return b""
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if coding is not None:
            if coding.strip().lower() != "chunked" or length is not None:
                raise Torn("the answer's framing can be read in two ways")
            return self._chunked()
        if length is not None:
            # the same length twice is one length
            sizes = {part.strip() for part in length.split(",")}
            size = sizes.pop()
            if sizes or not (size.isascii() and size.isdigit()):
                raise Torn("the answer has no readable length")
            return self._exactly(int(size))
        self.keep = False
        parts = [self._data]
        while part := self._recv(_PIECE):
            parts.append(part)
        self._data = b""
        return b"".join(parts)

    def _exactly(self, size: int) -> bytes:
        parts = [self._data[:size]]
        self._data = self._data[size:]
        left = size - len(parts[0])
        while left > 0:
            part = self._recv(min(left, _PIECE))
            if not part:
                raise Torn(f"the answer ended {left} bytes early")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _line(self) -> bytes:
        while (end := self._data.find(b"\r\n")) < 0:
            if len(self._data) > MAX_HEAD_BYTES or not self._more():
                raise Torn("the answer ended inside a chunk")
        line, self._data = self._data[:end], self._data[end + 2 :]
        return line

    def _chunked(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = self._line().split(b";", 1)[0].strip()
            if not _SIZE.match(size):
                raise Torn("a chunk of the answer has no readable size")
            if int(size, 16) == 0:
                while self._line():
                    pass  # trailers are read and dropped
                return b"".join(parts)
            parts.append(self._exactly(int(size, 16)))
            if self._exactly(2) != b"\r\n":
                raise Torn("a chunk of the answer does not end where it says")

    def _decoded(self, body: bytes) -> bytes:
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding == "identity" or not body:
            return body
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Torn(f"the answer is encoded as {coding}, which was not asked for")
        try:
            return _inflate(body, gzip=coding != "deflate")
        except zlib.error as exc:
            raise Torn("the answer's encoding is broken") from exc


def _inflate(body: bytes, *, gzip: bool) -> bytes:
    """Raises ``zlib.error``, for a stream cut short too."""
    try:
        reader = zlib.decompressobj(31 if gzip else 15)
        whole = reader.decompress(body)
    except zlib.error:
        if gzip:
            raise
        reader = zlib.decompressobj(-15)  # some send deflate without its zlib frame
        whole = reader.decompress(body)
    if not reader.eof:
        raise zlib.error("cut short")
    return whole
