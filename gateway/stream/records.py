"""The feed's read-only view of the instance's database: keys, the broker session, the instrument table.

The api process makes the file; until it has, everything here says so and is tried again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from brokers.clock import Clock
from brokers.contract import BrokerSession
from brokers.errors import LoginRequired, StoreError
from brokers.model import Instrument, InstrumentKey
from gateway.brokerday.session import StoredSession
from gateway.keys import Keys
from gateway.scopes import Grant
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.store.orderlog import OrderEvent, OrderLog
from gateway.tickets import Tickets, Visitor, seats_gone

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Open:
    database: engine.Database
    keys: Keys
    session: StoredSession
    table: InstrumentStore
    orders: OrderLog


class Records:
    """Opens when it can. Every method may be called from a worker thread."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._open: _Open | None = None
        self._tickets = Tickets(settings.internal_key, clock)
        self.problem = "the instance's api process has not made its database yet"

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def open(self) -> bool:
        """Try to open; True once it is.

        Raises:
            SettingsError: The file belongs to the other venue or to another program.
        """
        if self._open is not None:
            return True
        settings = self._settings
        try:
            database = engine.open(settings.databases.main, settings.venue, read_only=True)
        except StoreError as exc:
            self.problem = str(exc)
            return False
        self._open = _Open(
            database,
            Keys(database, settings.pepper, self._clock),
            StoredSession(database, settings.pepper, settings.fernet_salt, self._clock),
            InstrumentStore(database, self._clock),
            OrderLog(database),
        )
        self.problem = ""
        return True

    def close(self) -> None:
        if self._open is not None:
            self._open.database.close()
            self._open = None

    def table(self) -> InstrumentStore | None:
        return self._open.table if self._open else None

    def verify(self, text: str) -> Grant | None:
        """What the key gives, None when unknown, revoked, or when the database cannot be read."""
        try:
            row = self._open.keys.verify(text) if self._open else None
        except StoreError as exc:
            log.warning("keys cannot be read: %s", exc)
            return None
        return Grant(row.id, row.scopes) if row else None

    def live(self) -> frozenset[int] | None:
        """Ids of every key not revoked, None when that cannot be told now."""
        try:
            rows = self._open.keys.list() if self._open else None
        except StoreError as exc:
            log.warning("keys cannot be read: %s", exc)
            return None
        return None if rows is None else frozenset(row.id for row in rows if row.revoked_at is None)

    def redeem(self, ticket: str) -> Visitor | None:
        """The page a ticket was given to, once; None when it is no good."""
        return self._tickets.redeem(ticket)

    def signed_out(self) -> frozenset[str] | None:
        """Seats of the web sessions that were signed out, None when that cannot be told now."""
        try:
            return seats_gone(self._open.database) if self._open else None
        except StoreError as exc:
            log.warning("web sessions cannot be read: %s", exc)
            return None

    def session(self) -> BrokerSession:
        """The newest stored broker session. Raises ``LoginRequired``."""
        if self._open is None:
            raise LoginRequired(self.problem)
        try:
            return self._open.session.read()
        except StoreError as exc:
            raise LoginRequired(f"the broker session cannot be read: {exc}") from exc

    def synced_at(self) -> str | None:
        """When the instrument table last changed; None before the first sync or while it cannot be read."""
        try:
            return self._open.table.synced_at() if self._open else None
        except StoreError:
            return None

    # the order journal, for the orders channel

    def last(self) -> int:
        """Number of the newest order event. Raises ``StoreError``."""
        return self._log().last()

    def after(self, seq: int, limit: int) -> list[OrderEvent]:
        """As ``OrderLog.after``."""
        return self._log().after(seq, limit)

    def _log(self) -> OrderLog:
        if self._open is None:
            raise StoreError(self.problem)
        return self._open.orders

    # InstrumentLookup, for the broker's feed

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._open.table.by_key(key) if self._open else None

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        return self._open.table.by_token(broker_exchange, token) if self._open else None

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        return self._open.table.by_broker_symbol(broker_exchange, broker_symbol) if self._open else None
