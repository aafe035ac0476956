"""Watches the armed GTT orders of the gateway and carries out their fires.

Ticks are looked at on the thread that hears them (a dictionary look-up unless the symbol is watched),
journaling happens on one thread, each order is sent on a thread of its own. Quotes fill in where no tick
comes: after a start, at the open, while the feed is down.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import msgspec

from brokers.errors import AlgoError, StoreError
from brokers.model import InstrumentKey, Mode
from gateway.store.gtt import GttRow
from gateway.survive import survive
from gateway.triggers import fire, machine
from gateway.triggers.machine import Keeper, State
from gateway.triggers.parts import GttParts
from gateway.triggers.spikes import Spikes
from gateway.triggers.watch import Seen, fired

log = logging.getLogger(__name__)

CHORES_S = 0.5
LOOK_EVERY_S = 2.0
QUIET_S = 10.0
"""A watched symbol without a tick for this long is quoted."""
RETRY_FOR_S = 600.0
"""How long an order that certainly is not out is tried again in one run, for reasons that pass."""
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
AT_ONCE = 8
"""Orders sent at the same moment; a broker that hangs holds up this many."""


class _Tick(msgspec.Struct):
    ltp: float = 0.0
    timestamp: int = 0
    ltt: int | None = None


_decode = msgspec.json.Decoder(_Tick, strict=False).decode


@dataclass(slots=True)
class _Case:
    """One fire on its way. Times are monotonic seconds."""

    row: GttRow
    begun: float
    next_at: float
    looks: int = 0
    busy: bool = False


@dataclass(slots=True)
class _Watched:
    """What the tick thread needs; replaced whole."""

    topics: dict[bytes, InstrumentKey] = field(default_factory=dict)
    rows: dict[InstrumentKey, tuple[GttRow, ...]] = field(default_factory=dict)


class Runner:
    """Fires what the gateway keeps. ``start`` takes up what the last run left."""

    def __init__(self, parts: GttParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watched = _Watched()
        self._crossings: queue.SimpleQueue[tuple[GttRow, int, Seen] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued: set[int] = set()
        self._cases: dict[int, _Case] = {}
        self._heard_at: dict[InstrumentKey, float] = {}
        self.spikes = Spikes(parts, self._cross)
        self._stale = True
        self._wanted_at = float("-inf")
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.spikes.load()
        self._parts.ticks.listen(self.heard)
        for name, work in (("triggers", self._run), ("trigger-quotes", self._quote)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Orders being sent end by themselves; what they did not journal is taken up at the next start."""
        self._stopping.set()
        self._crossings.put(None)
        for thread in self._threads:
            thread.join(timeout_s)
        if self._threads:
            try:
                self.spikes.save(self._watched.rows, now=True)
            except StoreError as exc:
                log.error("what was last known of GTT orders could not be kept: %s", exc)

    def changed(self) -> None:
        """A GTT came, went or has other terms. Does not block."""
        self._stale = True
        self._crossings.put(None)

    def keys(self) -> set[InstrumentKey]:
        return {row.known.terms.key for row in self._mine() if row.known.state is State.ACTIVE}

    def _mine(self) -> list[GttRow]:
        return [row for row in self._store.working() if row.kept_by is Keeper.GATEWAY]

    # -- prices -----------------------------------------------------------------------------------------

    def heard(self, topic: bytes, payload: bytes) -> None:
        """A message of the tick bus; on its thread, so it never blocks."""
        key = self._watched.topics.get(topic)
        if key is None:
            return
        try:
            tick = _decode(payload)
        except msgspec.DecodeError:
            return
        self._heard_at[key] = self._parts.clock.monotonic()
        self.look(key, Seen(Decimal(str(tick.ltp)), tick.timestamp, tick.ltt))
        self.spikes.heard(key, tick.ltp)

    def look(self, key: InstrumentKey, seen: Seen) -> None:
        """Hand what a price fires to the journaling thread, each GTT once."""
        for row in self._watched.rows.get(key, ()):
            leg = fired(row.known.terms, seen, self._parts.clock.now(), self._parts.calendar)
            if leg is None:
                continue
            if self._parts.blocked():
                self.spikes.blocked(row, seen)
                continue
            self._cross(row, leg, seen)

    def _cross(self, row: GttRow, leg: int, seen: Seen) -> None:
        with self._lock:
            if row.id in self._queued:
                return
            self._queued.add(row.id)
        self._crossings.put((row, leg, seen))

    def _quote(self) -> None:
        """Where no tick comes, the broker is asked: a price may have jumped while nobody looked."""
        told = ""
        while not self._stopping.is_set():
            with survive(log, "looking at quotes for GTT orders"):
                told = self._look_at_quiet(told)
            self._stopping.wait(LOOK_EVERY_S)

    def _look_at_quiet(self, told: str) -> str:
        """What the broker said against it; said again in the log only when it is something else."""
        try:
            self.look_at_quiet()
        except AlgoError as exc:
            if str(exc) != told:
                log.warning("GTT orders without ticks cannot be compared with a quote: %s", exc)
            return str(exc)
        return ""

    def look_at_quiet(self) -> None:
        """Compare what has had no tick for a while with a quote, in market hours.

        And whatever is new here, at any hour, with the day's extremes. Raises broker errors.
        """
        now, at = self._parts.clock.now(), self._parts.clock.monotonic()
        rows = self._watched.rows
        due = self.spikes.due(rows)
        quiet = [
            key
            for key in rows
            if key in due
            or (
                at - self._heard_at.get(key, float("-inf")) >= QUIET_S
                and self._parts.calendar.is_open(key.exchange, now)
            )
        ]
        if not quiet:
            return
        found, _ = self._parts.quotes(quiet)
        for key, quote in found.items():
            seen_ms = self._parts.clock.time_ns() // 1_000_000
            self._heard_at[key] = self._parts.clock.monotonic()
            # first: what is missed and fired nevertheless is fired once
            self.spikes.compare(key, quote, rows.get(key, ()))
            self.look(key, Seen(Decimal(str(quote.ltp)), seen_ms, quote.last_trade_ms))

    # -- the journaling thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            # the next price must be looked at
            with survive(log, "GTT orders") as turn:
                try:
                    self._turn()
                except StoreError as exc:
                    log.error("GTT orders: %s", exc)
                    self._stopping.wait(CHORES_S)
            if turn.failed:
                self._stopping.wait(CHORES_S)

    def _turn(self) -> None:
        try:
            crossing = self._crossings.get(timeout=CHORES_S)
        except queue.Empty:
            crossing = None
        self._stale |= self.spikes.journal()
        if crossing is not None:
            self._crossed(*crossing)
        self.chores()

    def chores(self) -> None:
        """Reload what changed, expire what is over, send what is due."""
        if self._stale:
            self._stale = False
            self._reload()
        self._expire()
        now = self._parts.clock.monotonic()
        if now - self._wanted_at >= 1.0:
            self._wanted_at = now
            self._parts.ticks.want(self._watched.rows)
        self._send_due()
        self.spikes.save(self._watched.rows)

    def _crossed(self, row: GttRow, leg: int, seen: Seen) -> None:
        try:
            after = fire.cross(self._store, row, leg, seen)
        except machine.IllegalStep as exc:
            log.info("GTT %s did not fire: %s", row.shown_id, exc)
            self._stale = True
            return
        finally:
            # only now: the rows handed out again below are those on disk
            with self._lock:
                self._queued.discard(row.id)
        log.info("GTT %s: %s reached %s", row.shown_id, row.known.terms.key, seen.price)
        if self._parts.purse is not None:
            # its order is margined for itself
            self._parts.purse.free(row.shown_id)
        self._stale = True
        self._take_up(after)

    def _take_up(self, row: GttRow) -> None:
        now = self._parts.clock.monotonic()
        self._cases.setdefault(row.id, _Case(row, now, now))

    def _reload(self) -> None:
        watched = _Watched()
        for row in self._armed():
            if row.known.state is State.FIRING:
                self._take_up(row)
            elif row.known.state is State.ACTIVE:
                key = row.known.terms.key
                watched.rows[key] = (*watched.rows.get(key, ()), row)
                for mode in Mode:
                    watched.topics[f"{key.exchange}_{key.symbol}_{mode.name}".encode()] = key
        self._watched = watched
        self._wanted_at = float("-inf")

    def _armed(self) -> list[GttRow]:
        """What the journal has, and what that blocks."""
        purse = self._parts.purse
        if purse is None:
            return self._mine()
        with purse.lock:
            rows = self._mine()
            armed = {}
            for row in rows:
                instrument = self._parts.table.by_key(row.known.terms.key)
                if row.known.state is State.ACTIVE and instrument is not None:
                    armed[row.shown_id] = (row.known.terms, instrument)
            purse.keep(armed)
        return rows

    def _expire(self) -> None:
        now = self._parts.clock.time_ns()
        over = [
            row
            for rows in self._watched.rows.values()
            for row in rows
            if row.expires_ns is not None and row.expires_ns <= now
        ]
        for row in over:
            self._stale = True
            try:
                self._store.apply(row.id, "expired", machine.Expired())
            except machine.IllegalStep:
                log.info("GTT %s ended before it expired", row.shown_id)

    def _send_due(self) -> None:
        now = self._parts.clock.monotonic()
        with self._lock:
            free = AT_ONCE - sum(case.busy for case in self._cases.values())
            due = [c for c in self._cases.values() if not c.busy and c.next_at <= now][: max(0, free)]
            for case in due:
                case.busy = True
        for case in due:
            self._spawn(partial(self._send, case))

    def _spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="trigger-order", daemon=True).start()

    def _send(self, case: _Case) -> None:
        """One look at a fire; what is left to do stays a case."""
        clock = self._parts.clock
        after: GttRow | None = None
        try:
            # read anew: only this thread moves a fire on, so what it reads stays true until it writes
            now = self._store.row(case.row.id) or case.row
            after = now if now.known.state is not State.FIRING else None
            if after is None:
                last = clock.monotonic() - case.begun > RETRY_FOR_S
                found = fire.send(self._store, self._parts.desk, clock, now, last_try=last)
                after = None if isinstance(found, fire.Look) else found
        except StoreError as exc:
            log.error("GTT %s: %s; it is done again", case.row.shown_id, exc)
        except Exception:
            # top of one sending: what became of it is asked, it is never sent again blindly
            log.exception("GTT %s: its order is asked about again", case.row.shown_id)
        with self._lock:
            case.busy = False
            case.next_at = clock.monotonic() + BACKOFF_S[min(case.looks, len(BACKOFF_S) - 1)]
            case.looks += 1
            if after is not None:
                case.row = after
                if after.known.state is not State.FIRING:
                    del self._cases[case.row.id]
        self.changed()
