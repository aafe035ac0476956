"""What the desk tells of every write and of every pushed update, for whoever keeps stage times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from brokers.clock import Clock
from brokers.model import OrderStatus, OrderUpdate, Placement
from gateway.store.journal import Intent, JournalRow, Times
from gateway.trading.writes import Done, Outcome


@dataclass(frozen=True, slots=True)
class Written:
    """One place, modify or cancel that was journaled, when it was answered.

    Attributes:
        times: Wall nanoseconds; for a cancel ``sent`` and ``acknowledged`` lie around the adapter's call.
        code: Of the answer, empty on success.
        began_offset, offset: Wall less monotonic clock, nanoseconds, when the desk took it up and now: they
            differ only when the wall clock was set between.
    """

    endpoint: str
    journal_id: int
    order_id: str
    exchange: str
    symbol: str
    price_type: str
    strategy: str
    client_order_id: str | None
    times: Times
    outcome: Outcome
    code: str
    began_offset: int
    offset: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A pushed update. ``journal_id``: 0 when no order of ours is known for it (yet).

    Attributes:
        at_exchange: The update shows it beyond the broker: resting, traded or cancelled there.
        seen_ns: Wall time of its frame.
        offset: As ``Written.offset``, when the desk was told.
    """

    journal_id: int
    order_id: str
    status: OrderStatus
    at_exchange: bool
    seen_ns: int
    offset: int


class Listener(Protocol):
    """Is called on the order's own thread: must neither wait nor raise."""

    def wrote(self, written: Written) -> None: ...

    def heard(self, heard: Heard) -> None: ...


class Nobody:
    """Keeps nothing."""

    def wrote(self, written: Written) -> None: ...

    def heard(self, heard: Heard) -> None: ...


NOBODY = Nobody()


def offset_ns(clock: Clock) -> int:
    """Wall less monotonic clock."""
    return clock.time_ns() - int(clock.monotonic() * 1e9)


def of_place(
    clock: Clock, journal_id: int, intent: Intent, times: Times, outcome: Outcome, code: str, began: int
) -> Written:
    """``began``: ``offset_ns`` of when it was taken up."""
    request = intent.request
    placement = outcome.value if isinstance(outcome, Done) else None
    order_id = ""
    if isinstance(placement, Placement):
        order_id = placement.order_id
        times = _by_wire(times, placement)
    return Written(
        "place",
        journal_id,
        order_id,
        str(request.key.exchange),
        request.key.symbol,
        request.price_type.value,
        intent.strategy,
        intent.client_order_id,
        replace(times, answered_ns=clock.time_ns()),
        outcome,
        code,
        began,
        offset_ns(clock),
    )


def of_change(
    clock: Clock, kind: str, row: JournalRow, times: Times, outcome: Outcome, code: str, began: int
) -> Written:
    """``kind``: ``modify`` or ``cancel``; ``began`` as for a place."""
    placement = outcome.value if isinstance(outcome, Done) else None
    if isinstance(placement, Placement):
        times = _by_wire(times, placement)
    return Written(
        kind,
        row.id,
        row.known.order_id,
        str(row.key.exchange),
        row.key.symbol,
        row.price_type.value,
        row.strategy,
        row.client_order_id,
        replace(times, answered_ns=clock.time_ns()),
        outcome,
        code,
        began,
        offset_ns(clock),
    )


def _by_wire(times: Times, placement: Placement) -> Times:
    """The adapter knows better than its caller when bytes left and came."""
    sent_ns = placement.sent_ns or times.sent_ns
    return replace(times, sent_ns=sent_ns, acknowledged_ns=placement.acknowledged_ns)


def heard(clock: Clock, journal_id: int, update: OrderUpdate) -> Heard:
    order = update.order
    there = order.status in AT_EXCHANGE and not order.in_transit
    return Heard(journal_id, order.order_id, order.status, there, update.seen_ns, offset_ns(clock))


AT_EXCHANGE = frozenset(
    {OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.COMPLETE, OrderStatus.CANCELLED}
)
