"""Ends ``unknown`` by evidence, in the background and, for a moment, while the caller waits (O2)."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from brokers.errors import AlgoError
from brokers.model import Order
from gateway.store.journal import Change, JournalRow
from gateway.trading import machine
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader, day_start_ns
from gateway.trading.reconcile import Evidence, weigh

log = logging.getLogger(__name__)

TICK_S = 0.2
EARLY_S = 1.0
"""Distance of readings before the horizon: they can only find it."""
FIRST_LOOKS_S = (0.05, 0.15, 0.3, 0.5)
"""Pauses of the looks a waiting caller gets."""


@dataclass(slots=True)
class _Case:
    evidence: Evidence
    next_at: float
    looks: int = 0


class Settler:
    """Looks for orders of unknown outcome by their tags until the broker shows them or never got them."""

    def __init__(self, parts: DeskParts, reader: Reader) -> None:
        self._parts = parts
        self._reader = reader
        self._cases: dict[int, _Case] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def adopt(self, journal_id: int) -> None:
        """Take charge of an order whose answer was lost now (or before this process began)."""
        now = self._parts.clock.monotonic()
        with self._lock:
            self._cases.setdefault(journal_id, _Case(Evidence(now), now))

    def look(self, row: JournalRow, patience_s: float) -> JournalRow:
        """Look for a moment while the caller waits; the row as it is then, maybe still unknown."""
        deadline = self._parts.clock.monotonic() + patience_s
        for pause_s in FIRST_LOOKS_S:
            if self._stop.wait(max(0.0, min(pause_s, deadline - self._parts.clock.monotonic()))):
                break
            row = self._step(row.id) or row
            if row.known.state is not State.UNKNOWN or self._parts.clock.monotonic() >= deadline:
                break
        return row

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            now = self._parts.clock.monotonic()
            with self._lock:
                due = [journal_id for journal_id, case in self._cases.items() if case.next_at <= now]
            for journal_id in due:
                try:
                    self._step(journal_id)
                except Exception:
                    # top of the thread: the next order of unknown outcome must be looked for
                    log.exception("settling J%d", journal_id)

    def _step(self, journal_id: int) -> JournalRow | None:
        """One look; the row after it."""
        row = self._parts.journal.get(journal_id)
        with self._lock:
            case = self._cases.get(journal_id)
        if row is None or case is None:
            return row
        if row.known.state is not State.UNKNOWN:  # the feed or the book was faster
            self._close(journal_id)
            return row
        rules = self._parts.settle_rules
        read_at = self._parts.clock.monotonic()
        early = read_at < case.evidence.lost_at + rules.horizon_s
        case.next_at = read_at + (min(EARLY_S, rules.gap_s) if early else rules.gap_s)
        try:
            found = self._reader.find_tag(row.tag)
        except AlgoError as exc:
            log.warning("looking for J%d: %s", journal_id, exc)
            return row
        return self._weigh(row, case, found, read_at)

    def _weigh(self, row: JournalRow, case: _Case, found: list[Order], read_at: float) -> JournalRow:
        today = row.created_ns >= day_start_ns(self._parts.clock)
        case.looks += 1
        case.evidence, event = weigh(
            case.evidence, row, found, read_at, self._parts.settle_rules, today=today
        )
        if len(found) > 1:
            log.error("the broker shows %d orders with the tag of J%d", len(found), row.id)
        if event is None:
            if not today and case.looks >= self._parts.settle_rules.reads:
                log.error("J%d is of an earlier day; its outcome cannot be learned from today's book", row.id)
                self._close(row.id)
            return row
        try:
            row = self._parts.journal.apply(
                Change(row.id, "settled", event, detail={"looks": case.looks, "found": len(found)})
            )
        except machine.IllegalTransition:
            row = self._parts.journal.get(row.id) or row  # somebody else was faster
        self._close(row.id)
        log.info("J%d is settled: %s %s", row.id, row.known.state, row.known.order_id)
        return row

    def _close(self, journal_id: int) -> None:
        with self._lock:
            self._cases.pop(journal_id, None)
