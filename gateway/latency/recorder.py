"""Keeps stage times, histograms and daily counts: one thread that writes behind everybody else.

``wrote`` and ``heard`` append to a queue and return; nothing here can delay or fail an order. Once a
second the thread joins what came, and commits it without waiting for the disk (``durable=False``): what was
committed survives ``kill -9``, what was not is at most a second of orders. Histograms live in memory, are
saved each minute and at the stop, and are made anew from the rows of the day after a kill.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.clock import IST, Clock
from brokers.errors import StoreError
from gateway.latency import rows
from gateway.latency.book import SAME_CLOCK_NS, Book, Duration, Gathered
from gateway.latency.histograms import Histogram
from gateway.latency.model import FIRST, LAST, day_of
from gateway.store.engine import Database, raw_of
from gateway.trading.stages import Heard, Written, offset_ns

log = logging.getLogger(__name__)

MOST_WAITING = 20_000
MOST_UNWRITTEN = 50_000
"""Rows kept while the disk refuses them."""
EVERY_S = 0.9
"""A commit costs more than the rows in it; what a kill loses is a second at most."""
SAVE_EVERY_S = 60.0
LOOK_EVERY_S = 5.0
SEEN_BEFORE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Called:
    """One read of the broker's REST: its name, how long it took, our code of its error (empty: none)."""

    name: str
    at_ns: int
    ns: int
    code: str


@dataclass(frozen=True, slots=True)
class Timed:
    """One figure of a page, checked by its endpoint."""

    at_ns: int
    order_id: str
    kind: str
    us: int


class Recorder:
    """The ``stages.Listener`` of a live desk.

    Args:
        look: Asked every five seconds with the seconds since the last time: counts to add (``presence``).
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        broker: str,
        keep_days: int,
        look: Callable[[float], Mapping[str, int]] = lambda _seconds: {},
    ) -> None:
        self.database = database
        self.dropped = 0
        self._clock = clock
        self._broker = broker
        self._keep_days = keep_days
        self._look = look
        self._queue: deque[Written | Heard | Called | Timed] = deque()
        self._book = Book(rows.begin(database, clock.time_ns()))
        self._unwritten = Gathered()
        self._timed: list[Timed] = []
        self._histograms: dict[tuple[str, str, str], Histogram] = {}
        self._unsaved: set[tuple[str, str, str]] = set()
        self._offset = offset_ns(clock)
        self._woken_ns = self._mono_ns()
        self._clock_set: deque[tuple[int, int]] = deque(maxlen=32)
        self._saved_s = self._looked_s = clock.monotonic()
        self._day = ""
        self._complained_s = float("-inf")
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- from any thread, never waiting -----------------------------------------------------------------

    def wrote(self, written: Written) -> None:
        self._put(written)

    def heard(self, heard: Heard) -> None:
        self._put(heard)

    def called(self, called: Called) -> None:
        self._put(called)

    def timed(self, timed: Timed) -> None:
        self._put(timed)

    def _put(self, item: Written | Heard | Called | Timed) -> None:
        if len(self._queue) < MOST_WAITING:
            self._queue.append(item)
        else:
            self.dropped += 1

    # -- its own thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write; returns at once."""
        self._thread = threading.Thread(target=self._run, name="latency", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, and close the file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        try:
            self.flush()
            with self._guard:
                self._save()
        except StoreError as exc:
            log.warning("the last stage times could not be written: %s", exc)
        self.database.close()

    def flush(self) -> None:
        """Commit everything that was told until now. Raises ``StoreError``."""
        with self._guard:
            self._drain()
            self._commit()

    def refresh(self) -> None:
        """As ``flush``, and the histograms too, for somebody who is about to read. Raises ``StoreError``."""
        with self._guard:
            self._drain()
            self._commit()
            self._save()

    def _run(self) -> None:
        self._attempt(self.restore, "histograms of a run that was killed are not made anew")
        while not self._stopping.wait(EVERY_S):
            self._attempt(self.turn, "stage times are not written")

    def _attempt(self, work: Callable[[], None], trouble: str) -> None:
        try:
            work()
        # the top of this thread: one bad moment must not end the figures for good
        except Exception as exc:
            if self._clock.monotonic() - self._complained_s > 60:
                self._complained_s = self._clock.monotonic()
                log.error("%s: %s", trouble, exc, exc_info=not isinstance(exc, StoreError))

    def turn(self) -> None:
        """One waking: join, commit, and now and then look, save and prune."""
        with self._guard:
            now_s = self._clock.monotonic()
            if now_s - self._looked_s >= LOOK_EVERY_S:
                since_s, self._looked_s = now_s - self._looked_s, now_s
                self._see(since_s)
            self._drain()
            self._commit()
            today = day_of(self._clock.time_ns())
            if now_s - self._saved_s >= SAVE_EVERY_S or today != self._day:
                self._saved_s = now_s
                self._save()
            if today != self._day:
                self._day = today
                self._prune()

    def _see(self, since_s: float) -> None:
        now_ns = self._clock.time_ns()
        day, now_ms = day_of(now_ns), now_ns // 1_000_000
        for name, value in self._look(since_s).items():
            self._book.gathered.count(day, name, value)
        # the span that figures per hour and uptime are about
        self._unwritten.counts.setdefault((day, FIRST), now_ms - int(since_s * 1000))
        self._unwritten.counts[day, LAST] = now_ms

    def _drain(self) -> None:
        self._watch_clock()
        for _ in range(len(self._queue)):
            item = self._queue.popleft()
            match item:
                case Written():
                    self._book.wrote(item, clock_set=self._was_set_under(item))
                case Heard():
                    self._book.heard(item)
                case Called():
                    self._count_call(item)
                case Timed():
                    self._timed.append(item)

    def _watch_clock(self) -> None:
        offset, now_ns = offset_ns(self._clock), self._mono_ns()
        if abs(offset - self._offset) > SAME_CLOCK_NS:
            self._clock_set.append((self._woken_ns, now_ns))
        self._offset, self._woken_ns = offset, now_ns

    def _was_set_under(self, said: Written) -> bool:
        """The wall clock was set between two wakings that this request overlaps.

        A request that began before the desk took it up is given a second.
        """
        answered = (said.times.answered_ns or 0) - said.offset
        begun = min((said.times.received_ns or 0) - said.offset, answered) - SEEN_BEFORE_NS
        return any(begun <= until and since <= answered for since, until in self._clock_set)

    def _count_call(self, called: Called) -> None:
        gathered, day = self._book.gathered, day_of(called.at_ns)
        gathered.count(day, "read.calls")
        gathered.durations.append(Duration(day, f"read {called.name}", "call", called.ns))
        if called.code:
            gathered.count(day, "read.errors")
            gathered.count(day, f"error.{called.code}")

    def _commit(self) -> None:
        """What was gathered, in one transaction; kept for the next try when that fails."""
        found, waiting = self._book.take(), self._unwritten
        for duration in found.durations:
            self._record(duration)
        waiting.rows.update(found.rows)
        for (day, name), value in found.counts.items():
            waiting.count(day, name, value)
        if not (waiting.rows or waiting.counts or self._timed):
            return
        if len(waiting.rows) > MOST_UNWRITTEN:
            self.dropped += len(waiting.rows)
            waiting.rows.clear()
        kept = self.database.write(lambda c: rows.put(raw_of(c), waiting, self._timed))
        self._unwritten, self._timed = Gathered(), []
        for timed in kept:
            self._record(Duration(day_of(timed.at_ns), "browser", timed.kind, timed.us * 1000))

    def _record(self, duration: Duration) -> None:
        key = (duration.day, duration.endpoint, duration.stage)
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = rows.histogram(self.database, self._broker, key)
        found.record_ns(duration.ns)
        self._unsaved.add(key)

    def _save(self) -> None:
        """Histograms to disk; those of other days leave memory."""
        if self._unsaved:
            encoded = {key: self._histograms[key].encode() for key in self._unsaved}
            self.database.write(lambda c: rows.save(raw_of(c), self._broker, encoded))
            self._unsaved.clear()
        today = day_of(self._clock.time_ns())
        for key in [key for key in self._histograms if key[0] != today]:
            del self._histograms[key]

    def restore(self) -> None:
        """After a kill: histograms of the days whose rows are newer than they. Raises ``StoreError``."""
        with self._guard:
            self._make_anew()

    def _make_anew(self) -> None:
        for day in rows.unclean_days(self.database, day_of(self._clock.time_ns())):
            for duration in rows.durations(self.database, day):
                key = (duration.day, duration.endpoint, duration.stage)
                self._histograms.setdefault(key, Histogram()).record_ns(duration.ns)
                self._unsaved.add(key)
        self._save()

    def _prune(self) -> None:
        oldest = datetime.fromtimestamp(self._clock.time_ns() / 1e9, IST) - timedelta(days=self._keep_days)
        until_ns = int(oldest.timestamp() * 1e9)
        while self.database.write(lambda c: rows.prune(raw_of(c), until_ns)) and not self._stopping.is_set():
            pass

    def _mono_ns(self) -> int:
        return int(self._clock.monotonic() * 1e9)
