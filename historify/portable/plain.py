"""The store's values as plain ones: what REST answers and what ``--json`` prints are the same."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from brokers.calendar import Calendar
from brokers.clock import Clock
from historify import lease
from historify.control import Control
from historify.days import trading_date
from historify.jobs import plan
from historify.jobs.model import Job, JobItem, ScheduleRow, ScheduleRun, Watchlist
from historify.model import DAY, INTERVALS, STORED, CatalogRow, DayState, Series
from historify.portable.tasks import Task

PROBE_S = 1.0


def job(one: Job) -> dict[str, Any]:
    """``*_at`` are epoch seconds, ``progress`` is 0 to 1."""
    return {
        "id": one.id,
        "state": str(one.state),
        "partial": one.partial,
        "progress": round(one.progress, 4),
        "symbols": one.symbols,
        "first_symbols": [{"exchange": e, "symbol": s} for e, s in one.first_keys],
        "intervals": list(one.intervals),
        "start_date": one.start.isoformat(),
        "end_date": one.end.isoformat(),
        "mode": str(one.mode),
        "series": one.items,
        "series_done": one.done,
        "series_failed": one.failed,
        "calls": one.chunks,
        "calls_done": one.chunks_done,
        "rows": one.rows,
        "rows_per_s": round(one.rows_per_s, 1),
        "eta_s": None if one.eta_s is None else round(one.eta_s, 1),
        "run_s": round(one.run_s, 1),
        "attempt": one.attempt,
        "source": one.source,
        "error": one.error,
        "requested_by": one.requested_by,
        "priority": one.priority,
        "created_at": one.created_at_s,
        "started_at": one.started_at_s,
        "updated_at": one.updated_at_s,
        "ended_at": one.ended_at_s,
    }


def item(one: JobItem) -> dict[str, Any]:
    """One series of a job."""
    return {
        **series(one.series),
        "state": str(one.state),
        "rows": one.rows,
        "calls": one.chunks,
        "calls_done": one.chunks_done,
        "attempt": one.attempt,
        "error": one.error,
        "source": one.source,
        "updated_at": one.updated_at_s,
    }


def series(one: Series) -> dict[str, Any]:
    """The three words that name it."""
    return {"exchange": one.exchange, "symbol": one.symbol, "interval": one.interval}


def task(one: Task) -> dict[str, Any]:
    """Without the path of the file: it is this machine's business."""
    hidden = ("path", "owned")
    return {
        "id": one.id,
        "kind": one.kind,
        "state": str(one.state),
        "params": {name: value for name, value in one.params.items() if name not in hidden},
        "rows_done": one.rows_done,
        "rows": one.rows,
        "report": one.report,
        "code": one.code,
        "error": one.error,
        "requested_by": one.requested_by,
        "created_at": one.created_at_s,
        "updated_at": one.updated_at_s,
        "ended_at": one.ended_at_s,
    }


def watchlist(one: Watchlist) -> dict[str, Any]:
    """Without its instruments."""
    return {"name": one.name, "note": one.note, "symbols": one.symbols, "created_at": one.created_at_s}


def schedule(row: ScheduleRow, upcoming: datetime | None) -> dict[str, Any]:
    """``upcoming`` is when it is due next, None when it is off."""
    spec = asdict(row.schedule)
    return {
        **spec,
        "keys": [{"exchange": e, "symbol": s} for e, s in row.schedule.keys],
        "next_at": None if upcoming is None else int(upcoming.timestamp()),
        "created_at": row.created_at_s,
        "last_due_at": row.last_due_at_s,
        "last_job": row.last_job,
        "last_error": row.last_error,
    }


def schedule_run(one: ScheduleRun) -> dict[str, Any]:
    """One time it was due; ``job`` is None when nothing could be queued."""
    return {"due_at": one.due_at_s, "ran_at": one.ran_at_s, "job": one.job, "error": one.error}


def catalog(row: CatalogRow) -> dict[str, Any]:
    """What is stored of one series; dates are trading dates."""
    return {
        **series(row.series),
        "first_timestamp": row.first_ts,
        "last_timestamp": row.last_ts,
        "first_date": trading_date(row.first_ts, row.series.interval).isoformat(),
        "last_date": trading_date(row.last_ts, row.series.interval).isoformat(),
        "rows": row.rows,
        "bytes": row.bytes,
        "updated_at": row.updated_at_s,
        "source": row.source,
    }


def coverage(
    one: Series,
    start: date,
    end: date,
    known: Mapping[date, DayState],
    calendar: Calendar,
    now: datetime,
) -> dict[str, Any]:
    """How the trading days of a range stand; ``gaps`` are ranges of days that were never asked for."""
    counts = {"full": 0, "empty": 0, "partial": 0, "missing": 0}
    gaps: list[list[str]] = []
    before = False
    for day in plan.days(one, start, end, calendar, now):
        state = known.get(day)
        counts["missing" if state is None else str(state)] += 1
        if state is None:
            if before:
                gaps[-1][1] = day.isoformat()
            else:
                gaps.append([day.isoformat(), day.isoformat()])
        before = state is None
    return {
        **series(one),
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "days": counts,
        "gaps": [{"start_date": first, "end_date": last} for first, last in gaps],
    }


def intervals() -> dict[str, Any]:
    """Which the store keeps, and which it computes from those."""
    return {"stored": list(STORED), "computed": [each for each in INTERVALS if each not in STORED]}


def status(
    rows: list[CatalogRow], control: Control, clock: Clock, *, jobs: Mapping[str, int], port: int
) -> dict[str, Any]:
    """What is stored, and how the one that fills it is.

    Args:
        port: Of the puller's health.
    """
    now_s = clock.time_ns() / 1e9
    holder = lease.current(control)
    alive = puller(port, control)
    found: dict[str, Any] = {
        "store": {
            "series": len(rows),
            "symbols": len({(row.series.exchange, row.series.symbol) for row in rows}),
            "rows": sum(row.rows for row in rows),
            "bytes": sum(row.bytes for row in rows),
            "daily_series": sum(row.series.interval == DAY for row in rows),
        },
        "jobs": dict(jobs),
        "puller": {"running": alive is not None, **(alive or {})},
        "lease": None,
    }
    if holder is not None:
        held = not holder.released and holder.lives(now_s)
        stalled = not holder.released and not held and now_s >= holder.expires_at_s
        found["lease"] = {
            "instance": holder.name,
            "pid": holder.pid,
            "host": holder.host,
            "epoch": holder.epoch,
            "renewed_at": int(holder.renewed_at_s),
            "expires_at": int(holder.expires_at_s),
            "state": "released" if holder.released else "held" if held else "expired",
            "stalled": stalled and alive is not None,
        }
    return found


def puller(port: int, control: Control) -> dict[str, Any] | None:
    """What the puller of this store says of itself; None when nothing answers there, or another store's does.

    (Two homes may name the same port, and only one of them can have it.)
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=PROBE_S) as answer:
            found = json.loads(answer.read(65_536))
    except urllib.error.HTTPError as exc:
        try:
            found = json.loads(exc.read(65_536))
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or "state" not in found:
        return None
    return found if found.get("store") == control.store_id else None
