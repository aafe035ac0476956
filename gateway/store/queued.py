"""Orders that were accepted and have not left yet: an alert's, or one that waits for a person's word.

A row holds the whole intent, so that a restart loses nothing, and the ``client_id`` it will be placed under,
so that carrying it out twice sends one order (O4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    func,
    insert,
    or_,
    select,
    update,
)

from brokers.clock import IST, Clock
from brokers.errors import InvalidRequest, StoreError
from gateway.store import kv
from gateway.store.engine import Database
from gateway.store.tables import METADATA, ORDERS

MOST_WAITING = 1000
MODE = "order_mode"

QUEUED_ORDERS = Table(
    "queued_orders",
    METADATA,
    # never reused: a person may approve by a number read from an old list
    Column("id", Integer, primary_key=True),
    Column("client_id", String, nullable=False, unique=True),
    Column("source", String, nullable=False, comment="api | webhook | square-off"),
    Column("strategy", String, nullable=False, server_default=""),
    Column("strategy_id", Integer, comment="of alerts and square-offs"),
    Column("kind", String, nullable=False, comment="the endpoint"),
    Column("paper", Integer, nullable=False, server_default="0", comment="meant for the sandbox"),
    Column("body", Text, nullable=False, comment="JSON of the request, without the key"),
    Column("fingerprint", String, nullable=False),
    Column("day", String, nullable=False, comment="date in India"),
    Column("state", String, nullable=False),
    Column("created_ns", Integer, nullable=False),
    Column("received_ns", Integer, nullable=False),
    Column("decided_ns", Integer),
    Column("ended_ns", Integer),
    Column("status", Integer, nullable=False, server_default="0", comment="HTTP status of the outcome"),
    Column("answer", Text, nullable=False, server_default="", comment="JSON of the outcome"),
    Index("queued_orders_state", "state"),
    sqlite_autoincrement=True,
)


class Step(StrEnum):
    """Where a queued order stands."""

    WAITING = "waiting"  # for approval
    DUE = "due"  # to be carried out; what a crash leaves here is carried out again under the same id
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"  # sent, and no answer came; the order book tells
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in (Step.WAITING, Step.DUE)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order about to be queued.

    Attributes:
        fingerprint: What a repeat under the same ``client_id`` must be equal in.
        body: The request's fields without the key.
        paper: It came in analyze mode; it must never reach the account.
    """

    client_id: str
    source: str
    kind: str
    body: dict[str, Any]
    fingerprint: str
    received_ns: int
    strategy_id: int | None = None
    paper: bool = False


@dataclass(frozen=True, slots=True)
class QueuedOrder:
    """One row. ``answer`` is the outcome's body, empty before it is known."""

    id: int
    client_id: str
    source: str
    strategy: str
    kind: str
    paper: bool
    body: dict[str, Any]
    fingerprint: str
    day: str
    step: Step
    created_ns: int
    received_ns: int
    decided_ns: int | None
    ended_ns: int | None
    status: int
    answer: dict[str, Any]

    @property
    def due_ns(self) -> int:
        """Since when it may be sent."""
        return self.decided_ns or self.created_ns


@dataclass(frozen=True, slots=True)
class Outcome:
    """How carrying one out ended: the step it reached, and the HTTP answer it would have had."""

    step: Step
    status: int
    answer: dict[str, Any]


def fingerprint_of(kind: str, body: dict[str, Any]) -> str:
    text = msgspec.json.encode([kind, body], order="sorted")
    return hashlib.sha256(text).hexdigest()


class QueuedOrders:
    """The queue of one instance on disk. Thread-safe; every write is durable when it returns."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, orders: Sequence[NewOrder], step: Step) -> tuple[list[QueuedOrder], bool]:
        """All or none. The rows, and True when they stood there already (a repeat).

        Raises:
            InvalidRequest: An id was used for another order (``CLIENT_ORDER_ID_REUSED``).
            StoreError: 1,000 orders wait already.
        """
        now = self._clock.time_ns()
        day = self._day()

        def work(connection: Connection) -> tuple[list[int], bool]:
            known = _by_client_ids(connection, [order.client_id for order in orders])
            if known:
                return _repeated(known, orders), True
            waiting = select(func.count()).where(QUEUED_ORDERS.c.state.in_([Step.WAITING, Step.DUE]))
            if int(connection.execute(waiting).scalar_one()) + len(orders) > MOST_WAITING:
                raise StoreError(f"{MOST_WAITING} orders wait already; approve or reject some")
            return [_insert(connection, order, step, now, day) for order in orders], False

        ids, repeated = self._database.write(work)
        return [self.get(queued_id) for queued_id in ids], repeated

    def get(self, queued_id: int) -> QueuedOrder:
        """Raises ``InvalidRequest`` (``NOT_FOUND``)."""
        with self._database.read() as connection:
            found = connection.execute(select(QUEUED_ORDERS).where(QUEUED_ORDERS.c.id == queued_id)).first()
        if found is None:
            raise InvalidRequest(f"there is no queued order {queued_id}", code="NOT_FOUND")
        return _row(found)

    def known(self, client_ids: Iterable[str]) -> list[QueuedOrder]:
        with self._database.read() as connection:
            return list(_by_client_ids(connection, list(client_ids)).values())

    def recent(
        self, *, steps: Iterable[Step] = (), sources: Iterable[str] = (), most: int = 200
    ) -> list[QueuedOrder]:
        """The newest first."""
        where: list[ColumnElement[bool]] = []
        if wanted := list(steps):
            where.append(QUEUED_ORDERS.c.state.in_(wanted))
        if wanted_sources := list(sources):
            where.append(QUEUED_ORDERS.c.source.in_(wanted_sources))
        statement = select(QUEUED_ORDERS).where(*where).order_by(QUEUED_ORDERS.c.id.desc()).limit(most)
        with self._database.read() as connection:
            return [_row(row) for row in connection.execute(statement)]

    def due(self) -> list[QueuedOrder]:
        """What is to be carried out, oldest first."""
        statement = select(QUEUED_ORDERS).where(QUEUED_ORDERS.c.state == Step.DUE)
        with self._database.read() as connection:
            return [_row(row) for row in connection.execute(statement.order_by(QUEUED_ORDERS.c.id))]

    def decide(self, queued_id: int, step: Step) -> tuple[QueuedOrder, bool]:
        """Approve (``DUE``) or reject what waits; the row, and whether this call decided.

        Raises:
            InvalidRequest: No such order, or it waited since an earlier day (``EXPIRED``).
        """
        self.expire()
        values = {"state": step.value, "decided_ns": self._clock.time_ns()}
        if step.is_final:
            values["ended_ns"] = values["decided_ns"]
        waiting = (QUEUED_ORDERS.c.id == queued_id) & (QUEUED_ORDERS.c.state == Step.WAITING)
        statement = update(QUEUED_ORDERS).where(waiting).values(values)
        decided = self._database.write(lambda c: c.execute(statement).rowcount) == 1
        row = self.get(queued_id)
        if row.step is Step.EXPIRED:
            raise InvalidRequest(f"queued order {queued_id} waited since {row.day}", code="EXPIRED")
        return row, decided

    def finish(self, queued_id: int, outcome: Outcome) -> None:
        """Keep how it ended; what has ended stays as it ended first."""
        values = {
            "state": outcome.step.value,
            "ended_ns": self._clock.time_ns(),
            "status": outcome.status,
            "answer": msgspec.json.encode(outcome.answer, enc_hook=str).decode(),
        }
        open_row = (QUEUED_ORDERS.c.id == queued_id) & (QUEUED_ORDERS.c.state == Step.DUE)
        self._database.write(lambda c: c.execute(update(QUEUED_ORDERS).where(open_row).values(values)))

    def expire(self) -> int:
        """End what has waited for approval since an earlier day in India; how many."""
        old = (QUEUED_ORDERS.c.state == Step.WAITING) & (QUEUED_ORDERS.c.day != self._day())
        with self._database.read() as connection:
            if connection.execute(select(QUEUED_ORDERS.c.id).where(old)).first() is None:
                return 0
        values = {"state": Step.EXPIRED.value, "ended_ns": self._clock.time_ns()}
        statement = update(QUEUED_ORDERS).where(old).values(values)
        return int(self._database.write(lambda c: c.execute(statement).rowcount))

    def was_journaled(self, client_id: str) -> bool:
        """Whether any order under this id reached the journal (pieces are ``<id>#<number>``)."""
        piece = func.substr(ORDERS.c.client_order_id, 1, len(client_id) + 1) == f"{client_id}#"
        statement = select(ORDERS.c.id).where(or_(ORDERS.c.client_order_id == client_id, piece))
        with self._database.read() as connection:
            return connection.execute(statement.limit(1)).first() is not None

    def mode(self) -> str | None:
        """The order mode a person chose last; None when nobody did."""
        with self._database.read() as connection:
            return kv.get(connection, MODE)

    def set_mode(self, mode: str) -> None:
        self._database.write(lambda c: kv.put(c, MODE, mode))

    def _day(self) -> str:
        return day_of(self._clock.now())


def day_of(now: datetime) -> str:
    """The date in India, ISO."""
    return now.astimezone(IST).date().isoformat()


def _by_client_ids(connection: Connection, client_ids: Sequence[str]) -> dict[str, QueuedOrder]:
    found = select(QUEUED_ORDERS).where(QUEUED_ORDERS.c.client_id.in_(client_ids))
    return {row.client_id: _row(row) for row in connection.execute(found.order_by(QUEUED_ORDERS.c.id))}


def _repeated(known: dict[str, QueuedOrder], orders: Sequence[NewOrder]) -> list[int]:
    for order in orders:
        first = known.get(order.client_id)
        if first is None or first.fingerprint != order.fingerprint:
            raise InvalidRequest(
                f"the id of this order was used for another one ({first.kind if first else 'fewer orders'})",
                code="CLIENT_ORDER_ID_REUSED",
            )
    return [known[order.client_id].id for order in orders]


def _insert(connection: Connection, order: NewOrder, step: Step, now: int, day: str) -> int:
    values = {
        "client_id": order.client_id,
        "source": order.source,
        "strategy": str(order.body.get("strategy", "")),
        "strategy_id": order.strategy_id,
        "kind": order.kind,
        "paper": int(order.paper),
        "body": msgspec.json.encode(order.body).decode(),
        "fingerprint": order.fingerprint,
        "day": day,
        "state": step.value,
        "created_ns": now,
        "received_ns": order.received_ns,
    }
    return int(
        connection.execute(insert(QUEUED_ORDERS).values(values).returning(QUEUED_ORDERS.c.id)).scalar_one()
    )


def _row(row: Row[Any]) -> QueuedOrder:
    return QueuedOrder(
        id=row.id,
        client_id=row.client_id,
        source=row.source,
        strategy=row.strategy,
        kind=row.kind,
        paper=bool(row.paper),
        body=msgspec.json.decode(row.body),
        fingerprint=row.fingerprint,
        day=row.day,
        step=Step(row.state),
        created_ns=row.created_ns,
        received_ns=row.received_ns,
        decided_ns=row.decided_ns,
        ended_ns=row.ended_ns,
        status=row.status,
        answer=msgspec.json.decode(row.answer) if row.answer else {},
    )
