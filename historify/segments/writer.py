"""The one who writes: a batch becomes files, the files become visible in one transaction. Loads pyarrow.

Steps of a publish: read the files the batch touches → merge by ``ts`` → write new files, fsync, rename to
names never used → fsync the folders → one transaction that checks the epoch, switches the manifest and
notes catalog, coverage and provenance. A kill before the commit leaves files nobody lists (``collect``
removes them); after it, the batch is there.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from brokers.clock import IST, Clock
from historify import lease, tail
from historify.contract import Fence
from historify.control import Control
from historify.days import day_bounds, day_start, trading_date
from historify.errors import StoreDamaged, StoreError
from historify.model import Bars, Batch, PutReport, Series
from historify.paths import StorePaths
from historify.segments import columns, manifest
from historify.segments.collect import Collected, collect
from historify.segments.damage import Damage, verify
from historify.segments.files import Files, read
from historify.segments.manifest import Segment
from historify.segments.periods import Period, named, period_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    """Files of one series to switch."""

    old: tuple[Segment, ...]
    new: tuple[Segment, ...]
    added: int = 0
    changed: int = 0
    last_day: Bars | None = None
    """Of the newest of ``new``, for the tail."""


class Writer:
    """Thread-safe; one publish at a time."""

    def __init__(self, control: Control, paths: StorePaths, clock: Clock) -> None:
        self._control = control
        self._paths = paths
        self._clock = clock
        self._files = Files(paths)
        self._turn = threading.Lock()

    def put(self, batches: Sequence[Batch], fence: Fence) -> list[PutReport]:
        """Publish batches, all of them or none, in one transaction.

        Raises:
            BadBars, WrongInterval: One of them is not fit to be stored.
            LeaseLost, StoreFull, StoreBusy: Nothing was published.
            StoreDamaged: A file that a batch must be merged with is damaged; nothing was published.
        """
        tables = [columns.checked(batch.series, batch.bars) for batch in batches]
        if len({batch.series for batch in batches}) < len(batches):
            return [report for batch in batches for report in self.put([batch], fence)]
        with self._turn, self._writing() as new:
            changes = [
                self._merge(batch, table, fence.epoch, new)
                for batch, table in zip(batches, tables, strict=True)
            ]
            self._files.sync()
            self._publish_batches(batches, changes, fence)
        return [PutReport(len(b.bars), c.added, c.changed) for b, c in zip(batches, changes, strict=True)]

    def delete(self, series: Series, fence: Fence, start: date | None = None, end: date | None = None) -> int:
        """Remove the bars and the coverage of days start..end, both inclusive; None: no bound."""
        columns.check_series(series)
        lo, hi = day_bounds(series.interval, start or date(1970, 1, 2), end or date(9999, 12, 30))
        with self._turn, self._writing() as new:
            with self._control.read() as connection:
                old = manifest.segments(connection, series, lo, hi)
            gone = 0
            for one in old:
                left = None
                if one.lo < lo or one.hi >= hi:  # a file that goes whole need not be readable
                    left = columns.without(read(self._paths, one), lo, hi)
                if left is not None and len(left):
                    new.append(self._files.write(series, one.period, left, fence.epoch))
                gone += one.rows - (len(left) if left is not None else 0)
            self._files.sync()
            with self._control.transaction() as tx:
                lease.check(tx, fence)
                if old:
                    self._switch(tx, [_Change(tuple(old), tuple(new))])
                    manifest.recount(tx, series, self._now(), None)
                manifest.uncover(tx, series, start, end)
        return gone

    def drop_damaged(self, fence: Fence, series: Series | None = None) -> list[Damage]:
        """Take damaged files out of the manifest; their days count as never asked, so the next pull refills.

        Args:
            series: None looks at the whole store.
        """
        with self._turn:
            found = list(verify(self._control, self._paths.root, series))
            if found:
                with self._control.transaction() as tx:
                    lease.check(tx, fence)
                    self._switch(tx, [_Change((one.segment,), ()) for one in found])
                    for one in found:
                        of = one.segment.series
                        manifest.recount(tx, of, self._now(), None)
                        first, last = (
                            trading_date(ts, of.interval) for ts in (one.segment.lo, one.segment.hi)
                        )
                        manifest.uncover(tx, of, first, last)
        return found

    def close_years(self, fence: Fence, *, most: int | None = None) -> int:
        """Merge month files of years that are over into one file a year; returns how many years it closed.

        A year with a damaged month stays as it is: readers name the damage.

        Args:
            most: Close no more than so many now; None: all.
        """
        running = self._running_year()
        with self._control.read() as connection:
            due = connection.execute(
                "SELECT DISTINCT exchange, symbol, interval, substr(period, 1, 4) FROM segment"
                " WHERE length(period)=7 AND period < ?",
                (f"{running:04d}",),
            ).fetchall()
        closed = 0
        for exchange, symbol, interval, year in due:
            if closed == most:
                break
            series = Series(exchange, symbol, interval)
            try:
                with self._turn:
                    self._close_year(series, named(year), fence)
                closed += 1
            except StoreDamaged as exc:
                log.warning("%s of %s is not merged: %s", year, series, exc)
        return closed

    def collect(self, fence: Fence, *, orphans: bool = False) -> Collected:
        """Delete files nobody can be reading; with ``orphans`` also those no manifest ever listed."""
        with self._turn:
            return collect(self._control, self._paths, fence.epoch, self._now(), orphans=orphans)

    def _close_year(self, series: Series, year: Period, fence: Fence) -> None:
        with self._control.read() as connection:
            old = manifest.segments(connection, series, year.lo, year.hi)
        table = pa.concat_tables([read(self._paths, one) for one in old])
        with self._writing() as new:
            new.append(self._files.write(series, year.name, table, fence.epoch))
            self._files.sync()
            with self._control.transaction() as tx:
                lease.check(tx, fence)
                self._switch(tx, [_Change(tuple(old), tuple(new))])
                manifest.recount(tx, series, self._now(), None)

    def _merge(self, batch: Batch, table: pa.Table, epoch: int, written: list[Segment]) -> _Change:
        """Write the new files of one series, noted in ``written``; the ones they replace stay as they are."""
        series = batch.series
        old: list[Segment] = []
        new: list[Segment] = []
        added = changed = 0
        last_day: Bars | None = None
        for period, part in self._parts(batch, table):
            with self._control.read() as connection:
                present, period = _present(connection, series, period)
            current = [read(self._paths, one) for one in present]
            result = columns.merged(pa.concat_tables(current) if current else None, part)
            if result.added or result.changed:
                old += present
                new.append(self._files.write(series, period.name, result.table, epoch))
                written.append(new[-1])
                added, changed = added + result.added, changed + result.changed
                last_day = columns.bars_from(result.table, day_start(new[-1].hi, series.interval))
        return _Change(tuple(old), tuple(new), added, changed, last_day)

    def _parts(self, batch: Batch, table: pa.Table) -> list[tuple[Period, pa.Table]]:
        """The batch cut by the files it belongs into."""
        parts = []
        ts, running, begin = batch.bars.ts, self._running_year(), 0
        with self._control.read() as connection:
            while begin < len(ts):
                period = period_of(batch.series.interval, ts[begin], running)
                _, period = _present(connection, batch.series, period)
                end = bisect_left(ts, period.hi, begin)
                parts.append((period, table.slice(begin, end - begin)))
                begin = end
        return parts

    def _publish_batches(self, batches: Sequence[Batch], changes: Sequence[_Change], fence: Fence) -> None:
        with self._control.transaction() as tx:
            lease.check(tx, fence)
            self._switch(tx, changes)
            for batch, change in zip(batches, changes, strict=True):
                if change.new:
                    last_ts = manifest.recount(tx, batch.series, self._now(), batch.provenance.source)
                    if change.last_day is not None and last_ts == change.new[-1].hi:
                        tail.keep(tx, batch.series, change.new[-1].path, change.last_day)
                    bounds = (batch.bars.ts[0], batch.bars.ts[-1])
                    counts = (len(batch.bars), change.added, change.changed)
                    manifest.note(tx, batch.series, bounds, counts, batch.provenance, fence.epoch)
                if batch.covered:
                    manifest.cover(tx, batch.series, batch.covered)

    def _switch(self, tx: sqlite3.Connection, changes: Sequence[_Change]) -> None:
        if not any(change.old or change.new for change in changes):
            return
        publish, now = manifest.next_publish(tx), self._now()
        for change in changes:
            manifest.retire(tx, change.old, publish, now)
            for one in change.new:
                manifest.add(tx, one, publish, now)

    @contextmanager
    def _writing(self) -> Iterator[list[Segment]]:
        """A list for the files of one publish: however its block fails, those not published are removed."""
        new: list[Segment] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard, new)
            yield new
            undo.pop_all()

    def _discard(self, new: Sequence[Segment]) -> None:
        """Remove files that were not published; what stays behind is an orphan for the next start.

        The manifest is asked, not the exception: an interrupt may come after the commit.
        """
        with contextlib.suppress(OSError, StoreError):
            with self._control.read() as connection:
                lost = [one for one in new if one.path not in manifest.paths(connection, one.series)]
            for one in lost:
                one.file(self._paths.root).unlink()

    def _running_year(self) -> int:
        return self._clock.now().astimezone(IST).year

    def _now(self) -> float:
        return self._clock.time_ns() / 1e9


def _present(connection: sqlite3.Connection, series: Series, period: Period) -> tuple[list[Segment], Period]:
    """Files of a period; a wider one that is there already (the clock was set back) takes the batch."""
    present = manifest.segments(connection, series, period.lo, period.hi)
    wider = [one for one in present if len(one.period) < len(period.name)]
    if not wider:
        return present, period
    return _present(connection, series, named(wider[0].period))
