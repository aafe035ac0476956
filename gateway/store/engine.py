"""SQLite files: who may open them, one writer, durable commits.

A file carries a ``meta`` table with ``schema`` (``algo``), ``version`` and ``venue``. It is looked at
through a read-only connection before anything else touches it, so that a foreign or other-venue database
stays as it was.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import logging
import os
import sqlite3
import sys
import threading
import time
from collections import deque
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
VERSION = 3
"""Of the tables; see ``gateway.store.migrations`` when one that exists is to change."""
BUSY_MS = 5000
GROUP = 64
QUEUE = 10_000
CLOSE_WITHIN_S = 10.0
CHECKPOINT_ROWS = 1000
"""Rows written, about as many pages of the WAL."""
WAL_PAGES = 16_000
"""64 MB: a writer carries the WAL over itself only when nobody else could."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Database:
    """One SQLite file of one instance. Reads from any thread; writes share one connection and take turns.

    Writes that wait at the same moment share one transaction (group commit): the first of them commits for
    all, in its own thread, so that a lone write costs no handover. Each runs in its own savepoint, so that
    one that fails takes nothing with it. ``synchronous=FULL``: a write that returned is on disk.
    """

    def __init__(
        self, path: Path, venue: Venue, *, read_only: bool, lock: IO[bytes] | None, durable: bool = True
    ) -> None:
        self.path = path
        self.venue = venue
        self.read_only = read_only
        self._lock = lock
        self._reader = _engine(path, writing=False)
        self._guard = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._leading = False
        self._carried = 0
        self._checkpointing = threading.Lock()
        self._closed = False
        self._writer: Engine | None = None
        self._connection: Connection | None = None
        if not read_only:
            # our own transaction words, see _commit_group
            self._writer = _engine(path, writing=True, begin=False, durable=durable)
            self._connection = self._writer.connect()

    @property
    def closed(self) -> bool:
        """True as soon as no new write is taken."""
        return self._closed

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection with one consistent snapshot, for the length of the block."""
        try:
            with self._reader.connect() as connection, connection.begin():
                yield connection
        except (OperationalError, sqlite3.OperationalError) as exc:
            raise StoreError(f"{self.path.name}: {getattr(exc, 'orig', exc)}") from exc

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` inside a transaction; returns after the durable commit.

        ``work`` may run in another caller's thread. It must not call ``write`` itself, and must not keep the
        connection.

        Raises:
            StoreError: Read-only, closed, 10,000 writes are waiting, or SQLite could not commit (nothing of
                this write is on disk then).
            Exception: Whatever ``work`` raised; its changes are rolled back.
        """
        if self.read_only:
            raise StoreError(f"{self.path.name} is read-only here")
        job = _Job(work)
        with self._guard:
            if self._closed:
                raise StoreError(f"{self.path.name} is closed")
            if len(self._waiting) >= QUEUE:
                raise StoreError(f"{self.path.name}: {QUEUE} writes are waiting; the disk does not keep up")
            self._waiting.append(job)
            leads, self._leading = not self._leading, True
        if not leads:
            job.turn.acquire()  # let go by a leader: the job is done, or it is this thread's turn to lead
        if not job.done:
            self._lead(job)
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def ride(self, work: Callable[[Connection], None]) -> Future[None]:
        """Have ``work`` committed with the next ``write``, whoever makes it, and return at once.

        Nothing is on disk before that; a ``write`` that returned means that every ride handed in before it
        has ended. The future is done then, with the exception if there was one.

        Raises:
            StoreError: As ``write``, before anything was done.
        """
        job = _Job(work)
        job.rider = Future()
        with self._guard:
            if self.read_only or self._closed:
                raise StoreError(f"{self.path.name} is {'read-only here' if self.read_only else 'closed'}")
            if len(self._waiting) >= QUEUE:
                raise StoreError(f"{self.path.name}: {QUEUE} writes are waiting; the disk does not keep up")
            self._waiting.append(job)
        return job.rider

    def close(self) -> None:
        """Finish what waits, then let go of the file. Safe to call twice."""
        with contextlib.suppress(StoreError):
            if self._waiting:
                self.write(lambda _connection: None)  # rides alone have nobody who leads
        with self._guard:
            if self._closed:
                return
            self._closed = True
        if self._checkpointing.acquire(timeout=CLOSE_WITHIN_S):
            self._checkpointing.release()
        until = time.monotonic() + CLOSE_WITHIN_S
        while self._leading and time.monotonic() < until:
            time.sleep(0.002)
        if self._connection is not None and not self._leading:
            self._connection.close()
        if self._writer is not None:
            self._writer.dispose()
        self._reader.dispose()
        if self._lock is not None:
            self._lock.close()

    def _lead(self, mine: _Job) -> None:
        """Commit this job and those waiting behind it, then hand the lead on."""
        with self._guard:
            jobs = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            while mine not in jobs:  # behind more rides than a group holds
                jobs.append(self._waiting.popleft())
        assert self._connection is not None
        rows = self._carried
        try:
            _commit_group(self._connection, jobs)
            rows = raw_of(self._connection).total_changes  # while it is ours: close() waits for the lead
        finally:
            with self._guard:
                heir = next((job for job in self._waiting if job.rider is None), None)
                self._leading = heir is not None
            for job in jobs:
                if job.rider is not None:
                    job.rider.set_exception(job.error) if job.error else job.rider.set_result(None)
                elif job is not mine:
                    job.turn.release()
            if heir is not None:
                heir.turn.release()
        if rows - self._carried >= CHECKPOINT_ROWS and not self._checkpointing.locked():
            self._carried = rows
            name = f"checkpoint-{self.path.stem}"
            threading.Thread(target=self._checkpoint, name=name, daemon=True).start()

    def _checkpoint(self) -> None:
        """Carry the WAL over into the file, beside writers and readers: left to itself, SQLite has the writer
        do it that reaches a thousand pages, and that one's order waits for all of them.
        """
        with self._checkpointing:
            if self._closed:
                return
            try:
                uri = f"{self.path.as_uri()}?mode=rw"
                with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_MS / 1000)) as connection:
                    connection.execute("PRAGMA synchronous=FULL")
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.Error as exc:
                # nothing is lost: the next one carries over more
                log.warning("%s: checkpoint: %s", self.path.name, exc)


class _Job:
    """A write on its way. ``turn`` is let go once: when it is ``done``, or when its thread must lead.

    ``rider``: Nobody waits at ``turn``; whoever wants to know asks this future.
    """

    __slots__ = ("done", "error", "result", "rider", "turn", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = False
        self.result: Any = None
        self.rider: Future[None] | None = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done = True


def raw_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection: a tenth of the cost a statement, for the paths orders take."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _commit_group(connection: Connection, jobs: list[_Job]) -> None:
    """One transaction for all; a job is done only after the commit. Never raises an ``Exception``."""
    raw = raw_of(connection)
    try:
        raw.execute("BEGIN IMMEDIATE")
        for job in jobs:
            raw.execute("SAVEPOINT one")
            try:
                job.result = job.work(connection)
                raw.execute("RELEASE one")
            except Exception as exc:  # noqa: BLE001 - handed to the caller, who raises it
                raw.execute("ROLLBACK TO one")
                raw.execute("RELEASE one")
                job.fail(exc)
        raw.execute("COMMIT")
        # SQLAlchemy's own idea of a transaction, begun by a work that spoke through it, ends here too
        connection.commit()
    except BaseException as exc:
        log.error("commit failed: %s", exc)
        _give_up(connection, raw)
        for job in jobs:
            if not job.done:
                failure = StoreError(f"could not commit: {exc}")
                failure.__cause__ = exc
                job.fail(failure)
        if not isinstance(exc, Exception):
            raise
        return
    for job in jobs:
        job.done = True


def _give_up(connection: Connection, raw: sqlite3.Connection) -> None:
    """SQLite keeps the transaction open when COMMIT itself fails."""
    try:
        raw.rollback()
        connection.rollback()
    except Exception:
        # the next write must find a writer; its own BEGIN says what is wrong
        log.exception("rolling back")


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
    lock = _lock(path)
    try:
        # again under the lock: another process may have made it between the look and the lock
        found = _stamp(path)
        if found is not None:
            _check(path, found, venue)
            if int(found["version"]) < VERSION:
                # rare, and what it needs is not small: loaded only now
                migrations = importlib.import_module("gateway.store.migrations")
                migrations.upgrade(path, int(found["version"]), VERSION)
        _make(path, venue, metadata, new=found is None)
    except BaseException:
        lock.close()
        raise
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


def _engine(
    path: Path, *, writing: bool, wal: bool = True, begin: bool = True, durable: bool = True
) -> Engine:
    """SQLAlchemy over one file with our own transaction words (the driver's guesses are switched off).

    Args:
        begin: False when the caller says BEGIN itself.
    """
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
