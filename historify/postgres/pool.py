"""A few connections shared by the threads of a process.

Each is set to UTC, to limits for statements, locks and idle transactions, and to our schema, so that no
setting of the server or of the machine changes an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from historify.errors import StoreBusy, StoreError
from historify.postgres.address import Address
from historify.postgres.trouble import translated

SIZE = 4
WAIT_S = 10.0
CONNECT_S = 5
STATEMENT_S = 60
LOCK_S = 5
STALLED_S = 20
"""The server ends a transaction whose client went silent: a frozen writer blocks nobody for longer."""

TRIES = 4
UNDONE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


class Pool:
    """Hands out connections in autocommit mode. Thread-safe; made in the process that uses it."""

    def __init__(self, address: Address, *, size: int = SIZE, statement_s: float = STATEMENT_S) -> None:
        self.address = address
        self._statement_s = statement_s
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._free = threading.BoundedSemaphore(size)
        self._closed = False

    def run(self, doing: str, work: Callable[[Connection], T]) -> T:
        """``work`` on a connection, again where that cannot hurt.

        That is on a new connection when the one kept from before was dead, and when the server undid it to
        end a deadlock (TimescaleDB compresses beside us). Only for work that may be repeated: reads, and
        whole transactions whose repeat changes nothing.
        """
        with translated(self.address, doing):
            for tries_left in range(TRIES - 1, -1, -1):
                with self._taken(doing) as (connection, fresh):
                    try:
                        return work(connection)
                    except UNDONE:
                        if not tries_left:
                            raise
                    except psycopg.OperationalError:
                        if fresh or not connection.closed or not tries_left:
                            raise
                if connection.closed:
                    self._drop_idle()
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._closed = True
        self._drop_idle()

    @contextmanager
    def _taken(self, doing: str) -> Iterator[tuple[Connection, bool]]:
        if self._closed:
            raise StoreError(f"{self.address.shown}: {doing} failed: the store is closed")
        if not self._free.acquire(timeout=WAIT_S):
            raise StoreBusy(
                f"{self.address.shown}: {doing} waited {WAIT_S:.0f} s for a connection; try again"
            )
        try:
            with self._guard:
                kept = self._idle.pop() if self._idle else None
            connection = kept or self._connect()
            try:
                yield connection, kept is None
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def _give_back(self, connection: Connection) -> None:
        sound = (
            not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        )
        with self._guard:
            if sound and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._guard:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            connection.close()

    def _connect(self) -> Connection:
        connection = psycopg.connect(
            self.address.conninfo,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name="algo-historify",
            keepalives_idle=30,
        )
        # statements, not the `options` parameter: connection poolers refuse that one
        connection.execute(
            sql.SQL(
                "SET TIME ZONE 'UTC'; SET client_encoding TO 'UTF8'; SET search_path TO {};"
                "SET default_transaction_isolation TO 'read committed';"
                "SET statement_timeout TO {}; SET lock_timeout TO {};"
                "SET idle_in_transaction_session_timeout TO {};"
                # columns leave the server packed in the order they were read: one process reads them
                "SET max_parallel_workers_per_gather TO 0"
            ).format(
                sql.Identifier(self.address.schema),
                sql.Literal(int(self._statement_s * 1000)),
                sql.Literal(LOCK_S * 1000),
                sql.Literal(STALLED_S * 1000),
            )
        )
        return connection
