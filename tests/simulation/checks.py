"""The promises, checked while a run goes on and at its end."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from brokers.contract import RateWindow
from brokers.model import Action, OrderStatus
from tests.simulation.broker import BrokerModel
from tests.simulation.plan import Plan
from tests.simulation.store import SimDatabase

FINAL = ("complete", "rejected", "cancelled")
CLOSE = 1e-6


class Broken(AssertionError):
    """A promise was broken."""


def demand(fact: object, what: str) -> None:
    if not fact:
        raise Broken(what)


def kept(rule: RateWindow) -> int:
    """Slots kept for cancels and exits: two of a short window, 5 % of a long one, never all (O5)."""
    wanted = 2 if rule.seconds <= 2 else math.ceil(rule.count * 0.05)
    return min(wanted, rule.count - 1)


@dataclass
class Sent:
    """What left in one class of requests, against the broker's windows."""

    rules: tuple[RateWindow, ...]
    times: deque[float] = field(default_factory=deque)
    entries: deque[float] = field(default_factory=deque)
    spent: deque[float] = field(default_factory=deque)
    """Every slot used, also by what could not connect."""

    def check(self, now: float, *, entry: bool) -> None:
        """One request leaves now. Entries never take the slots kept for cancels and exits."""
        self.times.append(now)
        self.spent.append(now)
        if entry:
            self.entries.append(now)
        for rule in self.rules:
            inside = sum(at > now - rule.seconds + CLOSE for at in self.times)
            demand(inside <= rule.count, f"{inside} requests within {rule.seconds} s, {rule.count} allowed")
            if entry:
                room = rule.count - kept(rule)
                inside = sum(at > now - rule.seconds + CLOSE for at in self.entries)
                demand(
                    inside <= room, f"an entry took a kept slot: {inside} within {rule.seconds} s of {room}"
                )

    def is_full(self, now: float, granted: int) -> bool:
        """``granted``: slots given to requests that have not left yet."""
        return any(
            granted + sum(at > now - rule.seconds - CLOSE for at in self.spent) >= rule.count
            for rule in self.rules
        )


class Truth:
    """Compares the journal on disk with the broker. Row: see ``SimDatabase.rows``."""

    def __init__(self, plan: Plan, broker: BrokerModel, database: SimDatabase) -> None:
        self._plan = plan
        self._broker = broker
        self._database = database
        self.flying: dict[str, int] = {}
        """Tags of orders that have left and have neither arrived nor been lost."""
        self._proved: dict[int, tuple[Any, ...]] = {}
        self._ended: dict[int, str] = {}

    def after_commit(self) -> None:
        """Nothing is called final that is not, nothing executed that was not."""
        for row in self._database.rows():
            if self._proved.get(row[0]) == row:
                continue
            self._row(row)
            self._proved[row[0]] = row

    def _row(self, row: tuple[Any, ...]) -> None:
        journal_id, tag, _, _, state, order_id, filled, local = row[:8]
        if row[12] is not None:
            return
        who = f"J{journal_id} ({order_id or 'no id'}) is {state}"
        entry = self._broker.entries.get(order_id) if order_id else None
        if order_id:
            demand(entry is not None, f"{who}: the broker has no such order")
            assert entry is not None
            if tag:
                demand(
                    entry.order.tag.startswith(tag), f"{who}: that order carries the tag {entry.order.tag}"
                )
            demand(filled <= entry.order.filled_quantity, f"{who}: filled {filled}, that is too much")
        ended = self._ended.get(journal_id, state)
        demand(
            ended in (state, "cancelled") and (ended == state or state == "complete"),
            f"{who}, it was {ended}",
        )
        if state not in FINAL:
            return
        if not local:
            self._ended[journal_id] = state
        if entry is not None:
            said = entry.status.value
            demand(said == state, f"{who}, the broker says {said}")
            if state == "complete":
                demand(filled == entry.order.filled_quantity, f"{who}: filled {filled}")
            return
        demand(state == "rejected", f"{who} without an order at the broker")
        demand(not self._broker.with_tag(tag), f"{who} (local {local}), but the broker has it")
        demand(not self.flying.get(tag), f"{who} (local {local}), but it is still on its way")

    def at_most_once(self) -> None:
        """At most one broker order per intent and per client_order_id; each has its row."""
        tags: dict[str, str] = {}
        rows = self._database.rows()
        known = {row[1]: row[2] for row in rows if row[1]}
        clients: dict[str, str] = {}
        for order_id, entry in self._broker.entries.items():
            tag = entry.order.tag[:16]
            if not tag or tag.startswith("FOREIGN"):
                continue
            demand(tag not in tags, f"two orders with the tag {tag}: {tags.get(tag)} and {order_id}")
            tags[tag] = order_id
            demand(tag in known, f"order {order_id} ({tag}) has no journal row")
            client = known[tag]
            if client:
                demand(
                    client not in clients, f"{client} made two orders: {clients.get(client)} and {order_id}"
                )
                clients[client] = order_id

    def unsettled(self) -> str:
        """What is not yet as the broker has it; empty when the journal is true."""
        rows = [row for row in self._database.rows() if row[12] is None]
        by_id = {row[5]: row for row in rows if row[5]}
        for row in rows:
            if row[4] in ("journaled", "sending", "unknown"):
                return f"J{row[0]} is {row[4]}"
            if row[11]:
                return f"J{row[0]} has a pending {row[11]}"
        for order_id, entry in self._broker.entries.items():
            row = by_id.get(order_id)
            order = entry.order
            if row is None:
                return f"order {order_id} ({order.tag}) has no row"
            demand(
                (row[3] == "foreign") == (not order.tag or order.tag.startswith("FOREIGN")),
                f"order {order_id} with the tag {order.tag!r} is marked {row[3]}",
            )
            if row[4] != order.status.value:
                return f"order {order_id} is {order.status.value}, the journal says {row[4]}"
            if row[6] != order.filled_quantity or Decimal(row[9]) != order.average_price:
                real = f"{order.filled_quantity} at {order.average_price}"
                return f"order {order_id}: filled {row[6]} at {row[9]}, really {real}"
            if not order.status.is_final and (row[8], Decimal(row[10])) != (order.quantity, order.price):
                return (
                    f"order {order_id}: terms {row[8]} at {row[10]}, really {order.quantity} at {order.price}"
                )
        return ""

    def positions(self) -> None:
        """What the journal's fills make of the positions is what the broker shows."""
        held = dict(self._plan.carried)
        for entry in self._broker.entries.values():
            order = entry.order
            if order.filled_quantity:
                holder = (order.key, order.product)
                sign = 1 if order.action is Action.BUY else -1
                held[holder] = held.get(holder, 0) + sign * order.filled_quantity
        shown = {(p.key, p.product): p.quantity for p in self._broker.positions()}
        demand({h: q for h, q in held.items() if q} == {h: q for h, q in shown.items() if q}, "model broken")


def live(broker: BrokerModel, tag: str) -> bool:
    """The broker has an order with this tag that it did not reject."""
    return any(e.status is not OrderStatus.REJECTED for e in broker.with_tag(tag))
