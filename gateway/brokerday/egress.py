"""Which public address orders leave from, beside the one the broker takes them from.

Nothing is asked unless ``EGRESS_IP_URL`` is set: no request leaves the machine for this unasked.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brokers.clock import Clock
from brokers.errors import AlgoError
from brokers.transport import Transport
from gateway.survive import survive

log = logging.getLogger(__name__)

LOOK_EVERY_S = 900.0
AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Egress:
    """What is known of the address this machine sends from.

    ``state``: ``off`` (never asked), ``unknown``, ``unregistered`` (nothing to compare with), ``match`` or
    ``mismatch``.
    """

    state: str = "off"
    seen: str = ""
    registered: tuple[str, ...] = ()
    reason: str = ""
    asked_at: datetime | None = None

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        asked = self.asked_at.isoformat(timespec="seconds") if self.asked_at is not None else None
        return {
            "state": self.state,
            "seen": self.seen,
            "registered": list(self.registered),
            "reason": self.reason,
            "asked_at": asked,
        }


def address_of(body: bytes) -> str:
    """The address an answer consists of. Raises ``ValueError`` for anything else (a login page, say)."""
    return str(ipaddress.ip_address(body.decode("ascii", "strict").strip()))


def judge(seen: str, registered: tuple[str, ...], asked_at: datetime) -> Egress:
    """Compare; addresses of different families do not prove each other wrong.

    A machine that answers over IPv6 may send its orders over IPv4: that is ``unknown``, not ``mismatch``.
    """
    if not registered:
        return Egress("unregistered", seen, (), "no address is registered or known (REGISTERED_IP)", asked_at)
    if seen in registered:
        return Egress("match", seen, registered, "", asked_at)
    family = ipaddress.ip_address(seen).version
    if all(ipaddress.ip_address(one).version != family for one in registered):
        return Egress("unknown", seen, registered, f"seen over IPv{family}, registered otherwise", asked_at)
    shown = ", ".join(registered)
    why = f"orders leave from {seen}, the broker takes them from {shown} and will refuse them"
    return Egress("mismatch", seen, registered, why, asked_at)


class EgressWatch:
    """Asks now and then. Thread-safe to read.

    Args:
        registered: What the broker takes orders from (``REGISTERED_IP``, or its own word); may raise broker
            errors.
    """

    def __init__(
        self, url: str, registered: Callable[[], tuple[str, ...]], clock: Clock, transport: Transport
    ) -> None:
        self._url = url
        self._registered = registered
        self._clock = clock
        self._transport = transport
        self._last = Egress("unknown" if url else "off")
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)

    @property
    def last(self) -> Egress:
        return self._last

    def start(self) -> None:
        if self._url:
            self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def look(self) -> Egress:
        """Ask now, in this thread. What cannot be had leaves the address unknown."""
        if not self._url:
            return self._last
        now = self._clock.now()
        before = self._last
        try:
            reply = self._transport.fetch("GET", self._url, headers={"Accept": "text/plain"})
            if reply.status != 200:
                raise ValueError(f"HTTP {reply.status}")
            self._last = judge(address_of(reply.body), self._registered(), now)
        except (AlgoError, ValueError) as exc:
            self._last = Egress("unknown", reason=f"the address could not be compared: {exc}", asked_at=now)
        if self._last.state == "mismatch" and before.state != "mismatch":
            log.error("%s", self._last.reason)
        return self._last

    def _run(self) -> None:
        while not self._stopping:
            found = self._last
            with survive(log, "the address could not be looked up"):
                found = self.look()
            self._wake.wait(AGAIN_S if found.state == "unknown" else LOOK_EVERY_S)
            self._wake.clear()
