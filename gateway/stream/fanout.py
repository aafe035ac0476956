"""Ticks out, subscriptions in: the hub joined with whoever listens. Runs on the feed's event loop only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from brokers.errors import AlgoError, InvalidRequest
from brokers.model import InstrumentKey, Tick
from gateway.stream import lookup
from gateway.stream.hub import ASKED, SYMBOL_LIMIT, Book, Channel, Hub, Want
from gateway.stream.protocol import Item
from gateway.stream.recorder import Recorder
from gateway.stream.topics import Name

log = logging.getLogger(__name__)


class Holder(Protocol):
    """A consumer of the hub. ``push`` is called only if it listens."""

    @property
    def listens(self) -> bool: ...

    def push(self, channel: Channel[Holder], frame: bytes) -> None: ...

    def refused(self, channel: Channel[Holder], reason: str) -> None: ...


class Keeper:
    """Keeps channels alive without listening: the pinned symbols, the account's positions, the ZeroMQ bus.

    ``priority``: as ``hub.POSITIONS``; over the limit the higher one keeps its slots.
    """

    listens = False

    def __init__(self, name: str, priority: int = ASKED) -> None:
        self.name = name
        self.priority = priority

    def push(self, channel: Channel[Holder], frame: bytes) -> None:
        """Never called: a keeper does not listen."""

    def refused(self, channel: Channel[Holder], reason: str) -> None:
        log.warning("%s: %s:%s refused: %s", self.name, channel.name.exchange, channel.name.symbol, reason)


class Bus(Protocol):
    """What the fan-out needs of the ZeroMQ bus."""

    def carries(self, channel: Channel[Holder]) -> bool: ...

    def send(self, topic: bytes, payload: bytes) -> None: ...


@dataclass(slots=True)
class Counts:
    """Since the start of the process."""

    ticks: int = 0
    encoded: int = 0
    frames: int = 0
    bad_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item: the channel held (or let go of), or why not.

    ``full``: only for want of a slot, so that it may be tried again.
    """

    item: Item
    channel: Channel[Holder] | None
    error: str = ""
    new: bool = False
    full: bool = False


class Fanout:
    """One instance's fan-out.

    Args:
        want: Carries a hub's wish to the broker feed.
        table: The instrument table, None while there is none yet.
        monotonic: Seconds, for the age of a pending subscription.
    """

    def __init__(
        self,
        hub: Hub[Holder],
        *,
        want: Callable[[Want], None],
        table: Callable[[], lookup.Table | None],
        monotonic: Callable[[], float],
    ) -> None:
        self.hub = hub
        self.counts = Counts()
        self._want = want
        self._table = table
        self._monotonic = monotonic
        self._bus: Bus | None = None
        self.recorder: Recorder | None = None
        self.last_tick_s: float | None = None

    def attach(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, tick: Tick) -> None:
        """One tick to everybody who should get it, encoded once per mode."""
        self.counts.ticks += 1
        self.last_tick_s = self._monotonic()
        for channel in self.hub.take(tick):
            self._send(channel, tick)

    def publish_book(self, key: InstrumentKey, levels: int, book: Book | None, received_ns: int) -> None:
        """A book deeper than five levels to those who asked for one; None when it stopped moving."""
        for channel, tick in self.hub.take_book(key, levels, book, received_ns):
            self._send(channel, tick)

    def _send(self, channel: Channel[Holder], tick: Tick) -> None:
        listeners, bus = channel.listeners, self._bus
        on_bus = bus is not None and bus.carries(channel)
        if not listeners and not on_bus:
            return
        counts = self.counts
        try:
            payload = channel.coder.payload(tick, channel.seq)
        except (ValueError, OverflowError):
            # a price that is no number: dropping the tick is right, sending it is not
            counts.bad_ticks += 1
            return
        counts.encoded += 1
        if on_bus and bus is not None:
            bus.send(channel.topic, payload)
        if listeners:
            frame = channel.coder.frame(payload)
            counts.frames += len(listeners)
            for listener in listeners:
                listener.push(channel, frame)

    def show_newest(self, holder: Holder, channel: Channel[Holder]) -> None:
        """What is already known, to a consumer that has just joined (under the channel's present number)."""
        tick = channel.newest()
        if tick is None:
            return
        # known from a richer channel of the same instrument: the first value of this one
        if not channel.seq:
            channel.seq = 1
            self._mark(channel)
        channel.live = True
        try:
            holder.push(channel, channel.coder.frame(channel.coder.payload(tick, channel.seq)))
        except (ValueError, OverflowError):
            self.counts.bad_ticks += 1

    async def resolve(self, items: Sequence[Item]) -> list[lookup.Found | AlgoError]:
        """Look symbols up without holding the loop."""
        return await asyncio.to_thread(lookup.resolve_all, self._table(), items)

    async def subscribe(
        self, holder: Holder, items: Sequence[Item], *, still: Callable[[], bool] = lambda: True
    ) -> list[Outcome]:
        """Hold a channel for each item; what cannot be held says why and does not disturb the rest.

        Args:
            still: Asked after the look-up; False when the consumer has gone meanwhile.
        """
        found = await self.resolve(items)
        if not still():
            return []
        return [self._join(holder, item, hit) for item, hit in zip(items, found, strict=True)]

    async def unsubscribe(self, holder: Holder, items: Sequence[Item]) -> list[Outcome]:
        found = await self.resolve(items)
        outcomes = []
        for item, hit in zip(items, found, strict=True):
            # a symbol that has left the table meanwhile is still held under the name it was shown with
            name = Name(item.exchange, item.symbol, item.mode) if isinstance(hit, AlgoError) else hit[0]
            channel, wants = self.hub.unsubscribe(holder, name)
            if channel is not None and not channel.holders:
                self._mark(channel, closed=True)
            self.carry_out(wants)
            error = "" if channel else f"Not subscribed to {name.exchange}:{name.symbol} in this mode"
            outcomes.append(Outcome(item, channel, error))
        return outcomes

    def drop(self, holder: Holder) -> list[Channel[Holder]]:
        """Let go of everything; returns what was held."""
        held = self.hub.held(holder)
        wants = self.hub.drop(holder)
        for channel in held:
            if not channel.holders:
                self._mark(channel, closed=True)
        self.carry_out(wants)
        return held

    def refuse(self, key: InstrumentKey, reason: str) -> None:
        """The broker refused an instrument: whoever waits for it is told."""
        for channel in self.hub.refuse(key, reason):
            for holder in list(channel.holders):
                holder.refused(channel, reason)

    def lost(self) -> None:
        """The upstream connection is gone."""
        self.hub.lost(self._monotonic())

    def carry_out(self, wants: Sequence[Want]) -> None:
        for want in wants:
            self._want(want)

    def _mark(self, channel: Channel[Holder], *, closed: bool = False) -> None:
        """Tell a recording about a channel."""
        if self.recorder is not None:
            self.recorder.channel(channel, closed=closed)

    def _join(self, holder: Holder, item: Item, hit: lookup.Found | AlgoError) -> Outcome:
        if isinstance(hit, AlgoError):
            return Outcome(item, None, str(hit))
        try:
            joined = self.hub.subscribe(holder, hit[0], hit[1], self._monotonic())
        except InvalidRequest as exc:
            return Outcome(item, None, str(exc), full=exc.code == SYMBOL_LIMIT)
        except ValueError as exc:
            return Outcome(item, None, str(exc))
        if len(joined.channel.holders) == 1:
            self._mark(joined.channel)
        self.carry_out(joined.wants)
        for channel in joined.parked:
            for other in list(channel.holders):
                other.refused(channel, channel.entry.refused)
        return Outcome(item, joined.channel, new=joined.new)
