"""OrderDesk: the only way an order leaves this gateway (promises O1-O9).

The desk is the front: whoever wants something of this account's orders asks here. How a place goes is in
``placing``, a modify or cancel in ``changes``, getting out in ``exits``, what the operator forbids in
``guards``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from brokers.contract import Margin, MarginLeg
from brokers.errors import InvalidRequest
from brokers.model import (
    Funds,
    Holding,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    OrderUpdate,
    Position,
    Trade,
)
from gateway.store.journal import FOREIGN, Change, JournalRow
from gateway.store.orderlog import OrderLog
from gateway.trading import exits, machine, measures, moving, reconcile, replies, stages
from gateway.trading.answers import CancelReport, CloseReport, DeskStatus, OrderAnswer
from gateway.trading.book import Books
from gateway.trading.changes import Changes
from gateway.trading.firstanswers import FirstAnswers
from gateway.trading.guards import Guards
from gateway.trading.limiter import Lane
from gateway.trading.once import Once, fingerprint
from gateway.trading.parts import DeskParts
from gateway.trading.placing import Placing, Wish
from gateway.trading.reader import Reader, day_start_ns
from gateway.trading.reconciler import Reconciler
from gateway.trading.resolve import Unknowns
from gateway.trading.settle import Settler
from gateway.trading.strangers import Strangers
from gateway.trading.tags import TAG_LENGTH
from gateway.trading.turns import Turns

__all__ = ["CancelReport", "CloseReport", "DeskParts", "DeskStatus", "OrderAnswer", "OrderDesk"]

log = logging.getLogger(__name__)
DAY_S = 86_400


class OrderDesk:
    """Places, changes and cancels orders; keeps the journal true to the broker.

    Writes *raise* while nothing has been journaled: ``InvalidRequest`` (checks), ``RateLimited``,
    ``NotReady``, ``LoginRequired``, ``EntriesBlocked``, ``NotFound``, ``StoreError``. Once journaled they
    *return* an ``OrderAnswer`` whose ``code`` is empty only on success. Reads raise the broker's errors.
    Thread-safe.
    """

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._log = OrderLog(parts.journal.database)
        self._tally = measures.Tally(self._log)
        self._reader = Reader(parts)
        self._settler = Settler(parts, self._reader)
        self.strangers = Strangers()
        self._reconciler = Reconciler(parts, self._reader, self._settler, self.strangers.found)
        longest_s = parts.rules.broker_timeout_s + parts.patience_s
        self._answers = FirstAnswers(parts.journal, parts.clock)
        self._once = Once(self._answers.stored, longest_s, parts.tasks)
        self._changes = Changes(parts, self._reader, self._settler, self._reconciler.soon)
        self._exits = exits.Exits(self, parts.tasks)
        self.guards = Guards(self, parts, self._reader)
        self._placing = Placing(parts, self.guards, self._reconciler, self._settler, self._answers)
        self.unknowns = Unknowns(parts, self._settler)
        self.turns = Turns(parts.tasks)
        self.books = Books(self, parts)

    def start(self) -> None:
        """Settle what the last run left open and start the reconciler; returns at once."""
        day_ago = self._clock.time_ns() - DAY_S * 1_000_000_000
        sent = self._journal.sent_since(day_ago)
        now = self._clock.time_ns()
        self._parts.limiter.prime(Lane.ENTRY, [(now - ns) / 1e9 for ns in sent])
        self._reconciler.start()
        self._settler.start()
        self.guards.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop the background threads; requests in flight end by themselves."""
        self.guards.stop(timeout_s / 2)
        self._settler.stop(timeout_s / 2)
        self._reconciler.stop(timeout_s / 2)

    def nudge(self) -> None:
        """Reconcile now: a login came in, or a feed was reconnected. Does not block."""
        self._reconciler.soon()

    @property
    def version(self) -> int:
        """Another number after every write of the journal: something about the orders may be new."""
        return self._journal.version

    def last_round_trip(self) -> tuple[int, int] | None:
        """As ``Journal.last_round_trip``."""
        return self._journal.last_round_trip()

    def forget_positions(self) -> None:
        """The account was emptied on purpose (a reset sandbox): its positions now are where drift begins."""
        self._reconciler.forget_positions()
        self.books.forget()

    # -- writes -----------------------------------------------------------------------------------------

    def place(
        self,
        request: OrderRequest,
        *,
        strategy: str = "",
        client_order_id: str | None = None,
        received_ns: int,
        is_exit: bool = False,
        lease: str | None = "",
    ) -> OrderAnswer:
        """Send one order, once.

        Args:
            client_order_id: A repeat (also after a restart, also while the first is in flight) returns the
                first answer and sends nothing. Requests that were refused before the journal (checks,
                limits, not ready) leave no trace and may be repeated.
            received_ns: Wall nanoseconds at which the request arrived.
            is_exit: The order only reduces a position: it may use the reserved slots and passes a block.
            lease: Of its strategy, as the caller sent it; None: it was checked when the order was taken in.
        """
        deadline_s = self._parts.rules.order_deadline_s
        wish = Wish(request, strategy, client_order_id, received_ns, is_exit, deadline_s, lease)
        if client_order_id is None:
            return self._placing.place(wish)
        return self._once.run(client_order_id, fingerprint(request), lambda: self._placing.place(wish))

    def modify(
        self, change: OrderChange, *, strategy: str = "", received_ns: int, lease: str | None = ""
    ) -> OrderAnswer:
        """Change a working order. ``OUTCOME_UNKNOWN`` when no answer came and its terms cannot be read.

        Args:
            lease: As in ``place``; asked for when the order becomes larger, of the strategy that placed it.
        """
        del strategy  # the order keeps the one that placed it
        self._reconciler.await_ready(self._parts.rules.order_deadline_s)
        row = self._changes.row(change.order_id)
        if row is None:
            self.guards.refuse_blocked()
        else:
            self.guards.check_change(row, change, lease)
        return self._changes.modify(change, received_ns)

    def cancel(
        self, order_id: str, *, strategy: str = "", received_ns: int, deadline_s: float | None = None
    ) -> OrderAnswer:
        """Ask the broker to cancel. Success means it took the request; ``status`` is what is known then.

        A cancel whose outcome is not known is repeated only after the broker showed the order working.
        """
        del strategy
        self._reconciler.await_ready(self._parts.rules.order_deadline_s)
        return self._changes.cancel(order_id, received_ns, deadline_s)

    def cancel_all(self, strategy: str = "") -> CancelReport:
        """Cancel every working order of the account, foreign ones too."""
        return self._exits.cancel_all(strategy)

    def close_all(self, strategy: str = "") -> CloseReport:
        """One opposite MARKET order (sliced by freeze quantity) for every open position."""
        return self._exits.close_all(strategy)

    def cancel_some(self, strategy: str, only: Callable[[Order], bool]) -> CancelReport:
        """As ``cancel_all``, for some of the orders."""
        return self._exits.cancel_all(strategy, only)

    def close_some(self, strategy: str, only: Callable[[Position], bool]) -> CloseReport:
        """As ``close_all``, for some of the positions."""
        return self._exits.close_all(strategy, only)

    def allow_entries(self) -> None:
        """End a panic, on every instance."""
        self.guards.resume()

    # -- reads ------------------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        """One order by the broker's id or ``J<journal_id>``; None when neither broker nor journal has it."""
        row = self._changes.row(order_id)
        wanted = row.known.order_id if row is not None else order_id
        if wanted:
            shown = next((o for o in self._reader.orders() if o.order_id == wanted), None)
            if shown is not None:
                return shown
        return None if row is None else row.to_order()

    def orders(self) -> list[Order]:
        """The broker's book, and what the journal has beside it.

        That is: orders of unknown outcome (order id ``J<journal_id>``, status unknown), and working ones the
        book does not show, or not yet.
        """
        book = self._reader.orders()
        start_ns = day_start_ns(self._clock)
        beside = [
            row
            for row in self._journal.unfinished()
            if row.created_ns >= start_ns and reconcile.match_row(row, book) is None
        ]
        return [*book, *(row.to_order() for row in beside)]

    def trades(self) -> list[Trade]:
        return self._reader.trades()

    def positions(self) -> list[Position]:
        return self._reader.positions()

    def last_positions(self) -> tuple[float, list[Position]] | None:
        """Seconds since the positions were read last by anybody, and what they were; asks nobody."""
        return self._reader.last_positions()

    def holdings(self) -> list[Holding]:
        return self._reader.holdings()

    def funds(self) -> Funds:
        return self._reader.funds()

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """What new orders would block together; nothing is sent to the exchange."""
        return self._reader.margin(legs)

    def unfinished(self, key: InstrumentKey, product: str) -> list[JournalRow]:
        """Today's orders that may still change one position, oldest first, from the journal alone."""
        start_ns = day_start_ns(self._clock)
        rows = (row for row in self._journal.unfinished() if row.created_ns >= start_ns)
        return [row for row in rows if (row.key, row.product) == (key, product)]

    def settled(self, key: InstrumentKey | None = None, product: str = "") -> moving.Standing:
        """Wait a moment for today's orders about to change one position (None: any, by an entry).

        Raises:
            BrokerError: The order book cannot be read.
        """

        def rows() -> list[JournalRow]:
            if key is not None:
                return self.unfinished(key, product)
            # what exits may still trade is subtracted; what the settler looks for may take long
            young_ns = self._clock.time_ns() - int(moving.FILL_WAIT_S * 1e9)
            return [r for r in self._journal.unfinished() if r.created_ns >= young_ns and not r.is_exit]

        return moving.settle(rows, self._reader.orders, self._clock, self._parts.tasks)

    def first_answer(self, client_order_id: str, key: InstrumentKey, product: str) -> OrderAnswer | None:
        """The answer to an earlier order with this id, whatever its side and quantity; None without one.

        For orders that are worked out anew from the position each time, where a repeat looks different.

        Raises:
            InvalidRequest: The id was used for another instrument or product.
        """
        return self._answers.of(client_order_id, key, product)

    def knows(self, client_order_id: str) -> bool:
        """An order with this id is in flight or in the journal: a repeat sends nothing."""
        return self._once.has(client_order_id) or (
            self._journal.by_client_order_id(client_order_id) is not None
        )

    def strategy_of(self, order_id: str) -> str:
        """The strategy that placed an order, empty for foreign ones."""
        row = self._changes.row(order_id)
        return row.strategy if row else ""

    def is_exit(self, order_id: str) -> bool:
        """True when it was sent as one that only reduces a position."""
        row = self._changes.row(order_id)
        return row is not None and row.is_exit

    def made_ns(self, order_id: str) -> int | None:
        """Wall time at which one of our orders was journaled; None for foreign and unknown ones."""
        row = self._changes.row(order_id)
        return None if row is None or row.origin == FOREIGN else row.created_ns

    def attribute(self, order_id: str, strategy: str, detail: dict[str, str]) -> bool:
        """An order that seemed foreign is the one a GTT order of ours sent.

        False when it is not here, or not foreign. Raises ``StoreError``.
        """
        return self._journal.attribute(order_id, strategy, detail)

    def foreign_today(self) -> list[Order]:
        """Today's orders of the journal that were placed elsewhere, with the mark they carried."""
        rows = self._journal.since(day_start_ns(self._clock))
        return [
            replace(row.to_order(), tag=self._journal.foreign_tag(row.id))
            for row in rows
            if row.origin == FOREIGN
        ]

    def status(self) -> DeskStatus:
        reconciler = self._reconciler
        waiting = replies.WAITING
        return DeskStatus(
            ready=reconciler.ready.is_set(),
            waiting_for=reconciler.waiting_for(),
            unknown=sum(row.known.state in waiting for row in self._journal.unfinished()),
            blocked=self.guards.blocked(),
            panic=self.guards.canceller.report().plain(),
            risk=self.guards.watch.status(),
            foreign=reconciler.foreign,
            orders_reconciled_at=reconciler.orders_at.isoformat() if reconciler.orders_at else None,
            positions_reconciled_at=reconciler.positions_at.isoformat() if reconciler.positions_at else None,
            last_error=str(reconciler.error or ""),
            drift=(*reconciler.missing, *reconciler.drift),
        )

    def figures(self) -> measures.Figures:
        """Orders and the limiter in numbers."""
        lanes = {lane.value: counts for lane, counts in self._parts.limiter.counts.items()}
        today = self._log.states(day_start_ns(self._clock))
        return measures.Figures(today, self._tally.events(), lanes)

    def on_update(self, update: OrderUpdate) -> None:
        """A pushed order update from the feed; idempotent, in any order of arrival."""
        order = update.order
        row = self._journal.by_order_id(order.order_id) if order.order_id else None
        if row is None and order.tag:
            tagged = self._journal.by_tag(order.tag[:TAG_LENGTH])
            row = tagged if tagged is not None and reconcile.is_ours(order, tagged) else None
        ours = row is not None and row.origin != FOREIGN
        self._parts.stages.heard(stages.heard(self._clock, row.id if row is not None and ours else 0, update))
        if row is None:
            if order.order_id and self._journal.import_foreign(order) is not None:
                self.strangers.found(order)
            return
        detail = {"raw_status": order.raw_status, "seen_ns": update.seen_ns}
        if update.trade_price is not None:
            detail["trade_price"] = str(update.trade_price)
        after = self._journal.apply(
            Change(row.id, "update", machine.BrokerSays(order), detail=detail, quiet=True)
        )
        self._settler.heard(after)
        if after.known.filled and not after.known.average:
            self._reconciler.soon()  # the book or the trades know the price

    # -- for exits --------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        return self._clock.time_ns()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def place_exit(self, request: OrderRequest, strategy: str, deadline_s: float) -> OrderAnswer:
        """An exit of ``close_all``, with a deadline of its own."""
        return self._placing.place(Wish(request, strategy, None, self.now_ns(), True, deadline_s, None))

    def working_exits(self) -> dict[reconcile.Holder, int]:
        """Signed quantity that exits sent earlier may still trade, by (instrument, product)."""
        return reconcile.outstanding(row for row in self._journal.unfinished() if row.is_exit)

    def largest_order(self, key: InstrumentKey) -> int:
        """Largest quantity of one order: the freeze quantity cut to whole lots; 0 when there is no limit."""
        instrument = self._parts.instruments.by_key(key)
        if instrument is None:
            raise InvalidRequest(f"{key} is not in the instrument table", code="SYMBOL_NOT_FOUND")
        return instrument.freeze_qty // instrument.lot_size * instrument.lot_size
