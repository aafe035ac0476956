"""The ``orders`` channel: every journal event, numbered without gaps, replayed from any number and then live.

The journal is the one source. A follower has a place in it (the last number it was given); what lies behind
that place is read from the database, so neither a restart of a process, nor a slow client, nor the seam
between replay and live can lose or double an event. The tail reads new events once for all who are up to
date.

The journal is looked at every ``every_s`` seconds while somebody follows, and at once when the relay has
delivered a push.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from brokers.errors import InvalidRequest, StoreError
from gateway.store.orderlog import OrderEvent
from gateway.stream import protocol

log = logging.getLogger(__name__)

PAGE = 200
BEHIND_PAUSE_S = 0.05


class Source(Protocol):
    """The journal's events. Called in a worker thread; raises ``StoreError`` when it cannot be read."""

    def last(self) -> int: ...

    def after(self, seq: int, limit: int) -> Sequence[OrderEvent]: ...


class Taker(Protocol):
    """Where a follower's frames go."""

    @property
    def behind(self) -> bool: ...

    def push_order(self, frame: bytes) -> None: ...


class Follower:
    """One client's place in the journal: the number of the last event it was given."""

    __slots__ = ("live", "seq", "stopped", "taker")

    def __init__(self, taker: Taker, seq: int) -> None:
        self.taker = taker
        self.seq = seq
        self.live = False
        self.stopped = False

    def give(self, seq: int, frame: bytes) -> None:
        self.seq = seq
        self.taker.push_order(frame)


class OrderChannel:
    """Runs on the feed's event loop.

    Args:
        page: Events read at a time; below what a client's outbox keeps, so that a replay cannot overflow it.
    """

    def __init__(
        self, source: Source, *, broker: str, user: str, every_s: float = 0.05, page: int = PAGE
    ) -> None:
        self._source = source
        self._broker = broker
        self._user = user
        self._every_s = every_s
        self._page = page
        self._seq = 0
        self._followers: set[Follower] = set()
        self._some = asyncio.Event()
        self._nudged = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.problem = ""

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def seq(self) -> int:
        """Number of the newest event seen while somebody followed."""
        return self._seq

    def nudge(self) -> None:
        """Something was journaled: do not wait for the next turn."""
        self._nudged.set()

    async def follow(self, taker: Taker, from_seq: int | None) -> Follower:
        """A place for a new follower; nothing is sent to it before ``begin``.

        Args:
            from_seq: First number wanted; None starts behind the newest.

        Raises:
            InvalidRequest: ``SEQ_UNKNOWN``: the journal has never given that number.
            StoreError: The journal cannot be read now.
        """
        last = await asyncio.to_thread(self._source.last)
        if from_seq is not None and from_seq > last + 1:
            raise InvalidRequest(
                f"from_seq is {from_seq}, the newest order event is {last}: this journal is another one. "
                "Read the order book and subscribe again without from_seq",
                code="SEQ_UNKNOWN",
            )
        return Follower(taker, last if from_seq is None else from_seq - 1)

    def begin(self, follower: Follower) -> None:
        """Replay what it has not seen, then keep it up to date."""
        self._followers.add(follower)
        self._some.set()
        self._catch_up(follower)

    def stop(self, follower: Follower) -> None:
        follower.stopped = True
        self._followers.discard(follower)

    async def run(self) -> None:
        """Read new events for everybody who is up to date, until cancelled."""
        try:
            while True:
                if not self._followers:
                    self._some.clear()
                    await self._some.wait()
                self._nudged.clear()
                await self._tail()
                try:
                    async with asyncio.timeout(self._every_s):
                        await self._nudged.wait()
                except TimeoutError:
                    continue
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def _tail(self) -> None:
        live = [f.seq for f in self._followers if f.live]
        if not live:
            return
        for event in await self._read(min(live)):
            frame = protocol.as_frame(protocol.order_event(event, broker=self._broker, user=self._user))
            self._seq = max(self._seq, event.seq)
            for follower in [f for f in self._followers if f.live and f.seq == event.seq - 1]:
                if follower.taker.behind:
                    # it reads too slowly: the journal keeps what it would have to queue
                    self._catch_up(follower)
                    continue
                follower.give(event.seq, frame)
                self.sent += 1

    def _catch_up(self, follower: Follower) -> None:
        follower.live = False
        self._spawn(self._replay(follower))

    async def _replay(self, follower: Follower) -> None:
        while not follower.stopped:
            if follower.taker.behind:
                await asyncio.sleep(BEHIND_PAUSE_S)
                continue
            events = await self._read(follower.seq)
            if follower.stopped:
                return
            for event in events:
                reply = protocol.order_event(event, broker=self._broker, user=self._user)
                follower.give(event.seq, protocol.as_frame(reply))
                self.sent += 1
            if len(events) < self._page and not self.problem:
                # the tail reads from the follower's own place: there is no seam to fall into
                follower.live = True
                self._seq = max(self._seq, follower.seq)
                return
            await asyncio.sleep(BEHIND_PAUSE_S if self.problem else 0)

    async def _read(self, seq: int) -> Sequence[OrderEvent]:
        try:
            events = await asyncio.to_thread(self._source.after, seq, self._page)
        except StoreError as exc:
            if str(exc) != self.problem:
                log.warning("order events cannot be read: %s", exc)
            self.problem = str(exc)
            return []
        self.problem = ""
        return events

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
