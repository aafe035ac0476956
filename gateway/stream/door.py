"""The WebSocket port's door: the listening socket, who may come in, and plain answers before any upgrade."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Response

from gateway import metrics
from gateway.http.gate import host_allowed
from gateway.stream import protocol

# kept small on purpose: what waits in the kernel is old by the time a slow client reads it
KERNEL_BUFFER_BYTES = 256 * 1024


class Gate:
    """Refuses rebinding (a foreign ``Host``) and other people's pages (a foreign ``Origin``).

    A page may come from this instance's own web port, from the WebSocket port, or from an allowed name
    without a port (a reverse proxy). Programs send no ``Origin`` and are let in; their key is checked later.

    Args:
        hosts: Names allowed in ``Host``, without port.
        ports: Ports of this instance a page may be served from.
    """

    def __init__(self, hosts: Iterable[str], ports: Iterable[int]) -> None:
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._ports = frozenset(ports) | {None}

    def refusal(self, host: Sequence[str], origin: Sequence[str]) -> str:
        """Why not, empty when allowed. Takes every value of each header: two of one kind are refused."""
        if len(host) != 1 or not host_allowed(host[0], self._hosts):
            return "Host not allowed"
        if len(origin) > 1:
            return "Origin not allowed"
        return "" if not origin or self._is_ours(origin[0]) else "Origin not allowed"

    def _is_ours(self, origin: str) -> bool:
        scheme, _, place = origin.partition("://")
        if scheme not in ("http", "https") or not host_allowed(place, self._hosts):
            return False
        port = place.rpartition("]")[2].partition(":")[2]
        return (int(port) if port else None) in self._ports


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket whose connections keep little in the kernel.

    Raises:
        OSError: The port is taken, or the address is not ours.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        # on Windows it would let a second process take the same port
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        sock.bind(address)
        sock.listen(512)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def json_page(status: int, body: Mapping[str, Any]) -> Response:
    """One plain HTTP answer; ``status`` is 200, 403, 404 or 503."""
    return _page(status, protocol.encode(body), "application/json")


def text_page(status: int, text: str) -> Response:
    """As ``json_page``, for the metrics."""
    return _page(status, text.encode(), metrics.CONTENT_TYPE)


def _page(status: int, content: bytes, kind: str) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Connection": "close",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    reasons = {200: "OK", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}
    return Response(status, reasons[status], headers, content)
