"""Panic: entries blocked at once and on disk, then open orders cancelled until none is left.

``Switch`` is what the order path asks: a ``stat`` and a comparison. ``Canceller`` works off what the switch
says, in the background, over restarts, and can tell at any moment what became of each order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brokers.errors import AlgoError, StoreError
from brokers.model import Order, OrderStatus
from gateway.panicfile import Panic, PanicFile, spoken, write_whole
from gateway.store.journal import Journal
from gateway.trading.exits import WORKING
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
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


class Switch:
    """Whether entries are blocked: the file of the home, the instance's own row, whichever spoke last."""

    def __init__(self, journal: Journal, parts: DeskParts) -> None:
        self._journal = journal
        self._clock = parts.clock
        self._by = parts.instance
        self._file = PanicFile(parts.panic_file) if parts.panic_file else None
        self._lock = threading.Lock()
        self._stored = self._state = _stored(journal.blocked())

    def state(self) -> Panic | None:
        """The last word, None when none was ever spoken. No network, no database."""
        seen = self._file.read() if self._file else None
        state = self._state
        if seen is None or (state is not None and seen.serial <= state.serial):
            return state
        with self._lock:
            if self._state is None or seen.serial > self._state.serial:
                self._state = seen
                said = (
                    f"blocked by {seen.by or 'somebody'}: {seen.reason}" if seen.active else "allowed again"
                )
                log.warning("entries %s", said)
            return self._state

    def reason(self) -> str:
        """Why entries are blocked now; empty when they are not."""
        state = self.state()
        return state.reason if state is not None and state.active else ""

    def call(self, reason: str, policy: str) -> Panic:
        """Block entries on every instance of this home. It counts before it is on disk, and is on disk when
        this returns.

        Raises:
            StoreError: This instance is blocked, but neither file nor database could be written.
        """
        return self._speak(True, reason=reason or "blocked", policy=policy)

    def resume(self) -> Panic:
        """Allow entries on every instance again. Raises ``StoreError``: then nothing has changed."""
        return self._speak(False, reason="resumed", policy="block")

    def keep(self) -> None:
        """Put what was read from the file into the instance's own database too."""
        state = self._state
        if state is not None and state is not self._stored:
            self._journal.set_blocked(state.to_text())
            self._stored = state

    def _speak(self, active: bool, *, reason: str, policy: str) -> Panic:
        self.state()
        with self._lock:
            before = self._state
            after = before.serial if before else 0
            word = spoken(
                active, reason=reason, policy=policy, by=self._by, after=after, now_ns=self._clock.time_ns
            )
            if active:
                self._state = word
            problems: list[str] = []
            if self._file is not None:
                try:
                    self._file.write(word)
                except OSError as exc:
                    problems.append(f"{self._file.path.name}: {exc.strerror or exc}")
            if problems and not active:
                raise StoreError(f"entries stay blocked: {problems[0]}")
            try:
                self._journal.set_blocked(word.to_text())
                self._stored = word
            except StoreError as exc:
                if self._file is None or problems:
                    raise
                log.error("the panic is in the file, but not in the database: %s", exc)
            self._state = word
        if problems:
            raise StoreError(f"entries are blocked on this instance alone: {problems[0]}")
        log.warning("entries %s: %s", "blocked" if active else "allowed", reason)
        return word


def _stored(text: str) -> Panic | None:
    """What the database says; an older version kept the reason alone."""
    if not text:
        return None
    try:
        return Panic.from_text(text)
    except ValueError:
        return Panic(1, True, text, "block", "", "")


class Fate(StrEnum):
    """What became of one order that was open when panic was called."""

    GOING = "going"
    """Its cancellation has not been confirmed yet, and goes on."""
    CANCELLED = "cancelled"
    """The broker's book shows it cancelled, or does not show it working any more after it took the cancel."""
    ENDED = "ended"
    """It was executed or rejected before the cancellation reached it."""
    FAILED = "failed"
    """The broker refuses to cancel it; nothing more is tried."""


@dataclass(frozen=True, slots=True)
class One:
    """One order. ``taken_at``: when the broker took a request to cancel it, monotonic; 0 while it has not."""

    orderid: str
    state: Fate = Fate.GOING
    code: str = ""
    message: str = ""
    taken_at: float = 0.0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """How far this instance is with one panic.

    Attributes:
        done: Nothing is left to do.
        waiting: Why it cannot go on now (no session, book unreadable), empty otherwise.
        closed, not_closed: With policy ``close``: exits the broker took, and what did not work.
    """

    serial: int = 0
    active: bool = False
    policy: str = "block"
    reason: str = ""
    by: str = ""
    at: str = ""
    done: bool = True
    waiting: str = ""
    orders: tuple[One, ...] = ()
    closed: int = 0
    not_closed: tuple[str, ...] = field(default=())

    def count(self, fate: Fate) -> int:
        return sum(one.state is fate for one in self.orders)

    def plain(self) -> dict[str, Any]:
        rows = [
            {"orderid": one.orderid, "state": one.state.value, "code": one.code, "message": one.message}
            for one in self.orders
        ]
        counts = {fate.value: self.count(fate) for fate in Fate}
        return {**asdict(self), "orders": rows, "counts": counts, "not_closed": list(self.not_closed)}


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
        return _begun(state, done=not state.active or state.serial <= self._done)

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
            try:
                self.step()
            except Exception:
                # top of the thread: the orders that are left must be cancelled all the same
                log.exception("panic")
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
            self._show(_begun(state, done=done))
        if not done:
            self._carry_out(state)

    def _carry_out(self, state: Panic) -> None:
        if state.policy != "block":
            if not self._cancel_until_none_is_left(state):
                return
            if state.policy == "close":
                self._close(state)
        if self._is_current(state):
            self._journal.set_fact(DONE, str(state.serial))
            self._done = state.serial
            self._show(replace(self._report, done=True, waiting=""))
            counts = ", ".join(f"{self._report.count(fate)} {fate}" for fate in Fate)
            log.warning("panic carried out: %s", counts)

    def _cancel_until_none_is_left(self, state: Panic) -> bool:
        """Round after round of book and cancels; False when it was called off. An order that passed the block
        a moment before it fell is in the book too, as one of unknown outcome."""
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
        """One reading of the book and a cancel for what works; why nothing could be done, or None."""
        if not self._desk.status().ready:
            return f"orders cannot be read yet: {self._desk.status().waiting_for}"
        problem = self._look()
        if problem is not None:
            return problem
        todo = [one.orderid for one in self._orders.values() if one.state is Fate.GOING and not one.taken_at]
        work = self._tasks.start("panic", lambda: each(self._tasks, self._cancel, todo, AT_ONCE))
        while not work.done():
            # what the broker took is only cancelled when its book says so
            self._pause(CONFIRM_S)
            problem = self._look()
        self._tasks.result(work)
        return problem or self._look()

    def _look(self) -> str | None:
        """Take one reading of the book into account; why there was none, or None."""
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
                self._set(_ended(one, now))
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
        self._set(_ended(one, row.to_order()))

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
        return sum(one.state is Fate.GOING for one in self._orders.values())

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
            self._report = replace(report, orders=tuple(self._orders.values()))
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


def _begun(state: Panic, *, done: bool) -> Report:
    return Report(
        serial=state.serial,
        active=state.active,
        policy=state.policy,
        reason=state.reason,
        by=state.by,
        at=state.at,
        done=done,
    )


def _ended(one: One, order: Order) -> One:
    """It does not work any more."""
    if order.status is not OrderStatus.CANCELLED:
        return replace(one, state=Fate.ENDED, code="", message=f"it is {order.status.value}")
    return replace(one, state=Fate.CANCELLED, code="", message="")
