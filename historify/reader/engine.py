"""One in-memory DuckDB of a process, locked down. Importing this module costs 50 MB: see ``bars.Reader``."""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from historify.errors import QueryLimit
from historify.reader.arrow import StreamError, drain
from historify.reader.failure import ReadFailed
from historify.reader.limits import Limits

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a name in SQL is never a variable of this program
    "temp_directory": "",
}
"""Of every DuckDB instance we make: no extension is fetched or loaded, ever, and nothing spills to disk."""


class Engine:
    """Queries over Parquet files. Thread-safe: every query has its own cursor.

    Args:
        limits: See ``Limits``.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = threading.BoundedSemaphore(limits.parallel)
        self._db = duckdb.connect(
            ":memory:", config={**CONFIG, "threads": limits.threads, "memory_limit": limits.memory}
        )

    def columns(self, sql: str, kinds: str) -> list[array[Any]]:
        """The result as one ``array`` per column.

        Args:
            kinds: Array type code of each column: ``q`` for BIGINT, ``d`` for DOUBLE.

        Raises:
            QueryLimit: Not done in time.
            ReadFailed: Anything else DuckDB says.
        """
        with self._cursor() as cursor, time_limit(cursor, self._limits.query_s):
            return drain(cursor.sql(sql).__arrow_c_stream__(), kinds)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if not self._slots.acquire(timeout=self._limits.query_s):
            raise QueryLimit(f"{self._limits.parallel} queries have been running for too long; ask again")
        try:
            cursor = self._db.cursor()
            try:
                yield cursor
            finally:
                cursor.close()
        finally:
            self._slots.release()


@contextmanager
def time_limit(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt the block's query after a while; DuckDB has no such setting of its own."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(duckdb.Error):  # the query ended in the same moment
            cursor.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (duckdb.Error, StreamError) as exc:
        if late.is_set():
            raise QueryLimit(f"the query was stopped after {seconds:g} s; ask for a shorter range") from exc
        raise ReadFailed(str(exc)) from exc
    finally:
        timer.cancel()
