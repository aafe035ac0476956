"""The journal's events in the order they became durable: what the ``orders`` channel replays.

An event's number is its row id: given inside the journal's one writing transaction, never changed or dropped
(``tables.APPEND_ONLY``), and reused only if that transaction was rolled back, so numbers have no gaps and a
reader that has seen N needs nothing but "after N".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping, func, select

from brokers.model import Order
from gateway.store.engine import Database
from gateway.store.journalsql import row_of
from gateway.store.tables import ORDER_EVENTS, ORDERS
from gateway.trading.machine import FINAL, State


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One event with the order it is about.

    Attributes:
        order: State, filled quantity and average price as of this event; its terms and id as known now.
        at_ns: Wall time of the journal's write.
    """

    seq: int
    kind: str
    at_ns: int
    journal_id: int
    order: Order
    strategy: str
    client_order_id: str
    detail: Mapping[str, Any]


class OrderLog:
    """Read-only; thread-safe. Raises ``StoreError`` when the file cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self) -> int:
        """Number of the newest event, 0 in an empty journal."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(ORDER_EVENTS.c.id), 0))).scalar_one())

    def kinds(self, seq: int) -> tuple[int, dict[str, int]]:
        """Number of the newest event, and how many behind number ``seq`` are of each kind."""
        events = ORDER_EVENTS.c
        newest = select(func.coalesce(func.max(events.id), 0))
        each = select(events.kind, func.count()).where(events.id > seq).group_by(events.kind)
        with self._database.read() as connection:
            last = int(connection.execute(newest).scalar_one())
            return last, {kind: int(count) for kind, count in connection.execute(each)}

    def states(self, since_ns: int) -> dict[str, int]:
        """Orders made since a wall time, and unfinished ones, by state."""
        orders, final = ORDERS.c, [state.value for state in FINAL]
        here = orders.merged_into.is_(None) & ((orders.created_ns >= since_ns) | orders.state.not_in(final))
        each = select(orders.state, func.count()).where(here).group_by(orders.state)
        with self._database.read() as connection:
            return {state: int(count) for state, count in connection.execute(each)}

    def after(self, seq: int, limit: int) -> list[OrderEvent]:
        """At most ``limit`` events behind number ``seq``, ascending."""
        events, orders, into = ORDER_EVENTS.c, ORDERS.c, ORDERS.alias("into")
        statement = (
            select(
                ORDER_EVENTS, *(c.label(f"o_{c.name}") for c in ORDERS.c), into.c.order_id.label("into_id")
            )
            .join(ORDERS, orders.id == events.journal_id)
            .outerjoin(into, into.c.id == orders.merged_into)
            .where(events.id > seq)
            .order_by(events.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_event(r._mapping) for r in connection.execute(statement)]


def _event(values: RowMapping) -> OrderEvent:
    row = row_of(_Columns(values))  # type: ignore[arg-type]  # the same attributes, from a joined row
    order = row.to_order()
    state = State(values["state"])
    known = replace(
        order,
        # a row that turned out to be another's twin gave its id up to that one
        order_id=values["into_id"] or order.order_id,
        status=state.status,
        filled_quantity=values["filled_quantity"],
        average_price=Decimal(values["average_price"]),
        rejection_reason=order.rejection_reason if state is State.REJECTED else "",
    )
    return OrderEvent(
        seq=values["id"],
        kind=values["kind"],
        at_ns=values["at_ns"],
        journal_id=values["journal_id"],
        order=known,
        strategy=row.strategy,
        client_order_id=row.client_order_id or "",
        detail=json.loads(values["detail"]) if values["detail"] else {},
    )


class _Columns:
    """The ``o_…`` columns of a joined row as attributes."""

    def __init__(self, values: RowMapping) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self._values[f"o_{name}"]
