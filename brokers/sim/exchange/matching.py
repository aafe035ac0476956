"""Matching: users' orders against each other and against the synthetic market.

Rules, in one place:

* An arriving order takes the best price first: other users' resting orders and the synthetic levels of that
  instant, each level once, users before the synthetic level at the same price. A trade happens at the resting
  side's price.
* A resting limit fills at its limit when a step trades at or through it, in price-time priority, and the
  orders of one side together get no more than the step traded.
* What the book could not fill of a market order goes on taking the book of every later step that trades.
* A stop waits for a trade at its trigger, then arrives as a limit or a market order.

Prices come from a path that is asked step by step (``step``) or from quotes heard elsewhere (``quoted``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from brokers.sim.exchange.book import Book, Entry
from brokers.sim.exchange.session import STEP_MS, from_ms
from brokers.sim.exchange.types import BookLevel, Listing, Side, SimOrder, Type

Fill = Callable[[SimOrder, int, int, datetime], None]
"""Order, quantity, price in paise, time."""
Triggered = Callable[[Entry, datetime], None]
_UNLIMITED = 1 << 60


class Market(Protocol):
    """What an order meets at one instant. ``seq`` changes when the levels are new ones."""

    @property
    def seq(self) -> int: ...

    @property
    def ltp_paise(self) -> int: ...

    @property
    def bids(self) -> tuple[BookLevel, ...]: ...

    @property
    def asks(self) -> tuple[BookLevel, ...]: ...


class Prices(Protocol):
    """Where the market comes from."""

    def snapshot(self, listing: Listing, at: datetime) -> Market | None:
        """None: there is no price now; nothing trades."""
        ...

    def trade_at(self, listing: Listing, number: int) -> tuple[int, int] | None:
        """Price and quantity traded in one step."""
        ...


class Matching:
    """Every book with a working order in it.

    Args:
        fill: Books one side of a trade; called once for a synthetic counterparty, twice between users.
        triggered: Turns a stop into what it becomes, before it arrives.
        alone: There is one account only, which never trades with itself: nobody else's orders are looked for.
    """

    def __init__(self, prices: Prices, fill: Fill, triggered: Triggered, *, alone: bool = False) -> None:
        self._prices = prices
        self._alone = alone
        self._fill = fill
        self._triggered = triggered
        self._books: dict[tuple[str, str], Book] = {}

    def book(self, listing: Listing) -> Book:
        key = (listing.exchange, listing.symbol)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Book(listing)
        return book

    def remove(self, order: SimOrder) -> Entry | None:
        book = self._books.get((order.new.listing.exchange, order.new.listing.symbol))
        return book.remove(order) if book else None

    def arrive(self, entry: Entry, at: datetime) -> None:
        """Let an order take what it can; the caller rests or cancels the remainder."""
        self._sweep(self.book(entry.order.new.listing), entry, at)

    def step(self, number: int) -> None:
        """One 250 ms step of the market for every book with a working order."""
        for key, book in list(self._books.items()):
            if book.empty:
                del self._books[key]
                continue
            printed = self._prices.trade_at(book.listing, number)
            if printed is not None:
                self._print(book, printed, from_ms(number * STEP_MS))

    def quoted(self, listing: Listing, market: Market, at: datetime) -> None:
        """A quote from outside.

        How much traded between two quotes nobody knows, so a resting order the market has reached is filled
        whole: by the last price, or by a book that crosses its limit.
        """
        key = (listing.exchange, listing.symbol)
        book = self._books.get(key)
        if book is None:
            return
        if book.empty:
            del self._books[key]
            return
        low = min([market.ltp_paise, *(level.price_paise for level in market.asks[:1])])
        high = max([market.ltp_paise, *(level.price_paise for level in market.bids[:1])])
        for side, price in ((Side.BUY, low), (Side.SELL, high)):
            # best first: most ticks reach nobody, and thousands may wait
            if book.side(side)[:1] and book.side(side)[0].accepts(price):
                self._fill_resting(book, side, price, _UNLIMITED, at)
        if book.stops:
            self._trigger(book, market.ltp_paise, at)

    def _print(self, book: Book, printed: tuple[int, int], at: datetime) -> None:
        price, quantity = printed
        for side in (Side.BUY, Side.SELL):
            self._fill_resting(book, side, price, quantity, at)
        self._trigger(book, price, at)

    def _trigger(self, book: Book, price: int, at: datetime) -> None:
        for entry in [e for e in book.stops if _hit(e.order, price)]:
            book.stops.remove(entry)
            self._triggered(entry, at)

    def _fill_resting(self, book: Book, side: Side, price: int, left: int, at: datetime) -> None:
        for entry in list(book.side(side)):
            if entry.is_market:
                self._sweep(book, entry, at)
            elif left and entry.accepts(price):
                take = min(left, entry.order.remaining)
                left -= take
                self._fill(entry.order, take, entry.limit, at)
            else:
                break
        entries = book.side(side)
        entries[:] = [e for e in entries if e.order.remaining and not e.order.status.is_final]

    def _sweep(self, book: Book, entry: Entry, at: datetime) -> None:
        market = self._prices.snapshot(book.listing, at)
        if market is None:
            return
        order = entry.order
        while order.remaining:
            resting = None if self._alone else next(book.against(order), None)
            level = self._best_level(book, order, market)
            if resting is not None:
                # two market orders meet at the last price
                price = market.ltp_paise if resting.is_market else resting.limit
                if entry.accepts(price) and (level is None or not _better(order, level[0], price)):
                    self._cross(book, order, resting, price, at)
                    continue
            if level is None or not entry.accepts(level[0]):
                return
            price, available = level
            take = min(available, order.remaining)
            taken = book.levels_at(market.seq)
            key = (order.new.side, price)
            taken[key] = taken.get(key, 0) + take
            self._fill(order, take, price, at)

    def _cross(self, book: Book, order: SimOrder, resting: Entry, price: int, at: datetime) -> None:
        take = min(order.remaining, resting.order.remaining)
        self._fill(resting.order, take, price, at)
        self._fill(order, take, price, at)
        if not resting.order.remaining:
            book.remove(resting.order)

    def _best_level(self, book: Book, order: SimOrder, market: Market) -> tuple[int, int] | None:
        """Best synthetic level that still has something: price in paise, quantity."""
        taken = book.levels_at(market.seq)
        for level in market.asks if order.new.side is Side.BUY else market.bids:
            left = level.quantity - taken.get((order.new.side, level.price_paise), 0)
            if left > 0:
                return level.price_paise, left
        return None


def _better(order: SimOrder, price: int, than: int) -> bool:
    """``price`` is strictly better for the order than ``than``."""
    return price < than if order.new.side is Side.BUY else price > than


def _hit(order: SimOrder, price: int) -> bool:
    if order.new.type not in (Type.STOP_LIMIT, Type.STOP_MARKET):
        return False
    trigger = order.new.listing.units(order.new.trigger)
    return price >= trigger if order.new.side is Side.BUY else price <= trigger
