"""The leases of a home and venue: one SQLite file that the api processes of all its instances write.

That is an exception from "one writing process per file", and the point of it: a question two instances answer
apart can be answered twice. Every change is one ``BEGIN IMMEDIATE`` on this machine's disk, decided by
``lease`` inside it, and on disk (``synchronous=FULL``) before it is told. Until somebody asks for a lease the
file does not exist, and an order pays one ``stat``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

from brokers.clock import Clock
from brokers.errors import AlgoError, LeaseRefused, StoreError
from gateway.strategies import lease
from gateway.strategies.lease import Event, Exclusive, Lease

NAME = "leases.db"
BUSY_S = 1.0
COLUMNS = tuple(one.name for one in fields(Lease))
_MAKE = (
    "CREATE TABLE IF NOT EXISTS leases (strategy TEXT PRIMARY KEY, epoch INTEGER NOT NULL, "
    "exclusive TEXT NOT NULL, holder TEXT NOT NULL, instance TEXT NOT NULL, secret TEXT NOT NULL, "
    "taken_ns INTEGER NOT NULL, renewed_ns INTEGER NOT NULL, ends_ns INTEGER NOT NULL)"
)
_PUT = f"INSERT OR REPLACE INTO leases ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_GET = f"SELECT {', '.join(COLUMNS)} FROM leases"

log = logging.getLogger(__name__)


class LeaseFile:
    """Thread-safe. What cannot be read or written is a ``StoreError``, never "nobody holds it"."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def look(self, strategy: str) -> Lease:
        """The row of one id; a fresh one when nobody ever asked for it."""
        with self._reading() as connection:
            found = None if connection is None else _read(connection, strategy)
        return found or Lease(strategy)

    def all(self) -> list[Lease]:
        """Every id that was ever leased or marked, by name."""
        with self._reading() as connection:
            rows = [] if connection is None else connection.execute(f"{_GET} ORDER BY strategy").fetchall()
        return [_lease(row) for row in rows]

    def apply(self, strategy: str, event: Event) -> Lease:
        """One event, decided and written in one transaction of this home.

        Raises:
            LeaseRefused: Nothing has changed.
            StoreError: Likewise, as far as anybody can tell.
        """
        with self._lock, self._translated():
            connection = self._open(make=True)
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            with contextlib.ExitStack() as undo:
                undo.callback(_roll_back, connection)
                before = _read(connection, strategy) or Lease(strategy)
                after = lease.step(before, event, self._clock.time_ns())
                if after != before:
                    connection.execute(_PUT, astuple(after))
                connection.execute("COMMIT")
                undo.pop_all()
        return after

    def close(self) -> None:
        with self._lock:
            self._close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        with self._lock, self._translated():
            yield self._open(make=False)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            self._close()
            raise StoreError(f"the leases in {self.path.name} cannot be read or written: {exc}") from exc

    def _open(self, *, make: bool) -> sqlite3.Connection | None:
        """The file as it is now: one that was replaced under us would be a second truth."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            self._close()
            if not make:
                return None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # the owner's alone from its first byte; two processes may come here at once
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            stat = os.stat(self.path)
        mark = (stat.st_dev, stat.st_ino)
        if self._connection is None or mark != self._opened:
            self._close()
            connection = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection, self._opened = connection, mark
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_MAKE)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._opened = None


class Gatekeeper:
    """What an instance asks of each entry before it leaves.

    Args:
        may_lease: The instance has the role ``control``.
    """

    def __init__(self, file: LeaseFile, clock: Clock, instance: str, *, may_lease: bool = True) -> None:
        self._file = file
        self._clock = clock
        self._instance = instance
        self._may_lease = may_lease

    def objection(self, strategy: str, token: str) -> AlgoError | None:
        """Why an entry of a strategy may not leave now; None when it may. Never raises.

        Args:
            token: The lease the order carries, empty for none.
        """
        try:
            row = self._file.look(strategy)
            now_ns = self._clock.time_ns()
            refused = lease.objection(row, token, self._instance, now_ns)
            if refused is None and lease.must_use(row, token, self._instance, now_ns):
                return self._used(strategy)
        except LeaseRefused as exc:
            return exc
        except StoreError as exc:
            # whether another copy trades cannot be told, so this one may not begin
            return LeaseRefused(str(exc), code="STRATEGY_LEASE_UNAVAILABLE")
        return refused

    def _used(self, strategy: str) -> LeaseRefused | None:
        if not self._may_lease:
            return LeaseRefused(
                f"strategy '{strategy}' is marked exclusive and this instance has not the role control",
                code="STRATEGY_LEASE_REQUIRED",
            )
        taken = self._file.apply(strategy, lease.Use(self._instance))
        log.info("strategy %s is this instance's until midnight IST (epoch %d)", strategy, taken.epoch)
        return None


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")


def _read(connection: sqlite3.Connection, strategy: str) -> Lease | None:
    row = connection.execute(f"{_GET} WHERE strategy = ?", (strategy,)).fetchone()
    return None if row is None else _lease(row)


def _lease(row: tuple[object, ...]) -> Lease:
    plain = dict(zip(COLUMNS, row, strict=True))
    # SQLite gives back what was put in
    return Lease(**{**plain, "exclusive": Exclusive(str(plain["exclusive"]))})  # type: ignore[arg-type]
