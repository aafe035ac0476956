"""The paper broker's books on disk: one row an order, one row the account's day, one row a day's result.

They lie in the sandbox's own database, beside the journal of its desk, and ride with its commits: what the
desk acknowledges is in the same transaction as the acknowledgement, or in one before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, MetaData, String, Table

from brokers.errors import StoreError
from brokers.sim.exchange.types import SimOrder
from gateway.sandbox.account import PaperState
from gateway.store.engine import Database, raw_of
from gateway.store.tables import METADATA

log = logging.getLogger(__name__)

KEEP_DAYS = 90
_PATIENCE_S = 10.0

TABLES = MetaData()
"""What the sandbox's database has beyond the tables of an instance."""

PAPER_ORDERS = Table(
    "paper_orders",
    TABLES,
    Column("number", Integer, primary_key=True, comment="running number, never used again"),
    Column("day", String, nullable=False),
    Column("epoch", Integer, nullable=False, comment="resets before it"),
    Column("body", LargeBinary, nullable=False),
    Index("paper_orders_day", "day"),
)
PAPER_STATE = Table(
    "paper_state",
    TABLES,
    Column("name", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
PAPER_DAYS = Table(
    "paper_days",
    TABLES,
    Column("day", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)


def tables() -> MetaData:
    """Every table of the sandbox's database: a journal of its own, GTT orders of its own, the books."""
    both = MetaData()
    for table in (*METADATA.sorted_tables, *TABLES.sorted_tables):
        table.to_metadata(both)
    return both


_PUT_ORDER = "INSERT OR REPLACE INTO paper_orders (number, day, epoch, body) VALUES (?, ?, ?, ?)"
_PUT_STATE = "INSERT OR REPLACE INTO paper_state (name, body) VALUES ('account', ?)"
_PUT_DAY = "INSERT OR REPLACE INTO paper_days (day, body) VALUES (?, ?)"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Saved:
    """The books as last written; ``state`` is None for a new file."""

    state: PaperState | None
    orders: list[tuple[int, SimOrder]]
    last_number: int


class Books:
    """Writes in the order of the calls and does not wait; ``settle`` waits for what was handed in so far.

    Attributes:
        broken: A write was refused (a full disk): what is in memory has to be written whole again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: Future[None] | None = None
        self.broken = False

    def load(self) -> Saved:
        with self._database.read() as connection:
            raw = connection.exec_driver_sql("SELECT body FROM paper_state WHERE name = 'account'").scalar()
            last = connection.exec_driver_sql("SELECT max(number) FROM paper_orders").scalar() or 0
            if raw is None:
                return Saved(None, [], last)
            state = msgspec.json.decode(raw, type=PaperState)
            rows = connection.exec_driver_sql(
                "SELECT number, body FROM paper_orders WHERE day = ? AND epoch = ? ORDER BY number",
                (state.day.isoformat(), state.reset_count),
            )
            orders = [(number, msgspec.json.decode(body, type=SimOrder)) for number, body in rows]
        return Saved(state, orders, last)

    def days(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """The newest daily results, newest first."""
        with self._database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT day, body FROM paper_days ORDER BY day DESC LIMIT ?", (limit,)
            )
            return [(day, msgspec.json.decode(body)) for day, body in rows]

    def put_orders(self, state: PaperState, orders: Iterable[tuple[int, SimOrder]]) -> None:
        day, epoch = state.day.isoformat(), state.reset_count
        self._submit([(_PUT_ORDER, (n, day, epoch, _encode(order))) for n, order in orders])

    def put_state(self, state: PaperState) -> None:
        oldest = (state.day - timedelta(days=KEEP_DAYS)).isoformat()
        self._submit([(_PUT_STATE, (_encode(state),)), ("DELETE FROM paper_orders WHERE day < ?", (oldest,))])

    def put_day(self, day: date, body: dict[str, Any]) -> None:
        self._submit([(_PUT_DAY, (day.isoformat(), _encode(body)))])

    def settle(self) -> None:
        """Make sure that everything handed in so far is on disk.

        Raises:
            StoreError: It could not be written.
        """
        last = self._last
        if last is None:
            return
        if not last.done():
            self._database.write(lambda _connection: None)
        problem = last.exception(timeout=_PATIENCE_S)
        if problem is not None:
            raise StoreError(f"the sandbox's books could not be written: {problem}") from problem

    def _submit(self, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        def work(connection: Connection) -> None:
            raw = raw_of(connection)
            for statement, values in statements:
                raw.execute(statement, values)

        def ended(future: Future[None]) -> None:
            problem = future.exception()
            if problem is not None:
                self.broken = True
                log.error("the sandbox's books could not be written: %s", problem)

        try:
            self._last = self._database.ride(work)
        except StoreError:
            self.broken = True
            raise
        self._last.add_done_callback(ended)
