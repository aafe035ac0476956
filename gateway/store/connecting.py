"""SQLAlchemy over one SQLite file, with our own pragmas and our own transaction words."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

BUSY_MS = 5000
WAL_PAGES = 16_000
"""64 MB: a writer carries the WAL over itself only when nobody else could."""


def raw_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection: a tenth of the cost a statement, for the paths orders take."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def connect(
    path: Path, *, writing: bool, wal: bool = True, begin: bool = True, durable: bool = True
) -> Engine:
    """An engine of one file; the driver's guesses at transactions are switched off.

    Args:
        begin: False when the caller says BEGIN itself.
    """
    uri = f"{path.as_uri()}?mode={'rw' if writing else 'ro'}"

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_MS / 1000, check_same_thread=False, isolation_level=None
        )

    # a reader holds a connection for milliseconds; threads beyond the pool get one of their own
    engine = create_engine(
        "sqlite://",
        creator=opened,
        poolclass=QueuePool,
        pool_size=1 if writing else 8,
        max_overflow=-1,
    )

    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, record: object) -> None:  # noqa: ARG001
        cursor = raw.cursor()
        if writing:
            if wal:
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA cache_size=-65536")
            cursor.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.close()

    if begin:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
