"""Opening SQLite files: whose they are, of which version, and the one process that may write them.

A file carries a ``meta`` table with ``schema`` (``algo``), ``version`` and ``venue``. It is looked at
through a read-only connection before anything else touches it, so that a foreign or other-venue database
stays as it was.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import IO

from sqlalchemy import MetaData

from brokers.errors import SettingsError, StoreError
from brokers.model import Venue
from gateway.store.connecting import BUSY_MS, connect, raw_of
from gateway.store.database import Database
from gateway.store.tables import APPEND_ONLY, METADATA, ORDER_EVENTS

if sys.platform == "win32":  # untested
    import msvcrt
else:
    import fcntl

__all__ = ["SCHEMA", "VERSION", "Database", "open", "raw_of"]

SCHEMA = "algo"
VERSION = 3
"""Of the tables; see ``gateway.store.migrations`` when one that exists is to change."""


def open(
    path: Path,
    venue: Venue,
    *,
    metadata: MetaData = METADATA,
    read_only: bool = False,
    durable: bool = True,
) -> Database:
    """Open (and make, unless ``read_only``) a database of this project.

    Args:
        durable: False for figures nobody trades by: a commit survives the end of the process, but not always
            that of the machine, and asks nothing of the disk that an order's commit would wait for.

    Raises:
        SettingsError: The file belongs to the other venue, or is not ours; it has not been written.
        StoreError: Another process writes it; it could not be upgraded; or read_only and it does not exist
            yet, or is of an older version.
    """
    found = _stamp(path)
    if found is not None:
        _check(path, found, venue)
    if read_only:
        if found is None:
            raise StoreError(f"{path.name} does not exist yet; the instance's api process makes it")
        if int(found["version"]) < VERSION:
            raise StoreError(f"{path.name} is of an older version; the instance's api process upgrades it")
        return Database(path, venue, read_only=True, lock=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        lock = _lock(path)
        undo.callback(lock.close)
        # again under the lock: another process may have made it between the look and the lock
        found = _stamp(path)
        if found is not None:
            _check(path, found, venue)
            if int(found["version"]) < VERSION:
                # rare, and what it needs is not small: loaded only now
                migrations = importlib.import_module("gateway.store.migrations")
                migrations.upgrade(path, int(found["version"]), VERSION)
        _make(path, venue, metadata, new=found is None)
        undo.pop_all()
    return Database(path, venue, read_only=False, lock=lock, durable=durable)


def _stamp(path: Path) -> dict[str, str] | None:
    """The ``meta`` rows of a file; None when there is nothing yet (no file, or an empty one).

    Raises ``SettingsError`` when the file is something else. Never writes, not even SQLite's side files.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    wal = path.with_name(path.name + "-wal")
    if size == 0 and not wal.exists():
        return None
    # with a WAL beside it, only a normal read-only connection sees the newest rows
    mode = "mode=ro" if wal.exists() else "mode=ro&immutable=1"
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=BUSY_MS / 1000)
        ) as connection:
            names = {r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not names:
                return None
            if "meta" not in names:
                return {}
            columns = [r[1] for r in connection.execute("PRAGMA table_info(meta)")]
            if columns != ["name", "value"]:
                return {}
            return {str(n): str(v) for n, v in connection.execute("SELECT name, value FROM meta")}
    except sqlite3.Error as exc:
        raise SettingsError(
            f"{path} cannot be read as one of our databases ({exc}); it is left as it is"
        ) from exc


def _check(path: Path, found: dict[str, str], venue: Venue) -> None:
    if found.get("schema") != SCHEMA:
        raise SettingsError(
            f"{path} is a database this project did not make; it is left as it is. "
            "Name another file in the instance's env (DATABASE_URL and its siblings)"
        )
    if found.get("venue") != venue.value:
        raise SettingsError(
            f"{path} belongs to venue '{found.get('venue')}', this process runs '{venue.value}'; "
            "the two never share a file"
        )
    version = found.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise SettingsError(
            f"{path} has schema version {version or 'none'}, this program knows up to {VERSION}; "
            "use the newer program"
        )


def _make(path: Path, venue: Venue, metadata: MetaData, *, new: bool) -> None:
    """Tables and stamp in one transaction, then WAL."""
    if new and os.name == "posix":
        # made closed: it will hold tokens and hashes
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = connect(path, writing=True, wal=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
        )
        metadata.create_all(connection)
        if ORDER_EVENTS.name in metadata.tables:
            for statement in APPEND_ONLY:
                connection.exec_driver_sql(statement)
        stamp = {"schema": SCHEMA, "version": str(VERSION), "venue": venue.value}
        for name, value in stamp.items():
            connection.exec_driver_sql("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
    engine.dispose()


def _lock(path: Path) -> IO[bytes]:
    """The one writing process of a file; let go by the kernel when that process ends, however it ends."""
    handle = builtins.open(path.with_name(path.name + ".lock"), "ab")  # noqa: SIM115 - held until close()
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.close()
        raise StoreError(f"{path.name} is being written by another process") from exc
    return handle
