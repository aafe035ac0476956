"""The statements of the order journal, on the driver's own connection inside a transaction that is open.

Text for the driver, not SQLAlchemy expressions: every order passes here two or three times, and measured a
commit costs a quarter of the CPU that way.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from brokers.model import Action, InstrumentKey, OrderChange, PriceType
from gateway.store.journalrows import JournalRow, Times
from gateway.store.tables import ORDER_EVENTS
from gateway.trading import machine
from gateway.trading.machine import Known, State

# named one by one, so that SQLite can use the index on states
UNFINISHED = f"state IN ({', '.join(repr(state.value) for state in State if not state.is_final)})"
COLUMNS = (
    *("id", "tag", "client_order_id", "fingerprint", "origin", "strategy", "is_exit", "created_ns"),
    *("exchange", "symbol", "action", "quantity", "price_type", "product", "price", "trigger_price"),
    *("disclosed_quantity", "state", "order_id", "filled_quantity", "average_price", "reason", "local"),
    *("pending", "answer"),
)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM orders"
SELECT_INTO = f"SELECT {', '.join(COLUMNS)}, merged_into FROM orders"
EVENT_COLUMNS = tuple(column.name for column in ORDER_EVENTS.columns)
ADD_EVENT = (
    f"INSERT INTO order_events ({', '.join(EVENT_COLUMNS[1:])}) "
    f"VALUES ({', '.join('?' * (len(EVENT_COLUMNS) - 1))})"
)


def first(raw: sqlite3.Connection, where: str, *parameters: Any) -> JournalRow | None:
    found = raw.execute(f"{SELECT} WHERE {where} LIMIT 1", parameters).fetchone()
    return None if found is None else row_made(found)


def standing(raw: sqlite3.Connection, journal_id: int) -> JournalRow:
    """The row that speaks for an order: a foreign one may have been merged into ours."""
    found = raw.execute(f"{SELECT_INTO} WHERE id = ?", (journal_id,)).fetchone()
    if found is None:
        raise KeyError(f"journal row {journal_id}")
    *values, into = found
    return row_made(values) if into is None else standing(raw, into)


@functools.cache
def insert_text(columns: tuple[str, ...]) -> str:
    return f"INSERT INTO orders ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@functools.cache
def update_text(columns: tuple[str, ...]) -> str:
    return f"UPDATE orders SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"


def insert(
    raw: sqlite3.Connection,
    values: dict[str, Any],
    known: Known,
    kind: str,
    now: int,
    times: Times,
    detail: Mapping[str, Any] | None,
) -> int:
    row = values | known_values(known)
    journal_id = raw.execute(insert_text(tuple(row)), tuple(row.values())).lastrowid
    assert journal_id is not None
    event(raw, journal_id, kind, now, known, times, detail)
    return journal_id


def event(
    raw: sqlite3.Connection,
    journal_id: int,
    kind: str,
    now: int,
    known: Known,
    times: Times,
    detail: Mapping[str, Any] | None,
) -> None:
    # in the order of the table's columns, see ADD_EVENT
    raw.execute(
        ADD_EVENT,
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


def merge_foreign(raw: sqlite3.Connection, journal_id: int, known: Known) -> Known:
    """Join an order that stands here twice, once as foreign.

    An update without a tag may have been faster than the answer that names its order. The foreign row gives
    up its id; what it has seen, and what was done to it meanwhile, is kept.
    """
    twin = first(raw, "order_id = ? AND id <> ?", known.order_id, journal_id)
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


def terms_values(key: InstrumentKey, action: Action, product: str, price_type: PriceType) -> dict[str, Any]:
    return {
        "exchange": str(key.exchange),
        "symbol": key.symbol,
        "action": action.value,
        "product": str(product),
        "price_type": price_type.value,
    }


def changed_terms(terms: OrderChange, known: Known) -> dict[str, Any]:
    return {
        "quantity": max(terms.quantity, known.filled),
        "price_type": terms.price_type.value,
        "price": str(terms.price),
        "trigger_price": str(terms.trigger_price),
        "disclosed_quantity": terms.disclosed_quantity,
    }


def known_values(known: Known) -> dict[str, Any]:
    return {
        "state": known.state.value,
        "quantity": known.quantity,
        "filled_quantity": known.filled,
        "average_price": str(known.average),
        "order_id": known.order_id or None,
        "reason": known.reason,
        "local": int(known.local),
    }


def row_of(row: Row[Any]) -> JournalRow:
    """From anything that has the columns as attributes."""
    return row_made([getattr(row, name) for name in COLUMNS])


def row_made(values: Sequence[Any]) -> JournalRow:
    """From the values of ``COLUMNS``, in that order."""
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
