"""An instance's instrument table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from brokers.clock import Clock
from brokers.model import Instrument, InstrumentKey
from gateway.store.engine import Database


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Counts of one swap. ``total``: tradable rows now; ``expired``: rows that left it for the archive."""

    added: int
    changed: int
    expired: int
    total: int


class InstrumentStore:
    """Read side (``InstrumentLookup``) and swap. Thread-safe; never all rows in memory."""

    def __init__(self, database: Database, clock: Clock) -> None: ...

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        raise NotImplementedError

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        raise NotImplementedError

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        raise NotImplementedError

    def find(self, text: str, exchange: str | None = None) -> Instrument | None:
        """By symbol, ``EXCHANGE:SYMBOL`` or the broker's display name or symbol, in any case."""
        raise NotImplementedError

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]:
        """Symbols of that exchange most like ``symbol``, best first."""
        raise NotImplementedError

    def search(self, query: str, exchange: str | None = None, limit: int = 500) -> list[Instrument]:
        """Terms AND-ed over symbol, broker symbol, name, token, strike, display name; exact, prefix, contains."""
        raise NotImplementedError

    def expiries(self, root: str, exchange: str, kind: str, today: date) -> list[date]:
        """Unexpired expiries ascending. ``kind``: ``futures`` or ``options``."""
        raise NotImplementedError

    def chain(self, root: str, exchange: str, expiry: date) -> list[Instrument]:
        """Options of one root and expiry, by strike, CE before PE."""
        raise NotImplementedError

    def option(self, root: str, exchange: str, expiry: date, strike: Decimal, kind: str) -> Instrument | None:
        raise NotImplementedError

    def future(self, root: str, exchange: str, today: date) -> Instrument | None:
        """The nearest unexpired future of a root."""
        raise NotImplementedError

    def rows(self, exchange: str | None = None) -> Iterator[Instrument]:
        """Every tradable row, streamed."""
        raise NotImplementedError

    def swap(self, rows: Iterable[Instrument], today: date) -> SyncReport:
        """Replace the table in one step; readers see the old one or the new one.

        Raises:
            WireError: Empty, or suspiciously smaller than before; the old table stays.
        """
        raise NotImplementedError

    def count(self) -> int:
        raise NotImplementedError

    def synced_at(self) -> str | None:
        """ISO-8601 UTC of the last swap, None before the first."""
        raise NotImplementedError
