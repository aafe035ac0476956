"""Who wants what, and who gets a tick. Pure: no socket, no clock, no thread.

Consumers (a WebSocket client, the ZeroMQ bus, the pinned symbols, the account's positions) hold channels. A
channel is (exchange, symbol as shown, mode); the channels of one instrument together decide the one mode
wanted upstream: the highest. Every change of that comes back as a ``Want`` for the caller to carry out.

Rules: a consumer holds a channel once, however often it subscribes; an instrument nobody holds is not wanted;
a tick serves every channel of its instrument whose mode is not above the tick's own; a deep book serves the
channels that asked for one, and while it lives five-level ticks do not.

Over the limit a consumer of higher priority (positions, then working orders, then everybody in the order
asked) takes the slot of the instrument asked for last among those of lowest priority. That one is *parked*:
its channels stay, refused with the reason, and get a slot back when one is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic

from brokers.errors import InvalidRequest
from brokers.model import Instrument, InstrumentKey, Mode, Tick
from gateway.stream.channel import (
    ASKED,
    POSITIONS,
    WORKING_ORDERS,
    Around,
    Book,
    C,
    Channel,
    Consumer,
    Entry,
    State,
    priority_of,
)
from gateway.stream.encode import Coder
from gateway.stream.topics import DEPTH_LEVELS, Name

SYMBOL_LIMIT = "SYMBOL_LIMIT"
"""Code of the refusal of one instrument too many."""
__all__ = [
    "ASKED",
    "POSITIONS",
    "SYMBOL_LIMIT",
    "WORKING_ORDERS",
    "Around",
    "Book",
    "Channel",
    "Consumer",
    "Entry",
    "Hub",
    "Joined",
    "State",
    "Want",
]


@dataclass(frozen=True, slots=True)
class Want:
    """The mode wanted upstream for one instrument from now on; None drops it.

    ``levels``: a deeper book than five levels is wanted too.
    """

    instrument: Instrument
    mode: Mode | None
    levels: int = 0


@dataclass(frozen=True, slots=True)
class Joined(Generic[C]):
    """A consumer and its channel.

    ``new`` is False when it held the channel already. ``parked``: channels that lost their slot to it;
    ``entry.refused`` tells their holders why.
    """

    channel: Channel[C]
    wants: list[Want]
    new: bool
    parked: tuple[Channel[C], ...] = ()


class Hub(Generic[C]):
    """Reference-counted subscriptions of one instance.

    Args:
        limit: Most instruments wanted upstream at a time.
        broker: Named in the message of an instrument over the limit, and in every frame.
        book_levels: Books deeper than five levels the broker's feed has: levels -> exchanges.
    """

    def __init__(
        self, limit: int, broker: str, book_levels: Mapping[int, frozenset[str]] | None = None
    ) -> None:
        self._limit = limit
        self._book_levels = dict(book_levels or {})
        self._slots = 0
        self._asked = 0
        self._broker = broker
        self._entries: dict[InstrumentKey, Entry[C]] = {}
        self._held: dict[C, dict[Name, Channel[C]]] = {}
        self._by_name: dict[Name, Channel[C]] = {}
        self.stray_ticks = 0

    def subscribe(self, consumer: C, name: Name, instrument: Instrument, now_s: float) -> Joined[C]:
        """Hold one channel.

        Args:
            name: As the consumer will see it; its symbol may carry a depth suffix.
            now_s: Monotonic seconds.

        Raises:
            InvalidRequest: The instrument would be one too many. Everything held stays held.
        """
        wants: list[Want] = []
        victim: Entry[C] | None = None
        channel = self._by_name.get(name)
        if channel is None:
            victim = self._victim(priority_of(consumer), instrument.key)
            channel = self._open(name, instrument, now_s)
            if victim is not None:
                wants.append(self._park(victim, priority_of(consumer)))
        new = consumer not in channel.holders
        if new:
            channel.holders[consumer] = None
            if consumer.listens:
                channel.listeners.append(consumer)
            self._held.setdefault(consumer, {})[name] = channel
        if channel.entry.parked and priority_of(consumer) > ASKED:
            # somebody of higher priority wants what was pushed out: it gets a slot as a new one would
            victim = self._victim(priority_of(consumer), None)
            if victim is not None or self._slots < self._limit:
                if victim is not None:
                    wants.append(self._park(victim, priority_of(consumer)))
                wants.append(self._unpark(channel.entry))
        wants += self._settle(channel.entry)
        parked = () if victim is None else tuple(victim.channels.values())
        return Joined(channel, wants, new, parked)

    def unsubscribe(self, consumer: C, name: Name) -> tuple[Channel[C] | None, list[Want]]:
        """Let go of one channel; None if this consumer did not hold it."""
        channel = self._held.get(consumer, {}).pop(name, None)
        if channel is None:
            return None, []
        if not self._held[consumer]:
            del self._held[consumer]
        self._release(channel, consumer)
        return channel, self._settle(channel.entry)

    def drop(self, consumer: C) -> list[Want]:
        """Let go of everything a consumer holds."""
        entries: dict[InstrumentKey, Entry[C]] = {}
        for channel in self._held.pop(consumer, {}).values():
            self._release(channel, consumer)
            entries[channel.entry.instrument.key] = channel.entry
        return [want for entry in entries.values() for want in self._settle(entry)]

    def take(self, tick: Tick) -> tuple[Channel[C], ...]:
        """The channels a tick serves. The caller numbers and encodes each (``seq``, ``coder``)."""
        entry = self._entries.get(tick.key)
        if entry is None:
            self.stray_ticks += 1
            return ()
        entry.last[tick.mode] = tick
        due = entry.due[tick.mode]
        for channel in due:
            channel.seq += 1
            channel.live = True
        return due

    def take_book(
        self, key: InstrumentKey, levels: int, book: Book | None, received_ns: int
    ) -> list[tuple[Channel[C], Tick]]:
        """A deep book (None: it is no longer kept up to date): the channels it serves, each with its tick."""
        entry = self._entries.get(key)
        if entry is None:
            self.stray_ticks += 1
            return []
        was, entry.book = entry.book, None if book is None else (book, received_ns)
        if (was is None) != (entry.book is None):
            entry.arrange()
        if entry.book is None:
            return []
        served = []
        for channel in entry.channels.values():
            if channel.levels > DEPTH_LEVELS and (tick := entry.deep_tick(channel.levels)) is not None:
                channel.seq += 1
                channel.live = True
                served.append((channel, tick))
        return served

    def too_deep(self, key: InstrumentKey, reason: str) -> None:
        """The feed will not carry an instrument's deep book; five levels serve instead. Empty: it will."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.too_deep = reason
            if reason:
                entry.levels, entry.book = 0, None
                entry.arrange()

    def refuse(self, key: InstrumentKey, reason: str) -> list[Channel[C]]:
        """The broker will not serve an instrument; returns the channels that wait for it in vain."""
        entry = self._entries.get(key)
        if entry is None:
            return []
        entry.refused = reason
        return list(entry.channels.values())

    def lost(self, now_s: float) -> None:
        """The upstream connection is gone: nothing is live until the next tick, old values are not shown."""
        for entry in self._entries.values():
            # a refusal stands, unless data has shown since that it is over
            if any(channel.live for channel in entry.channels.values()):
                entry.refused = ""
            entry.last = [None, None, None, None]
            for channel in entry.channels.values():
                channel.was_live = channel.was_live or channel.live
                channel.live = False
                channel.since_s = now_s

    def replace(self, instrument: Instrument) -> list[Want]:
        """The instrument table has new facts (token, tick size) for an instrument that is wanted."""
        entry = self._entries.get(instrument.key)
        if entry is None or entry.instrument == instrument:
            return []
        old, entry.instrument = entry.instrument, instrument
        for channel in entry.channels.values():
            channel.coder = Coder(channel.name, instrument, self._broker)
        if entry.parked:
            return []
        return [Want(old, None), Want(instrument, entry.wanted, entry.levels)]

    def held(self, consumer: C) -> list[Channel[C]]:
        return list(self._held.get(consumer, {}).values())

    def channels(self) -> Iterator[Channel[C]]:
        return iter(list(self._by_name.values()))

    def entries(self) -> list[Entry[C]]:
        """Every instrument somebody holds, parked ones too."""
        return list(self._entries.values())

    def wants(self) -> list[Want]:
        """Everything wanted now: what a new upstream has to be told."""
        return [Want(e.instrument, e.wanted, e.levels) for e in self._entries.values() if not e.parked]

    def __len__(self) -> int:
        """Instruments wanted upstream."""
        return self._slots

    def _open(self, name: Name, instrument: Instrument, now_s: float) -> Channel[C]:
        entry = self._entries.get(instrument.key)
        if entry is None:
            supply = tuple(sorted(n for n, on in self._book_levels.items() if instrument.key.exchange in on))
            entry = Entry(instrument, self._asked, supply)
        channel: Channel[C] = Channel(name, entry, self._broker, now_s)
        # only now: a name without a topic must leave no trace
        if instrument.key not in self._entries:
            self._entries[instrument.key] = entry
            self._asked += 1
            self._slots += 1
        entry.channels[name] = channel
        self._by_name[name] = channel
        return channel

    def _release(self, channel: Channel[C], consumer: C) -> None:
        del channel.holders[consumer]
        if consumer.listens:
            channel.listeners.remove(consumer)
        if not channel.holders:
            del self._by_name[channel.name]
            del channel.entry.channels[channel.name]

    def _settle(self, entry: Entry[C]) -> list[Want]:
        wanted, levels = entry.arrange(), entry.deepest()
        if wanted is None:
            if self._entries.pop(entry.instrument.key, None) is not None and not entry.parked:
                self._slots -= 1
            if entry.parked:
                return []
        if entry.parked or (wanted is entry.wanted and levels == entry.levels):
            return []
        if levels != entry.levels:
            entry.book = None
            entry.arrange()
        entry.wanted, entry.levels = wanted, levels
        wants = [Want(entry.instrument, wanted, levels)]
        if wanted is None and (waiting := self._next_parked()) is not None:
            wants.append(self._unpark(waiting))
        return wants

    # slots under the limit -----------------------------------------------------------------------------

    @property
    def over_limit(self) -> str:
        return f"Symbol count exceeds maximum ({self._limit}) for {self._broker}"

    def _victim(self, priority: int, key: InstrumentKey | None) -> Entry[C] | None:
        """Who gives way to one more instrument: None when there is room, or it is there already.

        Raises:
            InvalidRequest: Nobody of lower priority has a slot.
        """
        if self._slots < self._limit or key in self._entries:
            return None
        lowest = min(
            (e for e in self._entries.values() if not e.parked),
            key=lambda e: (e.priority(), -e.order),
            default=None,
        )
        if lowest is not None and lowest.priority() < priority:
            return lowest
        if key is None:
            return None
        raise InvalidRequest(self.over_limit, code=SYMBOL_LIMIT)

    def _park(self, entry: Entry[C], by: int) -> Want:
        whose = "an open position" if by == POSITIONS else "a working order"
        entry.parked, entry.wanted, entry.levels, entry.book = True, None, 0, None
        entry.refused = f"{self.over_limit}; {whose} needed the slot"
        entry.last = [None, None, None, None]
        entry.arrange()
        for channel in entry.channels.values():
            channel.live = channel.was_live = False
        self._slots -= 1
        return Want(entry.instrument, None)

    def _next_parked(self) -> Entry[C] | None:
        if self._slots >= self._limit:
            return None
        parked = (e for e in self._entries.values() if e.parked)
        return min(parked, key=lambda e: (-e.priority(), e.order), default=None)

    def _unpark(self, entry: Entry[C]) -> Want:
        entry.parked, entry.refused = False, ""
        self._slots += 1
        entry.wanted, entry.levels = entry.arrange(), entry.deepest()
        return Want(entry.instrument, entry.wanted, entry.levels)
