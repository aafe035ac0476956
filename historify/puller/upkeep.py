"""What the one that writes does besides pulling: the inbox, imports, an old store, and tidying up."""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import date

from brokers.calendar import Calendar
from brokers.clock import IST, Clock
from historify import tail
from historify.contract import BarStore
from historify.control import Control
from historify.errors import BadBars, ForeignStore, StoreDamaged, WrongInterval
from historify.lease import Lease
from historify.paths import StorePaths
from historify.portable.tasks import Tasks, work
from historify.segments import manifest
from historify.segments.collect import collect
from historify.segments.inbox import Inbox
from historify.store import SegmentStore

log = logging.getLogger(__name__)

YEARS_AT_A_TIME = 25
"""Series whose ended year is merged in one go: a job never waits longer than that."""
ENDED_DAYS = 45
"""A series without a bar for so long is an expired contract or a delisted share."""
PROVENANCE_S = 86_400.0
"""A batch that a later one replaced whole is remembered for so long."""
REJECTED_S = 30 * 86_400.0


class Upkeep:
    """Under the lease of the caller. One thread's.

    Args:
        paths: Of the store; with bars on a server, of the folder its jobs and its inbox lie in.
    """

    def __init__(
        self, store: BarStore, control: Control, paths: StorePaths, calendar: Calendar, clock: Clock
    ) -> None:
        self._store = store
        self._control = control
        self._paths = paths
        self._calendar = calendar
        self._clock = clock
        self._segments = store if isinstance(store, SegmentStore) else None
        self._inbox = Inbox(paths.inbox)
        self._tasks = Tasks(control, clock)
        self._strange = self._is_strange()
        self._merged_on: date | None = None

    @property
    def strange(self) -> bool:
        """Whether a file lies at the face's path that this store never published: an OpenAlgo store?

        No face is published before ``drain`` looked at it.
        """
        return self._strange

    def waits(self) -> bool:
        """Whether ``drain`` has anything to do."""
        if self._strange or self._tasks.waits():
            return True
        with contextlib.suppress(OSError), os.scandir(self._paths.inbox) as found:
            return any(each.name.endswith(".bars") for each in found)
        return False

    def drain(self, lease: Lease) -> int:
        """Do what other processes left for the one that writes; returns how many changes that made.

        That is taking over an old store, publishing the inbox, and carrying out imports and deletions.

        Raises:
            StoreBusy: Among others, when a program has the old store open to write: it is tried again.
        """
        migrated = self._migrate(lease) if self._strange else 0
        letters = self._inbox.waiting()
        for letter in letters:
            try:
                self._store.put(
                    letter.series,
                    letter.bars,
                    fence=lease,
                    provenance=letter.provenance,
                    covered=letter.covered,
                )
            except (BadBars, WrongInterval, StoreDamaged) as exc:
                # never publishable as things are: it must not stay first and hold up the others
                self._inbox.reject(letter.path, str(exc))
            else:
                self._inbox.done(letter)
        tasks = work(
            self._tasks,
            self._store,
            fence=lease,
            calendar=self._calendar,
            clock=self._clock,
            beat=lease.renew,
        )
        return migrated + len(letters) + tasks

    def tidy(self, lease: Lease, orphans: bool) -> None:
        """Delete what nobody lists any more, and merge the months of a year that is over.

        Args:
            orphans: Also files no manifest ever listed: at a new epoch.
        """
        now_s = self._clock.time_ns() / 1e9
        if self._segments is not None:
            collect(self._control, self._paths, lease.epoch, now_s, orphans=orphans)
            if not orphans:
                self._merge_years(self._segments, lease)
        with self._control.transaction(durable=False) as tx:
            tail.drop(tx, int(now_s) - ENDED_DAYS * 86_400)
            manifest.forget_replaced(tx, int(now_s - PROVENANCE_S))
        self._clear_rejected(now_s)

    def _is_strange(self) -> bool:
        if self._segments is None or not self._paths.face.exists():
            return False
        with self._control.read() as connection:
            return connection.execute("SELECT 1 FROM face").fetchone() is None

    def _migrate(self, lease: Lease) -> int:
        """A file that is no market-data store stays untouched; so does one that is open to write."""
        assert self._segments is not None
        taken = 0
        try:
            if self._segments.migrate(lease, lambda done, of, name: lease.renew()) is not None:  # noqa: ARG005
                log.info("took over the OpenAlgo store at %s", self._paths.face)
                taken = 1
        except ForeignStore as exc:
            log.error("%s", exc)
        self._strange = False
        return taken

    def _merge_years(self, segments: SegmentStore, lease: Lease) -> None:
        """Without pyarrow, which an idle puller never loads, when nothing is due; once a day."""
        today = self._clock.now().astimezone(IST).date()
        if self._merged_on == today:
            return
        with self._control.read() as connection:
            due = manifest.has_months_before(connection, today.year)
        closed = segments.writer.close_years(lease, most=YEARS_AT_A_TIME) if due else 0
        if closed:
            log.info("%d ended years merged into one file each", closed)
        if closed < YEARS_AT_A_TIME:
            self._merged_on = today

    def _clear_rejected(self, now_s: float) -> None:
        with contextlib.suppress(OSError), os.scandir(self._paths.inbox) as found:
            for each in found:
                if each.name.endswith(".bad") and each.stat().st_mtime < now_s - REJECTED_S:
                    os.unlink(each.path)
