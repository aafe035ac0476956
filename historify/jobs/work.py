"""The puller's side of the queue.

Every change is made under an epoch: of a job that another puller has taken over since, nothing can be changed
any more.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from brokers.clock import Clock
from historify.control import Control
from historify.jobs.model import Job, JobState
from historify.jobs.queue import SELECT_JOBS, job_of, rows_of
from historify.model import Series

MOST_TRIES = 5
"""Times a broker may fail on one series before the job goes on without it."""


class Gone(Exception):
    """The job is no longer this puller's to run: paused, cancelled, or taken over."""


@dataclass(frozen=True, slots=True)
class Task:
    """One series to pull."""

    job: Job
    series: Series


class Work:
    """What runs jobs under one epoch. Raises ``StoreBusy``."""

    def __init__(self, control: Control, clock: Clock, epoch: int) -> None:
        self._control = control
        self._clock = clock
        self._epoch = epoch
        self._since = clock.monotonic()

    def take_over(self) -> int:
        """Put jobs that an earlier epoch was running back into the queue; returns how many."""
        with self._control.transaction(durable=False) as tx:
            jobs = [
                row[0]
                for row in tx.execute(
                    "UPDATE job SET state = 'queued', attempt = attempt + 1, updated_at = ? "
                    "WHERE state = 'running' AND epoch < ? RETURNING id",
                    (self._now(), self._epoch),
                )
            ]
            tx.executemany(
                "UPDATE job_item SET state = 'queued' WHERE job = ? AND state = 'running'",
                [(job,) for job in jobs],
            )
        return len(jobs)

    def claim(self) -> Job | None:
        """The next job, now running under this epoch; None when nothing is queued."""
        if not rows_of(self._control, "SELECT 1 FROM job WHERE state = 'queued' LIMIT 1"):
            return None
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            row = tx.execute(
                "UPDATE job SET state = 'running', epoch = ?, error = '', "
                "started_at = coalesce(started_at, ?), updated_at = ? WHERE id = (SELECT id FROM job "
                "WHERE state = 'queued' ORDER BY priority DESC, id LIMIT 1) RETURNING id",
                (self._epoch, now, now),
            ).fetchone()
            if row is None:
                return None
            tx.execute("UPDATE job_item SET state = 'queued' WHERE job = ? AND state = 'running'", row)
        self._since = self._clock.monotonic()
        rows = rows_of(self._control, SELECT_JOBS.format(which="SELECT * FROM job WHERE id = ?"), row)
        return job_of(rows[0])

    def next(self, job: Job) -> Task | None:
        """The next series, marked as running; None when none is left. Raises ``Gone``."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, job.id)
            row = tx.execute(
                "SELECT exchange, symbol, interval FROM job_item WHERE job = ? AND state = 'queued' "
                "ORDER BY attempt, exchange, symbol, interval LIMIT 1",
                (job.id,),
            ).fetchone()
            if row is None:
                return None
            task = Task(job, Series(*row))
            self._set(tx, task, "state = 'running'", ())
        return task

    def other(self, task: Task) -> Series | None:
        """Any other instrument somebody asked for at this interval, to see whether its broker answers at all.

        One that came already is preferred; None when this is the only one.
        """
        series = task.series
        rows = rows_of(
            self._control,
            "SELECT exchange, symbol, interval FROM job_item "
            "WHERE interval = ? AND exchange = ? AND symbol != ? "
            "ORDER BY state = 'done' DESC, updated_at DESC, symbol LIMIT 1",
            (series.interval, series.exchange, series.symbol),
        )
        return Series(*rows[0]) if rows else None

    def planned(self, task: Task, calls: int, source: str) -> None:
        """How many calls it still needs. Raises ``Gone``."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, task.job.id)
            self._set(tx, task, "chunks = chunks_done + ?, source = ?", (calls, source))
            tx.execute("UPDATE job SET source = ? WHERE id = ?", (source, task.job.id))

    def check(self, task: Task) -> None:
        """Raises ``Gone`` when the job is no longer to be run."""
        with self._control.read() as connection:
            self._must(connection, task.job.id)

    def advance(self, task: Task, rows: int) -> None:
        """One call is done and published; counts also when the job was paused or cancelled meanwhile."""
        with self._control.transaction(durable=False) as tx:
            if self._spend(tx, task.job.id):
                self._set(tx, task, "chunks_done = chunks_done + 1, rows = rows + ?", (rows,))

    def done(self, task: Task) -> None:
        """Every call of the series was answered. Raises ``Gone``."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, task.job.id)
            self._set(tx, task, "state = 'done', error = '', chunks = max(chunks_done, 1), "
                                "chunks_done = max(chunks_done, 1)", ())  # fmt: skip

    def failed(self, task: Task, error: str) -> None:
        """Give this series up. Raises ``Gone``."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, task.job.id)
            self._set(
                tx, task, "state = 'failed', error = ?, chunks = max(chunks_done, 1), "
                          "chunks_done = max(chunks_done, 1)", (error,)
            )  # fmt: skip

    def put_back(self, task: Task, error: str) -> None:
        """No answer: later, behind the others; given up after ``MOST_TRIES``. Raises ``Gone``."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, task.job.id)
            self._set(
                tx,
                task,
                "attempt = attempt + 1, error = ?, "
                "state = CASE WHEN attempt >= ? THEN 'failed' ELSE 'queued' END",
                (error, MOST_TRIES),
            )

    def finish(self, job: Job) -> JobState:
        """Every series has been looked at. Raises ``Gone``."""
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            self._must(tx, job.id)
            done, failed, error = tx.execute(
                "SELECT sum(state = 'done'), sum(state = 'failed'), "
                "max(CASE WHEN state = 'failed' THEN error END) FROM job_item WHERE job = ?",
                (job.id,),
            ).fetchone()
            state = JobState.FAILED if failed and not done else JobState.DONE
            said = f"{failed} of {failed + done} series failed, e.g. {error}" if failed else ""
            self._spend(tx, job.id)
            tx.execute(
                "UPDATE job SET state = ?, error = ?, ended_at = ?, updated_at = ? WHERE id = ?",
                (str(state), said, now, now, job.id),
            )
        return state

    def let_go(self, job: Job, *, to: JobState, reason: str) -> None:
        """Stop in the middle: back into the queue, or paused. Nothing happens when it is not ours."""
        with self._control.transaction(durable=False) as tx:
            try:
                self._must(tx, job.id)
            except Gone:
                return
            self._spend(tx, job.id)
            tx.execute(
                "UPDATE job SET state = ?, error = ?, updated_at = ? WHERE id = ?",
                (str(to), reason, self._now(), job.id),
            )
            tx.execute("UPDATE job_item SET state = 'queued' WHERE job = ? AND state = 'running'", (job.id,))

    def leave(self, job: Job) -> None:
        """Somebody paused or cancelled it: no series of it is being pulled any more."""
        with self._control.transaction(durable=False) as tx:
            if self._spend(tx, job.id):
                tx.execute(
                    "UPDATE job_item SET state = 'queued' WHERE job = ? AND state = 'running'", (job.id,)
                )

    def _must(self, tx: sqlite3.Connection, job_id: int) -> None:
        row = tx.execute("SELECT state, epoch FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None or row[0] != JobState.RUNNING or row[1] != self._epoch:
            raise Gone(f"job {job_id} is {row[0] if row else 'gone'}")

    def _set(self, tx: sqlite3.Connection, task: Task, change: str, values: tuple[object, ...]) -> None:
        series = task.series
        tx.execute(
            f"UPDATE job_item SET {change}, updated_at = ? "
            "WHERE job = ? AND exchange = ? AND symbol = ? AND interval = ?",
            (*values, self._now(), task.job.id, series.exchange, series.symbol, series.interval),
        )

    def _spend(self, tx: sqlite3.Connection, job_id: int) -> bool:
        """Add the running time since the last look; False when the job has gone to another epoch."""
        now = self._clock.monotonic()
        spent, self._since = now - self._since, now
        changed = tx.execute(
            "UPDATE job SET run_s = run_s + ?, updated_at = ? WHERE id = ? AND epoch = ?",
            (spent, self._now(), job_id, self._epoch),
        ).rowcount
        return changed > 0

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def note_waiting(control: Control, clock: Clock, reason: str) -> None:
    """Say on the queued jobs why none of them runs; an empty reason clears it."""
    known = rows_of(control, "SELECT 1 FROM job WHERE state = 'queued' AND error != ? LIMIT 1", (reason,))
    if known:
        with control.transaction(durable=False) as tx:
            tx.execute(
                "UPDATE job SET error = ?, updated_at = ? WHERE state = 'queued' AND error != ?",
                (reason, int(clock.now().timestamp()), reason),
            )


def waits(control: Control) -> bool:
    """Whether any job is queued, or was running when its puller went away."""
    return bool(rows_of(control, "SELECT 1 FROM job WHERE state IN ('queued', 'running') LIMIT 1"))
