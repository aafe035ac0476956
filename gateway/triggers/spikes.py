"""Prices nobody could act on: reached while the gateway was down or deaf, or while entries were blocked.

Policy (``GTT_MISSED``): a price that is still there fires as any other does. One that was there and is gone
is told (the GTT's row and events, the log, open pages) and the GTT stays armed; with ``fire`` its order is
sent all the same, unless the market is closed or both triggers of an OCO were reached and nobody knows which
came first.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal

from brokers.clock import IST
from brokers.model import InstrumentKey, Quote
from gateway.store.gtt import GttRow
from gateway.triggers import machine, missed
from gateway.triggers.missed import Mark
from gateway.triggers.parts import GttParts
from gateway.triggers.watch import Seen

log = logging.getLogger(__name__)

SAVE_EVERY_S = 30.0
"""How often what was heard goes to disk. What a kill loses of it is looked at again, and changes nothing:
what reached a trigger while it was heard has fired."""

ASK_EVERY_S, ASK_CLOSED_S = 10.0, 900.0
"""Between two questions for a quote that did not tell the day's extremes, in market hours and beside them."""

Rows = Mapping[InstrumentKey, tuple[GttRow, ...]]


class Spikes:
    """Compares the day's extremes with what was heard.

    ``heard`` is for the tick thread, ``compare`` for the one that reads quotes, the rest for the one that
    journals.
    """

    def __init__(self, parts: GttParts, cross: Callable[[GttRow, int, Seen], None]) -> None:
        self._parts = parts
        self._store = parts.store
        self._cross = cross
        self._marks: dict[int, Mark] = {}
        self._compared: set[int] = set()
        self._seen: set[int] = set()
        self._asked: dict[InstrumentKey, float] = {}
        self._heard: dict[InstrumentKey, tuple[date, float, float]] = {}
        self._misses: queue.SimpleQueue[tuple[GttRow, str]] = queue.SimpleQueue()
        self._told: set[int] = set()
        self._save_at = float("-inf")
        self._hurry = False

    def load(self) -> None:
        self._marks = self._store.marks.all()

    def due(self, rows: Rows) -> set[InstrumentKey]:
        """Instruments with a GTT whose extremes were not looked at yet, and were not asked for just now."""
        clock = self._parts.clock
        now, at = clock.now(), clock.monotonic()
        found = set()
        for key, armed in rows.items():
            if all(row.id in self._compared for row in armed):
                continue
            pause_s = ASK_EVERY_S if self._parts.calendar.is_open(key.exchange, now) else ASK_CLOSED_S
            if at - self._asked.get(key, float("-inf")) >= pause_s or self._is_new(armed):
                self._asked[key] = at
                self._seen.update(row.id for row in armed)
                found.add(key)
        return found

    def _is_new(self, armed: Iterable[GttRow]) -> bool:
        return any(row.id not in self._seen for row in armed)

    def forget(self, gtt_id: int) -> None:
        """Its terms are about to change: what was known of the old ones says nothing of the new."""
        self._store.marks.drop(gtt_id)
        self._marks.pop(gtt_id, None)
        self._compared.discard(gtt_id)
        self._seen.discard(gtt_id)

    def heard(self, key: InstrumentKey, price: float) -> None:
        """A price that was looked at."""
        known = self._heard.get(key)
        if known is not None and known[2] <= price <= known[1]:
            return
        day = self._parts.clock.now().astimezone(IST).date()
        if known is None or known[0] != day:
            self._heard[key] = (day, price, price)
        else:
            self._heard[key] = (day, max(known[1], price), min(known[2], price))

    def blocked(self, row: GttRow, seen: Seen) -> None:
        """A price came while entries are blocked."""
        if row.known.code != machine.MISSED and row.id not in self._told:
            self._told.add(row.id)
            self._misses.put((row, f"missed: {seen.price} was reached while entries were blocked; not fired"))

    def compare(self, key: InstrumentKey, quote: Quote, armed: Iterable[GttRow]) -> None:
        now = self._parts.clock.now()
        is_open = self._parts.calendar.is_open(key.exchange, now)
        mark = missed.mark_of(quote, now, is_open=is_open)
        last = Decimal(str(quote.ltp))
        if mark is None:
            return
        for row in armed:
            self._compared.add(row.id)
            before = self._marks.get(row.id)
            found = missed.reached(row.known.terms, row.updated_ns, before, mark)
            there = machine.first_crossed(row.known.terms, last) is not None
            if found is not None and not (there and is_open):
                self._miss(row, found, before, may_fire=is_open and not self._parts.blocked())
            if found is None or not there:
                # else the mark stays: should the order not leave, the price was missed all the same
                self._marks[row.id] = mark if before is None else before.widened(mark)
                # without a first one on disk nothing could be said after a kill
                self._hurry |= before is None

    def _miss(self, row: GttRow, found: missed.Reached, before: Mark | None, *, may_fire: bool) -> None:
        fires = may_fire and self._parts.fires_missed and len(found.legs) == 1
        self._misses.put((row, missed.sentence(row.known.terms, found, before, fired=fires)))
        if fires:
            ((leg, extreme),) = found.legs
            self._cross(row, leg, Seen(extreme, self._parts.clock.time_ns() // 1_000_000))

    def journal(self) -> bool:
        """Write down what was missed; whether there was anything. Raises ``StoreError``."""
        any_found = False
        while not self._misses.empty():
            row, reason = self._misses.get()
            any_found = True
            try:
                after = self._store.apply(row.id, "missed", machine.Missed(reason))
            except machine.IllegalStep as exc:
                log.info("GTT %s: %s", row.shown_id, exc)
                self._told.discard(row.id)
                continue
            log.warning("GTT %s (%s) %s", row.shown_id, row.known.terms.key, reason)
            self._parts.announce(after)
        return any_found

    def save(self, rows: Rows, *, now: bool = False) -> None:
        """Put what is known on disk, from time to time. Raises ``StoreError``."""
        clock = self._parts.clock
        if not (now or self._hurry) and clock.monotonic() < self._save_at:
            return
        self._hurry = False
        self._save_at = clock.monotonic() + SAVE_EVERY_S
        on_disk = self._store.marks.all()
        changed = {}
        for key, armed in rows.items():
            for row in armed:
                mark = self._marks.get(row.id)
                if mark is None:
                    continue  # no quote yet: what was heard alone is not the day's range
                if (heard := self._heard.get(key)) is not None:
                    high, low = Decimal(str(heard[1])), Decimal(str(heard[2]))
                    mark = self._marks[row.id] = mark.widened(Mark(clock.time_ns(), heard[0], high, low))
                old = on_disk.get(row.id)
                if old is None or (old.day, old.high, old.low) != (mark.day, mark.high, mark.low):
                    changed[row.id] = mark
        self._store.marks.put(changed)
