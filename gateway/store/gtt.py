"""The journal of good-till-triggered orders: one row each, and append-only events that tell how it came so.

The row changes only through ``machine.step`` inside the writer's transaction: a tick, a cancel and an expiry
that arrive together are decided here, by the order of commits.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from brokers.clock import IST, Clock
from brokers.errors import InvalidRequest
from brokers.model import Action, GttLeg, GttRequest, InstrumentKey, PriceType, Product
from gateway.store.engine import Database
from gateway.store.gttmarks import GTT_MARKS, GttMarks
from gateway.store.tables import METADATA
from gateway.triggers import machine
from gateway.triggers.machine import Keeper, Known, State

GTTS = Table(
    "gtts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("trigger_id", String, unique=True, comment="NULL until the broker gave one"),
    Column("tag", String, unique=True, comment="our mark at the broker that keeps it"),
    Column("client_order_id", String, unique=True),
    Column("kept_by", String, nullable=False, comment="gateway | broker"),
    Column("strategy", String, nullable=False, server_default=""),
    Column("created_ns", Integer, nullable=False),
    Column("updated_ns", Integer, nullable=False),
    Column("expires_ns", Integer),
    Column("exchange", String, nullable=False),
    Column("symbol", String, nullable=False),
    Column("action", String, nullable=False),
    Column("product", String, nullable=False),
    Column("price_type", String, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("legs", Text, nullable=False, comment="JSON: trigger, price, rises"),
    Column("state", String, nullable=False),
    Column("leg", Integer, comment="the one that fired"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("seen_price", String),
    Column("order_id", String, nullable=False, server_default=""),
    Column("code", String, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("pending", String, nullable=False, server_default=""),
    Index("gtts_state", "state"),
)

GTT_EVENTS = Table(
    "gtt_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("gtt_id", Integer, ForeignKey("gtts.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("at_ns", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Index("gtt_events_gtt", "gtt_id"),
)

OWN_ID = re.compile(r"G[0-9]{1,18}")
_WORKING = [state.value for state in State if not state.is_final]


@dataclass(frozen=True, slots=True)
class NewGtt:
    """A GTT about to be kept.

    Attributes:
        tag: Our mark at the broker; None for one the gateway keeps.
        expires_ns: Wall nanoseconds after which it fires no more; None: never.
    """

    terms: GttRequest
    kept_by: Keeper
    strategy: str = ""
    tag: str | None = None
    client_order_id: str | None = None
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class GttRow:
    """One GTT as the journal knows it."""

    id: int
    kept_by: Keeper
    tag: str
    client_order_id: str | None
    strategy: str
    created_ns: int
    updated_ns: int
    expires_ns: int | None
    known: Known

    @property
    def shown_id(self) -> str:
        """What callers name it by; ``G<id>`` as long as the broker gave no id."""
        return self.known.trigger_id or f"G{self.id}"


class GttStore:
    """GTT orders of one database. Thread-safe; every write is durable when it returns."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.marks = GttMarks(database)

    def make_tables(self) -> None:
        """For a database that was opened without knowing of them; nothing when they are there."""
        self._database.write(lambda c: METADATA.create_all(c, tables=[GTTS, GTT_EVENTS, GTT_MARKS]))

    def add(self, new: NewGtt) -> tuple[GttRow, bool]:
        """Put a GTT on disk: ``active`` with an id of ours when the gateway keeps it, else ``sending``.

        Returns:
            The row, and whether it is new: the same ``client_order_id`` and terms give the first one.

        Raises:
            InvalidRequest: The ``client_order_id`` was used for other terms.
        """
        now = self._clock.time_ns()
        ours = new.kept_by is Keeper.GATEWAY
        trigger_id = self._new_id() if ours else ""
        known = Known(new.terms, State.ACTIVE if ours else State.SENDING, trigger_id)

        def work(connection: Connection) -> tuple[GttRow, bool]:
            if new.client_order_id is not None:
                first = _first(connection, GTTS.c.client_order_id == new.client_order_id)
                if first is not None:
                    return _same(first, new), False
            return _insert(connection, new, known, "placed" if ours else "intent", now), True

        return self._database.write(work)

    def adopt(self, known: Known) -> GttRow:
        """Keep a GTT of the broker's list that was placed elsewhere; the row there is when it is here."""
        now = self._clock.time_ns()

        def work(connection: Connection) -> GttRow:
            found = _first(connection, GTTS.c.trigger_id == known.trigger_id)
            if found is not None:
                return found
            return _insert(connection, NewGtt(known.terms, Keeper.BROKER), known, "foreign", now)

        return self._database.write(work)

    def apply(
        self, gtt_id: int, kind: str, event: machine.Event, detail: Mapping[str, Any] | None = None
    ) -> GttRow:
        """Carry out one step; the row after it. Nothing is written when it teaches nothing.

        Raises:
            machine.IllegalStep: The state does not allow it; nothing was written.
        """
        now = self._clock.time_ns()

        def work(connection: Connection) -> GttRow:
            row = _first(connection, GTTS.c.id == gtt_id)
            if row is None:
                raise KeyError(f"GTT row {gtt_id}")
            known = machine.step(row.known, event)
            if known == row.known:
                return row
            values = _values(known) | {"updated_ns": now}
            connection.execute(update(GTTS).where(GTTS.c.id == gtt_id).values(values))
            _event(connection, gtt_id, kind, now, known, detail)
            return replace(row, known=known, updated_ns=now)

        return self._database.write(work)

    def note(self, gtt_id: int, kind: str, detail: Mapping[str, Any] | None = None) -> None:
        """Keep an event that changes nothing by itself: a write that is about to leave."""
        now = self._clock.time_ns()

        def work(connection: Connection) -> None:
            row = _first(connection, GTTS.c.id == gtt_id)
            if row is not None:
                _event(connection, gtt_id, kind, now, row.known, detail)

        self._database.write(work)

    def get(self, trigger_id: str) -> GttRow | None:
        """By the id callers know, ``G<id>`` included."""
        with self._database.read() as connection:
            found = _first(connection, GTTS.c.trigger_id == trigger_id)
            if found is None and OWN_ID.fullmatch(trigger_id):
                found = _first(connection, GTTS.c.id == int(trigger_id[1:]))
        return found

    def by_tag(self, tag: str) -> GttRow | None:
        with self._database.read() as connection:
            return _first(connection, GTTS.c.tag == tag)

    def knows(self, client_order_id: str) -> bool:
        """A GTT with this id is in the journal: a repeat keeps no other."""
        with self._database.read() as connection:
            return _first(connection, GTTS.c.client_order_id == client_order_id) is not None

    def row(self, gtt_id: int) -> GttRow | None:
        with self._database.read() as connection:
            return _first(connection, GTTS.c.id == gtt_id)

    def working(self) -> list[GttRow]:
        """Every one that has not ended, oldest first."""
        return self._many(GTTS.c.state.in_(_WORKING))

    def newest(self, most: int = 500) -> list[GttRow]:
        """The last ones made, whatever became of them, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(GTTS).order_by(GTTS.c.id.desc()).limit(most))
            return [_row(r) for r in rows][::-1]

    def events(self, gtt_id: int) -> list[dict[str, Any]]:
        """The events of one GTT as plain values, oldest first."""
        with self._database.read() as connection:
            statement = select(GTT_EVENTS).where(GTT_EVENTS.c.gtt_id == gtt_id).order_by(GTT_EVENTS.c.id)
            return [dict(r._mapping) for r in connection.execute(statement)]

    def _many(self, where: ColumnElement[bool]) -> list[GttRow]:
        with self._database.read() as connection:
            return [_row(r) for r in connection.execute(select(GTTS).where(where).order_by(GTTS.c.id))]

    def _new_id(self) -> str:
        return f"GTT-{self._clock.now().astimezone(IST):%y%m%d}-{secrets.token_hex(4)}"


def _first(connection: Connection, where: ColumnElement[bool]) -> GttRow | None:
    found = connection.execute(select(GTTS).where(where)).first()
    return None if found is None else _row(found)


def _same(first: GttRow, new: NewGtt) -> GttRow:
    if first.known.terms != new.terms and first.updated_ns == first.created_ns:
        message = f"client_order_id '{new.client_order_id}' was used for another GTT, {first.shown_id}"
        raise InvalidRequest(message, fields={"client_order_id": [message]}, code="CLIENT_ORDER_ID_REUSED")
    return first


def _insert(connection: Connection, new: NewGtt, known: Known, kind: str, now: int) -> GttRow:
    terms = new.terms
    values = _values(known) | {
        "tag": new.tag,
        "client_order_id": new.client_order_id,
        "kept_by": new.kept_by.value,
        "strategy": new.strategy,
        "created_ns": now,
        "updated_ns": now,
        "expires_ns": new.expires_ns,
        "exchange": str(terms.key.exchange),
        "symbol": terms.key.symbol,
        "action": terms.action.value,
    }
    gtt_id = int(connection.execute(insert(GTTS).values(values).returning(GTTS.c.id)).scalar_one())
    _event(connection, gtt_id, kind, now, known, None)
    found = _first(connection, GTTS.c.id == gtt_id)
    assert found is not None
    return found


def _event(
    connection: Connection,
    gtt_id: int,
    kind: str,
    now: int,
    known: Known,
    detail: Mapping[str, Any] | None,
) -> None:
    text = json.dumps(detail, default=str) if detail else ""
    connection.execute(
        insert(GTT_EVENTS).values(gtt_id=gtt_id, kind=kind, at_ns=now, state=known.state.value, detail=text)
    )


def _values(known: Known) -> dict[str, Any]:
    terms = known.terms
    return {
        "trigger_id": known.trigger_id or None,
        "product": str(terms.product),
        "price_type": terms.price_type.value,
        "quantity": terms.quantity,
        "legs": _legs_text(terms.legs),
        "state": known.state.value,
        "leg": known.leg,
        "attempt": known.attempt,
        "seen_price": None if known.seen_price is None else str(known.seen_price),
        "order_id": known.order_id,
        "code": known.code,
        "reason": known.reason,
        "pending": known.pending,
    }


def _legs_text(legs: Sequence[GttLeg]) -> str:
    return json.dumps([[str(leg.trigger_price), str(leg.price), leg.rises] for leg in legs])


def _row(row: Row[Any]) -> GttRow:
    legs = tuple(GttLeg(Decimal(t), Decimal(p), bool(rises)) for t, p, rises in json.loads(row.legs))
    terms = GttRequest(
        InstrumentKey(row.exchange, row.symbol),
        Action(row.action),
        row.quantity,
        PriceType(row.price_type),
        Product(row.product),
        legs,
    )
    known = Known(
        terms=terms,
        state=State(row.state),
        trigger_id=row.trigger_id or "",
        leg=row.leg,
        attempt=row.attempt,
        seen_price=None if row.seen_price is None else Decimal(row.seen_price),
        order_id=row.order_id,
        code=row.code,
        reason=row.reason,
        pending=row.pending,
    )
    return GttRow(
        id=row.id,
        kept_by=Keeper(row.kept_by),
        tag=row.tag or "",
        client_order_id=row.client_order_id,
        strategy=row.strategy,
        created_ns=row.created_ns,
        updated_ns=row.updated_ns,
        expires_ns=row.expires_ns,
        known=known,
    )
