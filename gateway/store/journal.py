"""The order journal: one row per order, and append-only events that tell how it came to be so.

The row is the latest knowledge (``machine.Known``) plus the terms; it changes only through ``machine.step``,
inside the writer's transaction, so two sources of news can never overwrite each other.

Every order passes here two or three times, so statements are text for the driver, not SQLAlchemy expressions:
measured, a commit costs a quarter of the CPU that way.
"""

from __future__ import annotations

import functools
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Row

from brokers.clock import Clock
from brokers.model import Action, InstrumentKey, Order, OrderChange, OrderRequest, PriceType
from gateway.store import kv
from gateway.store.engine import Database, raw_of
from gateway.store.tables import ORDER_EVENTS
from gateway.trading import machine
from gateway.trading.machine import Known, State

T = TypeVar("T")
OURS = "ours"
FOREIGN = "foreign"
GTT = "gtt"
"""Sent by the broker for a GTT order of ours that it keeps."""
BLOCK = "entries_blocked"
# named one by one, so that SQLite can use the index on states
_UNFINISHED = f"state IN ({', '.join(repr(state.value) for state in State if not state.is_final)})"
_COLUMNS = (
    *("id", "tag", "client_order_id", "fingerprint", "origin", "strategy", "is_exit", "created_ns"),
    *("exchange", "symbol", "action", "quantity", "price_type", "product", "price", "trigger_price"),
    *("disclosed_quantity", "state", "order_id", "filled_quantity", "average_price", "reason", "local"),
    *("pending", "answer"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM orders"
# the events between which a write is on its way
_BEGIN = frozenset({"intent", "modify", "cancel", "modify again", "cancel again"})
_END = frozenset({"acknowledged", "refused", "never sent", "lost", "recovered", "stuck"})
_CHANGE_END = (" taken", " refused", " lost")
_SELECT_INTO = f"SELECT {', '.join(_COLUMNS)}, merged_into FROM orders"
_EVENT_COLUMNS = tuple(column.name for column in ORDER_EVENTS.columns)
_ADD_EVENT = (
    f"INSERT INTO order_events ({', '.join(_EVENT_COLUMNS[1:])}) "
    f"VALUES ({', '.join('?' * (len(_EVENT_COLUMNS) - 1))})"
)


@dataclass(frozen=True, slots=True)
class Intent:
    """An order about to be sent; ``tag`` is ours, ``fingerprint`` tells a repeat from a mistake."""

    request: OrderRequest
    tag: str
    strategy: str
    client_order_id: str | None
    fingerprint: str
    is_exit: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Wall nanoseconds of an order's stages (O9); None where it did not pass."""

    received_ns: int | None = None
    checked_ns: int | None = None
    journaled_ns: int | None = None
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    answered_ns: int | None = None


NO_TIMES = Times()


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One order as the journal knows it.

    Attributes:
        pending: ``modify`` or ``cancel`` while the outcome of such a write is not known, else empty.
        pending_ns: When that write was journaled.
        answer: The first answer as JSON, empty before it was given.
    """

    id: int
    tag: str
    client_order_id: str | None
    fingerprint: str
    origin: str
    strategy: str
    is_exit: bool
    created_ns: int
    key: InstrumentKey
    action: Action
    price_type: PriceType
    product: str
    price: Decimal
    trigger_price: Decimal
    disclosed_quantity: int
    known: Known
    pending: str
    pending_ns: int
    answer: str

    @property
    def shown_id(self) -> str:
        """The broker's order id, or ``J<id>`` as long as there is none."""
        return self.known.order_id or f"J{self.id}"

    def to_order(self) -> Order:
        """As a row of the order book."""
        return Order(
            order_id=self.shown_id,
            key=self.key,
            action=self.action,
            quantity=self.known.quantity,
            price_type=self.price_type,
            product=self.product,
            price=self.price,
            trigger_price=self.trigger_price,
            status=self.known.state.status,
            filled_quantity=self.known.filled,
            average_price=self.known.average,
            tag=self.tag,
            raw_status="",
            rejection_reason=self.known.reason,
            placed_at=datetime.fromtimestamp(self.created_ns / 1e9, UTC),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One step of one row.

    Attributes:
        kind: Name of the journal event, e.g. ``outcome``, ``update``, ``reconciled``.
        event: What the machine is told; None leaves the state.
        pending: New value of ``pending`` (``""`` clears it), None leaves it.
        terms: Terms the broker took with a modification.
        quiet: Write nothing when the event teaches nothing.
    """

    journal_id: int
    kind: str
    event: machine.Event | None = None
    times: Times = NO_TIMES
    pending: str | None = None
    terms: OrderChange | None = None
    answer: str | None = None
    detail: Mapping[str, Any] | None = None
    quiet: bool = False


class Journal:
    """Orders and order events of one instance. Thread-safe; every write is durable when it returns.

    Attributes:
        version: Another number after every write; what was read under an older one may lack it.
        fills: Another number after every execution that became known.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # a number is given out once, so that no late thread can bring an old version back
        self._numbers = itertools.count(1)
        self.version = self.fills = 0

    @property
    def database(self) -> Database:
        """For its other readers (``orderlog``)."""
        return self._database

    def add(self, intent: Intent, times: Times) -> int:
        """Put an intent on disk, in state ``sending``; its id.

        Raises:
            sqlite3.IntegrityError: The tag or the client_order_id is taken.
        """
        now = self._clock.time_ns()
        request = intent.request
        values = _terms(request.key, request.action, request.product, request.price_type)
        values |= {
            "tag": intent.tag,
            "client_order_id": intent.client_order_id,
            "fingerprint": intent.fingerprint,
            "origin": OURS,
            "strategy": intent.strategy,
            "is_exit": int(intent.is_exit),
            "created_ns": now,
            "price": str(request.price),
            "trigger_price": str(request.trigger_price),
            "disclosed_quantity": request.disclosed_quantity,
        }
        known = machine.step(Known(State.JOURNALED, request.quantity), machine.Sending())

        def work(connection: Connection) -> int:
            return _insert(raw_of(connection), values, known, "intent", now, times, None)

        return self._write(work)

    def apply(self, change: Change, then: Callable[[JournalRow], Change] | None = None) -> JournalRow:
        """Carry out one step; the row after it. Raises ``machine.IllegalTransition``.

        Args:
            then: The step that follows from the row after the first, in the same commit.
        """

        def work(connection: Connection) -> JournalRow:
            row = self._apply(raw_of(connection), change)
            return row if then is None else self._apply(raw_of(connection), then(row), row)

        return self._write(work)

    def apply_all(self, changes: Iterable[Change]) -> None:
        """Several steps in one commit."""
        todo = list(changes)
        if todo:
            self._write(lambda c: [self._apply(raw_of(c), change) for change in todo])

    def take_terms(self, journal_id: int, terms: OrderChange, quiet_ns: int) -> bool:
        """Take over the terms the broker shows for a working order.

        Args:
            quiet_ns: Wall time; a row changed from here since then stays as it is, because the reading may be
                older than that change.

        Returns:
            True when the row has changed.
        """

        def work(connection: Connection) -> bool:
            raw = raw_of(connection)
            row = _standing(raw, journal_id)
            text = "SELECT max(at_ns) FROM order_events WHERE journal_id = ? AND kind LIKE 'modify%'"
            last_ns = raw.execute(text, (row.id,)).fetchone()[0]
            if row.pending or row.known.state.is_final or (last_ns or 0) >= quiet_ns:
                return False
            detail = {"terms": "as the broker shows them", "price": str(terms.price)}
            self._apply(raw, Change(row.id, "reconciled", None, terms=terms, detail=detail))
            return True

        return self._write(work)

    def import_foreign(self, order: Order) -> int | None:
        """Keep an order of this account that was placed elsewhere; None when it is here already."""
        return self.import_all([order])[0]

    def import_all(self, orders: Sequence[Order]) -> list[int | None]:
        """As ``import_foreign``, in one commit."""
        if not orders:
            return []
        return self._write(lambda c: [self._import(raw_of(c), order) for order in orders])

    def _import(self, raw: sqlite3.Connection, order: Order) -> int | None:
        if _first(raw, "order_id = ?", order.order_id) is not None:
            return None
        now = self._clock.time_ns()
        values = _terms(order.key, order.action, order.product, order.price_type)
        values |= {
            "origin": FOREIGN,
            "created_ns": int(order.placed_at.timestamp() * 1e9) if order.placed_at else now,
            "price": str(order.price),
            "trigger_price": str(order.trigger_price),
        }
        state = State(order.status.value)
        known = Known(
            State.OPEN if state is State.UNKNOWN else state,
            order.quantity,
            order.filled_quantity,
            order.average_price,
            order.order_id,
            order.rejection_reason,
        )
        detail = {"raw_status": order.raw_status, "tag": order.tag}
        if known.filled:
            self.fills = next(self._numbers)
        return _insert(raw, values, known, "foreign", now, NO_TIMES, detail)

    def attribute(self, order_id: str, strategy: str, detail: Mapping[str, Any]) -> bool:
        """A foreign order is the child of a GTT order of ours; False when there is no such foreign row."""

        def work(connection: Connection) -> bool:
            raw = raw_of(connection)
            row = _first(raw, "order_id = ? AND origin = ?", order_id, FOREIGN)
            if row is None:
                return False
            text = "UPDATE orders SET origin = ?, strategy = ? WHERE id = ?"
            raw.execute(text, (GTT, strategy, row.id))
            _event(raw, row.id, "attributed", self._clock.time_ns(), row.known, NO_TIMES, detail)
            return True

        return self._write(work)

    def foreign_tag(self, journal_id: int) -> str:
        """The mark a foreign order carried when it was imported; empty when none."""
        text = "SELECT detail FROM order_events WHERE journal_id = ? AND kind = 'foreign' LIMIT 1"
        rows = self._rows(text, journal_id)
        return str(json.loads(rows[0][0]).get("tag", "")) if rows and rows[0][0] else ""

    def get(self, journal_id: int) -> JournalRow | None:
        """A row by its id, or the one it was merged into; None when there is none."""
        merged = "SELECT merged_into FROM orders WHERE id = ? AND merged_into IS NOT NULL"
        return self._one(f"id = coalesce(({merged}), ?)", journal_id, journal_id)

    def by_order_id(self, order_id: str) -> JournalRow | None:
        return self._one("order_id = ?", order_id)

    def by_tag(self, tag: str) -> JournalRow | None:
        return self._one("tag = ?", tag)

    def by_client_order_id(self, client_order_id: str) -> JournalRow | None:
        return self._one("client_order_id = ?", client_order_id)

    def unfinished(self) -> list[JournalRow]:
        """Every row that is not final, oldest first."""
        return self._many(_UNFINISHED)

    def since(self, at_ns: int) -> list[JournalRow]:
        """Rows made at or after a wall time, and every unfinished one, oldest first."""
        return self._many(f"(created_ns >= ? OR {_UNFINISHED})", at_ns)

    def events(self, journal_id: int) -> list[dict[str, Any]]:
        """The events of one order as plain values, oldest first."""
        text = f"SELECT {', '.join(_EVENT_COLUMNS)} FROM order_events WHERE journal_id = ? ORDER BY id"
        return [dict(zip(_EVENT_COLUMNS, r, strict=True)) for r in self._rows(text, journal_id)]

    def sent_since(self, at_ns: int) -> list[int]:
        """Wall nanoseconds of every write sent after ``at_ns``.

        One whose end nobody journaled (the process died under it) counts from when the journal spoke of that
        order again, or from now: it left before.
        """
        text = "SELECT journal_id, kind, at_ns, sent_ns FROM order_events WHERE at_ns > ? ORDER BY id"
        found: list[int] = []
        begun: dict[int, int] = {}
        for journal_id, kind, event_ns, sent_ns in self._rows(text, at_ns):
            if kind in _BEGIN:
                begun[journal_id] = begun.get(journal_id, 0) + 1
            elif begun.get(journal_id) and (kind in _END or kind.endswith(_CHANGE_END)):
                begun[journal_id] -= 1
                if kind in ("recovered", "stuck"):
                    found.append(event_ns)
            if sent_ns is not None and sent_ns > at_ns:
                found.append(sent_ns)
        return found + [self._clock.time_ns()] * sum(begun.values())

    def last_round_trip(self) -> tuple[int, int] | None:
        """Wall nanoseconds at which the latest acknowledged write was sent and acknowledged; None when it is
        not among the last thousand events."""
        text = (
            "SELECT sent_ns, acknowledged_ns FROM order_events "
            "WHERE id > (SELECT max(id) FROM order_events) - 1000 "
            "AND sent_ns IS NOT NULL AND acknowledged_ns IS NOT NULL ORDER BY id DESC LIMIT 1"
        )
        rows = self._rows(text)
        return (int(rows[0][0]), int(rows[0][1])) if rows else None

    def modifications(self, journal_id: int) -> int:
        """How many modifications of an order were begun."""
        text = "SELECT count(*) FROM order_events WHERE journal_id = ? AND kind = 'modify'"
        return int(self._rows(text, journal_id)[0][0])

    def strategies(self, since_ns: int) -> dict[str, str]:
        """Strategy by order id as shown, of rows made since a wall time or unfinished that have one."""
        text = f"SELECT id, order_id, strategy FROM orders WHERE (created_ns >= ? OR {_UNFINISHED})"
        found = self._rows(f"{text} AND strategy <> ''", since_ns)
        return {order_id or f"J{journal_id}": strategy for journal_id, order_id, strategy in found}

    def working_keys(self) -> frozenset[InstrumentKey]:
        """Instruments of every row that is not final."""
        text = f"SELECT DISTINCT exchange, symbol FROM orders WHERE {_UNFINISHED} AND merged_into IS NULL"
        return frozenset(InstrumentKey(exchange, symbol) for exchange, symbol in self._rows(text))

    def blocked(self) -> str:
        """Why entries are blocked, empty when they are not."""
        with self._database.read() as connection:
            return kv.get(connection, BLOCK) or ""

    def set_blocked(self, reason: str) -> None:
        self.set_fact(BLOCK, reason)

    def fact(self, name: str) -> str:
        """A small fact that outlives a restart; empty when it was never set."""
        with self._database.read() as connection:
            return kv.get(connection, name) or ""

    def set_fact(self, name: str, value: str) -> None:
        self._database.write(lambda c: kv.put(c, name, value))

    def _apply(self, raw: sqlite3.Connection, change: Change, row: JournalRow | None = None) -> JournalRow:
        """``row``: as it stands in this transaction, when the caller has it."""
        row = row or _standing(raw, change.journal_id)
        known = row.known if change.event is None else machine.step(row.known, change.event)
        if change.quiet and known == row.known and change.pending in (None, row.pending):
            return row
        values: dict[str, Any] = {}
        if known != row.known:
            if known.order_id and known.order_id != row.known.order_id:
                known = _merge_foreign(raw, row.id, known)
            values |= _known_values(known)
            if known.filled != row.known.filled:
                self.fills = next(self._numbers)
        now = self._clock.time_ns()
        if change.pending is not None:
            values["pending"] = f"{change.pending}:{now}" if change.pending else ""
        if change.answer is not None:
            values["answer"] = change.answer
        if change.terms is not None:
            values |= _changed_terms(change.terms, known)
        if values:
            raw.execute(_update_text(tuple(values)), (*values.values(), row.id))
        _event(raw, row.id, change.kind, now, known, change.times, change.detail)
        after = _first(raw, "id = ?", row.id)
        assert after is not None
        return after

    def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._database.write(work)
        finally:
            self.version = next(self._numbers)

    def _rows(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._database.read() as connection:
            return raw_of(connection).execute(text, parameters).fetchall()

    def _one(self, where: str, *values: Any) -> JournalRow | None:
        with self._database.read() as connection:
            return _first(raw_of(connection), where, *values)

    def _many(self, where: str, *parameters: Any) -> list[JournalRow]:
        text = f"{_SELECT} WHERE {where} AND merged_into IS NULL ORDER BY id"
        return [_made(values) for values in self._rows(text, *parameters)]


def _first(raw: sqlite3.Connection, where: str, *parameters: Any) -> JournalRow | None:
    found = raw.execute(f"{_SELECT} WHERE {where} LIMIT 1", parameters).fetchone()
    return None if found is None else _made(found)


def _standing(raw: sqlite3.Connection, journal_id: int) -> JournalRow:
    """The row that speaks for an order: a foreign one may have been merged into ours."""
    found = raw.execute(f"{_SELECT_INTO} WHERE id = ?", (journal_id,)).fetchone()
    if found is None:
        raise KeyError(f"journal row {journal_id}")
    *values, into = found
    return _made(values) if into is None else _standing(raw, into)


@functools.cache
def _insert_text(columns: tuple[str, ...]) -> str:
    return f"INSERT INTO orders ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@functools.cache
def _update_text(columns: tuple[str, ...]) -> str:
    return f"UPDATE orders SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"


def _insert(
    raw: sqlite3.Connection,
    values: dict[str, Any],
    known: Known,
    kind: str,
    now: int,
    times: Times,
    detail: Mapping[str, Any] | None,
) -> int:
    row = values | _known_values(known)
    journal_id = raw.execute(_insert_text(tuple(row)), tuple(row.values())).lastrowid
    assert journal_id is not None
    _event(raw, journal_id, kind, now, known, times, detail)
    return journal_id


def _event(
    raw: sqlite3.Connection,
    journal_id: int,
    kind: str,
    now: int,
    known: Known,
    times: Times,
    detail: Mapping[str, Any] | None,
) -> None:
    # in the order of the table's columns, see _ADD_EVENT
    raw.execute(
        _ADD_EVENT,
        (
            journal_id,
            kind,
            now,
            known.state.value,
            known.filled,
            str(known.average),
            times.received_ns,
            times.checked_ns,
            times.journaled_ns,
            times.sent_ns,
            times.acknowledged_ns,
            times.answered_ns,
            json.dumps(detail, default=str) if detail else "",
        ),
    )


def _merge_foreign(raw: sqlite3.Connection, journal_id: int, known: Known) -> Known:
    """An update without a tag may have been faster than the answer that names its order: then the same order
    stands here twice, once as foreign. That row gives up its id; what it has seen, and what was done to it
    meanwhile, is kept."""
    twin = _first(raw, "order_id = ? AND id <> ?", known.order_id, journal_id)
    if twin is None:
        return known
    raw.execute("UPDATE orders SET order_id = NULL, merged_into = ? WHERE id = ?", (journal_id, twin.id))
    if raw.execute(
        "SELECT 1 FROM order_events WHERE journal_id = ? AND kind IN ('modify', 'cancel')", (twin.id,)
    ).fetchone():
        columns = "price_type, price, trigger_price, disclosed_quantity, pending"
        raw.execute(
            f"UPDATE orders SET ({columns}) = (SELECT {columns} FROM orders WHERE id = ?) WHERE id = ?",
            (twin.id, journal_id),
        )
    return machine.step(known, machine.BrokerSays(replace(twin.to_order(), order_id=known.order_id)))


def _terms(key: InstrumentKey, action: Action, product: str, price_type: PriceType) -> dict[str, Any]:
    return {
        "exchange": str(key.exchange),
        "symbol": key.symbol,
        "action": action.value,
        "product": str(product),
        "price_type": price_type.value,
    }


def _changed_terms(terms: OrderChange, known: Known) -> dict[str, Any]:
    return {
        "quantity": max(terms.quantity, known.filled),
        "price_type": terms.price_type.value,
        "price": str(terms.price),
        "trigger_price": str(terms.trigger_price),
        "disclosed_quantity": terms.disclosed_quantity,
    }


def _known_values(known: Known) -> dict[str, Any]:
    return {
        "state": known.state.value,
        "quantity": known.quantity,
        "filled_quantity": known.filled,
        "average_price": str(known.average),
        "order_id": known.order_id or None,
        "reason": known.reason,
        "local": int(known.local),
    }


def _row(row: Row[Any]) -> JournalRow:
    """From anything that has the columns as attributes."""
    return _made([getattr(row, name) for name in _COLUMNS])


def _made(values: Sequence[Any]) -> JournalRow:
    """From the values of ``_COLUMNS``, in that order."""
    # fmt: off
    (
        journal_id, tag, client_order_id, fingerprint, origin, strategy, is_exit, created_ns,
        exchange, symbol, action, quantity, price_type, product, price, trigger,
        disclosed, state, order_id, filled, average, reason, local,
        pending, answer,
    ) = values
    # fmt: on
    pending, _, pending_ns = pending.partition(":")
    return JournalRow(
        id=journal_id,
        tag=tag or "",
        client_order_id=client_order_id,
        fingerprint=fingerprint,
        origin=origin,
        strategy=strategy,
        is_exit=bool(is_exit),
        created_ns=created_ns,
        key=InstrumentKey(exchange, symbol),
        action=Action(action),
        price_type=PriceType(price_type),
        product=product,
        price=Decimal(price),
        trigger_price=Decimal(trigger),
        disclosed_quantity=disclosed,
        known=Known(State(state), quantity, filled, Decimal(average), order_id or "", reason, bool(local)),
        pending=pending,
        pending_ns=int(pending_ns or 0),
        answer=answer,
    )


__all__ = ["FOREIGN", "GTT", "OURS", "Change", "Intent", "Journal", "JournalRow", "Times"]
