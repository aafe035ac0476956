"""From what the desk says to rows, durations and counts. Pure; used by one thread."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from brokers.errors import OrderRejected, RateLimited
from brokers.model import OrderStatus
from gateway.latency.model import (
    ACKNOWLEDGED,
    CLOCK_SET,
    CLOCK_SET_LATER,
    FAILED,
    LIMITED,
    LOST,
    NOT_SENT,
    REJECTED,
    STAGES,
    Row,
    day_of,
    probe_of,
)
from gateway.trading.stages import Heard, Written
from gateway.trading.writes import Done, Failed, Outcome

SAME_CLOCK_NS = 1_000_000
"""Two readings of the clocks' difference further apart than this: the wall clock was set between."""
MOST_ORDERS = 10_000
MOST_EARLY = 2_000

_LATER = ("exchange", "fill", "cancelled")
_AT_ONCE = tuple(stage for stage in STAGES if stage not in _LATER)


@dataclass(frozen=True, slots=True)
class Duration:
    """How long one stage of one request took, on the IST day it was received."""

    day: str
    endpoint: str
    stage: str
    ns: int


@dataclass(slots=True)
class Gathered:
    """What became known since it was last taken away.

    Attributes:
        rows: New and changed ones.
        counts: To be added, by IST day and name.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    durations: list[Duration] = field(default_factory=list)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, day: str, name: str, by: int = 1) -> None:
        self.counts[day, name] = self.counts.get((day, name), 0) + by


@dataclass(slots=True)
class _Order:
    """An order of this run that may still have stages before it."""

    place: Row | None = None
    cancel: Row | None = None
    offset: int = 0
    cancelled: Heard | None = None


class Book:
    """Joins requests with what the feed says of their orders.

    Bounded: of more than ``MOST_ORDERS`` the longest untouched gets no more stages.
    """

    def __init__(self, next_id: int = 1) -> None:
        self._next_id = next_id
        self._orders: OrderedDict[int, _Order] = OrderedDict()
        self._by_order_id: dict[str, int] = {}
        # told by the feed before the desk said that it was sent
        self._early: OrderedDict[tuple[int, str], list[Heard]] = OrderedDict()
        self.gathered = Gathered()

    def take(self) -> Gathered:
        """What was gathered, once."""
        found, self.gathered = self.gathered, Gathered()
        return found

    def wrote(self, said: Written, *, clock_set: bool = False) -> None:
        """``clock_set``: the wall clock was seen to be set while this request may have been under way."""
        row = self._row(said, clock_set)
        self._count(row, said)
        for stage in _AT_ONCE:
            self._measure(row, stage)
        order = self._order(row)
        if row.endpoint == "place":
            order.place, order.offset = row, said.offset
            for heard in [
                *self._early.pop((row.journal_id, ""), ()),
                *self._early.pop((0, row.order_id), ()),
            ]:
                self._apply(order, heard)
        elif row.endpoint == "cancel" and row.outcome in (ACKNOWLEDGED, LOST):
            order.cancel, order.offset = row, said.offset
            if order.cancelled is not None:
                self._stamp(order, row, "cancelled", order.cancelled)

    def heard(self, heard: Heard) -> None:
        """News of an order. What is not of this run waits a while for its request, and is then forgotten."""
        journal_id = heard.journal_id or self._by_order_id.get(heard.order_id, 0)
        order = self._orders.get(journal_id)
        if order is None:
            key = (heard.journal_id, "" if heard.journal_id else heard.order_id)
            self._early.setdefault(key, []).append(heard)
            if len(self._early) > MOST_EARLY or len(self._early[key]) > MOST_EARLY:
                self._early.popitem(last=False)
            return
        self._orders.move_to_end(journal_id)
        self._apply(order, heard)

    def _row(self, said: Written, clock_set: bool) -> Row:
        times = said.times
        begin = times.received_ns or times.checked_ns or times.answered_ns or 0
        outcome = outcome_of(said.outcome)
        row = Row(
            at_ns=begin,
            base_ns=begin - said.offset,
            endpoint=said.endpoint,
            journal_id=said.journal_id,
            order_id=said.order_id,
            exchange=said.exchange,
            symbol=said.symbol,
            price_type=said.price_type,
            strategy=said.strategy,
            probe=probe_of(said.strategy, said.client_order_id),
            outcome=outcome,
            code=said.code,
            id=self._next_id,
        )
        self._next_id += 1
        row.checked_ns = _after(begin, times.checked_ns)
        row.journaled_ns = _after(begin, times.journaled_ns)
        row.sent_ns = None if outcome == NOT_SENT else _after(begin, times.sent_ns)
        row.acknowledged_ns = _after(begin, times.acknowledged_ns)
        row.answered_ns = _after(begin, times.answered_ns)
        if clock_set or abs(said.offset - said.began_offset) > SAME_CLOCK_NS or not _ascending(row):
            row.flags |= CLOCK_SET
        self.gathered.rows[row.id] = row
        return row

    def _order(self, row: Row) -> _Order:
        order = self._orders.setdefault(row.journal_id, _Order())
        self._orders.move_to_end(row.journal_id)
        if row.order_id:
            self._by_order_id[row.order_id] = row.journal_id
        if len(self._orders) > MOST_ORDERS:
            _, old = self._orders.popitem(last=False)
            if old.place is not None:
                self._by_order_id.pop(old.place.order_id, None)
        return order

    def _apply(self, order: _Order, heard: Heard) -> None:
        place = order.place
        if place is not None:
            if not place.order_id and heard.order_id:
                place.order_id = heard.order_id
                self._by_order_id[heard.order_id] = place.journal_id
                self.gathered.rows[place.id] = place
            if heard.at_exchange:
                self._stamp(order, place, "exchange", heard)
            if heard.status is OrderStatus.COMPLETE:
                self._stamp(order, place, "fill", heard)
            if heard.status is OrderStatus.REJECTED and place.outcome in (ACKNOWLEDGED, LOST):
                place.outcome = REJECTED
                self.gathered.rows[place.id] = place
                self.gathered.count(day_of(heard.seen_ns), "place.rejected")
        if heard.status is OrderStatus.CANCELLED:
            order.cancelled = order.cancelled or heard
            for row in (order.place, order.cancel):
                if row is not None:
                    self._stamp(order, row, "cancelled", heard)

    def _stamp(self, order: _Order, row: Row, stage: str, heard: Heard) -> None:
        name = STAGES[stage][1]
        if getattr(row, name) is not None or row.flags & (CLOCK_SET | CLOCK_SET_LATER):
            return
        self.gathered.rows[row.id] = row
        at_ns = heard.seen_ns - heard.offset - row.base_ns
        if abs(heard.offset - order.offset) > SAME_CLOCK_NS or at_ns < (row.sent_ns or 0):
            row.flags |= CLOCK_SET_LATER
            return
        setattr(row, name, at_ns)
        self._measure(row, stage)

    def _measure(self, row: Row, stage: str) -> None:
        took = row.duration_ns(stage)
        if took is not None:
            self.gathered.durations.append(Duration(row.day, row.endpoint, stage, took))

    def _count(self, row: Row, said: Written) -> None:
        day, gathered = row.day, self.gathered
        gathered.count(day, f"{row.endpoint}.{row.outcome}")
        if row.outcome != NOT_SENT:
            gathered.count(day, f"{row.endpoint}.sent")
        if said.code == "OUTCOME_UNKNOWN":
            gathered.count(day, f"{row.endpoint}.unknown")
        elif said.code:
            gathered.count(day, f"error.{said.code}")


def outcome_of(outcome: Outcome) -> str:
    """How a write ended, in the words of ``model``."""
    match outcome:
        case Done():
            return ACKNOWLEDGED
        case Failed(_, sent=False):
            return NOT_SENT
        case Failed(RateLimited()):
            return LIMITED
        case Failed(OrderRejected()):
            return REJECTED
        case Failed():
            return FAILED
        case _:
            return LOST


def _after(begin: int, at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns - begin


def _ascending(row: Row) -> bool:
    """Stages follow each other; where they do not, a clock was set."""
    stamps = (row.checked_ns, row.journaled_ns, row.sent_ns, row.acknowledged_ns, row.answered_ns)
    passed = [0, *(stamp for stamp in stamps if stamp is not None)]
    return passed == sorted(passed)
