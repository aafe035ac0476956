"""One instance's api as a source of history: what it can do now, and raw answers of its broker."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from brokers.errors import (
    AlgoError,
    BrokerDown,
    BrokerError,
    InvalidRequest,
    LoginRequired,
    NotSupported,
    RateLimited,
)
from brokers.secret import Secret
from historify.jobs.plan import Limits
from historify.model import Series
from historify.puller.config import Candidate
from historify.secretfile import HEADER

PATH = "/internal/history"
QUICK_S = 5.0
"""For the capability, which asks no broker."""
PATIENT_S = 90.0
"""For a pull: the api waits up to 60 s for its turn."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What an instance said.

    Attributes:
        reason: Why it cannot pull; empty when it can.
        tried: Its api has tried to log in and could not: it will not be back in a moment.
    """

    limits: Limits
    reason: str
    tried: bool = False

    @property
    def ready(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Source:
    """Calls of one instance's api, one at a time on a kept connection. Thread-safe."""

    def __init__(self, candidate: Candidate, secret: Secret) -> None:
        self.candidate = candidate
        self._secret = secret
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def capability(self) -> Capability:
        """What it can do now. Raises ``BrokerDown`` when the api does not answer."""
        reply = self._call("GET", f"{PATH}/capability", None, QUICK_S)
        if reply.status != 200:
            raise _error(reply)
        plain = _object(reply.body)
        try:
            limits = Limits(
                broker=str(plain["broker"]),
                chunk_days={str(k): int(v) for k, v in plain["chunk_days"].items()},
                exchanges=frozenset(map(str, plain["exchanges"])),
                years={str(k): int(v) for k, v in plain.get("years", {}).items()},
                oi=bool(plain.get("oi")),
            )
            state = str(plain["session"])
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise BrokerDown(f"{self.candidate.api} answered a capability that cannot be read") from exc
        reason = said = ""
        if state != "valid":
            said = str(plain.get("message") or "")
            reason = f"{self.candidate.instance}: broker session {state}" + (f" ({said})" if said else "")
        elif limits.broker != self.candidate.broker:
            reason = f"{self.candidate.instance}: its api speaks for {limits.broker}"
        elif not limits.exchanges or not limits.chunk_days:
            reason = f"{self.candidate.instance}: {limits.broker} has no history"
        return Capability(limits, reason, tried=bool(said))

    def pull(self, series: Series, start: date, end: date) -> bytes:
        """The broker's answer as it came.

        Raises:
            LoginRequired: This instance has no broker session.
            RateLimited: Wait ``retry_after_s``.
            BrokerDown: The api or its broker does not answer.
            InvalidRequest, NotSupported: This series cannot be had there.
            BrokerError: The broker refused, or its answer could not be read.
        """
        body = {
            "exchange": series.exchange,
            "symbol": series.symbol,
            "interval": series.interval,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }
        reply = self._call("POST", PATH, json.dumps(body).encode(), PATIENT_S)
        if reply.status != 200:
            raise _error(reply)
        return reply.body

    def close(self) -> None:
        """Also ends a call that is under way in another thread."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(2)
            connection.close()

    def _call(self, method: str, path: str, body: bytes | None, timeout_s: float) -> _Reply:
        with self._lock:
            for attempt in (1, 2):
                kept = self._connection is not None
                try:
                    return self._exchange(method, path, body, timeout_s)
                except (OSError, http.client.HTTPException) as exc:
                    self._drop()
                    # a kept connection may have been closed meanwhile; reads may be asked twice
                    if attempt == 2 or not kept or isinstance(exc, TimeoutError):
                        said = f"{self.candidate.instance}: its api at {self.candidate.api} does not answer"
                        raise BrokerDown(f"{said} ({type(exc).__name__})") from exc
        raise AssertionError("unreachable")

    def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> _Reply:
        connection = self._connection
        if connection is None:
            parts = urlsplit(self.candidate.api)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=QUICK_S)
            self._connection = connection
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(timeout_s)
        headers = {HEADER: self._secret.reveal()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        raw = answer.read()
        return _Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, raw)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(reply: _Reply) -> AlgoError:
    """The api's refusal by its status and code."""
    plain = _object(reply.body)
    code, message = str(plain.get("code") or ""), str(plain.get("message") or f"HTTP {reply.status}")
    if reply.status == 401:
        return LoginRequired(message)
    if reply.status == 429:
        return RateLimited(message, retry_after_s=_seconds(reply.headers.get("retry-after", "")))
    if reply.status == 501:
        return NotSupported(message)
    if reply.status == 403:
        # another home's secret, or a file somebody replaced: not this series' fault
        return BrokerDown(f"{message} (HTTP 403: do both use the same secret file?)")
    if reply.status in (400, 404, 422):
        return InvalidRequest(message, code=code or None)
    if reply.status == 502:
        return BrokerError(message)
    return BrokerDown(message)


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 1.0
