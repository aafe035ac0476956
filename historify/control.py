"""``control.db``: the manifest of the store. SQLite in WAL, the truth about segments, lease and jobs.

Any process of the home opens it. Never ``open()`` the file by other means in such a process: closing that
descriptor would drop the POSIX locks SQLite holds on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from historify.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from historify.segments.safety import check_folder
from historify.tables import SCHEMA, TABLES, VERSION

BUSY_S = 5.0
WAL_PAGES = 4000
"""16 MB: the writer that crosses it carries the WAL over."""


class Control:
    """The manifest, one connection per thread. Thread-safe; not to be carried over a ``fork``.

    Args:
        path: ``control.db``; made, with its folder, when missing.
        busy_s: How long to wait for another process' transaction before ``StoreBusy``.

    Raises:
        UnsafeFolder: On a network drive or in a synced folder.
        StoreError: A newer version of algo made the file, or it is another program's.
        StoreDamaged: It is no SQLite database, or a broken one.
        StoreBusy: Somebody writes for longer than ``busy_s``.
        StoreFull: No room or no right to make it.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self._local = threading.local()
        self._guard = threading.Lock()
        self._all: list[sqlite3.Connection] = []
        self._closed = False
        check_folder(path.parent)
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare(self._connection())

    @property
    def store_id(self) -> str:
        """12 hex digits of where this manifest lies: tells stores of one machine apart, and names no path."""
        return hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:12]

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE … COMMIT; any exception rolls back.

        Args:
            durable: The commit is on disk when the block is left (a publish, a new lease); False is for
                queues and progress, which a power cut may set back by moments but never tear.
        """
        with translated(self.path):
            connection = self._connection()
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                _roll_back(connection)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent snapshot for the length of the block; waits for nobody, keeps nobody waiting."""
        with translated(self.path):
            connection = self._connection()
            if connection.in_transaction:  # inside this thread's own transaction: see what it wrote
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _roll_back(connection)

    def close(self) -> None:
        """Close every thread's connection; no thread may be using one."""
        with self._guard:
            self._closed = True
            connections, self._all = self._all, []
        for connection in connections:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        held: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if held is not None and not self._closed:
            return held
        with self._guard:
            if self._closed:
                raise StoreError(f"{self.path} is closed")
            made = sqlite3.connect(
                self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
            )
            self._all.append(made)
        made.execute("PRAGMA foreign_keys=ON")
        made.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        self._local.connection = made
        return made

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not _stamp(connection):
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise StoreError(f"{self.path}: this disk does not carry SQLite's WAL; use a local one")
            with self.transaction():
                if not _stamp(connection):  # another process may have been first
                    self._make(connection)
        version = int(_stamp(connection)["version"])
        if version > VERSION:
            raise StoreError(f"{self.path} is of version {version}, made by a newer algo (this: {VERSION})")

    def _make(self, connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(f"{self.path} is another program's database; move it away")
        for statement in TABLES:
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO meta(key, value) VALUES(?, ?)", [("schema", SCHEMA), ("version", str(VERSION))]
        )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's refusals as the store's errors, decided by code."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _translate(path, exc) from exc
    except PermissionError as exc:
        raise StoreFull(f"{path}: no right to write ({exc.strerror})") from exc


def _translate(path: Path, exc: sqlite3.Error) -> StoreError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"{path}: another process is writing for too long; nothing was changed, try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged ({exc}); restore historify.d from a backup")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return StoreFull(f"{path}: cannot write ({exc}); nothing was changed: make room or give rights")
    return StoreError(f"{path}: {exc}")


def _stamp(connection: sqlite3.Connection) -> dict[str, str]:
    """What ``meta`` says; empty in a database without such a table."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='meta'").fetchone()
    if not there:
        return {}
    stamp = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if stamp.get("schema") != SCHEMA:
        raise StoreError("control.db is another program's database; move it away")
    return stamp


def _roll_back(connection: sqlite3.Connection) -> None:
    """End what is still open; nothing after a COMMIT."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # the first error is the one that tells
            connection.execute("ROLLBACK")
