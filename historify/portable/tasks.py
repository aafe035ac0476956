"""Imports, deletions and mending: asked for by any process, carried out by the one that writes.

A task is a row in ``control.db``; the puller does what waits between two pulls (``work``), a command does it
under the puller's lock while no puller runs. A task that a killed process had begun is begun again by the
next one: an import that is repeated changes nothing twice.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.errors import AlgoError, InvalidRequest
from historify.contract import BarStore, Fence
from historify.control import Control
from historify.days import trading_date
from historify.errors import LeaseLost
from historify.jobs.model import Conflict, JobRequest, NoSuch
from historify.jobs.queue import Queue
from historify.model import Series
from historify.portable import importing
from historify.portable.importing import ImportOptions, ImportRefused
from historify.segments.damage import Damage
from historify.store import SegmentStore

log = logging.getLogger(__name__)

_COLUMNS = (
    "id, kind, params, state, rows_done, rows, report, code, error, requested_by, epoch, created_at, "
    "updated_at, ended_at"
)


class TaskState(StrEnum):
    """Where a task stands; the last three are its end."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cancelled(AlgoError):
    """Somebody cancelled the task while it ran."""

    code = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Task:
    """One import, deletion or mending as it stands.

    Attributes:
        kind: ``import``, ``delete`` or ``mend``.
        params: What was asked for.
        rows_done, rows: Written so far and in all, for an import; bars removed, for a deletion.
        report: What an import found (``ImportReport.plain``) or a mending did; None before it looked.
        code, error: Why it failed.
    """

    id: int
    kind: str
    params: dict[str, Any]
    state: TaskState
    rows_done: int
    rows: int
    report: dict[str, Any] | None
    code: str
    error: str
    requested_by: str
    epoch: int
    created_at_s: int
    updated_at_s: int
    ended_at_s: int | None


class Tasks:
    """Thread-safe. Every method raises ``StoreBusy`` when another process keeps ``control.db`` too long."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def add_import(
        self,
        path: Path,
        options: ImportOptions,
        *,
        name: str = "",
        owned: bool = False,
        requested_by: str = "",
    ) -> Task:
        """Queue an import of a file of this machine.

        Args:
            name: What to call it in reports.
            owned: The file was uploaded for this and goes away when the task has ended.
        """
        params = {"path": str(path.resolve()), "name": name or path.name, "owned": owned, **asdict(options)}
        return self._add("import", params, requested_by)

    def add_delete(
        self,
        series: Sequence[Series],
        *,
        start: date | None = None,
        end: date | None = None,
        requested_by: str = "",
    ) -> Task:
        """Queue the removal of whole series, or of their days start..end, both inclusive.

        Raises:
            InvalidRequest: No series, or the dates are reversed.
        """
        if not series:
            raise InvalidRequest("nothing to delete: no stored series is named")
        if start is not None and end is not None and start > end:
            raise InvalidRequest(f"start {start} is after end {end}")
        params = {
            "series": [[one.exchange, one.symbol, one.interval] for one in series],
            "start": None if start is None else start.isoformat(),
            "end": None if end is None else end.isoformat(),
        }
        return self._add("delete", params, requested_by)

    def add_mend(self, series: Sequence[Series], *, requested_by: str = "") -> Task:
        """Queue taking damaged files of these series out of the store; what was in them is pulled again.

        Raises:
            InvalidRequest: No series.
        """
        if not series:
            raise InvalidRequest("nothing to mend: no series is named")
        params = {"series": [[one.exchange, one.symbol, one.interval] for one in series]}
        return self._add("mend", params, requested_by)

    def pull_again(self, found: Sequence[Damage], *, requested_by: str) -> list[int]:
        """Queue pulls of what damaged files held; ids of the jobs."""
        queue = Queue(self._control, self._clock)
        jobs = []
        for one in found:
            series = one.segment.series
            first, last = (trading_date(ts, series.interval) for ts in (one.segment.lo, one.segment.hi))
            key = (series.exchange, series.symbol)
            wish = JobRequest((key,), (series.interval,), first, last, requested_by=requested_by)
            jobs.append(queue.enqueue(wish)[0].id)
        return jobs

    def listing(self, limit: int = 100) -> list[Task]:
        """Newest first."""
        return self._select("ORDER BY id DESC LIMIT ?", limit)

    def show(self, task_id: int) -> Task:
        """Raises ``NoSuch``."""
        found = self._select("WHERE id = ?", task_id)
        if not found:
            raise NoSuch(f"no import or deletion {task_id}")
        return found[0]

    def cancel(self, task_id: int) -> Task:
        """Rows written until then stay. Raises ``NoSuch``, ``Conflict`` when it has ended."""
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            changed = tx.execute(
                "UPDATE task SET state = 'cancelled', updated_at = ?, ended_at = ? "
                "WHERE id = ? AND state IN ('queued', 'running')",
                (now, now, task_id),
            ).rowcount
        found = self.show(task_id)
        if not changed and found.state is not TaskState.CANCELLED:
            raise Conflict(f"task {task_id} is {found.state}; it cannot be cancelled any more")
        return found

    def waits(self) -> bool:
        """Whether there is anything to do; asked by the one process that writes, while it does nothing."""
        with self._control.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM task WHERE state IN ('queued', 'running') LIMIT 1"
            ).fetchone()
        return row is not None

    def claim(self, epoch: int) -> Task | None:
        """The oldest one that waits, or that an earlier epoch had begun; None when there is none."""
        with self._control.transaction(durable=False) as tx:
            row = tx.execute(
                "SELECT id FROM task WHERE state = 'queued' OR (state = 'running' AND epoch < ?) "
                "ORDER BY id LIMIT 1",
                (epoch,),
            ).fetchone()
            if row is None:
                return None
            tx.execute(
                "UPDATE task SET state = 'running', epoch = ?, updated_at = ? WHERE id = ?",
                (epoch, self._now(), row[0]),
            )
        return self.show(int(row[0]))

    def progress(self, task: Task, done: int, rows: int) -> None:
        """Raises ``Cancelled`` when it was cancelled meanwhile."""
        with self._control.transaction(durable=False) as tx:
            changed = tx.execute(
                "UPDATE task SET rows_done = ?, rows = ?, updated_at = ? WHERE id = ? AND state = 'running'",
                (done, rows, self._now(), task.id),
            ).rowcount
        if not changed:
            raise Cancelled(f"task {task.id} was cancelled")

    def ended(self, task: Task, rows: int, report: dict[str, Any] | None, error: AlgoError | None) -> None:
        """Note how it went; a cancelled one stays so."""
        state = TaskState.DONE if error is None else TaskState.FAILED
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            tx.execute(
                "UPDATE task SET state = CASE state WHEN 'cancelled' THEN state ELSE ? END, rows_done = "
                "CASE WHEN ? < 0 THEN rows_done ELSE ? END, report = ?, code = ?, error = ?, updated_at = ?, "
                "ended_at = ? WHERE id = ?",
                (
                    str(state),
                    rows,
                    rows,
                    json.dumps(report),
                    "" if error is None else error.code,
                    "" if error is None else str(error),
                    now,
                    now,
                    task.id,
                ),
            )

    def _add(self, kind: str, params: dict[str, Any], requested_by: str) -> Task:
        now = self._now()
        with self._control.transaction() as tx:
            cursor = tx.execute(
                "INSERT INTO task(kind, params, state, requested_by, created_at, updated_at) "
                "VALUES (?, ?, 'queued', ?, ?, ?)",
                (kind, json.dumps(params, ensure_ascii=False), requested_by[:100], now, now),
            )
            task_id = int(cursor.lastrowid or 0)
        return self.show(task_id)

    def _select(self, rest: str, *values: object) -> list[Task]:
        with self._control.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM task {rest}", values).fetchall()
        return [_task(row) for row in rows]

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def work(
    tasks: Tasks,
    store: BarStore,
    *,
    fence: Fence,
    calendar: Calendar,
    clock: Clock,
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Carry out every task that waits; returns how many.

    Args:
        fence: Of the process that writes.
        beat: Called after each batch: renew the lease there.

    Raises:
        LeaseLost: Another process writes now; the task stays for it.
    """
    count = 0
    while (task := tasks.claim(fence.epoch)) is not None:
        perform(task, tasks, store, fence=fence, calendar=calendar, clock=clock, beat=beat)
        count += 1
    return count


def perform(
    task: Task,
    tasks: Tasks,
    store: BarStore,
    *,
    fence: Fence,
    calendar: Calendar,
    clock: Clock,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Carry out one claimed task and note how it went. Raises ``LeaseLost`` alone."""

    def told(done: int, rows: int) -> None:
        beat()
        tasks.progress(task, done, rows)

    path = Path(str(task.params.get("path", "")))
    try:
        if task.kind == "import":
            now_s = int(clock.now().timestamp())
            report = importing.run(
                store,
                path,
                _options(task.params),
                fence=fence,
                calendar=calendar,
                now_s=now_s,
                name=task.params["name"],
                progress=told,
            )
            tasks.ended(task, report.rows - report.bad, report.plain(), None)
        elif task.kind == "mend":
            tasks.ended(task, 0, _mend(task, tasks, store, fence), None)
        else:
            tasks.ended(task, _delete(task, store, fence, told), None, None)
    except LeaseLost:
        raise
    except ImportRefused as exc:
        tasks.ended(task, -1, exc.report.plain(), exc)
    except AlgoError as exc:
        log.warning("%s %d: %s", task.kind, task.id, exc)
        tasks.ended(task, -1, None, exc)
    if task.params.get("owned"):
        path.unlink(missing_ok=True)


def _mend(task: Task, tasks: Tasks, store: BarStore, fence: Fence) -> dict[str, Any]:
    if not isinstance(store, SegmentStore):
        raise InvalidRequest("bars on a server lie in no files that could be damaged")
    found: list[Damage] = []
    for exchange, symbol, interval in task.params["series"]:
        found += store.writer.drop_damaged(fence, Series(exchange, symbol, interval))
    # after the files are out: a pull is merged with what is stored
    jobs = tasks.pull_again(found, requested_by=f"mend {task.id}")
    return {"taken_out": [f"{one.segment.path}: {one.reason}" for one in found], "jobs": jobs}


def _delete(task: Task, store: BarStore, fence: Fence, told: Callable[[int, int], None]) -> int:
    start, end = (task.params[name] and date.fromisoformat(task.params[name]) for name in ("start", "end"))
    gone = 0
    for exchange, symbol, interval in task.params["series"]:
        gone += store.delete(Series(exchange, symbol, interval), fence=fence, start=start, end=end)
        told(gone, gone)
    return gone


def _options(params: dict[str, Any]) -> ImportOptions:
    names = ("exchange", "symbol", "interval", "zone", "skip_bad")
    return ImportOptions(**{name: params[name] for name in names})


def _task(row: sqlite3.Row | tuple[Any, ...]) -> Task:
    task_id, kind, params, state, done, rows, report, *rest = row
    return Task(task_id, kind, json.loads(params), TaskState(state), done, rows, json.loads(report), *rest)
