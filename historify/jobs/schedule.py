"""Pulls that repeat. A run is known by its due time, so it happens once, whoever sees it first."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from brokers.calendar import Calendar
from brokers.clock import IST, Clock
from brokers.errors import AlgoError, InvalidRequest
from historify.control import Control
from historify.jobs import queue, timing
from historify.jobs.model import Conflict, JobRequest, Key, NoSuch, Schedule, ScheduleRow, ScheduleRun
from historify.jobs.queue import rows_of
from historify.jobs.watchlist import checked

KEEP_RUNS = 200
_ROWS = """
    SELECT s.spec, s.enabled, s.created_at, r.due_at, r.job, coalesce(r.error, '')
    FROM schedule s LEFT JOIN schedule_run r
      ON r.schedule = s.name AND r.due_at = (SELECT max(due_at) FROM schedule_run WHERE schedule = s.name)
    ORDER BY s.name
"""


class Schedules:
    """Thread-safe. Every method raises ``StoreBusy`` when another process keeps ``control.db`` too long."""

    def __init__(self, control: Control, clock: Clock, calendar: Calendar) -> None:
        self._control = control
        self._clock = clock
        self._calendar = calendar

    def add(self, spec: Schedule) -> ScheduleRow:
        """Keep a schedule and answer it with its id.

        Raises:
            InvalidRequest: Names every bad field.
            Conflict: The name is taken.
            NoSuch: The watchlist does not exist.
        """
        spec = replace(spec, name=spec.name.strip(), keys=tuple(checked(spec.keys)))
        if not 0 < len(spec.name) <= 60 or not spec.name.isprintable():
            raise InvalidRequest("a schedule needs a name of 1 to 60 printable characters")
        timing.check(spec)
        with self._control.transaction(durable=False) as tx:
            if spec.watchlist:
                _keys(tx, spec)
            fresh = tx.execute(
                "INSERT INTO schedule(name, spec, enabled, created_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (spec.name, json.dumps(asdict(spec), ensure_ascii=False), int(spec.enabled), self._now_s()),
            ).rowcount
            if not fresh:
                raise Conflict(f"there is a schedule {spec.name} already")
        return self.show(spec.name)

    def listing(self) -> list[ScheduleRow]:
        """By name."""
        return [_row(row) for row in rows_of(self._control, _ROWS, ())]

    def show(self, name: str) -> ScheduleRow:
        """Raises ``NoSuch``."""
        rows = self.listing()
        for row in rows:
            if row.schedule.name == name:
                return row
        there = ", ".join(row.schedule.name for row in rows) or "none yet"
        raise NoSuch(f"no schedule '{name}'; there is {there}")

    def upcoming(self, row: ScheduleRow) -> datetime | None:
        """When it is due next."""
        return timing.upcoming(row.schedule, self._clock.now(), self._calendar)

    def pause(self, name: str) -> ScheduleRow:
        """It is due no more until ``resume``. Raises ``NoSuch``."""
        return self._enable(name, False)

    def resume(self, name: str) -> ScheduleRow:
        """What was due today meanwhile is made up by one pull. Raises ``NoSuch``."""
        return self._enable(name, True)

    def delete(self, name: str) -> None:
        """Its jobs stay. Raises ``NoSuch``."""
        self.show(name)
        with self._control.transaction(durable=False) as tx:
            tx.execute("DELETE FROM schedule WHERE name = ?", (name,))
            tx.execute("DELETE FROM schedule_run WHERE schedule = ?", (name,))

    def runs(self, name: str, limit: int = 50) -> list[ScheduleRun]:
        """Newest first. Raises ``NoSuch``."""
        self.show(name)
        return [
            ScheduleRun(*row)
            for row in rows_of(
                self._control,
                "SELECT schedule, due_at, ran_at, job, error FROM schedule_run WHERE schedule = ? "
                "ORDER BY due_at DESC LIMIT ?",
                (name, limit),
            )
        ]

    def run_now(self, name: str, *, requested_by: str = "") -> int:
        """Queue its pull at once, on or off; returns the job's id. Raises ``NoSuch``, ``InvalidRequest``."""
        spec = self.show(name).schedule
        with self._control.transaction(durable=False) as tx:
            return self._enqueue(tx, spec, requested_by or f"schedule {name}")

    def tick(self) -> list[ScheduleRun]:
        """Queue what is due now and has not run yet; called every few seconds by whoever pulls.

        Several processes may call it at the same time: each due time runs once.
        """
        made = []
        for row in self.listing():
            at = timing.due(row.schedule, self._clock.now(), self._calendar)
            if at is None or at.timestamp() < row.created_at_s:
                continue
            due_s = int(at.timestamp())
            if row.last_due_at_s is not None and row.last_due_at_s >= due_s:
                continue
            run = self._run(row.schedule, due_s)
            if run is not None:
                made.append(run)
        return made

    def _run(self, spec: Schedule, due_s: int) -> ScheduleRun | None:
        now = self._now_s()
        with self._control.transaction(durable=False) as tx:
            mine = tx.execute(
                "INSERT INTO schedule_run(schedule, due_at, ran_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (spec.name, due_s, now),
            ).rowcount
            if not mine:
                return None
            job, error = None, ""
            try:
                job = self._enqueue(tx, spec, f"schedule {spec.name}")
            except AlgoError as exc:
                error = str(exc)
            tx.execute(
                "UPDATE schedule_run SET job = ?, error = ? WHERE schedule = ? AND due_at = ?",
                (job, error, spec.name, due_s),
            )
            tx.execute(
                "DELETE FROM schedule_run WHERE schedule = ? AND due_at NOT IN "
                "(SELECT due_at FROM schedule_run WHERE schedule = ? ORDER BY due_at DESC LIMIT ?)",
                (spec.name, spec.name, KEEP_RUNS),
            )
        return ScheduleRun(spec.name, due_s, now, job, error)

    def _enqueue(self, tx: sqlite3.Connection, spec: Schedule, requested_by: str) -> int:
        today = self._clock.now().astimezone(IST).date()
        wish = JobRequest(
            keys=tuple(_keys(tx, spec)),
            intervals=spec.intervals,
            start=today - timedelta(days=spec.lookback_days),
            end=today,
            requested_by=requested_by,
        ).checked()
        return queue.add(tx, wish, self._now_s())[0]

    def _enable(self, name: str, on: bool) -> ScheduleRow:
        self.show(name)
        with self._control.transaction(durable=False) as tx:
            tx.execute("UPDATE schedule SET enabled = ? WHERE name = ?", (int(on), name))
        return self.show(name)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _keys(tx: sqlite3.Connection, spec: Schedule) -> Sequence[Key]:
    """Raises ``NoSuch`` for a watchlist that is not there."""
    if not spec.watchlist:
        return spec.keys
    if tx.execute("SELECT 1 FROM watchlist_name WHERE name = ?", (spec.watchlist,)).fetchone() is None:
        raise NoSuch(f"no watchlist '{spec.watchlist}'")
    return [
        (row[0], row[1])
        for row in tx.execute(
            "SELECT exchange, symbol FROM watchlist WHERE name = ? ORDER BY exchange, symbol",
            (spec.watchlist,),
        )
    ]


def _row(row: Sequence[object]) -> ScheduleRow:
    spec, enabled, created, due_at, job, error = row
    plain = json.loads(str(spec))
    schedule = Schedule(
        **plain
        | {
            "keys": tuple((exchange, symbol) for exchange, symbol in plain["keys"]),
            "intervals": tuple(plain["intervals"]),
            "days": tuple(plain["days"]),
            "window": tuple(plain["window"]) if plain["window"] else None,
            "enabled": bool(enabled),
        }
    )
    return ScheduleRow(
        schedule,
        _whole(created) or 0,
        _whole(due_at),
        _whole(job),
        str(error),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
