"""Order updates on their way to the api process: in order, kept until they are taken."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from brokers.errors import BrokerDown
from brokers.model import OrderUpdate

log = logging.getLogger(__name__)

PATH = "/internal/order-update"
RECONCILE_PATH = "/internal/reconcile"
BATCH = 100
# the api process cannot read it: sending it again changes nothing
UNREADABLE = frozenset({400, 413, 422})


class Link(Protocol):
    """The way to the api process."""

    async def post(self, path: str, body: object, *, timeout_s: float = 10.0) -> tuple[int, Any]: ...


@dataclass(slots=True)
class RelayCounts:
    """What became of pushed updates that did not simply arrive; all of it is logged.

    ``refused``: the api process could not read them; ``overflowed``: the queue was full. ``reconciles``: how
    often the api process was asked to read the broker's books instead.
    """

    queued: int = 0
    delivered: int = 0
    retries: int = 0
    refused: int = 0
    overflowed: int = 0
    reconciles: int = 0


class OrderRelay:
    """A bounded queue with one sender.

    The queue lives in memory, so a push can be missed: when it is full (the oldest goes, counted), when the
    api process cannot read one, when this process dies with some in it, and while the broker's order socket
    is away. None of these passes silently: each asks the api process to reconcile with the broker's books at
    once (``missed``), until it says yes. A new process starts by asking.

    Args:
        delivered: Told after each batch the api process took.
    """

    def __init__(
        self,
        link: Link,
        *,
        most: int = 10_000,
        first_wait_s: float = 0.1,
        most_wait_s: float = 2.0,
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._delivered = delivered
        self._most = most
        self._first_wait_s = first_wait_s
        self._most_wait_s = most_wait_s
        self._queue: deque[OrderUpdate] = deque()
        self._some = asyncio.Event()
        self._one_by_one = False
        self._missed = ""
        self.counts = RelayCounts()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, update: OrderUpdate) -> None:
        """Never blocks."""
        if len(self._queue) >= self._most:
            lost = self._queue.popleft()
            self.counts.overflowed += 1
            log.error("order update queue is full: dropped the oldest, of order %s", lost.order.order_id)
            self._missed = "the queue of order updates was full"
        self._queue.append(update)
        self.counts.queued += 1
        self._some.set()

    def missed(self, reason: str) -> None:
        """Pushes may have been missed: have the books read. Never blocks."""
        self._missed = reason
        self._some.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        wait_s = self._first_wait_s
        while True:
            if not self._queue and not self._missed:
                self._some.clear()
                await self._some.wait()
            # what was pushed first: it is quicker than a reading of the books
            if await (self._deliver() if self._queue else self._ask_for_books()):
                wait_s = self._first_wait_s
                continue
            self.counts.retries += 1
            await asyncio.sleep(wait_s)
            wait_s = min(self._most_wait_s, wait_s * 2)

    async def _deliver(self) -> bool:
        """One batch; False when it has to be tried again."""
        size = 1 if self._one_by_one else BATCH
        batch = [self._queue[i] for i in range(min(size, len(self._queue)))]
        try:
            status, _ = await self._link.post(PATH, batch)
        except BrokerDown as exc:
            if self.counts.retries % 50 == 0:
                log.warning("%d order updates wait: %s", len(self._queue), exc)
            return False
        if status in UNREADABLE:
            if len(batch) > 1:
                # find the one it cannot read, so that the others still pass
                self._one_by_one = True
                return True
            self.counts.refused += 1
            log.error("order update of %s was refused (HTTP %d)", batch[0].order.order_id, status)
            self._missed = "an order update could not be read"
        elif status not in (200, 204):
            log.warning("order updates answered HTTP %d; %d wait", status, len(self._queue))
            return False
        else:
            self.counts.delivered += len(batch)
            self._delivered()
        # the queue may have overflowed meanwhile: take away only what was sent
        for update in batch:
            if self._queue and self._queue[0] is update:
                self._queue.popleft()
        if not self._queue:
            self._one_by_one = False
        return True

    async def _ask_for_books(self) -> bool:
        reason = self._missed
        try:
            status, _ = await self._link.post(RECONCILE_PATH, {"reason": reason})
        except BrokerDown:
            return False
        if status not in (200, 204):
            log.warning("the request to reconcile answered HTTP %d", status)
            return False
        log.info("reconciliation asked for: %s", reason)
        self.counts.reconciles += 1
        if self._missed == reason:
            self._missed = ""
        return True
