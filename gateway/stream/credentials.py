"""Who may listen to the feed: what the server asks of whoever reads the instance's records."""

from __future__ import annotations

from typing import Protocol

from gateway.scopes import Grant
from gateway.tickets import Visitor


class KeyCheck(Protocol):
    """The instance's API keys, read-only. Called in a worker thread."""

    def verify(self, text: str) -> Grant | None:
        """What the key gives, None when unknown, revoked or not readable now."""
        ...

    def live(self) -> frozenset[int] | None:
        """Ids of every key not revoked; None when that cannot be told now."""
        ...


class Visitors(Protocol):
    """The instance's own pages, which bring a one-use ticket instead of a key."""

    def redeem(self, ticket: str) -> Visitor | None:
        """Whose ticket it is, once; None when it is no good. Does not block."""
        ...

    def signed_out(self) -> frozenset[str] | None:
        """Seats whose web session was signed out; None when that cannot be told now."""
        ...
