"""The paper broker's exchange: the simulated exchange's matching engine on live quotes, for one account.

Everything is in memory under one lock, and handed to disk in the order in which it happened. Reads wait until
what they show is on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from brokers.clock import IST, Clock
from brokers.errors import StoreError
from brokers.model import InstrumentKey, Order
from brokers.sim.exchange.account import AccountState
from brokers.sim.exchange.book import Entry, entry_of
from brokers.sim.exchange.matching import Matching
from brokers.sim.exchange.types import (
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Status,
    Type,
)
from gateway.sandbox.account import NAME, PaperAccount, PaperState
from gateway.sandbox.books import Books
from gateway.sandbox.hours import Hours, ist_day
from gateway.sandbox.mapping import key_of, order_of
from gateway.sandbox.prices import LivePrices, Touch
from gateway.settings.sandbox import SandboxRules

log = logging.getLogger(__name__)

T = TypeVar("T")
_STOPS = (Type.STOP_LIMIT, Type.STOP_MARKET)
_AVERAGE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class ExchangeParts:
    """What the exchange is built from.

    Attributes:
        changed: Told of orders that changed without their caller's hand, after the fact and outside the lock;
            must not block.
    """

    prices: LivePrices
    books: Books
    hours: Hours
    clock: Clock
    rules: SandboxRules
    changed: Callable[[list[Order]], None] = lambda orders: None  # noqa: ARG005


class PaperExchange:
    """One paper account on one endless day. Thread-safe.

    Raises ``Refusal`` for what a broker would refuse; a refused new order stays in the book as REJECTED.
    """

    def __init__(self, parts: ExchangeParts) -> None:
        self._parts = parts
        self._prices = parts.prices
        self._books = parts.books
        self._clock = parts.clock
        self._rules = parts.rules
        self._lock = threading.RLock()
        saved = parts.books.load()
        self._number = saved.last_number
        self._priority = 0
        self._touched: dict[str, SimOrder] = {}
        self._reserved = Decimal(0)
        self._state = saved.state or self._opening(0)
        self._clear()
        for number, order in saved.orders:
            self._take_up(number, order)
        if saved.state is None:
            self._books.put_state(self._state)

    # --- orders

    def place(self, new: NewOrder) -> Order:
        """Take an order in and let it trade; the order as it is then.

        Raises:
            Refusal: CLOSED (intraday after the square-off), HOLDING, MARGIN, or NOT_TRADABLE: a market order
                for which the feed has no price.
            StoreError: The books cannot be written; nothing was done.
        """
        self._mend()
        key = key_of(new.listing)
        touch = None
        if new.type is Type.MARKET:
            touch = self._prices.wait(key, self._rules.price_wait_s)
        else:
            self._prices.follow(key)
        with self._lock:
            now = self._clock.now()
            self._turn_if_due(now)
            order = self._new(new, now)
            try:
                self._check(new, touch, now)
                worth = self._account.value(new)
                self._account.check_new(new, worth)
            except Refusal as refusal:
                order.refusal, order.reason = refusal.code, refusal.text
                order.status = Status.REJECTED
                self._flush()
                raise
            self._work(order, worth)
            self._enter(order, new.type in _STOPS, now)
            self._flush()
            return self._shown[order.order_id]

    def modify(
        self, order_id: str, *, type: Type, quantity: int, price: Decimal, trigger: Decimal, disclosed: int
    ) -> Order:
        """Replace an order's terms (full resend); ``quantity`` is the total.

        Raises:
            Refusal: NOT_FOUND, FINAL, QUANTITY, HOLDING, MARGIN; the order stays as it was.
            StoreError: The books cannot be written; nothing was done.
        """
        self._mend()
        with self._lock:
            now = self._clock.now()
            order = self._changeable(order_id)
            if quantity <= order.filled:
                text = f"quantity must be above the {order.filled} already traded"
                raise Refusal(RefusalCode.QUANTITY, text)
            old, worth = order.new, self._account.valued(order_id)
            new = replace(
                old, type=type, quantity=quantity, price=price, trigger=trigger, disclosed=disclosed
            )
            waits = type in _STOPS and (old.type not in _STOPS or order.status is Status.TRIGGER_PENDING)
            self._account.rest(order)
            try:
                value = self._account.value(new)
                self._account.check_new(replace(new, quantity=quantity - order.filled), value)
            except Refusal:
                self._account.work(order, worth)
                raise
            self._matching.remove(order)
            order.new = new
            order.modifications += 1
            order.updated_at = now
            order.status = Status.PARTIAL if order.filled else Status.OPEN
            self._account.work(order, value)
            self._enter(order, waits, now)
            changed = self._flush()
            shown = self._shown[order_id]
        self._parts.changed(changed)
        return shown

    def cancel(self, order_id: str) -> None:
        """Take an order out. Raises ``Refusal`` (NOT_FOUND, FINAL), ``StoreError``."""
        self._mend()
        with self._lock:
            self._end(self._changeable(order_id), Status.CANCELLED, self._clock.now())
            changed = self._flush()
        self._parts.changed(changed)

    def more_for(
        self, listing: Listing, product: str, side: Side, quantity: int, price: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Rupees an order would block beyond what is blocked now, and rupees available."""
        with self._lock:
            self._turn_if_due(self._clock.now())
            return self._account.more_for(listing, product, side, quantity, price), self._account.available

    def reserve(self, total: Decimal) -> None:
        """So many rupees are blocked beside orders and positions, over days and resets."""
        with self._lock:
            self._reserved = self._account.reserved = total

    def quoted(self, key: InstrumentKey, touch: Touch) -> None:
        """A tick: what rests may trade, stops may wake."""
        with self._lock:
            listing = self._working_listings.get(key)
            if listing is None:
                return
            self._matching.quoted(listing[0], touch, self._clock.now())
            changed = self._flush()
        self._parts.changed(changed)

    # --- reads, of what is on disk

    def orders(self) -> list[Order]:
        """Today's orders, oldest first."""
        return self._read(lambda: list(self._shown.values()))

    def tagged(self, tag: str) -> list[Order]:
        return self._read(lambda: [self._shown[i] for i in self._tags.get(tag, ())])

    def trades(self) -> list[SimTrade]:
        return self._read(lambda: list(self._account.trades))

    def positions(self) -> list[SimPosition]:
        return self._read(lambda: [replace(p) for p in self._account.positions()])

    def holdings(self) -> list[SimHolding]:
        return self._read(self._account.holdings)

    def funds(self) -> SimFunds:
        return self._read(self._account.funds)

    def state(self) -> PaperState:
        return self._state

    def last_reset(self) -> datetime:
        """When the account began with its capital, at first or again."""
        return datetime.fromisoformat(self._state.last_reset)

    def works_on(self, key: InstrumentKey) -> bool:
        """An order in this symbol waits for a price. For every tick: takes no lock."""
        return key in self._working_listings

    def at_work(self) -> list[InstrumentKey]:
        """Symbols with a working order."""
        with self._lock:
            return list(self._working_listings)

    def keys(self) -> set[InstrumentKey]:
        """Symbols whose price matters: working orders, positions, holdings."""
        with self._lock:
            held = {key_of(p.listing) for p in self._account.positions() if p.net}
            held |= {key_of(h.listing) for h in self._account.holdings()}
            return held | set(self._working_listings)

    # --- the matching engine's hands

    def _fill(self, order: SimOrder, quantity: int, price_units: int, at: datetime) -> None:
        new = order.new
        trade = SimTrade(
            f"{order.order_id}-{len(order.trades) + 1}",
            order.order_id,
            NAME,
            new.listing,
            new.side,
            new.product,
            quantity,
            new.listing.rupees(price_units),
            at,
        )
        order.trades.append(trade)
        order.filled += quantity
        value = sum((t.quantity * t.price for t in order.trades), Decimal(0))
        order.average = (value / order.filled).quantize(_AVERAGE)
        order.updated_at = at
        order.status = Status.PARTIAL if order.remaining else Status.FILLED
        self._prices.remember(key_of(new.listing), price_units)
        self._account.book(trade)
        if order.status.is_final:
            self._leave(order)
        self._touched[order.order_id] = order

    def _triggered(self, entry: Entry, at: datetime) -> None:
        order = entry.order
        order.status = Status.OPEN
        order.updated_at = at
        self._enter(order, False, at)

    def _enter(self, order: SimOrder, waits: bool, at: datetime) -> None:
        """Put an order where it belongs: among the stops, against the market, into the book."""
        self._touched[order.order_id] = order
        self._priority += 1
        entry = entry_of(order, self._priority)
        book = self._matching.book(order.new.listing)
        if waits:
            order.status = Status.TRIGGER_PENDING
            book.wait(entry)
            return
        self._matching.arrive(entry, at)
        if order.remaining:
            book.rest(entry)

    # --- inside, under the lock

    def _new(self, new: NewOrder, at: datetime) -> SimOrder:
        self._number += 1
        order_id = f"{self._state.day:%y%m%d}{self._number % 10**8:08d}"
        order = SimOrder(order_id, new, Status.OPEN, at, at, tag=new.tag, accepted_at=at)
        self._keep(self._number, order)
        self._touched[order_id] = order
        return order

    def _keep(self, number: int, order: SimOrder) -> None:
        self._orders[order.order_id] = order
        self._numbers[order.order_id] = number
        if order.tag:
            self._tags.setdefault(order.tag, []).append(order.order_id)

    def _check(self, new: NewOrder, touch: Touch | None, now: datetime) -> None:
        listing = new.listing
        if new.type is Type.MARKET and touch is None:
            raise Refusal(
                RefusalCode.NOT_TRADABLE,
                f"the sandbox has no live price of {listing.exchange}:{listing.symbol}: the feed sent no "
                f"tick in the last {self._rules.price_age_s:g} s, so a market order has nothing to trade "
                "at; nothing was bought or sold",
            )
        due = self._parts.hours.square_off(listing.exchange, self._state.day)
        if new.product == "MIS" and due is not None and now >= due and not self._reduces(new):
            raise Refusal(
                RefusalCode.CLOSED,
                f"intraday (MIS) positions of {listing.exchange} were squared off at "
                f"{due.astimezone(IST):%H:%M} IST; use CNC or NRML, or wait for the next session",
            )

    def _reduces(self, new: NewOrder) -> bool:
        position = self._account.position(new.listing, new.product)
        net = position.net if position else 0
        return new.quantity <= (-net if new.side is Side.BUY else net)

    def _changeable(self, order_id: str) -> SimOrder:
        order = self._orders.get(order_id)
        if order is None:
            raise Refusal(RefusalCode.NOT_FOUND, f"Order {order_id} not found")
        if order.status.is_final:
            raise Refusal(RefusalCode.FINAL, f"order {order_id} is already {order_of(order).status}")
        return order

    def _work(self, order: SimOrder, worth: Decimal) -> None:
        listing = order.new.listing
        self._account.work(order, worth)
        known = self._working_listings.get(key_of(listing), (listing, 0))
        self._working_listings[key_of(listing)] = (listing, known[1] + 1)

    def _leave(self, order: SimOrder) -> None:
        """An order works no longer."""
        key = key_of(order.new.listing)
        if order.order_id not in self._account.working:
            return
        self._account.rest(order)
        listing, count = self._working_listings[key]
        if count > 1:
            self._working_listings[key] = (listing, count - 1)
        else:
            del self._working_listings[key]

    def _end(self, order: SimOrder, status: Status, at: datetime, reason: str = "") -> None:
        self._matching.remove(order)
        self._leave(order)
        order.status = status
        order.updated_at = at
        order.reason = reason or order.reason
        self._touched[order.order_id] = order

    def _flush(self) -> list[Order]:
        """Hand what changed to disk; as others may see it."""
        if not self._touched:
            return []
        orders, self._touched = list(self._touched.values()), {}
        try:
            self._books.put_orders(self._state, [(self._numbers[o.order_id], o) for o in orders])
        except StoreError as exc:
            # it has happened: memory is ahead of the disk until ``_mend`` has caught up
            log.error("the sandbox's books are behind: %s", exc)
        changed = [order_of(order) for order in orders]
        self._shown.update((order.order_id, order) for order in changed)
        return changed

    def _read(self, what: Callable[[], T]) -> T:
        with self._lock:
            self._turn_if_due(self._clock.now())
            found = what()
        self._books.settle()
        return found

    def _mend(self) -> None:
        """After a refused write the whole of memory goes to disk before anything new happens."""
        if not self._books.broken:
            return
        with self._lock:
            self._books.broken = False
            self._books.put_state(self._state)
            self._books.put_orders(self._state, [(n, self._orders[i]) for i, n in self._numbers.items()])
        self._books.settle()

    # --- days

    def _opening(self, resets: int) -> PaperState:
        now = self._clock.now()
        capital = self._rules.capital
        return PaperState(
            ist_day(now), capital, AccountState(NAME, capital), last_reset=now.isoformat(), reset_count=resets
        )

    def _clear(self) -> None:
        """Empty books, with what the account carries."""
        self._matching = Matching(self._prices, self._fill, self._triggered, alone=True)
        self._orders: dict[str, SimOrder] = {}
        self._shown: dict[str, Order] = {}
        self._numbers: dict[str, int] = {}
        self._tags: dict[str, list[str]] = {}
        self._working_listings: dict[InstrumentKey, tuple[Listing, int]] = {}
        self._account = PaperAccount(
            self._state.account, self._rules.leverage, lambda listing: self._prices.mark(key_of(listing))
        )
        self._account.reserved = self._reserved

    def _take_up(self, number: int, order: SimOrder) -> None:
        """An order of the books on disk."""
        self._keep(number, order)
        self._shown[order.order_id] = order_of(order)
        for trade in order.trades:
            self._account.book(trade)
            self._prices.remember(key_of(trade.listing), trade.listing.units(trade.price))
        if order.status.is_final:
            return
        self._work(order, self._account.value(order.new))
        self._priority += 1
        book = self._matching.book(order.new.listing)
        entry = entry_of(order, self._priority)
        if order.status is Status.TRIGGER_PENDING:
            book.wait(entry)
        else:
            book.rest(entry)

    def _turn_if_due(self, now: datetime) -> None:
        """This exchange has one endless day; ``days.PaperDays`` knows more."""
