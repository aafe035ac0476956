"""Panic: entries blocked at once and on disk (``switch``), then open orders cancelled until none is left.

``Canceller`` works off what the switch says, in the background, over restarts, and can tell at any moment
what became of each order. GTT orders go first (``gttstop``): one that fires meanwhile is an order by then.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brokers.errors import AlgoError
from brokers.model import Order
from gateway.panicfile import Panic, write_whole
from gateway.survive import survive
from gateway.trading.exits import WORKING
from gateway.trading.fates import Fate, One, Report, begun, ended
from gateway.trading.gttstop import GttStop
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.switch import Switch
from gateway.trading.tasks import each

if TYPE_CHECKING:
    from gateway.trading.desk import OrderDesk

log = logging.getLogger(__name__)

DONE = "panic_done"
LOOK_S = 0.1
AT_ONCE = 16
SLOT_S = 5.0
"""How long one cancel waits for a slot before the book is read again."""
CONFIRM_S = 0.3
"""Between looks at the book while cancels go out; also how old a taken one must be to be asked for again."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
MOST_REFUSALS = 6
"""So often the broker may refuse to cancel one order before it is left alone and called failed."""
CLOSINGS = 3
WAITING_CODES = frozenset(
    {"RATE_LIMITED", "AUTH_EXPIRED", "BROKER_DISCONNECTED", "NOT_READY", "ORDER_IN_TRANSIT"}
)
"""Nothing was refused for good: it is tried again as long as the panic lasts."""


class Canceller:
    """Carries a panic out on one instance."""

    def __init__(self, desk: OrderDesk, switch: Switch, parts: DeskParts) -> None:
        self._desk = desk
        self._switch = switch
        self._parts = parts
        self._journal = parts.journal
        self._tasks = parts.tasks
        self._folder: Path | None = parts.panic_file.parent / "panic" if parts.panic_file else None
        self._guard = threading.Lock()
        self._report = Report()
        self._orders: dict[str, One] = {}
        self.gtts = GttStop(parts.clock, lambda: self._show(self._report))
        self._written = ""
        self._done = int(self._journal.fact(DONE) or 0)
        self._stopping = False
        self._wake = self._tasks.event()
        self._running: Future[None] | None = None

    def start(self) -> None:
        self._running = self._tasks.start("panic", self._run)

    def stop(self, timeout_s: float) -> None:
        self._stopping = True
        self._wake.set()
        if self._running is not None:
            with contextlib.suppress(TimeoutError):
                self._tasks.result(self._running, timeout_s)

    def soon(self) -> None:
        self._wake.set()

    def report(self) -> Report:
        """How far it is now, of the last word spoken."""
        state = self._switch.state()
        with self._guard:
            report = self._report
        if state is None or report.serial == state.serial:
            return report
        return begun(state, done=not state.active or state.serial <= self._done)

    def wait(self, serial: int, seconds: float) -> Report:
        """Until this panic is done, at most so long; how far it is then."""
        ends = self._parts.clock.monotonic() + seconds
        while True:
            report = self.report()
            left_s = ends - self._parts.clock.monotonic()
            if left_s <= 0 or (report.serial >= serial and report.done):
                return report
            self._tasks.sleep(min(0.02, left_s))

    def _run(self) -> None:
        while not self._stopping:
            # the orders that are left must be cancelled all the same
            with survive(log, "panic") as turn:
                self.step()
            if turn.failed:
                self._pause(1.0)
            self._pause(LOOK_S)

    def step(self) -> None:
        """Keep the last word, and carry it out unless that is done."""
        self._switch.keep()
        state = self._switch.state()
        if state is None:
            return
        done = not state.active or state.serial <= self._done
        if self._report.serial != state.serial:
            self._orders = {}
            self.gtts.begin()
            self._show(begun(state, done=done))
        if not done:
            self._carry_out(state)

    def _carry_out(self, state: Panic) -> None:
        if state.policy == "block":
            # nothing here can hold back what the broker watches: at least it is named
            if (problem := self.gtts.look(leave=True)) is not None:
                log.warning("panic: %s", problem)
        else:
            if not self._cancel_until_none_is_left(state):
                return
            if state.policy == "close":
                self._close(state)
        if self._is_current(state):
            self._journal.set_fact(DONE, str(state.serial))
            self._done = state.serial
            self._show(replace(self._report, done=True, waiting=""))
            report = self._report
            counts = ", ".join(f"{report.count(fate)} {fate}" for fate in Fate)
            gtts = ", ".join(f"{report.count_gtts(fate)} {fate}" for fate in Fate)
            log.warning("panic carried out: orders %s; GTT orders %s", counts, gtts)

    def _cancel_until_none_is_left(self, state: Panic) -> bool:
        """Round after round of book and cancels; False when it was called off.

        An order that passed the block a moment before it fell is in the book too, as one of unknown outcome.
        """
        pause_s = FIRST_PAUSE_S
        while self._is_current(state):
            before = self._left()
            problem = self._round()
            if problem is None and not self._left():
                return True
            self._show(replace(self._report, waiting=problem or ""))
            progress = before != self._left()
            pause_s = FIRST_PAUSE_S if progress else min(pause_s * 1.5, LONGEST_PAUSE_S)
            self._pause(pause_s)
        return False

    def _round(self) -> str | None:
        """One reading of the books and a cancel for what works; why something could not be done, or None."""
        gtt_problem = self.gtts.look()
        problem = self._look()
        todo: list[Callable[[], None]] = [functools.partial(self.gtts.cancel, i) for i in self.gtts.todo()]
        todo += [
            functools.partial(self._cancel, one.orderid)
            for one in self._orders.values()
            if one.state is Fate.GOING and not one.taken_at and problem is None
        ]
        if not todo:
            return problem or gtt_problem
        work = self._tasks.start("panic", lambda: each(self._tasks, lambda call: call(), todo, AT_ONCE))
        while not work.done():
            # what the broker took is only cancelled when its book says so
            self._pause(CONFIRM_S)
            problem = self._look()
        self._tasks.result(work)
        if gtt_problem is None and self.gtts.going():
            gtt_problem = self.gtts.look()
        # orders after GTT orders: what fired a moment before it was cancelled is an order by now
        return self._look() or problem or gtt_problem

    def _look(self) -> str | None:
        """Take one reading of the book into account; why there was none, or None."""
        if not self._desk.status().ready:
            return f"orders cannot be read yet: {self._desk.status().waiting_for}"
        read_at = self._parts.clock.monotonic()
        try:
            self._note_book(self._desk.orders(), read_at)
        except AlgoError as exc:
            return f"the order book could not be read: {exc} ({exc.code})"
        return None

    def _note_book(self, book: list[Order], read_at: float) -> None:
        shown = {order.order_id: order for order in book}
        for order in book:
            if order.status in WORKING and order.order_id not in self._orders:
                if not order.order_id.startswith("J") and self._journal.by_order_id(order.order_id) is None:
                    # else each cancel of one placed elsewhere would read the book again to find it
                    self._journal.import_foreign(order)
                self._set(One(order.order_id))
        for one in list(self._orders.values()):
            if one.state not in (Fate.GOING, Fate.FAILED):
                continue
            now = shown.get(one.orderid)
            if now is None and one.orderid.startswith("J"):
                self._settled(one)
            elif now is None:
                if one.taken_at:
                    self._set(replace(one, state=Fate.CANCELLED, message=""))
                elif not one.code:
                    self._set(replace(one, message="not in the broker's book any more"))
            elif now.status not in WORKING:
                self._set(ended(one, now))
            elif one.taken_at and read_at > one.taken_at + CONFIRM_S:
                # taken, but it still works: the next round asks again
                self._set(replace(one, taken_at=0.0))

    def _settled(self, one: One) -> None:
        """An order of unknown outcome whose row has got an id of the broker, or an end."""
        row = self._journal.get(int(one.orderid[1:]))
        if row is None or row.known.state in (State.SENDING, State.UNKNOWN):
            return
        if row.known.order_id:
            # from here on it is the order of that id
            with self._guard:
                del self._orders[one.orderid]
            if row.known.order_id not in self._orders:
                self._set(One(row.known.order_id))
            return
        self._set(ended(one, row.to_order()))

    def _cancel(self, order_id: str) -> None:
        if self._stopping:
            return
        code, message = "", ""
        try:
            answer = self._desk.cancel(
                order_id, strategy="panic", received_ns=self._desk.now_ns(), deadline_s=SLOT_S
            )
            code, message = answer.code, answer.message
        except AlgoError as exc:
            code, message = exc.code, str(exc)
        taken_at = 0.0 if code else self._parts.clock.monotonic()
        message = message if code else "the broker took the cancel; its book does not show it yet"
        one = replace(self._orders[order_id], code=code, message=message, taken_at=taken_at)
        if code and code not in WAITING_CODES and code not in ("OUTCOME_UNKNOWN", "ORDER_NOT_OPEN"):
            one = replace(one, refusals=one.refusals + 1)
            if one.refusals >= MOST_REFUSALS:
                one = replace(one, state=Fate.FAILED)
        self._set(one)

    def _close(self, state: Panic) -> None:
        for _ in range(CLOSINGS):
            if not self._is_current(state):
                return
            try:
                report = self._desk.close_all("panic")
            except AlgoError as exc:
                self._show(
                    replace(self._report, waiting=f"positions could not be closed: {exc} ({exc.code})")
                )
                self._pause(1.0)
                continue
            failed = tuple(f"{f.what}: {f.message} ({f.code})" for f in report.failed)
            closed = self._report.closed + len(report.closed)
            self._show(replace(self._report, closed=closed, not_closed=failed, waiting=""))
            if not failed:
                return
            self._pause(1.0)

    def _left(self) -> int:
        return sum(one.state is Fate.GOING for one in self._orders.values()) + self.gtts.going()

    def _is_current(self, state: Panic) -> bool:
        now = self._switch.state()
        return not self._stopping and now is not None and now.serial == state.serial

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _set(self, one: One) -> None:
        with self._guard:
            self._orders[one.orderid] = one
        self._show(self._report)

    def _show(self, report: Report) -> None:
        with self._guard:
            self._report = replace(report, orders=tuple(self._orders.values()), gtts=self.gtts.ones())
            if self._folder is None:
                return
            text = json.dumps(self._report.plain())
            if text == self._written:
                return
            self._written = text
            try:
                write_whole(self._folder / f"{self._parts.instance}.json", text)
            except OSError as exc:
                log.warning("what panic has done could not be written: %s", exc)
