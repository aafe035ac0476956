"""A broker as a model: its book is the truth the gateway is judged by.

Orders start in transit, arrive at the exchange, rest, trigger, fill in parts, are refused or cancelled;
changes race with fills. What the world sees of it is copies, so an answer on its way shows what was true when
it left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from brokers.errors import OrderRejected
from brokers.model import (
    Action,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    Position,
    PriceType,
    Trade,
)
from tests.simulation.plan import Plan
from tests.simulation.scheduler import EPOCH, Scheduler

REFUSED = "refused by the model"


@dataclass
class Entry:
    """One order as the broker has it. ``shown_at``: from then on the book shows it."""

    order: Order
    shown_at: float
    fills: list[tuple[int, Decimal]] = field(default_factory=list)
    missed: int = 0

    @property
    def status(self) -> OrderStatus:
        return self.order.status


class BrokerModel:
    """``changed`` hears of every change of an order (the order feed)."""

    def __init__(self, scheduler: Scheduler, plan: Plan, changed: Callable[[Order], None]) -> None:
        self._scheduler = scheduler
        self._dice = scheduler.dice
        self._plan = plan
        self._changed = changed
        self.entries: dict[str, Entry] = {}
        self.taken: dict[object, str] = {}
        """What the broker took, by the caller's mark: a cancel or a modify."""
        self._numbers = 0

    # -- writes, at the moment they arrive

    def place(self, request: OrderRequest, tag: str, *, ours: bool = True) -> Order:
        dice, plan = self._dice, self._plan
        if plan.unique_tags and tag and any(e.order.tag.startswith(tag) for e in self.entries.values()):
            raise OrderRejected("duplicate tag", broker_code="DUP", code="DUPLICATE_ORDER")
        if ours and dice.random() < plan.refuse:
            raise OrderRejected("insufficient funds", broker_code="RMS", code="INSUFFICIENT_MARGIN")
        self._numbers += 1
        order_id = f"{2_000_000 + self._numbers * 7}"
        order = Order(
            order_id=order_id,
            key=request.key,
            action=request.action,
            quantity=request.quantity,
            price_type=request.price_type,
            product=str(request.product),
            price=request.price,
            trigger_price=request.trigger_price,
            status=OrderStatus.OPEN,
            filled_quantity=0,
            average_price=Decimal(0),
            tag=tag,
            raw_status="TRANSIT",
            placed_at=EPOCH,
            in_transit=True,
        )
        self.entries[order_id] = Entry(order, self._scheduler.now + dice.uniform(*plan.book_lag_s))
        self._scheduler.after(plan.draw(dice, plan.transit_s), lambda: self._arrived(order_id))
        self._tell(order_id)
        return order

    def modify(self, change: OrderChange, mark: object) -> None:
        entry = self._changeable(change.order_id)
        if change.quantity <= entry.order.filled_quantity:
            raise OrderRejected("quantity is executed", broker_code="QTY")
        self.taken[mark] = change.order_id
        order = replace(
            entry.order,
            quantity=change.quantity,
            price=change.price,
            price_type=change.price_type,
            trigger_price=change.trigger_price,
            raw_status="MODIFIED",
        )
        if self._plan.rewrites_tags and order.tag:
            order = replace(order, tag=f"{order.tag[:16]}M{self._numbers % 10}")
        entry.order = order
        self._tell(change.order_id)

    def cancel(self, order_id: str, mark: object) -> None:
        self._changeable(order_id)
        self.taken[mark] = order_id
        self._scheduler.after(
            self._plan.draw(self._dice, self._plan.transit_s), lambda: self._cancelled(order_id)
        )

    def _changeable(self, order_id: str) -> Entry:
        entry = self.entries.get(order_id)
        if entry is None:
            raise OrderRejected("no such order", broker_code="404")
        if entry.order.in_transit:
            raise OrderRejected("in transit", broker_code="5204")
        if entry.status.is_final:
            raise OrderRejected("order is not open", broker_code="1012")
        if self._dice.random() < self._plan.refuse:
            raise OrderRejected(REFUSED, broker_code="NO")
        return entry

    # -- the exchange

    def _arrived(self, order_id: str) -> None:
        entry, dice = self.entries[order_id], self._dice
        if dice.random() < self._plan.reject:
            self._set(order_id, status=OrderStatus.REJECTED, rejection_reason="price band", raw="REJECTED")
            return
        stop = entry.order.price_type in (PriceType.SL, PriceType.SL_M)
        self._set(order_id, status=OrderStatus.TRIGGER_PENDING if stop else OrderStatus.OPEN, raw="PENDING")
        if dice.random() < self._plan.fill or entry.order.price_type is PriceType.MARKET:
            self._scheduler.after(dice.expovariate(1 / self._plan.fill_after_s), lambda: self._fill(order_id))

    def _fill(self, order_id: str) -> None:
        entry, dice = self.entries[order_id], self._dice
        order = entry.order
        if order.status.is_final:
            return
        left = order.quantity - order.filled_quantity
        some = left if order.price_type is PriceType.MARKET or dice.random() < 0.6 else dice.randint(1, left)
        price = Decimal(dice.randrange(1600, 1700)) / 2
        entry.fills.append((some, price))
        filled = order.filled_quantity + some
        done = filled >= order.quantity
        self._set(
            order_id,
            status=OrderStatus.COMPLETE if done else OrderStatus.OPEN,
            raw="TRADED" if done else "PART_TRADED",
            filled_quantity=filled,
            average_price=sum((q * p for q, p in entry.fills), Decimal(0)) / filled,
        )
        if not done and dice.random() < 0.7:
            self._scheduler.after(dice.expovariate(1 / self._plan.fill_after_s), lambda: self._fill(order_id))

    def _cancelled(self, order_id: str) -> None:
        if not self.entries[order_id].status.is_final:  # a fill may have been faster
            self._set(order_id, status=OrderStatus.CANCELLED, raw="CANCELLED")

    def _set(self, order_id: str, *, raw: str, **fields: object) -> None:
        entry = self.entries[order_id]
        entry.order = replace(entry.order, in_transit=False, raw_status=raw, **fields)  # type: ignore[arg-type]
        self._tell(order_id)

    def _tell(self, order_id: str) -> None:
        self._changed(self.entries[order_id].order)

    # -- reads

    def book(self) -> list[Order]:
        """As the book shows it now: late orders are missing, averages may come later."""
        now, dice = self._scheduler.now, self._dice
        shown = [e.order for e in self.entries.values() if e.shown_at <= now]
        if self._plan.late_averages:
            shown = [
                replace(o, average_price=Decimal(0)) if o.filled_quantity and dice.random() < 0.3 else o
                for o in shown
            ]
        if self._plan.odd_words:
            shown = [
                replace(o, status=OrderStatus.UNKNOWN, raw_status="FROBBED")
                if not o.status.is_final and dice.random() < 0.1
                else o
                for o in shown
            ]
        return shown

    def find_tag(self, tag: str) -> list[Order]:
        """A reading of a slow replica may miss an order, though never three times in a row."""
        now = self._scheduler.now
        found = []
        for entry in self.entries.values():
            if not entry.order.tag.startswith(tag) or entry.shown_at > now:
                continue
            if entry.missed < 2 and self._dice.random() < self._plan.miss:
                entry.missed += 1
                continue
            entry.missed = 0
            found.append(entry.order)
        return found

    def trades(self) -> list[Trade]:
        return [
            Trade(
                f"{e.order.order_id}-{n}", e.order.order_id, e.order.key, e.order.action,
                e.order.product, quantity, price, EPOCH,
            )
            for e in self.entries.values()
            for n, (quantity, price) in enumerate(e.fills)
        ]  # fmt: skip

    def positions(self) -> list[Position]:
        held: dict[tuple[object, str], int] = dict(self._plan.carried)
        for entry in self.entries.values():
            order = entry.order
            if order.filled_quantity:
                sign = 1 if order.action is Action.BUY else -1
                holder = (order.key, order.product)
                held[holder] = held.get(holder, 0) + sign * order.filled_quantity
        return [
            Position(key, product, quantity, Decimal(800), None, None)  # type: ignore[arg-type]
            for (key, product), quantity in held.items()
        ]

    def with_tag(self, tag: str) -> list[Entry]:
        return [e for e in self.entries.values() if tag and e.order.tag.startswith(tag)]
