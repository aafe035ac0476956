"""The orders that GTT orders kept by the broker send when they fire: ours, though nobody here placed them."""

from __future__ import annotations

import logging
import threading

from brokers.errors import AlgoError
from brokers.model import Gtt, Order
from gateway.store.gtt import GttRow
from gateway.trading.tags import TAG_LENGTH
from gateway.triggers import evidence, machine
from gateway.triggers.machine import Keeper, State
from gateway.triggers.parts import GttParts

log = logging.getLogger(__name__)

LOOK_FOR_S = 120.0
"""How long an order without a mark is compared with the list: a fired GTT may show there late."""


class Children:
    """Names the GTT of a child order, and the strategy that placed it. Thread-safe."""

    def __init__(self, parts: GttParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._lock = threading.Lock()
        self._strangers: dict[str, tuple[float, Order]] = {}

    def take_up(self) -> None:
        """Orders that came in before a restart. Raises ``StoreError``."""
        for order in self._parts.family.foreign_today():
            self.note(order)

    def note(self, order: Order) -> None:
        """An order that was placed elsewhere."""
        if order.order_id:
            with self._lock:
                self._strangers[order.order_id] = (self._parts.clock.monotonic(), order)

    def born(self, row: GttRow, order: Order) -> None:
        """This order is the child of that GTT."""
        detail = {"gtt": row.shown_id}
        self._parts.family.attribute(order.order_id, row.strategy, detail)
        self._store.apply(row.id, "child", machine.ChildSeen(order.order_id))

    def pending(self) -> bool:
        """An order without a mark might be the child of one of ours; those that cannot be are forgotten."""
        with self._lock:
            strangers = list(self._strangers.values())
        if not strangers:
            return False
        rows = [row for row in self._store.newest() if row.kept_by is Keeper.BROKER and _childless(row)]
        now, kept = self._parts.clock.monotonic(), False
        for noted_at, order in strangers:
            marked = self._store.by_tag(order.tag[:TAG_LENGTH]) if order.tag else None
            if marked is not None and order.action is marked.known.terms.action:
                self.born(marked, order)
            elif now - noted_at < LOOK_FOR_S and not order.tag and any(_alike(order, row) for row in rows):
                kept = True
                continue
            with self._lock:
                self._strangers.pop(order.order_id, None)
        return kept

    def settle(self, listed: list[Gtt], rows: list[GttRow]) -> None:
        """Take one reading of the broker's list into account."""
        with self._lock:
            orders = [order for _, order in self._strangers.values()]
        childless = [row for row in rows if row.known.state is State.TRIGGERED and not row.known.order_id]
        for row_id, order in evidence.children(childless, listed, orders).items():
            row = next(row for row in childless if row.id == row_id)
            try:
                self.born(row, order)
            except AlgoError as exc:
                log.error("order %s of GTT %s: %s", order.order_id, row.shown_id, exc)
                continue
            log.info("order %s is the one GTT %s sent", order.order_id, row.shown_id)
            with self._lock:
                self._strangers.pop(order.order_id, None)


def _childless(row: GttRow) -> bool:
    return row.known.state in (State.ACTIVE, State.TRIGGERED, State.GONE) and not row.known.order_id


def _alike(order: Order, row: GttRow) -> bool:
    terms = row.known.terms
    mine = (terms.key, terms.action, terms.quantity, str(terms.product))
    return (order.key, order.action, order.quantity, order.product) == mine
