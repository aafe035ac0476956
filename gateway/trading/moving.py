"""Orders about to change a position: whoever works an order out from it waits for them a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokers.clock import Clock
from brokers.model import Order, PriceType
from gateway.store.journal import JournalRow
from gateway.trading.machine import State
from gateway.trading.tasks import Tasks

FILL_WAIT_S = 2.0
"""How long an order sent a moment ago may take to show in the position before another is worked out."""
PAUSES_S = (0.02, 0.08, 0.2, 0.3)
"""Between looks at such orders; the last one repeats."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was left after the wait: every row that is not final, and those of them that still move."""

    rows: list[JournalRow]
    moving: list[JournalRow]


def settle(
    unfinished: Callable[[], list[JournalRow]], book: Callable[[], list[Order]], clock: Clock, tasks: Tasks
) -> Standing:
    """Wait, for a short while, for the orders about to change a position.

    Args:
        unfinished: The journal's rows that may still change it.
        book: The broker's book; read from the second look on, because the feed may not have told.

    Raises:
        BrokerError: The book cannot be read.
    """
    deadline = clock.monotonic() + FILL_WAIT_S
    ended: frozenset[str] = frozenset()
    looks = 0
    while True:
        rows = [row for row in unfinished() if row.known.order_id not in ended]
        moving = [row for row in rows if is_moving(row, clock.time_ns())]
        if not moving or clock.monotonic() >= deadline:
            return Standing(rows, moving)
        tasks.sleep(PAUSES_S[min(looks, len(PAUSES_S) - 1)])
        looks += 1
        if any(is_moving(row, clock.time_ns()) for row in unfinished()):
            ended = frozenset(order.order_id for order in book() if order.status.is_final)


def is_doubtful(row: JournalRow) -> bool:
    """Its outcome is not known: it may have been executed or not."""
    return row.known.state in (State.JOURNALED, State.SENDING, State.UNKNOWN)


def is_moving(row: JournalRow, now_ns: int) -> bool:
    """On its way, or a market order so young that its fill may be."""
    if is_doubtful(row):
        return True
    young = now_ns - row.created_ns < FILL_WAIT_S * 1e9
    return row.price_type is PriceType.MARKET and young
