"""Who writes the store: an operating-system lock on a file, and a row with an epoch.

The lock says that no other process lives that would write; it frees the moment its holder dies. The epoch
says whose batch counts: it is read again inside every publish, so that a process which slept through a
takeover publishes nothing. ``flock`` belongs to the open file: a ``fork``ed child would keep it, so the
process that holds it must not fork (``subprocess`` and ``spawn`` are fine).
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from brokers.clock import Clock
from historify.contract import Fence
from historify.control import Control, translated
from historify.errors import LeaseLost, PullerBusy

if sys.platform == "win32":  # untested
    import msvcrt
else:
    import fcntl

TTL_S = 30.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class PullerLock:
    """``puller.lock``, held from ``acquire`` to ``release`` or the death of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock now or not at all.

        Raises:
            PullerBusy: Another process, or another ``PullerLock`` of this one, holds it.
            StoreFull: No right to make the file.
        """
        if self.held:
            return
        with translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError as exc:
            os.close(descriptor)
            raise PullerBusy(f"another process holds {self.path}: one puller writes this store") from exc
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; nothing when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Holder:
    """The lease's row, for status pages.

    Attributes:
        name: Instance through whose api the puller asks its broker; ``import`` and the like for others.
        expires_at_s: Epoch seconds; past it the puller has not been heard of: it hangs or is gone.
        session_ok: Whether its broker session was valid when it last renewed.
    """

    name: str
    instance_url: str
    pid: int
    host: str
    boot_id: str
    epoch: int
    acquired_at_s: float
    renewed_at_s: float
    expires_at_s: float
    released: bool
    session_ok: bool

    def lives(self, now_s: float) -> bool:
        """Whether it may still write: it did not let go, its time has not run out, its process is not gone.

        A process id that is in use again only means waiting for the TTL.
        """
        if self.released or now_s >= self.expires_at_s:
            return False
        if self.host != socket.gethostname():
            return True
        return self.boot_id == boot_id() and self.pid != os.getpid() and psutil.pid_exists(self.pid)


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked for which instance to pull."""

    wanted_by: str
    instance: str


class Lease:
    """Permission to write under one epoch. Made by ``acquire``."""

    def __init__(self, control: Control, holder: str, epoch: int, clock: Clock, ttl_s: float) -> None:
        self.holder = holder
        self._control = control
        self._epoch = epoch
        self._clock = clock
        self._ttl_s = ttl_s

    @property
    def epoch(self) -> int:
        """Fixed for the life of this lease; see ``Fence``."""
        return self._epoch

    def renew(self, *, session_ok: bool = True) -> None:
        """Say that this puller lives; call it every few seconds.

        Raises:
            LeaseLost: Another epoch is current, or this lease was released.
        """
        now = self._clock.time_ns() / 1e9
        with self._control.transaction(durable=False) as tx:
            changed = tx.execute(
                "UPDATE lease SET renewed_at=?, expires_at=?, broker_session_ok=?"
                " WHERE epoch=? AND released=0",
                (now, now + self._ttl_s, session_ok, self._epoch),
            ).rowcount
        if not changed:
            raise LeaseLost(f"lease of epoch {self._epoch} ({self.holder}) is no longer the current one")

    def release(self) -> None:
        """Let the next one take it at once; nothing happens when it is already another's."""
        with self._control.transaction() as tx:
            tx.execute("UPDATE lease SET released=1 WHERE epoch=?", (self._epoch,))


def acquire(
    control: Control,
    lock: PullerLock | None,
    holder: str,
    clock: Clock,
    *,
    instance_url: str = "",
    ttl_s: float = TTL_S,
    force: bool = False,
) -> Lease:
    """Take the lease under a new epoch; every writer of an older epoch is fenced off from here on.

    Args:
        lock: Held by the caller. None only with ``force``.
        force: Take it from a holder that still seems to live: its lock was freed by other means.

    Raises:
        PullerBusy: The lock is not held, or (without ``force``) the last holder may still live and its lease
            has not run out; the message says when it does.
    """
    if not force and (lock is None or not lock.held):
        raise PullerBusy("the lease needs puller.lock first")
    now = clock.time_ns() / 1e9
    host = socket.gethostname()
    with control.transaction() as tx:
        last = _read(tx)
        if last is not None and not force and last.lives(now):
            raise PullerBusy(
                f"{last.name} (pid {last.pid} on {last.host}) holds the lease for another "
                f"{last.expires_at_s - now:.0f} s"
            )
        epoch = 1 if last is None else last.epoch + 1
        tx.execute(
            "INSERT OR REPLACE INTO lease(id, holder, instance_url, pid, host, boot_id, epoch, acquired_at,"
            " renewed_at, expires_at, released, broker_session_ok) VALUES(1,?,?,?,?,?,?,?,?,?,0,1)",
            (holder, instance_url, os.getpid(), host, boot_id(), epoch, now, now, now + ttl_s),
        )
        tx.execute("DELETE FROM release_request")
    return Lease(control, holder, epoch, clock, ttl_s)


def current(control: Control) -> Holder | None:
    """The lease as it stands; None before the first puller."""
    with control.read() as connection:
        return _read(connection)


def request_release(control: Control, wanted_by: str, clock: Clock, *, instance: str = "") -> None:
    """Ask the puller to go on through ``instance``; it looks at ``requested`` between two batches."""
    with control.transaction(durable=False) as tx:
        tx.execute(
            "INSERT OR REPLACE INTO release_request(id, wanted_by, instance, at) VALUES(1,?,?,?)",
            (wanted_by, instance, clock.time_ns() / 1e9),
        )


def requested(control: Control) -> Request | None:
    """What the puller was asked and has not looked at."""
    with control.read() as connection:
        row = connection.execute("SELECT wanted_by, instance FROM release_request").fetchone()
    return None if row is None else Request(str(row[0]), str(row[1]))


def answered(control: Control, request: Request) -> None:
    """The puller has looked at it; a later one stays."""
    with control.transaction(durable=False) as tx:
        tx.execute(
            "DELETE FROM release_request WHERE wanted_by = ? AND instance = ?",
            (request.wanted_by, request.instance),
        )


def check(tx: sqlite3.Connection, fence: Fence) -> None:
    """Inside the publishing transaction: the epoch is the current one.

    Raises:
        LeaseLost: It is not; the transaction must not go on.
    """
    row = tx.execute("SELECT epoch, released, holder FROM lease WHERE id=1").fetchone()
    if row is None or row[0] != fence.epoch or row[1]:
        now = "nobody holds it" if row is None or row[1] else f"{row[2]} holds epoch {row[0]}"
        raise LeaseLost(f"epoch {fence.epoch} may no longer write: {now}; the batch was not published")


@contextmanager
def writing(control: Control, lock_path: Path, holder: str, clock: Clock) -> Iterator[Lease]:
    """Lock and lease for the length of the block: how a command writes while no puller runs.

    Raises:
        PullerBusy: A puller runs; hand it a job instead.
    """
    lock = PullerLock(lock_path)
    lock.acquire()
    try:
        lease = acquire(control, lock, holder, clock)
        try:
            yield lease
        finally:
            lease.release()
    finally:
        lock.release()


def boot_id() -> str:
    """Tells one run of the machine from the next."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _read(connection: sqlite3.Connection) -> Holder | None:
    row = connection.execute(
        "SELECT holder, instance_url, pid, host, boot_id, epoch, acquired_at, renewed_at, expires_at,"
        " released, broker_session_ok FROM lease WHERE id=1"
    ).fetchone()
    return None if row is None else _holder(*row)


def _holder(
    name: str, url: str, pid: int, host: str, boot: str, epoch: int,
    acquired: float, renewed: float, expires: float, released: int, session_ok: int,
) -> Holder:  # fmt: skip
    return Holder(
        name, url, pid, host, boot, epoch, acquired, renewed, expires, bool(released), bool(session_ok)
    )


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":  # untested
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
