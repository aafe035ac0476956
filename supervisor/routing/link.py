"""The way to the instances: ``/internal/routed`` over loopback, with each one's internal key.

Every request has a connection of its own. On one that was kept open a restarted instance could not be told
from one that took the request and died.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from brokers.errors import AlgoError, SettingsError
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.plan import api_url
from supervisor.routing.model import Lost, NotSent, Row

CONNECT_S = 2.0
ORDER_S = 12.0
SETTLE_S = 3.0
LOOK_S = 2.0
CALL_S = 30.0
"""Seconds to wait: for an order as long as an instance itself waits for its broker, and a moment more."""
_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder().decode


class Instances:
    """Settings of the instances as their env files say now. Thread-safe."""

    def __init__(self, home: Path, venue: Venue) -> None:
        self._home, self._venue = home, venue
        self._lock = threading.Lock()
        self._read: dict[str, tuple[int, Settings]] = {}

    def settings(self, name: str) -> Settings:
        """Raises ``SettingsError``."""
        path = self._home / "instances" / f"{name}.env"
        try:
            changed = path.stat().st_mtime_ns
        except OSError as exc:
            raise SettingsError(f"{path}: {exc.strerror}") from exc
        with self._lock:
            known = self._read.get(name)
        if known is not None and known[0] == changed:
            return known[1]
        found = gateway_settings.load(self._home, name, self._venue)
        with self._lock:
            self._read[name] = (changed, found)
        return found


class Loopback:
    """``forward.Link``, and whatever else the route asks."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def call(self, row: Row) -> Any:
        return self._post(row.chosen.instance, "routed/call", _order(row), ORDER_S)

    def settle(self, row: Row) -> Any:
        return self._post(row.chosen.instance, "routed/settle", _order(row), SETTLE_S)

    def standing(self, name: str, exchange: str = "", symbol: str = "") -> dict[str, Any]:
        """Raises ``NotSent``, ``Lost``."""
        path = f"routed/standing?exchange={quote(exchange)}&symbol={quote(symbol)}"
        found = self._ask(name, "GET", path, b"", LOOK_S)
        if not isinstance(found, dict) or "mode" not in found:
            raise Lost(f"{name} does not say how it stands")
        return found

    def carry_out(self, name: str, endpoint: str, body: dict[str, Any], mode: str = "") -> tuple[int, Any]:
        """Another request than a new order: HTTP status and answer. Raises ``NotSent``, ``Lost``."""
        asked = {"endpoint": endpoint, "body": body, "mode": mode}
        found = self._post(name, "routed/call", asked, CALL_S)
        if not isinstance(found, dict) or not isinstance(found.get("http"), int):
            raise Lost(f"no readable answer of {name}")
        return found["http"], found.get("answer")

    def _post(self, name: str, path: str, body: dict[str, Any], timeout_s: float) -> Any:
        return self._ask(name, "POST", path, _encode(body), timeout_s)

    def _ask(self, name: str, method: str, path: str, body: bytes, timeout_s: float) -> Any:
        try:
            one = self._instances.settings(name)
        except AlgoError as exc:
            raise NotSent(str(exc)) from exc
        parts = urlsplit(api_url(one))
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=CONNECT_S)
        with contextlib.closing(connection):
            try:
                connection.connect()
                connection.sock.settimeout(timeout_s)
            except OSError as exc:
                raise NotSent(f"no connection to {name} ({type(exc).__name__})") from exc
            headers = {"X-Algo-Internal": one.internal_key.reveal(), "Content-Type": "application/json"}
            try:
                connection.request(method, f"/internal/{path}", body or None, headers)
                reply = connection.getresponse()
                raw = reply.read()
                found = _decode(raw)
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as exc:
                raise Lost(f"no readable answer of {name} ({type(exc).__name__})") from exc
        if reply.status != 200:
            said = found.get("message") if isinstance(found, dict) else ""
            raise Lost(f"{name} answers HTTP {reply.status} {said or ''}".strip())
        return found


def _order(row: Row) -> dict[str, Any]:
    return {
        "endpoint": row.order.endpoint,
        "body": dict(row.order.body),
        "mode": row.chosen.mode,
        "attempt": row.attempt,
    }
