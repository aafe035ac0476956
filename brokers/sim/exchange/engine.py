"""The exchange and the risk desk in front of it. Single-threaded; deterministic under ``step``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_UP, Decimal
from math import ceil

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.sim.exchange import checks
from brokers.sim.exchange.account import Account
from brokers.sim.exchange.agenda import Agenda, Due
from brokers.sim.exchange.book import Entry, entry_of
from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.ledger import Ledger
from brokers.sim.exchange.margin import Leg, cost
from brokers.sim.exchange.matching import Matching
from brokers.sim.exchange.outbox import OrderListener, Outbox
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.session import DAY_MS, EPOCH_DAY, IST_MS, STEP_MS, from_ms, to_ms
from brokers.sim.exchange.tape import MarketListener, Tape
from brokers.sim.exchange.types import (
    PAISA,
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimOrder,
    SimTrade,
    Snapshot,
    Status,
    Type,
)
from brokers.sim.exchange.universe import Universe

log = logging.getLogger(__name__)

__all__ = ["Account", "Exchange", "OrderId"]

OrderId = Callable[[datetime, int], str]

_STOPS = (Type.STOP_LIMIT, Type.STOP_MARKET)
_CATCH_UP_STEPS = 2400
"""After a longer pause (a machine that slept) only the last ten minutes of the path are matched."""
_SQUARE_OFF_MS = 600_000
_SEGMENTS = ("NSE", "BSE", "NFO", "BFO")


class Exchange:
    """One exchange with its accounts.

    Everything happens in ``step`` (or inside ``submit``, ``modify``, ``cancel``) and depends only on the
    times handed in. What a listener hears is a copy of the order as it was at that event, and it is on disk.

    Args:
        order_id: Makes an order's id from its time and a running number of the day (1, 2, …). A venue may
            also assign ``exchange.order_id`` before the first order.
        journal: Where the books are kept; None keeps them in memory.
        auto_square_off: Close intraday positions ten minutes before the close.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        prices: Prices,
        clock: Clock,
        hours: Calendar,
        order_id: OrderId | None = None,
        accept_delay_s: float = 0.005,
        tick_s: float = 0.25,
        journal: Journal | None = None,
        auto_square_off: bool = False,
    ) -> None:
        self.universe = universe
        self.prices = prices
        self.clock = clock
        self.hours = hours
        self.order_id: OrderId = order_id or (lambda at, n: f"{at:%y%m%d}{n:08d}")
        self.accept_delay_s = accept_delay_s
        self.tick_s = tick_s
        self.auto_square_off = auto_square_off
        self._journal = journal
        self._matching = Matching(prices, self._fill, self._triggered)
        self._ledger = Ledger(universe.find, self._mark, journal)
        self._priority = 0
        self._agenda = Agenda()
        self._outbox = Outbox(journal)
        self._tape = Tape(prices)
        self._wake = asyncio.Event()
        now = clock.now()
        self._step = to_ms(now) // STEP_MS
        self._day = _ist_day(to_ms(now))
        self._restore()

    @property
    def journal(self) -> Journal | None:
        """Where a venue may keep things of its own."""
        return self._journal

    # --- accounts and orders

    def account(self, account_id: str) -> Account:
        """The account, opened with its cash and holdings at first use.

        Ask anew each time: a new day is a new object.
        """
        return self._ledger.account(account_id)

    def orders(self) -> Iterator[SimOrder]:
        """Every order of the day of every account, oldest first."""
        return self._ledger.orders()

    def submit(self, new: NewOrder) -> SimOrder:
        """Take an order in; it is TRANSIT and moves on by itself.

        Raises:
            Refusal: Refused before an id exists: NOT_TRADABLE, PRODUCT, QUANTITY, LOT, FREEZE, TICK, TRIGGER,
                CLOSED. What the risk desk refuses (BAND, HOLDING, MARGIN) becomes a REJECTED order instead,
                with ``refusal`` and ``reason``, when it would have been accepted.
        """
        now = self.clock.now()
        if _ist_day(to_ms(now)) != self._day:
            self.step(now)
        checks.check_terms(new, self._today)
        self._check_open(new.listing, now)
        checks.check_trigger(new, self.prices.ltp(new.listing, now))
        number = self._ledger.next_number()
        order = SimOrder(self.order_id(now, number), new, Status.TRANSIT, now, now, tag=new.tag)
        self._ledger.enter(number, order)
        self._agenda.add(to_ms(now) + ceil(self.accept_delay_s * 1000), Due.ACCEPT, order.order_id)
        self._note(order)
        self._outbox.flush()
        self._wake.set()
        return order

    def modify(
        self,
        account_id: str,
        order_id: str,
        *,
        type: Type,
        quantity: int,
        price: Decimal,
        trigger: Decimal,
        disclosed: int = 0,
        tag: str | None = None,
        extra: dict[str, str] | None = None,
    ) -> SimOrder:
        """Replace an order's terms (full resend); ``quantity`` is the total.

        Only a smaller quantity at unchanged terms keeps the place in the queue.

        Args:
            tag: Replaces the order's mark, where a broker rewrites it.
            extra: Replaces the venue's words.

        Raises:
            Refusal: NOT_FOUND, FINAL, IN_TRANSIT, or what ``submit`` and the risk desk refuse; the order
                stays as it was.
        """
        order = self._ledger.changeable(account_id, order_id)
        now = self.clock.now()
        old = order.new
        new = replace(old, type=type, quantity=quantity, price=price, trigger=trigger, disclosed=disclosed)
        if extra is not None:
            new = replace(new, extra=extra)
        if quantity <= order.filled:
            raise Refusal(RefusalCode.QUANTITY, f"quantity must be above the {order.filled} already traded")
        waits = type in _STOPS and (old.type not in _STOPS or order.status is Status.TRIGGER_PENDING)
        self._check_change(order, new, waits, now)
        order.new = new
        order.modifications += 1
        order.updated_at = now
        order.tag = order.tag if tag is None else tag
        same_terms = (type, price, trigger) == (old.type, old.price, old.trigger)
        if not (same_terms and quantity <= old.quantity):
            self._matching.remove(order)
            self._priority += 1
            order.status = Status.PARTIAL if order.filled else Status.OPEN
            self._note(order, status=Status.TRIGGER_PENDING if waits else None)
            self._enter(entry_of(order, self._priority), waits, now)
        else:
            self._note(order)
        self._outbox.flush()
        return order

    def cancel(self, account_id: str, order_id: str) -> SimOrder:
        """Take an order out. Raises ``Refusal`` (NOT_FOUND, FINAL, IN_TRANSIT)."""
        order = self._ledger.changeable(account_id, order_id)
        self._end(order, Status.CANCELLED, self.clock.now())
        self._outbox.flush()
        return order

    def square_off(self, account_id: str) -> list[SimOrder]:
        """Cancel every working order and send market orders that flatten every position.

        Orders still in transit cannot be cancelled and stay; sold holdings are no position to buy back.
        Returns the orders sent.
        """
        return self._flatten(account_id, ("CNC", "NRML", "MIS"), _SEGMENTS)

    def margin_required(self, new: NewOrder) -> Decimal:
        """Rupees an order would block if it opened a position."""
        price = self.account(new.account).valuation(new)
        blocked = cost(new.listing, new.product, new.side, Leg(new.quantity, price))
        return blocked.quantize(PAISA, rounding=ROUND_UP)

    # --- the market

    def snapshot(self, listing: Listing) -> Snapshot:
        """The market now, users' own trades included in volume."""
        return self._tape.snapshot(listing, self.clock.now())

    def on_order(self, listener: OrderListener) -> None:
        """Hear every change of every order, with the trade that caused it if one did."""
        self._outbox.listen(listener)

    def on_market(self, listener: MarketListener) -> None:
        """Hear, once a step, the watched listings whose ``seq`` changed."""
        self._tape.listen(listener)

    def watch(self, listing: Listing) -> None:
        """Count one more reader; watched listings tick."""
        self._tape.watch(listing)

    def unwatch(self, listing: Listing) -> None:
        """Count one reader less."""
        self._tape.unwatch(listing)

    async def run(self) -> None:
        """Step every ``tick_s``, and when an order is due, until cancelled."""
        while True:
            self._wake.clear()
            try:
                self.step(self.clock.now())
            # the top of a task: one bad step must not stop the market
            except Exception:
                log.exception("a step of the simulated exchange failed; the next one goes on")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause())

    def _pause(self) -> float:
        now_ms = to_ms(self.clock.now())
        tick_ms = max(int(self.tick_s * 1000), 1)
        due = tick_ms - now_ms % tick_ms
        if self._agenda.next_ms is not None:
            due = min(due, max(self._agenda.next_ms - now_ms, 1))
        return due / 1000

    def step(self, at: datetime) -> None:
        """Everything that happens up to ``at``.

        The path's trades against resting orders, orders accepted, sessions ended, the day turned. Steps in
        between are made up, so one call for a minute and a call for each of its steps give the same books.
        """
        until = to_ms(at)
        while (event := self._agenda.pop(until)) is not None:
            at_ms, due, subject = event
            self._match_to(at_ms)
            self._happen(due, subject, at_ms)
        self._match_to(until)
        self._outbox.flush()
        self._tape.show(at)

    # --- inside

    @property
    def _today(self) -> date:
        return EPOCH_DAY + timedelta(days=self._day)

    def _mark(self, listing: Listing) -> int:
        return self.prices.ltp(listing, self.clock.now())

    def _schedule_day(self) -> None:
        """The day's fixed events: sessions ending and midnight."""
        for segment in _SEGMENTS:
            session = self.hours.session(segment, self._today)
            if session is not None:
                closes = to_ms(session.closes)
                self._agenda.add(closes, Due.CLOSE, segment)
                if self.auto_square_off:
                    self._agenda.add(closes - _SQUARE_OFF_MS, Due.SQUARE_OFF, segment)
        self._agenda.add((self._day + 1) * DAY_MS - IST_MS, Due.MIDNIGHT)

    def _happen(self, due: Due, subject: str, at_ms: int) -> None:
        if due is Due.ACCEPT:
            self._accept(subject, from_ms(at_ms))
        elif due is Due.CLOSE:
            self._expire(at_ms, subject)
        elif due is Due.MIDNIGHT:
            self._turn(_ist_day(at_ms))
        else:
            for account in self._ledger.accounts():
                self._flatten(account.id, ("MIS",), (subject,))

    def _match_to(self, ms: int) -> None:
        last = ms // STEP_MS
        for number in range(max(self._step + 1, last - _CATCH_UP_STEPS + 1), last + 1):
            self._matching.step(number)
        self._step = max(self._step, last)

    def _check_open(self, listing: Listing, at: datetime) -> None:
        if not self.hours.is_open(listing.exchange, at):
            raise Refusal(RefusalCode.CLOSED, f"{listing.exchange} is closed")

    def _check_change(self, order: SimOrder, new: NewOrder, waits: bool, now: datetime) -> None:
        checks.check_terms(new, self._today)
        self._check_open(new.listing, now)
        market = self.prices.snapshot(new.listing, now)
        checks.check_band(new, market)
        if waits:
            checks.check_trigger(new, market.ltp_paise)
        self.account(new.account).check_risk(order, new)

    def _accept(self, order_id: str, at: datetime) -> None:
        order = self._ledger.order(order_id)
        if order is None or order.status is not Status.TRANSIT:
            return
        new = order.new
        order.updated_at = at
        try:
            self._check_open(new.listing, at)
            checks.check_band(new, self.prices.snapshot(new.listing, at))
            self.account(new.account).check_risk(order)
        except Refusal as refusal:
            order.refusal, order.reason = refusal.code, refusal.text
            self._end(order, Status.REJECTED, at)
            return
        order.accepted_at = at
        order.exchange_order_id = f"1{self._day:05d}{self._ledger.number(order_id):010d}"
        self._priority += 1
        waits = new.type in _STOPS
        order.status = Status.TRIGGER_PENDING if waits else Status.OPEN
        self._note(order)
        self._enter(entry_of(order, self._priority), waits, at)

    def _enter(self, entry: Entry, waits: bool, at: datetime) -> None:
        """Put an accepted order where it belongs: among the stops, against the book, into the book."""
        order = entry.order
        book = self._matching.book(order.new.listing)
        if waits:
            order.status = Status.TRIGGER_PENDING
            book.wait(entry)
            return
        self._matching.arrive(entry, at)
        if not order.remaining:
            return
        if order.new.validity == "IOC":
            self._end(order, Status.CANCELLED, at, reason="IOC: the rest could not trade at once")
        else:
            book.rest(entry)

    def _triggered(self, entry: Entry, at: datetime) -> None:
        order = entry.order
        order.status = Status.OPEN
        order.updated_at = at
        self._note(order)
        self._priority += 1
        self._enter(entry_of(order, self._priority), False, at)

    def _fill(self, order: SimOrder, quantity: int, price_paise: int, at: datetime) -> None:
        trade = self._ledger.fill(order, quantity, price_paise, at, self._day)
        self._tape.traded(order.new.listing, quantity)
        self._note(order, trade)

    def _end(self, order: SimOrder, status: Status, at: datetime, reason: str = "") -> None:
        self._matching.remove(order)
        order.status = status
        order.updated_at = at
        order.reason = reason or order.reason
        self.account(order.new.account).working.pop(order.order_id, None)
        self._note(order)

    def _flatten(
        self, account_id: str, products: tuple[str, ...], segments: tuple[str, ...]
    ) -> list[SimOrder]:
        account = self.account(account_id)
        now = self.clock.now()
        for order in list(account.working.values()):
            concerned = order.new.product in products and order.new.listing.exchange in segments
            if concerned and order.status is not Status.TRANSIT:
                self._end(order, Status.CANCELLED, now)
        sent = []
        for position in account.positions():
            listing, net = position.listing, position.net
            if position.product not in products or listing.exchange not in segments:
                continue
            if net > 0 or (net < 0 and position.product != "CNC"):
                side = Side.SELL if net > 0 else Side.BUY
                for quantity in _slices(abs(net), listing):
                    sent.append(
                        self.submit(
                            NewOrder(account_id, listing, side, Type.MARKET, position.product, quantity)
                        )
                    )
        self._outbox.flush()
        return sent

    def _expire(self, due: int, segment: str) -> None:
        at = from_ms(due)
        for account in self._ledger.accounts():
            for order in list(account.working.values()):
                if order.new.listing.exchange == segment:
                    self._end(order, Status.EXPIRED, at, reason="not traded by the close")

    def _turn(self, day: int) -> None:
        """Close one day's books and open the next one's."""
        self._outbox.flush()
        self._day = day
        self._ledger.next_day(self._today, self._settle)
        self._tape.new_day()
        self.universe.roll(self._today)
        self._schedule_day()

    def _settle(self, listing: Listing) -> int:
        """Final price of an expired contract: its last one on its last day."""
        last_day = ((listing.expiry or self._today) - EPOCH_DAY).days
        return self.prices.ltp(listing, from_ms((last_day + 1) * DAY_MS - IST_MS - 1))

    def _restore(self) -> None:
        """Take up the books of the journal; an earlier day's are closed first."""
        today = self._day
        if self._journal is not None:
            saved = self._journal.load()
            if saved.day is None:
                self._journal.begin_day(self._today, [])
            else:
                self._day = (saved.day - EPOCH_DAY).days
            self._ledger.begin(saved.accounts)
            for number, order in saved.orders:
                self._take_up(number, order)
        if self._day >= today:
            self._schedule_day()
            return
        for segment in _SEGMENTS:
            self._expire((self._day + 1) * DAY_MS - IST_MS, segment)
        self._turn(today)

    def _take_up(self, number: int, order: SimOrder) -> None:
        self._ledger.take_up(number, order)
        for trade in order.trades:
            self._tape.traded(trade.listing, trade.quantity)
        self._priority += 1
        book = self._matching.book(order.new.listing)
        if order.status is Status.TRANSIT:
            self._agenda.add(to_ms(order.created_at), Due.ACCEPT, order.order_id)
        elif order.status is Status.TRIGGER_PENDING:
            book.wait(entry_of(order, self._priority))
        elif not order.status.is_final:
            book.rest(entry_of(order, self._priority))

    def _note(self, order: SimOrder, trade: SimTrade | None = None, status: Status | None = None) -> None:
        self._outbox.note(self._ledger.number(order.order_id), order, trade, status)


def _ist_day(ms: int) -> int:
    return (ms + IST_MS) // DAY_MS


def _slices(quantity: int, listing: Listing) -> Iterator[int]:
    """Parts of whole lots under the freeze quantity."""
    largest = quantity
    if listing.freeze_qty:
        largest = max(listing.freeze_qty // listing.lot_size, 1) * listing.lot_size
    while quantity > 0:
        yield min(quantity, largest)
        quantity -= largest
