"""HTTP to a broker: pooled, timed, and honest about what left the machine.

urllib3 makes the connections (names, addresses, TLS and its checks); what goes over them is ``httpwire``'s.

The one question an order asks of HTTP is "did a byte leave?". ``send`` answers it by class: ``BrokerDown``
means the connection was never made, ``OutcomeUnknown`` means it was and no whole answer came back.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url
from urllib3.util.wait import wait_for_read

from brokers import httpwire
from brokers.errors import BrokerDown, OutcomeUnknown

# exported by name only in its stubs
AGENT = f"python-urllib3/{urllib3.__version__}"  # type: ignore[attr-defined]
DEFAULT_PORTS = {"http": 80, "https": 443}


class _NeverLeft(Exception):
    """The connection could not be made; nothing was sent."""


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    target: str
    shown_host: str


@functools.lru_cache(512)
def _address(url: str) -> _Address:
    """Raises ``HTTPError`` for what is no http(s) URL."""
    parts = parse_url(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.host:
        raise urllib3.exceptions.LocationValueError(f"not an http(s) address: {parts.scheme}://{parts.host}")
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    shown = parts.host if port == DEFAULT_PORTS[parts.scheme] else f"{parts.host}:{port}"
    return _Address(parts.scheme, parts.host.strip("[]"), port, parts.request_uri, shown)


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole HTTP answer. ``sent_ns``/``received_ns`` are wall nanoseconds around the exchange."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_ns: int
    received_ns: int

    @property
    def retry_after_s(self) -> float | None:
        """Seconds of a numeric ``Retry-After``, None when absent or a date."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.replace(".", "", 1).isdigit() else None


class Transport:
    """A thread-safe connection pool with two verbs: ``send`` (once) and ``fetch`` (a read, retried)."""

    def __init__(
        self,
        *,
        connect_timeout_s: float = 3.0,
        read_timeout_s: float = 10.0,
        connections: int = 16,
        read_retries: int = 2,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._most = connections
        self._read_retries = read_retries
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[HTTPConnection]] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> Reply:
        """Send once, never again.

        Raises:
            BrokerDown: No connection; provably nothing left.
            OutcomeUnknown: Connected, but no whole answer came (timeout, reset, truncated).
        """
        try:
            return self._exchange(method, url, headers, body, read_timeout_s)
        except _NeverLeft as exc:
            raise BrokerDown(f"could not connect: {exc}") from exc
        except (httpwire.Torn, OSError) as exc:
            raise OutcomeUnknown(f"no whole answer after sending: {_why(exc)}") from exc

    def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> Reply:
        """A read: repeated with backoff on connection errors and 502, 503, 504.

        Raises:
            BrokerDown: Still no whole answer after the last try.
        """
        wait_s = 0.1
        for attempt in range(self._read_retries + 1):
            last = attempt == self._read_retries
            try:
                reply = self._exchange(method, url, headers, body, read_timeout_s)
            except _NeverLeft as exc:
                if last:
                    raise BrokerDown(f"could not connect: {exc}") from exc
            except TimeoutError as exc:
                # a slow broker is not helped by a second question
                raise BrokerDown(f"no answer in time: {type(exc).__name__}") from exc
            except (httpwire.Torn, OSError) as exc:
                if last:
                    raise BrokerDown(f"no whole answer: {_why(exc)}") from exc
            else:
                if last or reply.status not in (502, 503, 504):
                    return reply
            time.sleep(wait_s)
            wait_s *= 3
        raise AssertionError("unreachable")

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        read_timeout_s: float | None,
    ) -> Reply:
        try:
            address = _address(url)
            wire = httpwire.request(method, address.target, address.shown_host, headers, body, AGENT)
        except (ValueError, HTTPError) as exc:
            raise _NeverLeft(f"a request that cannot be sent: {exc}") from exc
        sent_ns = time.time_ns()
        connection = self._connection(address)
        keep = False
        try:
            sock = connection.sock
            assert sock is not None
            sock.settimeout(self._read_timeout_s if read_timeout_s is None else read_timeout_s)
            sock.sendall(wire)
            answer = httpwire.Answer(sock.recv, method)
            keep = answer.keep
        finally:
            self._done(address, connection, keep)
        return Reply(answer.status, answer.headers, answer.body, sent_ns, time.time_ns())

    def _connection(self, address: _Address) -> HTTPConnection:
        """An open connection nobody else uses: one kept and not closed meanwhile, else a new one."""
        while (kept := self._take(address)) is not None:
            # readable before anything was asked: closed, or out of step
            if kept.sock is not None and not wait_for_read(kept.sock, timeout=0.0):
                return kept
            kept.close()
        make = HTTPSConnection if address.scheme == "https" else HTTPConnection
        fresh = make(address.host, address.port, timeout=self._connect_timeout_s)
        try:
            fresh.connect()
        except (HTTPError, OSError) as exc:
            fresh.close()
            raise _NeverLeft(f"{type(exc).__name__} {address.host}:{address.port}") from exc
        return fresh

    def _take(self, address: _Address) -> HTTPConnection | None:
        with self._lock:
            kept = self._idle.get((address.scheme, address.host, address.port))
            return kept.pop() if kept else None

    def _done(self, address: _Address, connection: HTTPConnection, keep: bool) -> None:
        if keep:
            with self._lock:
                kept = self._idle.setdefault((address.scheme, address.host, address.port), [])
                if len(kept) < self._most:
                    kept.append(connection)
                    return
        connection.close()

    def close(self) -> None:
        """Close the connections nobody uses now; those in use close when they are done."""
        with self._lock:
            left = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in left:
            connection.close()


def _why(exc: Exception) -> str:
    return str(exc) if isinstance(exc, httpwire.Torn) else type(exc).__name__
