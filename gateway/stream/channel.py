"""One instrument that is wanted, its channels, and what is known about each. Pure; used by ``hub``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from brokers.model import INDEX_EXCHANGES, Depth, Instrument, Mode, Tick
from gateway.stream.encode import Coder
from gateway.stream.topics import DEPTH_LEVELS, Name, split_levels, topic

NO_DATA_AFTER_S = 15.0
STALE_AFTER_S = 60.0
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
    stale_after_s: float = STALE_AFTER_S


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

    def status(self, around: Around) -> tuple[State, float]:
        """State of the poorest channel, and since when it is wanted, in monotonic seconds.

        It is live as soon as the instrument ticks at all.
        """
        poorest = min(self.channels.values(), key=lambda c: c.name.mode)
        return poorest.status(around)[0], poorest.since_s

    def priority(self) -> int:
        """The highest among the holders."""
        return max((priority_of(h) for c in self.channels.values() for h in c.holders), default=ASKED)

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


def priority_of(consumer: Any) -> int:
    return int(getattr(consumer, "priority", ASKED))
