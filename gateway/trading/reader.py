"""The desk's reads: through the data lane, and shared by everybody who asks at the same moment."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from brokers.clock import IST, Clock
from brokers.contract import Margin, MarginLeg
from brokers.errors import InvalidRequest, LoginRequired, RateLimited
from brokers.model import Funds, Holding, Order, Position, Trade
from gateway.trading.limiter import Lane
from gateway.trading.parts import DeskParts
from gateway.trading.reconcile import lacks_average, with_averages
from gateway.trading.tasks import THREADS, Tasks, fulfil

READ_DEADLINE_S = 5.0
T = TypeVar("T")


class Shared(Generic[T]):
    """Callers who wait at the same moment share one call, which begins after the last of them asked.

    So a book read never shows a caller less than what was true when it asked, and a hundred strategies
    polling an order cost the broker what one does.
    """

    def __init__(self, call: Callable[[], T], tasks: Tasks = THREADS) -> None:
        self._call = call
        self._tasks = tasks
        self._lock = threading.Lock()
        self._one = tasks.lock()
        self._next: Future[T] | None = None

    def get(self) -> T:
        with self._lock:
            future = self._next
            leader = future is None
            if future is None:
                future = self._next = Future()
        if leader:
            with self._one:  # the call before this one ends first; others may still join
                with self._lock:
                    self._next = None
                fulfil(future, self._call)
        return self._tasks.result(future)


class Reader:
    """Broker reads of one account. Raises the broker's errors; an empty list means the broker said so."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        rest, tasks = parts.rest, parts.tasks
        self._orders: Shared[list[Order]] = Shared(lambda: self._limited(rest.orders), tasks)
        self._trades: Shared[list[Trade]] = Shared(lambda: self._limited(rest.trades), tasks)
        self._positions: Shared[list[Position]] = Shared(self._read_positions, tasks)
        self._held: tuple[float, list[Position]] | None = None
        self._holdings: Shared[list[Holding]] = Shared(lambda: self._limited(rest.holdings), tasks)
        self._funds: Shared[Funds] = Shared(lambda: self._limited(rest.funds), tasks)

    def orders(self) -> list[Order]:
        """The broker's book, with average prices from the trades where the book has none yet."""
        book = self._orders.get()
        return with_averages(book, self.trades()) if any(map(lacks_average, book)) else book

    def trades(self) -> list[Trade]:
        return self._trades.get()

    def positions(self) -> list[Position]:
        return self._positions.get()

    def last_positions(self) -> tuple[float, list[Position]] | None:
        """How many seconds ago the positions were read last, and what they were; asks nobody."""
        held = self._held
        return None if held is None else (self._parts.clock.monotonic() - held[0], held[1])

    def _read_positions(self) -> list[Position]:
        began = self._parts.clock.monotonic()
        found = self._limited(self._parts.rest.positions)
        self._held = (began, found)
        return found

    def holdings(self) -> list[Holding]:
        return self._holdings.get()

    def funds(self) -> Funds:
        return self._funds.get()

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """Summed over as many calls as the broker's ``margin_batch`` needs, each with its own slot."""
        size = self._parts.capabilities.margin_batch
        found: Margin | None = None
        for start in range(0, len(legs), size):
            part = legs[start : start + size]
            one = self._limited(functools.partial(self._parts.rest.margin, part))
            found = one if found is None else found + one
        if found is None:
            raise InvalidRequest("margin needs at least one order")
        return found

    def find_tag(self, tag: str) -> list[Order]:
        return self._limited(lambda: self._parts.rest.find_tag(tag))

    def _limited(self, call: Callable[[], T]) -> T:
        self._parts.limiter.acquire(Lane.DATA, READ_DEADLINE_S).sent()
        try:
            return call()
        except RateLimited as exc:
            self._parts.limiter.close(Lane.DATA, exc.retry_after_s)
            raise
        except LoginRequired:
            self._parts.on_login_required()
            raise


def day_start_ns(clock: Clock) -> int:
    """IST midnight before now, in wall nanoseconds: the broker's books begin anew with the day."""
    midnight = clock.now().astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()) * 1_000_000_000
