"""The table of imports and deletions in ``control.db``; ``historify.tables`` makes it with the others."""

from __future__ import annotations

DDL = (
    # params, report: JSON; code: of the error
    """
    CREATE TABLE task(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        params TEXT NOT NULL,
        state TEXT NOT NULL,
        rows_done INTEGER NOT NULL DEFAULT 0,
        rows INTEGER NOT NULL DEFAULT 0,
        report TEXT NOT NULL DEFAULT 'null',
        code TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        requested_by TEXT NOT NULL DEFAULT '',
        epoch INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        ended_at INTEGER
    )
    """,
    "CREATE INDEX task_state ON task(state)",
)
