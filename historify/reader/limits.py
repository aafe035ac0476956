"""What one process may spend on reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one in-memory DuckDB.

    Attributes:
        threads: 1 runs a query in the thread that asks. Measured on two busy cores, a second one made a month
            of 1m slower (5.3 against 3.7 ms): the readers of one process already run side by side.
        memory: Of all queries together; beyond it a query fails with ``QueryLimit``, nothing goes to disk.
        query_s: Of one query.
        parallel: Queries at a time; the others wait their turn within ``query_s``.
    """

    threads: int = 1
    memory: str = "256MB"
    query_s: float = 10.0
    parallel: int = 4
