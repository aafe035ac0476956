"""Ends ``unknown`` by evidence, in the background; a caller may wait for it for a moment (O2)."""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from brokers.errors import AlgoError
from brokers.model import Order
from gateway.store.journal import Change, JournalRow
from gateway.survive import survive
from gateway.trading import machine
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader, day_start_ns
from gateway.trading.reconcile import Evidence, weigh
from gateway.trading.tasks import Event

log = logging.getLogger(__name__)

TICK_S = 0.25
FIRST_LOOKS_S = (0.05, 0.15, 0.3, 0.5)
"""Pauses before the first readings: most lost answers are found by one of them while the caller waits."""
EARLY_S = 1.0
"""Distance of the later readings before the horizon: they can only find it."""
AT_ONCE = 4
"""Orders looked for at the same moment; a broker that hangs holds up this many."""


@dataclass(slots=True)
class _Case:
    evidence: Evidence
    next_at: float
    closed: Event
    looks: int = 0
    reading: Future[None] | None = None


class Settler:
    """Looks for orders of unknown outcome by their tags until the broker shows them or never got them."""

    def __init__(self, parts: DeskParts, reader: Reader) -> None:
        self._parts = parts
        self._reader = reader
        self._cases: dict[int, _Case] = {}
        self._lock = threading.Lock()
        self._tasks = parts.tasks
        self._wake = self._tasks.event()
        self._stopping = False
        self._running: Future[None] | None = None

    def start(self) -> None:
        self._running = self._tasks.start("settler", self._run)

    def stop(self, timeout_s: float) -> None:
        self._stopping = True
        self._wake.set()
        if self._running is not None:
            with contextlib.suppress(TimeoutError):
                self._tasks.result(self._running, timeout_s)

    def adopt(self, journal_id: int) -> None:
        """Take charge of an order whose answer was lost now (or before this process began)."""
        now = self._parts.clock.monotonic()
        with self._lock:
            case = _Case(Evidence(now), now + FIRST_LOOKS_S[0], self._tasks.event())
            self._cases.setdefault(journal_id, case)
        self._wake.set()

    def wait(self, row: JournalRow, patience_s: float) -> JournalRow:
        """Wait a moment for an adopted order; the row as it is then, maybe still unknown."""
        with self._lock:
            case = self._cases.get(row.id)
        if case is not None:
            case.closed.wait(patience_s)
        return self._parts.journal.get(row.id) or row

    def heard(self, row: JournalRow) -> None:
        """The feed or the book spoke of an order: a case it settles is closed at once."""
        if row.known.state is not State.UNKNOWN:
            self._close(row.id)

    def _run(self) -> None:
        while not self._stopping:
            pause_s = TICK_S
            # the next order of unknown outcome must be looked for
            with survive(log, "settler"):
                pause_s = self._start_due()
            self._wake.wait(pause_s)
            self._wake.clear()

    def _start_due(self) -> float:
        """Begin the readings that are due; seconds until the next."""
        now = self._parts.clock.monotonic()
        with self._lock:
            cases = dict(self._cases)
        free = AT_ONCE - sum(c.reading is not None and not c.reading.done() for c in cases.values())
        waits = [TICK_S]
        for journal_id, case in cases.items():
            if case.reading is not None:
                if not case.reading.done():
                    continue
                if (error := case.reading.exception()) is not None:
                    log.error("settling J%d: %r", journal_id, error)
                case.reading = None
            if case.next_at > now:
                waits.append(case.next_at - now)
            elif free > 0:
                free -= 1
                case.reading = self._tasks.start("settle", partial(self._look, journal_id, case))
        return max(0.01, min(waits))

    def _look(self, journal_id: int, case: _Case) -> None:
        """One reading, and what it proves."""
        row = self._parts.journal.get(journal_id)
        if row is None or row.known.state is not State.UNKNOWN:  # the feed or the book was faster
            self._close(journal_id)
            return
        read_at = self._parts.clock.monotonic()
        case.looks += 1
        case.next_at = read_at + self._pause_s(case, read_at)
        try:
            found = self._reader.find_tag(row.tag)
        except AlgoError as exc:
            log.warning("looking for J%d: %s", journal_id, exc)
            return
        self._weigh(row, case, found, read_at)

    def _pause_s(self, case: _Case, now: float) -> float:
        rules = self._parts.settle_rules
        if case.looks < len(FIRST_LOOKS_S):
            return FIRST_LOOKS_S[case.looks]
        return min(EARLY_S, rules.gap_s) if now < case.evidence.lost_at + rules.horizon_s else rules.gap_s

    def _weigh(self, row: JournalRow, case: _Case, found: list[Order], read_at: float) -> None:
        rules = self._parts.settle_rules
        today = row.created_ns >= day_start_ns(self._parts.clock)
        case.evidence, event = weigh(case.evidence, row, found, read_at, rules, today=today)
        if len(found) > 1:
            log.error("the broker shows %d orders with the tag of J%d", len(found), row.id)
        if event is None:
            if not today and case.looks >= rules.reads:
                log.error("J%d is of an earlier day; today's book cannot tell its outcome", row.id)
                self._close(row.id)
            return
        try:
            detail = {"looks": case.looks, "found": len(found)}
            row = self._parts.journal.apply(Change(row.id, "settled", event, detail=detail))
            log.info("J%d is settled: %s %s", row.id, row.known.state, row.known.order_id)
        except machine.IllegalTransition:
            log.info("J%d was settled by somebody faster", row.id)
        self._close(row.id)

    def _close(self, journal_id: int) -> None:
        with self._lock:
            case = self._cases.pop(journal_id, None)
        if case is not None:
            case.closed.set()
