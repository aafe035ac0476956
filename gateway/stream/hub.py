"""Who wants what, and who gets a tick. Pure: no socket, no clock, no thread.

Consumers (a WebSocket client, the ZeroMQ bus, the pinned symbols, the account's positions) hold channels. A
channel is (exchange, symbol as shown, mode); the channels of one instrument together decide the one mode
wanted upstream: the highest. Every change of that comes back as a ``Want`` for the caller to carry out.

Rules: a consumer holds a channel once, however often it subscribes; an instrument nobody holds is not wanted;
a tick serves every channel of its instrument whose mode is not above the tick's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from brokers.errors import InvalidRequest
from brokers.model import INDEX_EXCHANGES, Instrument, InstrumentKey, Mode, Tick
from gateway.stream.encode import Coder
from gateway.stream.topics import Name, topic

NO_DATA_AFTER_S = 15.0


class State(StrEnum):
    """What is known about a subscription. ``live`` only after data."""

    PENDING = "pending"
    LIVE = "live"
    NO_DATA = "no_data"
    REFUSED = "refused"


class Consumer(Protocol):
    """Anything hashable that holds channels.

    Attributes:
        listens: Wants each frame handed over; otherwise it only keeps the channel alive.
    """

    @property
    def listens(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Want:
    """The mode wanted upstream for one instrument from now on; None drops it."""

    instrument: Instrument
    mode: Mode | None


C = TypeVar("C", bound=Consumer)


class Channel(Generic[C]):
    """One (exchange, symbol, mode) that somebody holds.

    Attributes:
        seq: Sequence number of the last tick, 0 before the first.
        listeners: Those of the holders who want frames.
        bus_version, on_bus: The bus's note whether a ZeroMQ subscriber matches the topic.
    """

    __slots__ = (
        "broker",
        "bus_version",
        "coder",
        "entry",
        "holders",
        "listeners",
        "live",
        "name",
        "on_bus",
        "seq",
        "since_s",
        "topic",
    )

    def __init__(self, name: Name, entry: Entry[C], broker: str, now_s: float) -> None:
        self.name = name
        self.broker = broker
        self.entry = entry
        self.topic = topic(name).encode()
        self.coder = Coder(name, entry.instrument, broker)
        self.seq = 0
        self.live = False
        self.since_s = now_s
        self.holders: dict[C, None] = {}
        self.listeners: list[C] = []
        self.bus_version = -1
        self.on_bus = False

    def state(self, now_s: float, no_data_after_s: float = NO_DATA_AFTER_S) -> State:
        if self.live:
            return State.LIVE
        if self.entry.refused:
            return State.REFUSED
        return State.PENDING if now_s - self.since_s < no_data_after_s else State.NO_DATA


class Entry(Generic[C]):
    """One instrument and its channels.

    Attributes:
        due: By mode of a tick, the channels it serves.
        last: By mode, the newest tick; what a later subscriber is shown first.
    """

    __slots__ = ("channels", "due", "instrument", "last", "most", "refused", "wanted")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        # an index has no book: its richest tick is a quote, and depth subscribers get it with empty sides
        self.most = Mode.QUOTE if instrument.key.exchange in INDEX_EXCHANGES else Mode.DEPTH
        self.channels: dict[Name, Channel[C]] = {}
        self.wanted: Mode | None = None
        self.refused = ""
        self.due: list[tuple[Channel[C], ...]] = [(), (), (), ()]
        self.last: list[Tick | None] = [None, None, None, None]

    def arrange(self) -> Mode | None:
        """Recompute ``due``; returns the highest mode held."""
        ordered = sorted(self.channels.values(), key=lambda c: c.name.mode)
        self.due = [tuple(c for c in ordered if min(c.name.mode, self.most) <= mode) for mode in range(4)]
        return ordered[-1].name.mode if ordered else None

    def newest(self, mode: Mode) -> Tick | None:
        """The newest tick rich enough for a channel of ``mode``."""
        fit = [tick for tick in self.last[min(mode, self.most) :] if tick is not None]
        return max(fit, key=lambda t: t.received_ns, default=None)


@dataclass(frozen=True, slots=True)
class Joined(Generic[C]):
    """``new`` is False when this consumer held the channel already."""

    channel: Channel[C]
    wants: list[Want]
    new: bool


class Hub(Generic[C]):
    """Reference-counted subscriptions of one instance.

    Args:
        limit: Most instruments wanted upstream at a time.
        broker: Named in the message of an instrument over the limit, and in every frame.
    """

    def __init__(self, limit: int, broker: str) -> None:
        self._limit = limit
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
        channel = self._by_name.get(name)
        if channel is None:
            channel = self._open(name, instrument, now_s)
        new = consumer not in channel.holders
        if new:
            channel.holders[consumer] = None
            if consumer.listens:
                channel.listeners.append(consumer)
            self._held.setdefault(consumer, {})[name] = channel
        return Joined(channel, self._settle(channel.entry), new)

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
            entry.refused = ""
            entry.last = [None, None, None, None]
            for channel in entry.channels.values():
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
        return [Want(old, None), Want(instrument, entry.wanted)]

    def held(self, consumer: C) -> list[Channel[C]]:
        return list(self._held.get(consumer, {}).values())

    def channels(self) -> Iterator[Channel[C]]:
        return iter(list(self._by_name.values()))

    def wants(self) -> list[Want]:
        """Everything wanted now: what a new upstream has to be told."""
        return [Want(e.instrument, e.wanted) for e in self._entries.values()]

    def __len__(self) -> int:
        """Instruments wanted upstream."""
        return len(self._entries)

    def _open(self, name: Name, instrument: Instrument, now_s: float) -> Channel[C]:
        entry = self._entries.get(instrument.key)
        if entry is None:
            if len(self._entries) >= self._limit:
                raise InvalidRequest(
                    f"Symbol count exceeds maximum ({self._limit}) for {self._broker}", code="SYMBOL_LIMIT"
                )
            entry = Entry(instrument)
        channel: Channel[C] = Channel(name, entry, self._broker, now_s)
        # only now: a name without a topic must leave no trace
        self._entries[instrument.key] = entry
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
        wanted = entry.arrange()
        if wanted is None:
            self._entries.pop(entry.instrument.key, None)
        if wanted is entry.wanted:
            return []
        entry.wanted = wanted
        return [Want(entry.instrument, wanted)]
