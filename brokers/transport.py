"""HTTP to a broker: pooled, timed, and honest about what left the machine.

The one question an order asks of HTTP is "did a byte leave?". ``send`` answers it by class: ``BrokerDown``
means the connection was never made, ``OutcomeUnknown`` means it was and no whole answer came back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, TimeoutError
from urllib3.util import Retry, Timeout

from brokers.errors import BrokerDown, OutcomeUnknown


class _NeverLeft(Exception):
    """The connection could not be made; nothing was sent."""


class _Plain(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError) as exc:
            raise _NeverLeft(f"{type(exc).__name__} {self.host}:{self.port}") from exc


class _Tls(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError) as exc:
            raise _NeverLeft(f"{type(exc).__name__} {self.host}:{self.port}") from exc


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


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
        self._timeout = Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=connections, block=False)
        self._pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        self._read_retries = read_retries

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
        except (HTTPError, OSError) as exc:
            raise OutcomeUnknown(f"no whole answer after sending: {type(exc).__name__}") from exc

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
            except (HTTPError, OSError) as exc:
                if last:
                    raise BrokerDown(f"no whole answer: {type(exc).__name__}") from exc
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
        timeout = self._timeout
        if read_timeout_s is not None:
            timeout = Timeout(connect=timeout.connect_timeout, read=read_timeout_s)
        extra: dict[str, Any] = {"retries": Retry(False), "timeout": timeout, "redirect": False}
        sent_ns = time.time_ns()
        answer = self._pool.request(method, url, headers=dict(headers), body=body, **extra)
        return Reply(
            status=answer.status,
            headers={k.lower(): v for k, v in answer.headers.items()},
            body=answer.data,
            sent_ns=sent_ns,
            received_ns=time.time_ns(),
        )

    def close(self) -> None:
        self._pool.clear()
