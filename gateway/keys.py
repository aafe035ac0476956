"""API keys: random 256-bit, stored as HMAC-SHA-256 with the pepper."""

from __future__ import annotations

from brokers.clock import Clock
from brokers.secret import Secret
from gateway.store.engine import Database
from gateway.store.keys import KeyRow

__all__ = ["KeyRow", "Keys"]


class Keys:
    """Makes and checks API keys. With a read-only database only ``verify`` and ``list`` work."""

    def __init__(self, database: Database, pepper: Secret, clock: Clock) -> None: ...

    def create(self, label: str) -> tuple[int, Secret]:
        """A new key (64 hex characters), shown once; only its hash is kept."""
        raise NotImplementedError

    def verify(self, text: str) -> KeyRow | None:
        """The key's row, None when unknown or revoked. A revocation is seen within 1 s in every process."""
        raise NotImplementedError

    def list(self) -> list[KeyRow]:
        """Every key, revoked ones too, oldest first."""
        raise NotImplementedError

    def revoke(self, key_id: int) -> bool:
        """False when there is no such unrevoked key."""
        raise NotImplementedError
