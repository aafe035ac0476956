"""Keeps the journal true to the broker: before the first order, then at fixed periods (O6)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from brokers.errors import AlgoError, LoginRequired, NotReady
from brokers.model import Order
from gateway.store.journal import FOREIGN, Change, JournalRow
from gateway.survive import survive
from gateway.trading import machine, reconcile
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader, day_start_ns
from gateway.trading.settle import Settler

log = logging.getLogger(__name__)

TICK_S = 0.2
RETRY_S = 1.0
CONNECT_S = 5.0
"""Longest time before a request leaves: a connection that has to be made first."""


class Reconciler:
    """Compares orders and positions with the broker. Drift is shown, never traded away."""

    def __init__(
        self,
        parts: DeskParts,
        reader: Reader,
        settler: Settler,
        stranger: Callable[[Order], None] = lambda order: None,  # noqa: ARG005
    ) -> None:
        self._stranger = stranger
        self.ready = parts.tasks.event()
        self.error: AlgoError | None = None
        self.orders_at: datetime | None = None
        self.positions_at: datetime | None = None
        self.missing: tuple[str, ...] = ()
        self.drift: tuple[str, ...] = ()
        self.foreign = 0
        self._parts = parts
        self._reader = reader
        self._settler = settler
        self._baseline: tuple[int, dict[reconcile.Holder, int]] | None = None
        self._carried: tuple[int, dict[reconcile.Holder, int], dict[reconcile.Holder, int]] | None = None
        self._carried_since = self._orders_begun = float("inf")
        self._doubt_s = 2 * parts.settle_rules.gap_s
        self._before: dict[reconcile.Holder, int] = {}
        self._next_orders = self._next_positions = float("-inf")
        self._wake = parts.tasks.event()
        self._stopping = False
        self._running: Future[None] | None = None

    def start(self) -> None:
        """Adopt what the last run left open, then reconcile in the background."""
        rows = self._parts.journal.unfinished()
        detail = {"why": "the process ended between journal and answer"}
        self._parts.journal.apply_all(
            Change(row.id, "recovered", machine.AnswerLost(), detail=detail)
            for row in rows
            if row.known.state is State.SENDING
        )
        for row in rows:
            if row.known.state in (State.SENDING, State.UNKNOWN):
                self._settler.adopt(row.id)
        self._running = self._parts.tasks.start("reconciler", self._run)

    def stop(self, timeout_s: float) -> None:
        self._stopping = True
        self._wake.set()
        if self._running is not None:
            with contextlib.suppress(TimeoutError):
                self._parts.tasks.result(self._running, timeout_s)

    def await_ready(self, within_s: float) -> None:
        """Until the first reconciliation is done: no order leaves before it.

        Raises:
            LoginRequired, NotReady: It is not done in time, and why.
        """
        if self.ready.is_set() or self.ready.wait(within_s):
            return
        if isinstance(self.error, LoginRequired):
            raise LoginRequired(str(self.error))
        raise NotReady(f"orders are not accepted yet; waiting for {self.waiting_for()}")

    def soon(self) -> None:
        """Reconcile orders and positions now instead of at the next period. Does not block."""
        self._next_orders = self._next_positions = float("-inf")
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            # reconciliation must go on
            with survive(log, "reconciler") as turn:
                self.tick()
            if turn.failed:
                self._next_orders = self._next_positions = self._parts.clock.monotonic() + RETRY_S
            self._wake.wait(TICK_S)
            self._wake.clear()

    def tick(self) -> None:
        """Do what is due; a broker that does not answer is asked again after a second."""
        now = self._parts.clock.monotonic()
        rules = self._parts.rules
        try:
            # the next try is set before the work: what fails is due again soon
            if now >= self._next_orders:
                self._next_orders = now + RETRY_S
                self._orders()
                self._next_orders = now + rules.reconcile_orders_s
            # beside fills nobody has looked up yet, a position would count as carried in
            if self.orders_at is not None and now >= self._next_positions:
                self._next_positions = now + RETRY_S
                self._positions()
                self._next_positions = now + rules.reconcile_positions_s
                if self._baseline is None:
                    self._next_orders = self._next_positions = now + self._doubt_s
        except AlgoError as exc:
            if type(exc) is not type(self.error):
                log.warning("reconciling: %s (%s)", exc, exc.code)
            self.error = exc
            return
        self.error = None
        if self.orders_at is not None and self.positions_at is not None:
            self.ready.set()

    def forget_positions(self) -> None:
        """The account itself begins anew: what it holds at the next reading is no drift."""
        self._baseline = None

    def waiting_for(self) -> str:
        if self.ready.is_set():
            return ""
        if isinstance(self.error, LoginRequired):
            return f"a broker login: {self.error}"
        return f"the first reconciliation: {self.error}" if self.error else "the first reconciliation"

    def _orders(self) -> None:
        clock, journal = self._parts.clock, self._parts.journal
        read_ns, begun = clock.time_ns(), clock.monotonic()
        book = self._reader.orders()
        # rows after the book: an order of ours in the book has its row already (O1)
        start_ns = day_start_ns(clock)
        rows = journal.since(start_ns)
        # no sooner than "not found" counts for an order: a change may arrive as late
        settle_ns = int(self._parts.settle_rules.horizon_s * 1e9)
        plan = reconcile.plan_orders(rows, book, day_start_ns=start_ns, read_ns=read_ns, settle_ns=settle_ns)
        try:
            journal.apply_all(plan.changes)
        except machine.IllegalTransition as exc:
            log.info("the journal moved while the book was read (%s); next period", exc)
        for journal_id, terms in plan.terms:
            if journal.take_terms(journal_id, terms, read_ns - settle_ns):
                log.info("order %s has other terms at the broker; taken over", terms.order_id)
        self._adopt_stuck(rows)
        for order, made in zip(plan.foreign, journal.import_all(plan.foreign), strict=True):
            if made is not None:
                log.info("order %s (%s) was placed elsewhere; imported", order.order_id, order.key)
                self._stranger(order)
        for line in set(plan.missing) - set(self.missing):
            log.warning("%s", line)
        self.missing = plan.missing
        self.foreign = sum(r.origin == FOREIGN for r in rows) + len(plan.foreign)
        self.orders_at, self._orders_begun = clock.now(), begun

    def _adopt_stuck(self, rows: list[JournalRow]) -> None:
        """A row still ``sending`` long after any answer could come: its thread died, or the disk refused."""
        rules = self._parts.rules
        longest_s = 2 * max(rules.broker_timeout_s, CONNECT_S) + self._parts.patience_s
        before_ns = self._parts.clock.time_ns() - int(longest_s * 1e9)
        for row in rows:
            if row.known.state is State.SENDING and row.created_ns < before_ns:
                after = self._parts.journal.apply(Change(row.id, "stuck", machine.AnswerLost()))
                if after.known.state is State.UNKNOWN:
                    self._settler.adopt(row.id)

    def _positions(self) -> None:
        clock = self._parts.clock
        positions = self._reader.positions()
        start_ns = day_start_ns(clock)
        rows = [r for r in self._parts.journal.since(start_ns) if r.created_ns >= start_ns]
        now = reconcile.offsets(positions, reconcile.fills(rows))
        if self._baseline is not None and self._baseline[0] != start_ns:
            self._baseline = None
        if self._baseline is None:
            # seen twice with the orders read in between, because the book may lag behind the positions:
            # a fill it does not show yet was not carried in. And unmoved: one such fill may follow another
            held = {(p.key, p.product): p.quantity for p in positions if (p.key, p.product) in now}
            if self._carried != (start_ns, now, held):
                self._carried, self._carried_since = (start_ns, now, held), clock.monotonic()
            elif self._orders_begun - self._carried_since >= self._doubt_s:
                self._baseline = start_ns, now
            self._before = now
        lines = reconcile.drift(self._baseline[1], self._before, now) if self._baseline else []
        for line in set(lines) - set(self.drift):
            log.warning("position drift: %s", line)
        self.drift, self._before = tuple(lines), now
        self.positions_at = clock.now()
