"""What the face shows: views over the segments and copies of the manifest's tables.

``market_data`` has OpenAlgo's ten columns. ``bars_1m`` and ``bars_d`` are the same bars with a time people
read. Times in the tables are UTC, ``time_ist`` is the exchange's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from historify.control import Control
from historify.errors import StoreDamaged
from historify.model import DAY, MINUTE
from historify.reader.query import quoted
from historify.segments import damage, manifest
from historify.segments.manifest import Segment

FORMAT = 1
TEN = "symbol, exchange, interval, timestamp, open, high, low, close, volume, oi"
_NAMES = "symbol VARCHAR, exchange VARCHAR, interval VARCHAR"
_EMPTY = (
    "(SELECT '' AS symbol, '' AS exchange, '' AS interval, 0::BIGINT AS ts, 0::DOUBLE AS open, "
    "0::DOUBLE AS high, 0::DOUBLE AS low, 0::DOUBLE AS close, 0::BIGINT AS volume, 0::BIGINT AS oi "
    "WHERE false)"
)
_TIME = "make_timestamp(({}) * 1000000)"


@dataclass(frozen=True, slots=True)
class Table:
    """A copy of rows of the manifest: DuckDB's columns, and the SQLite query that fills them."""

    name: str
    columns: str
    query: str


TABLES = (
    Table(
        "segment",
        f"{_NAMES}, first_timestamp BIGINT, last_timestamp BIGINT, path VARCHAR, rows BIGINT, bytes BIGINT",
        "SELECT symbol, exchange, interval, lo, hi, path, rows, bytes FROM segment",
    ),
    Table(
        "data_catalog",
        f"{_NAMES}, first_timestamp BIGINT, last_timestamp BIGINT, record_count BIGINT, "
        "last_download_at TIMESTAMP, source VARCHAR",
        "SELECT symbol, exchange, interval, first_ts, last_ts, rows, datetime(updated_at, 'unixepoch'), "
        "source FROM series",
    ),
    Table(
        "watchlist",
        "name VARCHAR, symbol VARCHAR, exchange VARCHAR, added_at TIMESTAMP",
        "SELECT name, symbol, exchange, datetime(added_at, 'unixepoch') FROM watchlist",
    ),
    Table(
        "symbol_metadata",
        "symbol VARCHAR, exchange VARCHAR, name VARCHAR, expiry VARCHAR, strike DOUBLE, lotsize BIGINT, "
        "instrumenttype VARCHAR, tick_size DOUBLE, last_updated TIMESTAMP",
        "SELECT symbol, exchange, name, expiry, strike, lot_size, kind, tick_size, "
        "datetime(seen_at, 'unixepoch') FROM instrument",
    ),
    Table(
        "download_jobs",
        "id BIGINT, status VARCHAR, total_symbols BIGINT, completed_symbols BIGINT, failed_symbols BIGINT, "
        "interval VARCHAR, start_date VARCHAR, end_date VARCHAR, created_at TIMESTAMP, started_at TIMESTAMP, "
        "completed_at TIMESTAMP, error_message VARCHAR",
        "SELECT id, state, (SELECT count(*) FROM job_item i WHERE i.job = j.id), "
        "(SELECT count(*) FROM job_item i WHERE i.job = j.id AND i.state = 'done'), "
        "(SELECT count(*) FROM job_item i WHERE i.job = j.id AND i.state = 'failed'), "
        "intervals, first_day, last_day, datetime(created_at, 'unixepoch'), "
        "datetime(started_at, 'unixepoch'), datetime(ended_at, 'unixepoch'), error FROM job j",
    ),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The manifest at one moment.

    Attributes:
        publish: Number of the last change of the segments in it.
        segments: All of them, series by series.
        tables: Rows of each of ``TABLES``.
    """

    publish: int
    segments: tuple[Segment, ...]
    tables: dict[str, list[tuple[Any, ...]]]


def snapshot(control: Control) -> Snapshot:
    """Raises: StoreBusy, StoreDamaged: see ``Control``."""
    with control.read() as connection:
        return Snapshot(
            manifest.publish_number(connection),
            tuple(manifest.all_segments(connection)),
            {table.name: connection.execute(table.query).fetchall() for table in TABLES},
        )


def create_views(connection: duckdb.DuckDBPyConnection, shot: Snapshot, root: Path) -> None:
    """The three views in the connection's current schema; each file by its full name.

    ``SET VARIABLE historify_root = '…'`` points them at another place, for a face written in a container.
    """
    everything = _scan([one.path for one in shot.segments], root)
    connection.execute(
        "CREATE VIEW market_data AS SELECT symbol, exchange, interval, ts AS timestamp, "
        f"open, high, low, close, volume, oi FROM {everything}"
    )
    for interval, sql in _TIMED.items():
        files = [one.path for one in shot.segments if one.series.interval == interval]
        connection.execute(sql.format(source=_scan(files, root), ts="ts"))


def create_timed(connection: duckdb.DuckDBPyConnection) -> None:
    """``bars_1m`` and ``bars_d`` over a ``market_data`` that is not made of files."""
    for interval, sql in _TIMED.items():
        source = f"(SELECT * FROM market_data WHERE interval = {quoted(interval)})"
        connection.execute(sql.format(source=source, ts="timestamp"))


_TIMED = {
    MINUTE: "CREATE VIEW bars_1m AS SELECT symbol, exchange, "
    + _TIME.format("{ts} + 19800")
    + " AS time_ist, open, high, low, close, volume, oi FROM {source}",
    DAY: "CREATE VIEW bars_d AS SELECT symbol, exchange, CAST("
    + _TIME.format("{ts}")
    + " AS DATE) AS date, open, high, low, close, volume, oi FROM {source}",
}


def create_tables(connection: duckdb.DuckDBPyConnection, shot: Snapshot) -> None:
    for table in TABLES:
        connection.execute(f"CREATE TABLE {table.name}({table.columns})")
        rows = shot.tables[table.name]
        if rows:  # one list per column: row by row, 20,000 segments would take seconds
            marks = ", ".join("unnest(?)" for _ in rows[0])
            connection.execute(
                f"INSERT INTO {table.name} SELECT {marks}", [list(c) for c in zip(*rows, strict=True)]
            )


def damaged(control: Control, root: Path) -> StoreDamaged | None:
    """The first segment that is missing or of another size: what stands behind a view that fails."""
    with control.read() as connection:
        segments = list(manifest.all_segments(connection))
    found = next((bad for one in segments if (bad := damage.quick(root, one))), None)
    return found.error() if found else None


def _scan(paths: Sequence[str], root: Path) -> str:
    if not paths:
        return _EMPTY
    names = ", ".join(map(quoted, paths))
    return (
        f"read_parquet(list_transform([{names}], lambda f: coalesce(getvariable('historify_root'), "
        f"{quoted(str(root))}) || '/' || f), hive_partitioning = true, "
        "hive_types = {'symbol': VARCHAR, 'exchange': VARCHAR, 'interval': VARCHAR})"
    )
