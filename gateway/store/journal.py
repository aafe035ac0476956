"""The order journal: one row per order, and append-only events that tell how it came to be so.

The row is the latest knowledge (``machine.Known``) plus the terms; it changes only through ``machine.step``,
inside the writer's transaction, so two sources of news can never overwrite each other.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from brokers.clock import Clock
from brokers.model import InstrumentKey, Order, OrderChange
from gateway.store import journalsql, kv
from gateway.store.engine import Database, raw_of
from gateway.store.journalrows import (
    FOREIGN,
    GTT,
    NO_TIMES,
    OURS,
    Change,
    Intent,
    JournalRow,
    Times,
)
from gateway.trading import machine
from gateway.trading.machine import Known, State

T = TypeVar("T")
BLOCK = "entries_blocked"
# the events between which a write is on its way
_BEGIN = frozenset({"intent", "modify", "cancel", "modify again", "cancel again"})
_END = frozenset({"acknowledged", "refused", "never sent", "lost", "recovered", "stuck"})
_CHANGE_END = (" taken", " refused", " lost")


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
        values = journalsql.terms_values(request.key, request.action, request.product, request.price_type)
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
            return journalsql.insert(raw_of(connection), values, known, "intent", now, times, None)

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
            row = journalsql.standing(raw, journal_id)
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
        if journalsql.first(raw, "order_id = ?", order.order_id) is not None:
            return None
        now = self._clock.time_ns()
        values = journalsql.terms_values(order.key, order.action, order.product, order.price_type)
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
        return journalsql.insert(raw, values, known, "foreign", now, NO_TIMES, detail)

    def attribute(self, order_id: str, strategy: str, detail: Mapping[str, Any]) -> bool:
        """A foreign order is the child of a GTT order of ours; False when there is no such foreign row."""

        def work(connection: Connection) -> bool:
            raw = raw_of(connection)
            row = journalsql.first(raw, "order_id = ? AND origin = ?", order_id, FOREIGN)
            if row is None:
                return False
            text = "UPDATE orders SET origin = ?, strategy = ? WHERE id = ?"
            raw.execute(text, (GTT, strategy, row.id))
            journalsql.event(raw, row.id, "attributed", self._clock.time_ns(), row.known, NO_TIMES, detail)
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
        return self._many(journalsql.UNFINISHED)

    def since(self, at_ns: int) -> list[JournalRow]:
        """Rows made at or after a wall time, and every unfinished one, oldest first."""
        return self._many(f"(created_ns >= ? OR {journalsql.UNFINISHED})", at_ns)

    def events(self, journal_id: int) -> list[dict[str, Any]]:
        """The events of one order as plain values, oldest first."""
        text = (
            f"SELECT {', '.join(journalsql.EVENT_COLUMNS)} FROM order_events WHERE journal_id = ? ORDER BY id"
        )
        return [dict(zip(journalsql.EVENT_COLUMNS, r, strict=True)) for r in self._rows(text, journal_id)]

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
        """When the latest acknowledged write was sent and when acknowledged, wall nanoseconds.

        None when it is not among the last thousand events.
        """
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
        text = f"SELECT id, order_id, strategy FROM orders WHERE (created_ns >= ? OR {journalsql.UNFINISHED})"
        found = self._rows(f"{text} AND strategy <> ''", since_ns)
        return {order_id or f"J{journal_id}": strategy for journal_id, order_id, strategy in found}

    def working_keys(self) -> frozenset[InstrumentKey]:
        """Instruments of every row that is not final."""
        where = f"{journalsql.UNFINISHED} AND merged_into IS NULL"
        text = f"SELECT DISTINCT exchange, symbol FROM orders WHERE {where}"
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
        row = row or journalsql.standing(raw, change.journal_id)
        known = row.known if change.event is None else machine.step(row.known, change.event)
        if change.quiet and known == row.known and change.pending in (None, row.pending):
            return row
        values: dict[str, Any] = {}
        if known != row.known:
            if known.order_id and known.order_id != row.known.order_id:
                known = journalsql.merge_foreign(raw, row.id, known)
            values |= journalsql.known_values(known)
            if known.filled != row.known.filled:
                self.fills = next(self._numbers)
        now = self._clock.time_ns()
        if change.pending is not None:
            values["pending"] = f"{change.pending}:{now}" if change.pending else ""
        if change.answer is not None:
            values["answer"] = change.answer
        if change.terms is not None:
            values |= journalsql.changed_terms(change.terms, known)
        if values:
            raw.execute(journalsql.update_text(tuple(values)), (*values.values(), row.id))
        journalsql.event(raw, row.id, change.kind, now, known, change.times, change.detail)
        after = journalsql.first(raw, "id = ?", row.id)
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
            return journalsql.first(raw_of(connection), where, *values)

    def _many(self, where: str, *parameters: Any) -> list[JournalRow]:
        text = f"{journalsql.SELECT} WHERE {where} AND merged_into IS NULL ORDER BY id"
        return [journalsql.row_made(values) for values in self._rows(text, *parameters)]


__all__ = ["FOREIGN", "GTT", "NO_TIMES", "OURS", "Change", "Intent", "Journal", "JournalRow", "Times"]
