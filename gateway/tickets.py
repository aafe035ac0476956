"""One-use tickets: how a page of an instance gets ticks from the feed's own port without an API key.

The api process signs them with the key the instance's processes share; the feed checks them by itself and
remembers the spent ones for as long as they would have lived. A ticket names its web session (by a digest,
the *seat*), so that the feed ends a connection when that session is signed out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import msgspec

from brokers.clock import Clock
from brokers.secret import Secret
from gateway.store import kv
from gateway.store.engine import Database

LIFE_S = 20
LONGEST = 200
SIGNED_OUT = "web_sessions_signed_out"
"""In the table of small facts: session ids that were signed out before their end, and that end."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A page of a signed-in web session. ``until``: the session's end, epoch seconds."""

    seat: str
    until: float


class Tickets:
    """Signs in one process, checks in the other. Redeeming is for one thread only."""

    def __init__(self, key: Secret, clock: Clock) -> None:
        self._key = hashlib.sha256(b"ticket:" + key.reveal().encode()).digest()
        self._clock = clock
        self._spent: dict[str, float] = {}

    def issue(self, sid: str, until: float) -> str:
        """A ticket for one web session, good once within ``LIFE_S``."""
        ends = int(self._clock.now().timestamp()) + LIFE_S
        text = f"{secrets.token_hex(16)}.{seat_of(sid)}.{int(until)}.{ends}"
        return f"{text}.{self._sign(text)}"

    def redeem(self, ticket: str) -> Visitor | None:
        """Whose it is; None when it is old, spent or not ours."""
        text, _, signature = ticket.rpartition(".")
        if len(ticket) > LONGEST or not ticket.isascii():
            return None
        if not hmac.compare_digest(signature, self._sign(text)):
            return None
        nonce, seat, until, ends = text.split(".")
        now_s = self._clock.now().timestamp()
        self._spent = {spent: end for spent, end in self._spent.items() if end > now_s}
        if nonce in self._spent or float(ends) <= now_s or float(until) <= now_s:
            return None
        self._spent[nonce] = float(ends)
        return Visitor(seat, float(until))

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def seat_of(sid: str) -> str:
    """What may be known of a web session outside its cookie."""
    return hashlib.sha256(b"seat:" + sid.encode()).hexdigest()[:32]


def seats_gone(database: Database) -> frozenset[str]:
    """Seats whose web session was signed out. Raises ``StoreError``."""
    with database.read() as connection:
        text = kv.get(connection, SIGNED_OUT)
    signed_out = msgspec.json.decode(text, type=dict[str, float]) if text else {}
    return frozenset(map(seat_of, signed_out))
