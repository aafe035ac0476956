"""What the latency database holds, with nothing but the standard library: the instance may be down.

Also for the supervisor: it imports neither SQLAlchemy nor the gateway. Every function raises ``StoreError``
when the file is not there or cannot be read; the writing process is never in the way (WAL).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokers.errors import StoreError
from gateway.latency.model import STAMPS

SCHEMA = "algo"
MOST = 200_000
BUSY_S = 5.0
TEXTS = ("endpoint", "order_id", "exchange", "symbol", "price_type", "strategy", "probe", "outcome", "code")
COLUMNS = ("id", "at_ns", "base_ns", "journal_id", "flags", *TEXTS, *STAMPS)
"""Of ``Samples.columns``. ``at_ns`` is wall time, the stamps are nanoseconds after it, None where the request
did not pass; see ``model.Row``."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Requests in the order they were made, a list for each column.

    Attributes:
        more: There were more than ``MOST``: ask again from the last ``at_ns`` on.
    """

    columns: dict[str, list[Any]]
    more: bool

    def __len__(self) -> int:
        return len(self.columns["id"])


@dataclass(frozen=True, slots=True)
class Stored:
    """An encoded histogram (``histograms.Histogram.decode``)."""

    day: str
    broker: str
    endpoint: str
    stage: str
    data: bytes


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        # made by the first order's instance; mode=ro never makes it
        uri = f"{path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as connection:
            stamp = dict(connection.execute("SELECT name, value FROM meta WHERE name = 'schema'"))
            if stamp.get("schema") != SCHEMA:
                raise StoreError(f"{path.name} is no database of this project")
            yield connection
    except sqlite3.Error as exc:
        raise StoreError(f"{path.name}: {exc}") from exc


def samples(
    path: Path,
    since_ns: int,
    until_ns: int,
    *,
    endpoint: str = "",
    probes: bool = False,
    columns: tuple[str, ...] = COLUMNS,
    most: int = MOST,
) -> Samples:
    """Requests received from ``since_ns`` (inclusive) to ``until_ns`` (exclusive), wall nanoseconds.

    Args:
        endpoint: Only those of ``place``, ``modify`` or ``cancel``.
        probes: Only those that belong to a probe.
        columns: Some of ``COLUMNS``; fewer are quicker.

    Raises:
        ValueError: A column that is none.
    """
    if unknown := set(columns) - set(COLUMNS):
        raise ValueError(f"no such columns: {sorted(unknown)}")
    where, values = ["at_ns >= ?", "at_ns < ?"], [since_ns, until_ns]
    parameters: list[Any] = list(values)
    if endpoint:
        where.append("endpoint = ?")
        parameters.append(endpoint)
    if probes:
        where.append("probe <> ''")
    text = f"SELECT {', '.join(columns)} FROM requests WHERE {' AND '.join(where)} ORDER BY at_ns, id LIMIT ?"
    with _open(path) as connection:
        rows = connection.execute(text, (*parameters, most + 1)).fetchall()
    more = len(rows) > most
    turned = zip(*rows[:most], strict=True) if rows else ((),) * len(columns)
    return Samples({name: list(column) for name, column in zip(columns, turned, strict=True)}, more)


def rows(path: Path, where: str, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Whole requests as mappings. ``where``: SQL of our own, never of a request."""
    with _open(path) as connection:
        found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM requests WHERE {where}", parameters)
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def durations(
    path: Path, length: str, where: str, parameters: tuple[Any, ...], most: int
) -> list[tuple[int, int]]:
    """(wall ns, duration ns) in the order of time, the newest ``most``.

    ``length`` and ``where`` as for ``rows``.
    """
    text = f"SELECT at_ns, {length} FROM requests WHERE {where} ORDER BY at_ns DESC LIMIT ?"
    with _open(path) as connection:
        return connection.execute(text, (*parameters, most)).fetchall()[::-1]


def histograms(path: Path, first_day: str, last_day: str) -> list[Stored]:
    """Those of IST days from ``first_day`` to ``last_day``, both inclusive (``2026-11-20``).

    Today's are as old as the writer's last saving, a minute at most.
    """
    text = (
        "SELECT day, broker, endpoint, stage, data FROM histograms WHERE day BETWEEN ? AND ? "
        "ORDER BY endpoint, stage, day"
    )
    with _open(path) as connection:
        return [Stored(*row) for row in connection.execute(text, (first_day, last_day))]


def counts(path: Path, first_day: str, last_day: str) -> dict[str, dict[str, int]]:
    """Daily counts by IST day and name; the names are in ``passive``."""
    found: dict[str, dict[str, int]] = {}
    with _open(path) as connection:
        text = "SELECT day, name, value FROM counts WHERE day BETWEEN ? AND ? ORDER BY day, name"
        for day, name, value in connection.execute(text, (first_day, last_day)):
            found.setdefault(day, {})[name] = value
    return found


def days(path: Path) -> list[str]:
    """IST days that have anything, oldest first."""
    text = "SELECT day FROM histograms UNION SELECT day FROM counts ORDER BY 1"
    with _open(path) as connection:
        return [row[0] for row in connection.execute(text)]
