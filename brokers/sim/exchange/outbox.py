"""Changes of orders on their way out: first to disk, then to the listeners."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.types import SimOrder, SimTrade, Status

OrderListener = Callable[[SimOrder, SimTrade | None], None]


class Outbox:
    """Collects what happened during one request or step."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._listeners: list[OrderListener] = []
        self._waiting: deque[tuple[SimOrder, SimTrade | None]] = deque()
        self._changed: dict[str, tuple[int, SimOrder]] = {}

    def listen(self, listener: OrderListener) -> None:
        self._listeners.append(listener)

    def note(
        self, number: int, order: SimOrder, trade: SimTrade | None = None, status: Status | None = None
    ) -> None:
        """Remember one change; the listener gets a copy of the order as it is at this moment."""
        self._changed[order.order_id] = number, order
        copy = replace(order, trades=list(order.trades), status=status or order.status)
        self._waiting.append((copy, trade))

    def flush(self) -> None:
        """Write what changed, then tell. A listener may come back with another request."""
        if self._journal is not None and self._changed:
            self._journal.write(self._changed.values())
        self._changed.clear()
        while self._waiting:
            order, trade = self._waiting.popleft()
            for listener in self._listeners:
                listener(order, trade)
