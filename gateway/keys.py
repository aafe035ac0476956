"""API keys: random 256-bit, stored as HMAC-SHA-256 with the pepper."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from sqlalchemy import Connection

from brokers.clock import Clock
from brokers.secret import Secret
from gateway.scopes import ALL, Scope
from gateway.store import keys as table
from gateway.store.cache import Recent
from gateway.store.engine import Database
from gateway.store.keys import KeyRow

__all__ = ["KeyRow", "Keys"]

TRUSTED_S = 0.5
"""How long a good key is believed without asking the database; revocation promises 1 s."""
REMEMBERED = 256


class Keys:
    """Makes and checks API keys. With a read-only database only ``verify`` and ``list`` work."""

    def __init__(self, database: Database, pepper: Secret, clock: Clock) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        # keyed by digest: the text of a key is never kept
        self._good: Recent[bytes, tuple[float, KeyRow]] = Recent(REMEMBERED)

    def create(self, label: str, scopes: frozenset[Scope] = ALL) -> tuple[int, Secret]:
        """A new key (64 hex characters), shown once; only its hash is kept. What it may do never changes."""
        key = Secret(secrets.token_hex(32))
        digest, now = self._digest(key.reveal()), self._clock.now()
        return self._database.write(lambda c: table.add(c, label, digest, now, scopes)), key

    def adopt(self, label: str, text: str) -> int | None:
        """Take a key made elsewhere, so that who has it goes on. None: it is known here already."""
        digest, now = self._digest(text), self._clock.now()

        def work(connection: Connection) -> int | None:
            return None if table.by_digest(connection, digest) else table.add(connection, label, digest, now)

        return self._database.write(work)

    def verify(self, text: str) -> KeyRow | None:
        """The key's row, None when unknown or revoked. A revocation is seen within 1 s in every process."""
        digest = self._digest(text)
        held, entry = self._good.get(digest)
        if held and entry is not None and self._clock.monotonic() - entry[0] < TRUSTED_S:
            return entry[1]
        asked = self._clock.monotonic()
        with self._database.read() as connection:
            found = table.by_digest(connection, digest)
        # the index found it by hash of a secret; the comparison that counts takes constant time
        if found is None or not hmac.compare_digest(found[1], digest) or found[0].revoked_at is not None:
            return None
        self._good.put(digest, (asked, found[0]))
        return found[0]

    def list(self) -> list[KeyRow]:
        """Every key, revoked ones too, oldest first."""
        with self._database.read() as connection:
            return table.everything(connection)

    def revoke(self, key_id: int) -> bool:
        """False when there is no such unrevoked key."""
        now = self._clock.now()
        done = self._database.write(lambda c: table.revoke(c, key_id, now))
        self._good.clear()
        return done

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._pepper.reveal().encode(), text.encode(), hashlib.sha256).digest()
