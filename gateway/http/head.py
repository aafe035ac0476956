"""The head of an HTTP/1.1 request as a WSGI environ. Pure: no socket.

Strict on purpose: what two parsers could read differently (both lengths, folded headers, two Hosts) fails.
"""

from __future__ import annotations

import re
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_SINGLE = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"})


class BadRequest(Exception):
    """The bytes are not a request we read. Carries the status to answer before closing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def body_length(environ: dict[str, Any]) -> int:
    """Bytes of the body to come. Raises ``BadRequest`` for lengths two readers could disagree about."""
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    text = environ.get("CONTENT_LENGTH")
    if coding is not None:
        if text is not None:
            raise BadRequest(400, "both Content-Length and Transfer-Encoding")
        if environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            # RFC 9112 6.1: something in between forwarded a framing it did not know
            raise BadRequest(400, "Transfer-Encoding in HTTP/1.0")
        if coding.strip().lower() != "chunked":
            raise BadRequest(501, "unknown Transfer-Encoding")
        return 0
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise BadRequest(400, "bad Content-Length")
    return int(text)


def parse_head(head: bytes) -> dict[str, Any]:
    """Request line and headers as a WSGI environ (without ``wsgi.input`` and addresses).

    Raises:
        BadRequest: Anything RFC 9112 does not allow, and what it allows that can be read in two ways.
    """
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]):
        raise BadRequest(400, "bad request line")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505, "HTTP/1.1 only")
    if not target.startswith(b"/") or _BAD_VALUE.search(target):
        raise BadRequest(400, "bad request target")
    path, _, query = target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method.decode("ascii"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": target.decode("latin-1"),
        "SERVER_PROTOCOL": version.decode("ascii"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.match(name) or _BAD_VALUE.search(value):
            raise BadRequest(400, "bad header")
        if b"_" in name:
            continue  # X_Name and X-Name would be one key
        key = name.decode("ascii").upper().replace("-", "_")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = "HTTP_" + key
        text = value.strip(b" \t").decode("latin-1")
        if key in environ:
            if key in _SINGLE:
                raise BadRequest(400, "a header that may stand once stands twice")
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    if version == b"HTTP/1.1" and "HTTP_HOST" not in environ:
        raise BadRequest(400, "Host is missing")
    return environ
