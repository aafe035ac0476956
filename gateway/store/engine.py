"""SQLite files: who may open them, one writer, durable commits.

A file carries a ``meta`` table with ``schema`` (``algo``), ``version`` and ``venue``. It is looked at
through a read-only connection before anything else touches it, so that a foreign or other-venue database
stays as it was.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

from brokers.errors import SettingsError, StoreError
from brokers.model import Venue
from gateway.store.tables import APPEND_ONLY, METADATA, ORDER_EVENTS

if sys.platform == "win32":  # untested
    import msvcrt
else:
    import fcntl

SCHEMA = "algo"
VERSION = 1
BUSY_MS = 5000
GROUP = 64
QUEUE = 10_000
PUT_TIMEOUT_S = 5.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class Database:
    """One SQLite file of one instance. Reads from any thread; writes go through one writer thread.

    Writes that wait at the same moment share one transaction (group commit); each runs in its own savepoint,
    so that one that fails takes nothing with it. ``synchronous=FULL``: a write that returned is on disk.
    """

    def __init__(self, path: Path, venue: Venue, *, read_only: bool, lock: IO[bytes] | None) -> None:
        self.path = path
        self.venue = venue
        self.read_only = read_only
        self._lock = lock
        self._reader = _engine(path, writing=False)
        self._queue: queue.Queue[_Job | None] = queue.Queue(QUEUE)
        self._writer: threading.Thread | None = None
        self._closed = False
        if not read_only:
            self._writer = threading.Thread(target=self._run, name=f"store-{path.stem}", daemon=True)
            self._writer.start()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection with one consistent snapshot, for the length of the block."""
        try:
            with self._reader.connect() as connection, connection.begin():
                yield connection
        except OperationalError as exc:
            raise StoreError(f"{self.path.name}: {exc.orig}") from exc

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on the writer thread inside a transaction; returns after the durable commit.

        ``work`` must not call ``write`` itself, and must not keep the connection.

        Raises:
            StoreError: Read-only, closed, the queue stayed full for 5 s, or SQLite could not commit
                (nothing of this write is on disk then).
            Exception: Whatever ``work`` raised; its changes are rolled back.
        """
        result: T = self.submit(work).result()
        return result

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """As ``write``, without waiting: the future is done after the durable commit.

        Writes are committed in the order in which they were handed in, so a later ``write`` that returned
        means that this one has ended too.
        """
        if self.read_only or self._closed:
            raise StoreError(f"{self.path.name} is {'read-only here' if self.read_only else 'closed'}")
        job = _Job(work)
        try:
            # full: the caller waits (nothing is dropped), then is told
            self._queue.put(job, timeout=PUT_TIMEOUT_S)
        except queue.Full as exc:
            raise StoreError(
                f"{self.path.name}: {QUEUE} writes are waiting; the disk does not keep up"
            ) from exc
        return job.done

    def close(self) -> None:
        """Finish what is queued, then let go of the file. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join(timeout=10)
        self._reader.dispose()
        if self._lock is not None:
            self._lock.close()

    def _run(self) -> None:
        engine = _engine(self.path, writing=True)
        with engine.connect() as connection:
            while True:
                jobs, last = self._take()
                if jobs:
                    _commit_group(connection, jobs)
                if last:
                    break
        engine.dispose()
        while not self._queue.empty():  # a write that slipped in behind close()
            late = self._queue.get_nowait()
            if late is not None:
                late.done.set_exception(StoreError(f"{self.path.name} is closed"))

    def _take(self) -> tuple[list[_Job], bool]:
        """The next job and those already waiting behind it; True when the writer must end."""
        jobs: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == GROUP:
                return jobs, False
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True


class _Job:
    __slots__ = ("done", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.done: Future[Any] = Future()


def _commit_group(connection: Connection, jobs: list[_Job]) -> None:
    """One transaction for all; answers only after the commit."""
    answers: list[tuple[_Job, Any]] = []
    try:
        with connection.begin():
            for job in jobs:
                savepoint = connection.begin_nested()
                try:
                    result = job.work(connection)
                    savepoint.commit()
                except Exception as exc:  # noqa: BLE001 - handed to the caller, who raises it
                    savepoint.rollback()
                    job.done.set_exception(exc)
                else:
                    answers.append((job, result))
    except Exception as exc:  # noqa: BLE001 - the writer thread must live; every caller is told
        log.error("commit failed: %s", exc)
        # SQLite keeps the transaction open when COMMIT itself fails
        raw = connection.connection.dbapi_connection
        if raw is not None:
            raw.rollback()
        for job in jobs:
            if not job.done.done():
                failure = StoreError(f"could not commit: {exc}")
                failure.__cause__ = exc
                job.done.set_exception(failure)
        return
    for job, result in answers:
        job.done.set_result(result)


def open(path: Path, venue: Venue, *, metadata: MetaData = METADATA, read_only: bool = False) -> Database:
    """Open (and make, unless ``read_only``) a database of this project.

    Raises:
        SettingsError: The file belongs to the other venue, or is not ours; it has not been written.
        StoreError: Another process writes it; or read_only and it does not exist yet.
    """
    found = _stamp(path)
    if found is not None:
        _check(path, found, venue)
    if read_only:
        if found is None:
            raise StoreError(f"{path.name} does not exist yet; the instance's api process makes it")
        return Database(path, venue, read_only=True, lock=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        # again under the lock: another process may have made it between the look and the lock
        found = _stamp(path)
        if found is not None:
            _check(path, found, venue)
        _make(path, venue, metadata, new=found is None)
    except BaseException:
        lock.close()
        raise
    return Database(path, venue, read_only=False, lock=lock)


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
    engine = _engine(path, writing=True, wal=False)
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


def _engine(path: Path, *, writing: bool, wal: bool = True) -> Engine:
    """SQLAlchemy over one file with our own transaction words (the driver's guesses are switched off)."""
    uri = f"{path.as_uri()}?mode={'rw' if writing else 'ro'}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_MS / 1000, check_same_thread=False, isolation_level=None
        )

    # a reader holds a connection for milliseconds; threads beyond the pool get one of their own
    engine = create_engine(
        "sqlite://",
        creator=connect,
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
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA cache_size=-65536")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
