"""What happened to each order, in Kotak's words: history rows, and events for the order feed.

The engine reports where an order stands; Kotak shows every station on the way. The ledger fills the stations
in and gives each its own, strictly growing ``updRecvTm``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.clock import Clock
from brokers.sim.exchange.types import SimOrder, SimTrade, Status
from brokers.sim.kotak import policy, shapes
from brokers.sim.kotak.policy import Word
from brokers.sim.kotak.shapes import Row

Listener = Callable[[str, Row], None]
"""Called with the account and an order row for the feed, in order."""


@dataclass(slots=True)
class _Known:
    word: Word
    filled: int = 0
    modifications: int = 0
    received_ns: int = 0
    history: list[Row] = field(default_factory=list)


class Ledger:
    """Follows every order the exchange reports. One per venue; single-threaded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._orders: dict[str, _Known] = {}
        self._last_ns = 0
        self._day = ""
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def next_ns(self) -> int:
        """Now in epoch nanoseconds, later than every one given before."""
        self._last_ns = max(self._last_ns + 1, self._clock.time_ns())
        return self._last_ns

    def observe(self, order: SimOrder, trade: SimTrade | None = None) -> None:
        """Take one report of the engine. A report that changes nothing adds nothing."""
        after = policy.word(order.status)
        known = self._orders.get(order.order_id)
        if known is None:
            known = self._meet(order)
        if known.word is Word.RECEIVED:
            steps = policy.steps_to(None, after)
        elif order.modifications > known.modifications:
            steps = [Word.MODIFY_VALIDATION, Word.MODIFY_PENDING, Word.MODIFIED]
            steps += [] if after in steps else [after]
        elif after is Word.CANCELLED and known.word is not Word.CANCELLED:
            steps = [Word.CANCEL_PENDING, Word.CANCELLED]
        elif after is known.word and order.filled == known.filled and trade is None:
            return
        else:
            steps = policy.steps_to(known.word, after)
        known.modifications, known.filled, known.word = order.modifications, order.filled, after
        for step in steps:
            self._tell(order, step, known)

    def _meet(self, order: SimOrder) -> _Known:
        """An order not seen before: fresh ones report ``TRANSIT`` first, others are from before a restart."""
        if order.order_id[:6] != self._day:
            self._day = order.order_id[:6]
            self._orders.clear()
        known = _Known(Word.RECEIVED)
        if order.status is not Status.TRANSIT:
            known = _Known(Word.OPEN, modifications=order.modifications)
            known.history = [shapes.history_row(order, w) for w in policy.steps_to(None, Word.OPEN)]
        self._orders[order.order_id] = known
        return known

    def _tell(self, order: SimOrder, step: Word, known: _Known) -> None:
        known.history.append(shapes.history_row(order, step))
        account = order.new.account
        if step is Word.COMPLETE:
            # the first frame of a fill may still say 0.00; the later one by updRecvTm is right
            early = shapes.feed_row(order, step, received_ns=self.next_ns(), account=account)
            early["avgPrc"] = shapes.price(order.new.listing, Decimal(0))
            self._emit(account, early)
        known.received_ns = self.next_ns()
        self._emit(account, shapes.feed_row(order, step, received_ns=known.received_ns, account=account))

    def _emit(self, account: str, row: Row) -> None:
        for listener in self._listeners:
            listener(account, row)

    def row(self, order: SimOrder) -> Row:
        """The order-book row of an order as it stands."""
        known = self._orders.get(order.order_id)
        ns = known.received_ns if known else _ns(order)
        return shapes.order_row(order, policy.word(order.status), received_ns=ns)

    def current(self, order: SimOrder) -> Row:
        """The feed row of an order as it stands, for a client that has just connected."""
        ns, account = self.received_ns(order), order.new.account
        return shapes.feed_row(order, policy.word(order.status), received_ns=ns, account=account)

    def received_ns(self, order: SimOrder) -> int:
        """When the order last changed, as its rows say it."""
        known = self._orders.get(order.order_id)
        return known.received_ns if known else _ns(order)

    def history(self, order: SimOrder) -> list[Row]:
        """Every station of an order, newest first.

        Of an order from before a restart, those its present status implies.
        """
        known = self._orders.get(order.order_id)
        rows = (
            known.history
            if known
            else [shapes.history_row(order, w) for w in policy.steps_to(None, policy.word(order.status))]
        )
        return rows[::-1]


def _ns(order: SimOrder) -> int:
    return int(order.updated_at.timestamp()) * 1_000_000_000 + order.updated_at.microsecond * 1000
