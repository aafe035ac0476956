"""The durable queue of download jobs. Every process of the home uses it directly; nothing lives in memory.

A change takes effect while the job runs: the puller looks at its job's row between two broker calls.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from brokers.clock import Clock
from historify.control import Control
from historify.jobs.model import (
    Conflict,
    ItemState,
    Job,
    JobItem,
    JobRequest,
    JobState,
    Mode,
    NoSuch,
)
from historify.model import Series

Row = tuple[Any, ...]
FIRST_KEYS = 5

SELECT_JOBS = """
    SELECT j.id, j.state, j.mode, j.intervals, j.first_day, j.last_day, j.symbols, j.first_keys,
           j.requested_by, j.priority, count(i.job) AS items, coalesce(sum(i.state = 'done'), 0) AS done,
           coalesce(sum(i.state = 'failed'), 0) AS failed, coalesce(sum(i.chunks), 0) AS chunks,
           coalesce(sum(i.chunks_done), 0) AS chunks_done, coalesce(sum(i.rows), 0) AS rows,
           j.attempt, j.epoch, j.error, j.source, j.created_at, j.started_at, j.updated_at, j.ended_at,
           j.run_s
    FROM ({which}) j LEFT JOIN job_item i ON i.job = j.id
    GROUP BY j.id
"""
SELECT_ITEMS = """
    SELECT exchange, symbol, interval, state, rows, chunks, chunks_done, attempt, error, source, updated_at
    FROM job_item WHERE job = ?
"""


class Queue:
    """Thread-safe. Every method raises ``StoreBusy`` when another process keeps ``control.db`` too long."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def enqueue(self, request: JobRequest) -> tuple[Job, bool]:
        """Queue a pull; an equal one that is still open answers instead.

        Returns:
            The job, and whether it is a new one. An open job that is asked for again with a greater priority
            takes that over.

        Raises:
            InvalidRequest: Names every bad field.
            WrongInterval: An interval that is computed, not pulled.
        """
        wish = request.checked()
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            job_id, new = add(tx, wish, now)
        return self.show(job_id), new

    def listing(
        self, states: Iterable[JobState] | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[Job]:
        """Newest first. ``before``: only jobs with a smaller id (the next page)."""
        which = "SELECT * FROM job"
        conditions: list[str] = []
        values: list[object] = []
        if states is not None:
            given = [str(state) for state in states]
            conditions.append(f"state IN ({', '.join('?' * len(given))})")
            values += given
        if before is not None:
            conditions.append("id < ?")
            values.append(before)
        if conditions:
            which += " WHERE " + " AND ".join(conditions)
        which += " ORDER BY id DESC LIMIT ?"
        rows = self._read(SELECT_JOBS.format(which=which) + " ORDER BY j.id DESC", [*values, limit])
        return [job_of(row) for row in rows]

    def show(self, job_id: int) -> Job:
        """Raises ``NoSuch``."""
        rows = self._read(SELECT_JOBS.format(which="SELECT * FROM job WHERE id = ?"), [job_id])
        if not rows:
            raise NoSuch(f"no job {job_id}; `algo history jobs` lists them")
        return job_of(rows[0])

    def items(
        self, job_id: int, state: ItemState | None = None, *, limit: int = 1000, offset: int = 0
    ) -> list[JobItem]:
        """The series of a job, by exchange and symbol. Raises ``NoSuch``."""
        self.show(job_id)
        text, values = SELECT_ITEMS, list[object]((job_id,))
        if state is not None:
            text += " AND state = ?"
            values.append(str(state))
        text += " ORDER BY exchange, symbol, interval LIMIT ? OFFSET ?"
        return [item_of(row) for row in self._read(text, [*values, limit, offset])]

    def counts(self) -> dict[str, int]:
        """Jobs by state, of the states that occur."""
        return {
            str(row[0]): int(row[1])
            for row in self._read("SELECT state, count(*) FROM job GROUP BY state", [])
        }

    def pause(self, job_id: int) -> Job:
        """Stop after the present call; ``resume`` goes on from there. Raises ``NoSuch``, ``Conflict``."""
        return self._move(job_id, {JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}, JobState.PAUSED)

    def resume(self, job_id: int) -> Job:
        """Put a paused job back into the queue. Raises ``NoSuch``, ``Conflict``."""
        return self._move(job_id, {JobState.PAUSED, JobState.QUEUED, JobState.RUNNING}, JobState.QUEUED)

    def cancel(self, job_id: int) -> Job:
        """End it for good; what was pulled stays. Raises ``NoSuch``, ``Conflict`` when it has ended."""
        allowed = {JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}
        return self._move(job_id, allowed, JobState.CANCELLED)

    def retry_failed(self, job_id: int) -> Job:
        """Ask again for the series that failed, and for those an ended job never came to.

        Raises:
            NoSuch: No such job.
            Conflict: It is still open, nothing in it failed, or an equal job is open.
        """
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            state = self._state(tx, job_id)
            if state.is_open:
                raise Conflict(f"job {job_id} is {state}; it can be retried when it has ended")
            again = tx.execute(
                "UPDATE job_item SET state = 'queued', error = '', chunks = 1, chunks_done = 0, "
                "attempt = attempt + (state = 'failed'), updated_at = ? WHERE job = ? AND state != 'done'",
                (now, job_id),
            ).rowcount
            if not again:
                raise Conflict(f"nothing in job {job_id} failed")
            try:
                tx.execute(
                    "UPDATE job SET state = 'queued', error = '', attempt = attempt + 1, ended_at = NULL, "
                    "updated_at = ? WHERE id = ?",
                    (now, job_id),
                )
            except sqlite3.IntegrityError as exc:
                raise Conflict(f"a job equal to {job_id} is open; it does the same") from exc
        return self.show(job_id)

    def _move(self, job_id: int, allowed: set[JobState], to: JobState) -> Job:
        now = self._now()
        with self._control.transaction(durable=False) as tx:
            state = self._state(tx, job_id)
            if state not in allowed:
                raise Conflict(f"job {job_id} is {state}; it cannot be {to} any more")
            if state is not to and not (to is JobState.QUEUED and state is JobState.RUNNING):
                ended = now if to is JobState.CANCELLED else None
                tx.execute(
                    "UPDATE job SET state = ?, error = '', updated_at = ?, ended_at = ? WHERE id = ?",
                    (str(to), now, ended, job_id),
                )
        return self.show(job_id)

    def _state(self, tx: sqlite3.Connection, job_id: int) -> JobState:
        row = tx.execute("SELECT state FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NoSuch(f"no job {job_id}; `algo history jobs` lists them")
        return JobState(row[0])

    def _read(self, text: str, values: list[object]) -> list[Row]:
        return rows_of(self._control, text, values)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def rows_of(control: Control, text: str, values: Sequence[object] = ()) -> list[Row]:
    """All rows of one query."""
    with control.read() as connection:
        return connection.execute(text, values).fetchall()


def add(tx: sqlite3.Connection, wish: JobRequest, now_s: int) -> tuple[int, bool]:
    """``Queue.enqueue`` inside somebody's transaction; ``wish`` has been ``checked``."""
    key = wish.fingerprint()
    cursor = tx.execute(
        "INSERT INTO job(key, state, mode, intervals, first_day, last_day, symbols, first_keys, "
        "requested_by, priority, created_at, updated_at) VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            key,
            str(wish.mode),
            ",".join(wish.intervals),
            wish.start.isoformat(),
            wish.end.isoformat(),
            len(wish.keys),
            json.dumps(wish.keys[:FIRST_KEYS], ensure_ascii=False),
            wish.requested_by,
            wish.priority,
            now_s,
            now_s,
        ),
    )
    if cursor.rowcount:
        job_id = int(cursor.lastrowid or 0)
        tx.executemany(
            "INSERT INTO job_item(job, exchange, symbol, interval, state, updated_at) "
            "VALUES (?, ?, ?, ?, 'queued', ?)",
            [(job_id, each.exchange, each.symbol, each.interval, now_s) for each in wish.series()],
        )
        return job_id, True
    row = tx.execute(
        "SELECT id FROM job WHERE key = ? AND state IN ('queued', 'running', 'paused')", (key,)
    ).fetchone()
    tx.execute("UPDATE job SET priority = max(priority, ?) WHERE id = ?", (wish.priority, row[0]))
    return int(row[0]), False


def job_of(row: Row) -> Job:
    """From a row of ``SELECT_JOBS``."""
    job_id, state, mode, intervals, first, last, symbols, first_keys, *rest = row
    return Job(
        job_id,
        JobState(state),
        Mode(mode),
        tuple(intervals.split(",")),
        date.fromisoformat(first),
        date.fromisoformat(last),
        symbols,
        tuple((exchange, symbol) for exchange, symbol in json.loads(first_keys)),
        *rest,
    )


def item_of(row: Row) -> JobItem:
    """From a row of ``SELECT_ITEMS``."""
    exchange, symbol, interval, state, *rest = row
    return JobItem(Series(exchange, symbol, interval), ItemState(state), *rest)
