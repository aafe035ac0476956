"""The sandbox's two threads: one lets ticks trade and does what is due, the other tells who must know."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from brokers.clock import Clock
from brokers.errors import StoreError
from brokers.model import InstrumentKey, Mode, Order, OrderUpdate
from gateway.sandbox.books import Books
from gateway.sandbox.days import PaperDays
from gateway.sandbox.prices import LivePrices
from gateway.stream.topics import parse
from gateway.survive import survive

log = logging.getLogger(__name__)

DUTIES_EVERY_S = 1.0
MOST_TICKS = 20_000


class Teller:
    """Order updates on their way out. Of several updates of one order only the newest is told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, Order] = {}
        self._wake = threading.Condition()
        self._stop = False
        self._tell: tuple[Callable[[OrderUpdate], None], ...] = ()
        self._thread = threading.Thread(target=self._run, name="sandbox-updates", daemon=True)

    def changed(self, orders: list[Order]) -> None:
        """Orders that changed; never blocks."""
        if not orders:
            return
        with self._wake:
            self._waiting.update((order.order_id, order) for order in orders)
            self._wake.notify()

    def start(self, *tell: Callable[[OrderUpdate], None]) -> None:
        self._tell = tell
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._stop:
                    self._wake.wait()
                orders, self._waiting = list(self._waiting.values()), {}
                if not orders:
                    return
            for order in orders:
                self._one(OrderUpdate(order, self._clock.time_ns()))

    def _one(self, update: OrderUpdate) -> None:
        for tell in self._tell:
            # the reconciler reads the book again in a few seconds
            with survive(log, f"an update of sandbox order {update.order.order_id} was not taken"):
                tell(update)


class Keeper:
    """Feeds ticks of symbols with working orders into the exchange, and calls its duties every second."""

    def __init__(self, exchange: PaperDays, prices: LivePrices, books: Books, clock: Clock) -> None:
        self._exchange = exchange
        self._prices = prices
        self._books = books
        self._clock = clock
        self._topics: dict[bytes, tuple[InstrumentKey, Mode]] = {}
        # full: the oldest ticks go; newer ones of the same symbols are behind them
        self._ticks: deque[tuple[InstrumentKey, Mode, bytes]] = deque(maxlen=MOST_TICKS)
        self._wake = threading.Event()
        self._stop = False
        self._trading = False
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    @property
    def idle(self) -> bool:
        """Whether every tick heard so far has been traded on."""
        return not self._ticks and not self._trading

    def heard(self, topic: bytes, payload: bytes) -> None:
        """A tick, on the thread of the cache: kept when somebody may trade on it."""
        known = self._topics.get(topic)
        if known is None:
            name = parse(topic.decode())
            if name is None:
                return
            known = self._topics[topic] = (InstrumentKey(name.exchange, name.symbol), name.mode)
        if self._exchange.works_on(known[0]):
            self._ticks.append((*known, payload))
            self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        due = self._clock.monotonic()
        while not self._stop:
            self._wake.wait(max(0.0, due - self._clock.monotonic()))
            self._wake.clear()
            try:
                self._trade()
                if self._clock.monotonic() >= due:
                    due = self._clock.monotonic() + DUTIES_EVERY_S
                    self._duties()
            except StoreError as exc:
                log.error("the sandbox cannot write: %s", exc)
            except Exception:
                # top of the thread
                log.exception("the sandbox stumbled; it goes on")

    def _trade(self) -> None:
        self._trading = True
        try:
            while self._ticks:
                key, mode, payload = self._ticks.popleft()
                touch = self._prices.decode(key, mode, payload)
                if touch is not None and self._prices.is_young(touch):
                    self._exchange.quoted(key, touch)
        finally:
            self._trading = False

    def _duties(self) -> None:
        for key in self._exchange.at_work():
            self._prices.follow(key)
        self._exchange.duties()
        self._books.settle()
