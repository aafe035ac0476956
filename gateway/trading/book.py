"""What the broker showed last, for as long as it may be shown again instead of asking anew.

A reading is shown again only while nothing we know of has happened since it began (no write of ours, no
pushed update, no order found elsewhere: the journal's version stands still), and for half a second at most,
because something we do not know of may have happened. So nobody is shown less than what he has done or has
been told, and strategies that poll a book cost the broker two calls a second. Whoever decides on a book
(reconciler, exits, smart orders) asks the broker instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from brokers.clock import Clock
from brokers.model import InstrumentKey, Order, Position
from gateway.trading.parts import DeskParts
from gateway.trading.reader import day_start_ns

T = TypeVar("T")
BOOK_AGE_S = 0.5
POSITIONS_AGE_S = 4.0
"""Only for what is streamed: a position that just appeared is streamed already, by its order."""


@dataclass(frozen=True, eq=False)
class Book:
    """One reading of the order book.

    Attributes:
        orders: As ``OrderDesk.orders``.
        strategies: By order id as shown; foreign orders are not in it.
        as_of: When the reading began.
    """

    orders: tuple[Order, ...]
    strategies: Mapping[str, str]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Seen(Generic[T]):
    value: T
    version: int
    began: float


class Lately(Generic[T]):
    """The last reading while it is good, else a new one. Thread-safe; raises what ``read`` raises.

    Args:
        version: Changes with everything known to have happened.
    """

    def __init__(
        self, read: Callable[[], T], version: Callable[[], int], clock: Clock, most_age_s: float
    ) -> None:
        self._read = read
        self._version = version
        self._clock = clock
        self._most_age_s = most_age_s
        self._seen: _Seen[T] | None = None

    def get(self) -> T:
        # both before the reading: what happens during it may be missing from it
        version, began = self._version(), self._clock.monotonic()
        seen = self._seen
        if seen is not None and seen.version == version and began - seen.began <= self._most_age_s:
            return seen.value
        value = self._read()
        self._seen = _Seen(value, version, began)
        return value

    def forget(self) -> None:
        self._seen = None


class Desk(Protocol):
    """What is read here."""

    def orders(self) -> list[Order]: ...

    def positions(self) -> list[Position]: ...


class Books:
    """The books of one desk as they were a moment ago."""

    def __init__(self, desk: Desk, parts: DeskParts) -> None:
        self._desk = desk
        self._clock = parts.clock
        self._journal = parts.journal
        journal = parts.journal
        self._orders = Lately(self._read, lambda: journal.version, parts.clock, BOOK_AGE_S)
        self._held = Lately(self._read_held, lambda: journal.fills, parts.clock, POSITIONS_AGE_S)

    def orders(self) -> Book:
        """Raises as ``OrderDesk.orders``."""
        return self._orders.get()

    def in_play(self) -> tuple[frozenset[InstrumentKey], frozenset[InstrumentKey]]:
        """Instruments of open positions and of working orders, for whoever streams them.

        The orders are those the journal knows, pushed updates included.
        """
        return self._held.get(), self._journal.working_keys()

    def forget(self) -> None:
        """The account was changed by something the journal does not hear of."""
        self._orders.forget()
        self._held.forget()

    def _read(self) -> Book:
        as_of = self._clock.now()
        orders = tuple(self._desk.orders())
        return Book(orders, self._journal.strategies(day_start_ns(self._clock)), as_of)

    def _read_held(self) -> frozenset[InstrumentKey]:
        return frozenset(p.key for p in self._desk.positions() if p.quantity)
