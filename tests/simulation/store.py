"""The journal's database: SQLite in memory behind the interface of ``gateway.store.engine.Database``.

What was committed outlives the process that committed it; what was not is gone with it. One connection is
used again by every seed of a worker, so that statements are compiled once.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from brokers.errors import StoreError
from gateway.store.tables import APPEND_ONLY, METADATA
from tests.simulation.scheduler import Scheduler

T = TypeVar("T")


class Disk(Protocol):
    """What may happen around a commit."""

    def commit_s(self) -> float: ...

    def fails(self) -> bool: ...


@functools.cache
def _connection() -> tuple[Connection, sqlite3.Connection, bytes]:
    raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not raw.in_transaction:
            connection.exec_driver_sql("BEGIN")

    with engine.begin() as connection:
        METADATA.create_all(connection)
        for statement in APPEND_ONLY:
            connection.exec_driver_sql(statement)
    empty = raw.serialize()
    return engine.connect(), raw, empty


class SimDatabase:
    """One seed's database. ``committed`` is called after every commit, ``point`` around it."""

    def __init__(
        self,
        scheduler: Scheduler,
        disk: Disk,
        point: Callable[[str], None],
        committed: Callable[[], None],
    ) -> None:
        self._connection, self.raw, empty = _connection()
        self.raw.deserialize(empty)
        self._scheduler = scheduler
        self._disk = disk
        self._point = point
        self._committed = committed
        self._rows: tuple[int, list[Any]] = (-1, [])

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._scheduler.current()
        try:
            yield self._connection
        finally:
            self._leave()

    def write(self, work: Callable[[Connection], T]) -> T:
        """As the real one: durable when it returns, nothing on disk when it raises."""
        self._point("commit")
        self._scheduler.sleep(self._disk.commit_s())
        if self._disk.fails():
            raise StoreError("could not commit: simulated disk")
        self.raw.execute("BEGIN")
        try:
            result = work(self._connection)
        except BaseException:
            self.raw.rollback()
            raise
        else:
            self.raw.commit()
        finally:
            self._leave()
        self._committed()
        self._point("committed")
        return result

    def _leave(self) -> None:
        """End what SQLAlchemy began by itself for a statement of its own."""
        if self._connection.in_transaction():
            self._connection.rollback()

    def rows(self) -> list[Any]:
        """Every journal row as it is on disk."""
        changes = self.raw.total_changes
        if self._rows[0] != changes:
            found = self.raw.execute(
                "SELECT id, tag, client_order_id, origin, state, order_id, filled_quantity, local, quantity, "
                "average_price, price, pending, merged_into, is_exit FROM orders"
            ).fetchall()
            self._rows = changes, found
        return self._rows[1]

    def has_tag(self, tag: str) -> bool:
        return self.raw.execute("SELECT 1 FROM orders WHERE tag = ?", (tag,)).fetchone() is not None
