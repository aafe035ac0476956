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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from brokers.errors import InvalidRequest
from brokers.model import INDEX_EXCHANGES, Depth, Instrument, InstrumentKey, Mode, Tick
from gateway.stream.encode import Coder
from gateway.stream.topics import DEPTH_LEVELS, Name, split_levels, topic

NO_DATA_AFTER_S = 15.0
POSITIONS, WORKING_ORDERS, ASKED = 2, 1, 0
"""Priorities of consumers: whose instruments give way last."""
Book = Callable[[], Depth]


class State(StrEnum):
    """What is known about a subscription. ``live`` only after data."""

    PENDING = "pending"
    LIVE = "live"
    STALE = "stale"
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
    """The mode wanted upstream for one instrument from now on; None drops it. ``levels``: a deeper book than
    five levels is wanted too."""

    instrument: Instrument
    mode: Mode | None
    levels: int = 0


@dataclass(frozen=True, slots=True)
class Around:
    """What a channel's state depends on besides its ticks.

    Attributes:
        feed_reason: Why the broker feed is not up, empty when it is.
        is_open: Whether an exchange is in session.
        stale_after_s: Age of the newest tick, in session, from which a channel is stale.
    """

    now_s: float
    now_ns: int
    feed_reason: str
    is_open: Callable[[str], bool]
    stale_after_s: float


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
        "levels",
        "listeners",
        "live",
        "name",
        "on_bus",
        "seq",
        "since_s",
        "topic",
        "was_live",
    )

    def __init__(self, name: Name, entry: Entry[C], broker: str, now_s: float) -> None:
        self.name = name
        asked = split_levels(name.symbol)[1] if name.mode is Mode.DEPTH else None
        self.levels = max(DEPTH_LEVELS, asked or 0)
        self.broker = broker
        self.entry = entry
        self.topic = topic(name).encode()
        self.coder = Coder(name, entry.instrument, broker)
        self.seq = 0
        self.live = False
        self.was_live = False
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
        if self.was_live:
            return State.STALE
        return State.PENDING if now_s - self.since_s < no_data_after_s else State.NO_DATA

    def status(self, around: Around) -> tuple[State, str]:
        """State and, unless it is live or waits, the reason."""
        state = self.state(around.now_s)
        if state is State.REFUSED:
            return state, self.entry.refused
        if state is State.PENDING:
            return state, ""
        if around.feed_reason:
            return (State.STALE if state is State.LIVE else state), f"broker feed: {around.feed_reason}"
        is_open = around.is_open(self.entry.instrument.key.exchange)
        if state is not State.LIVE:
            return state, "no trade yet" if is_open else "market closed"
        newest = self.entry.newest(self.name.mode)
        age_s = 0.0 if newest is None else (around.now_ns - newest.received_ns) / 1e9
        if is_open and age_s >= around.stale_after_s:
            return State.STALE, f"no tick for {age_s:.0f} s"
        return state, ""

    def depth_served(self) -> int:
        """Levels of the books this channel gets, as an acknowledgement reports them."""
        return self.levels if self.levels > DEPTH_LEVELS and self.entry.levels else DEPTH_LEVELS

    def newest(self) -> Tick | None:
        """What a new holder is shown first."""
        entry = self.entry
        if self.levels > DEPTH_LEVELS and entry.book is not None:
            return entry.deep_tick(self.levels)
        return entry.newest(self.name.mode)


class Entry(Generic[C]):
    """One instrument and its channels.

    Attributes:
        due: By mode of a tick, the channels it serves.
        last: By mode, the newest tick; what a later subscriber is shown first.
        levels: Of the deep book asked for upstream, 0 for none; ``too_deep`` says why it is not carried.
        book: The newest deep book and when it came.
        order: Grows with every instrument asked for.
        parked: It has no slot upstream; ``refused`` says why.
    """

    __slots__ = (
        "book",
        "channels",
        "due",
        "instrument",
        "last",
        "levels",
        "most",
        "order",
        "parked",
        "refused",
        "supply",
        "too_deep",
        "wanted",
    )

    def __init__(self, instrument: Instrument, order: int = 0, supply: tuple[int, ...] = ()) -> None:
        self.order = order
        self.supply = supply
        self.levels = 0
        self.too_deep = ""
        self.book: tuple[Book, int] | None = None
        self.parked = False
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
        # while a deep book lives it alone serves those who asked for one
        plain = [c for c in ordered if self.book is None or c.levels <= DEPTH_LEVELS]
        self.due = [tuple(c for c in plain if min(c.name.mode, self.most) <= mode) for mode in range(4)]
        return ordered[-1].name.mode if ordered else None

    def deepest(self) -> int:
        """The book to ask for: the smallest the broker has that holds every level asked for, 0 for none."""
        asked = max((c.levels for c in self.channels.values()), default=0)
        if asked <= DEPTH_LEVELS or not self.supply or self.too_deep:
            return 0
        return next((n for n in self.supply if n >= asked), self.supply[-1])

    def priority(self) -> int:
        """The highest among the holders."""
        return max((_priority(h) for c in self.channels.values() for h in c.holders), default=ASKED)

    def deep_tick(self, levels: int) -> Tick | None:
        """The newest tick with the deep book cut to ``levels``; None before the first price."""
        newest = self.newest(Mode.LTP)
        if newest is None or self.book is None:
            return None
        book, received_ns = self.book
        values = {name: getattr(newest, name) for name in Tick.__match_args__}
        values |= {"mode": Mode.DEPTH, "received_ns": received_ns, "depth": partial(_cut, book, levels)}
        return Tick(**values)

    def newest(self, mode: Mode) -> Tick | None:
        """The newest tick rich enough for a channel of ``mode``."""
        fit = [tick for tick in self.last[min(mode, self.most) :] if tick is not None]
        return max(fit, key=lambda t: t.received_ns, default=None)


def _cut(book: Book, levels: int) -> Depth:
    whole = book()
    return Depth(whole.bids[:levels], whole.asks[:levels])


def _priority(consumer: Any) -> int:
    return int(getattr(consumer, "priority", ASKED))


@dataclass(frozen=True, slots=True)
class Joined(Generic[C]):
    """``new`` is False when this consumer held the channel already. ``parked``: channels that lost their
    slot to it; ``entry.refused`` tells their holders why."""

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
            victim = self._victim(_priority(consumer), instrument.key)
            channel = self._open(name, instrument, now_s)
            if victim is not None:
                wants.append(self._park(victim, _priority(consumer)))
        new = consumer not in channel.holders
        if new:
            channel.holders[consumer] = None
            if consumer.listens:
                channel.listeners.append(consumer)
            self._held.setdefault(consumer, {})[name] = channel
        if channel.entry.parked and _priority(consumer) > ASKED:
            # somebody of higher priority wants what was pushed out: it gets a slot as a new one would
            victim = self._victim(_priority(consumer), None)
            if victim is not None or self._slots < self._limit:
                if victim is not None:
                    wants.append(self._park(victim, _priority(consumer)))
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
            if not entry.parked:
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
        raise InvalidRequest(self.over_limit, code="SYMBOL_LIMIT")

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
