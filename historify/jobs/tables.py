"""The tables of jobs, watchlists and schedules in ``control.db``; ``historify.control`` makes them."""

from __future__ import annotations

DDL = (
    """
    CREATE TABLE job(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        state TEXT NOT NULL,
        mode TEXT NOT NULL,
        intervals TEXT NOT NULL,
        first_day TEXT NOT NULL,
        last_day TEXT NOT NULL,
        symbols INTEGER NOT NULL,
        first_keys TEXT NOT NULL,
        requested_by TEXT NOT NULL DEFAULT '',
        priority INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 1,
        epoch INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        source TEXT NOT NULL DEFAULT '',
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        updated_at INTEGER NOT NULL,
        ended_at INTEGER,
        run_s REAL NOT NULL DEFAULT 0
    )
    """,
    # equal wishes are one job while it is open
    "CREATE UNIQUE INDEX job_open ON job(key) WHERE state IN ('queued', 'running', 'paused')",
    "CREATE INDEX job_state ON job(state)",
    """
    CREATE TABLE job_item(
        job INTEGER NOT NULL,
        exchange TEXT NOT NULL,
        symbol TEXT NOT NULL,
        interval TEXT NOT NULL,
        state TEXT NOT NULL,
        rows INTEGER NOT NULL DEFAULT 0,
        chunks INTEGER NOT NULL DEFAULT 1,
        chunks_done INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 1,
        error TEXT NOT NULL DEFAULT '',
        source TEXT NOT NULL DEFAULT '',
        updated_at INTEGER NOT NULL,
        PRIMARY KEY(job, exchange, symbol, interval)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE watchlist_name(
        name TEXT PRIMARY KEY,
        note TEXT NOT NULL DEFAULT '',
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE watchlist(
        name TEXT NOT NULL,
        exchange TEXT NOT NULL,
        symbol TEXT NOT NULL,
        added_at INTEGER NOT NULL,
        PRIMARY KEY(name, exchange, symbol)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE schedule(
        name TEXT PRIMARY KEY,
        spec TEXT NOT NULL,
        enabled INTEGER NOT NULL DEFAULT 1,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    # one run for each due time, whoever sees first that it is due
    """
    CREATE TABLE schedule_run(
        schedule TEXT NOT NULL,
        due_at INTEGER NOT NULL,
        ran_at INTEGER NOT NULL,
        job INTEGER,
        error TEXT NOT NULL DEFAULT '',
        PRIMARY KEY(schedule, due_at)
    ) WITHOUT ROWID
    """,
)
