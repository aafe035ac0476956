"""What every request passes first, before Flask and before Socket.IO: Host, tab cap, slashes, log line."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from brokers.jsonlog import PLAIN
from gateway.http.proxies import Network, client

log = logging.getLogger("gateway.request")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

LIVE_PATH = "/socket.io"
LONG_PART = re.compile(r"[^/]{32,}")
"""In a path: a key put there by mistake, or the secret of a webhook. Neither belongs into a log."""
HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?\Z")
QUIET = (
    "/health/",
    "/static/",
    "/internal/order-update",
    "/internal/positions-and-orders",
    "/internal/history",
    "/internal/fleet",
    "/internal/routed/standing",
    "/web/api/log",
    "/web/api/traffic",
    LIVE_PATH,
)
"""No line for these: asked all the time, and what the feed pushes is in the journal."""


class Direct(Protocol):
    """See ``gateway.api.direct``."""

    @property
    def paths(self) -> frozenset[str]: ...

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes] | None: ...


class Gate:
    """WSGI middleware.

    Args:
        allowed_hosts: Names a ``Host`` header may carry, any port.
        may_listen: Whether a Socket.IO request carries a signed-in web session.
        most_tabs: Socket.IO requests at a time; far below the server's connections, so that open tabs can
            never take the last thread from an order.
        trusted_proxies: Whose word on the caller's address is taken.
        direct: Answers some requests without ``app``, by its ``paths``; None leaves one to ``app``.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        allowed_hosts: Iterable[str],
        may_listen: Callable[[Environ], bool],
        most_tabs: int = 48,
        direct: Direct | None = None,
        trusted_proxies: tuple[Network, ...] = (),
    ) -> None:
        self._app = app
        self._direct = direct
        self._known = frozenset() if direct is None else direct.paths
        self._allowed = frozenset(name.lower() for name in allowed_hosts)
        self._proxies = trusted_proxies
        self._may_listen = may_listen
        self._most_tabs = most_tabs
        self._tabs = 0
        self._lock = threading.Lock()

    @property
    def tabs(self) -> int:
        """Socket.IO requests being served now."""
        return self._tabs

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("//"):
            # the SDK with host="http://h:5000/" asks for //api/v1/…
            path = environ["PATH_INFO"] = "/" + path.lstrip("/")
        if self._proxies and (forwarded := environ.get("HTTP_X_FORWARDED_FOR", "")):
            environ["REMOTE_ADDR"] = client(environ.get("REMOTE_ADDR", ""), forwarded, self._proxies)
        if not host_allowed(environ.get("HTTP_HOST", ""), self._allowed):
            return refuse(start_response, "403 Forbidden", "HOST_NOT_ALLOWED", "this Host is not served here")
        if path.startswith(LIVE_PATH):
            return self._live(environ, start_response)
        return self._logged(environ, start_response, path)

    def _live(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # a script tag sends no Origin, and engine.io answers ``j`` in a form another page can read (JSONP)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if from_elsewhere(environ) or "j" in query:
            return refuse(start_response, "403 Forbidden", "ORIGIN_NOT_ALLOWED", "another origin's page")
        if not self._may_listen(environ):
            return refuse(start_response, "401 Unauthorized", "SIGN_IN_REQUIRED", "sign in first")
        with self._lock:
            if self._tabs >= self._most_tabs:
                return refuse(
                    start_response, "503 Service Unavailable", "TOO_MANY_TABS", "too many open pages"
                )
            self._tabs += 1
        try:
            return list(self._app(environ, start_response))
        finally:
            with self._lock:
                self._tabs -= 1

    def _logged(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        began = time.perf_counter()
        status = ""

        def start(text: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = text[:3]
            return start_response(text, headers, exc_info)

        known = path in self._known
        result: Iterable[bytes] | None = None
        if self._direct is not None and known:
            result = self._direct(environ, start)
        if result is None:
            result = self._app(environ, start)
        if not path.startswith(QUIET) and log.isEnabledFor(logging.INFO):
            log.info(
                "request",
                extra={
                    "method": environ["REQUEST_METHOD"],
                    "path": path if known else shown(path),
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 2),
                    "from": environ.get("REMOTE_ADDR", ""),
                    # a path of ours, a status and an address: nothing a redactor would find
                    PLAIN: known,
                },
            )
        return result


def shown(path: str) -> str:
    """A path as a log may have it: no secret, nothing a terminal obeys, not endless."""
    return "".join(c if c.isprintable() else "?" for c in LONG_PART.sub("***", path)[:200])


def host_allowed(host: str, allowed: frozenset[str]) -> bool:
    """``127.0.0.1:5000``, ``[::1]:5000``, ``localhost``: nothing but a name and a port, compared whole."""
    match = HOST.match(host)
    return match is not None and (match[1] or match[2]).lower() in allowed


def same_origin(environ: Environ) -> bool:
    """True without an ``Origin`` (no browser) or when it names the host and port the request came to."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return True
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.lower() == environ.get("HTTP_HOST", "").lower()


def from_elsewhere(environ: Environ) -> bool:
    """True when a browser says that a page of another origin asks: another site, or another port of ours."""
    site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    return not same_origin(environ) or site not in ("same-origin", "none")


def caller(environ: Environ) -> str:
    """Whose rate limit a request counts on.

    Pages elsewhere share one of their own: they can make a browser on this machine send anything, and must
    not use up what strategies and the owner need.
    """
    address = str(environ.get("REMOTE_ADDR", ""))
    return f"{address} elsewhere" if from_elsewhere(environ) else address


def refuse(start_response: StartResponse, status: str, code: str, message: str) -> list[bytes]:
    body = msgspec.json.encode({"status": "error", "message": message, "code": code})
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
