"""One SQLite file: readers beside one writer, group commit, durable commits."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from brokers.errors import StoreError
from brokers.model import Venue
from gateway.store.connecting import BUSY_MS, connect, raw_of

GROUP = 64
QUEUE = 10_000
CLOSE_WITHIN_S = 10.0
CHECKPOINT_ROWS = 1000
"""Rows written, about as many pages of the WAL."""

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
        self._reader = connect(path, writing=False)
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
            self._writer = connect(path, writing=True, begin=False, durable=durable)
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
        """Carry the WAL over into the file, beside writers and readers.

        Left to itself, SQLite has the writer do it that reaches a thousand pages, and that one's order waits
        for all of them.
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
        # of whatever kind: the other threads' jobs must end too, or they wait for ever
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
    except (sqlite3.Error, SQLAlchemyError):
        # the next write must find a writer; its own BEGIN says what is wrong
        log.exception("rolling back")
