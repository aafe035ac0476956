"""``algo history sql``: one question over the whole store, that can read bars and nothing else.

DuckDB gets no right to any file. A list of allowed folders would not do: DuckDB lets them be written too, and
``WITH x AS (COPY … TO 'segment') SELECT …`` counts as a SELECT. So the segments are read by Arrow and
handed in as a table, external access is off, no extension can be had and the settings are locked. Refusing
everything but a single SELECT comes on top, for a clear message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import dataset
from pyarrow.fs import LocalFileSystem

from brokers.errors import InvalidRequest
from historify.control import Control
from historify.errors import QueryLimit
from historify.face import contents
from historify.model import Series
from historify.paths import StorePaths
from historify.reader.engine import CONFIG, time_limit
from historify.reader.failure import ReadFailed
from historify.reader.limits import Limits
from historify.segments.manifest import Segment

LIMITS = Limits(threads=2, memory="1GB", query_s=60.0)
REFUSED = "SQL_REFUSED"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("symbol", "exchange", "interval")]
    + [("ts", pa.int64())]
    + [(name, pa.float64()) for name in ("open", "high", "low", "close")]
    + [(name, pa.int64()) for name in ("volume", "oi")]
)


@dataclass(frozen=True, slots=True)
class Answer:
    """``rows`` as Python values; ``more`` when the question had further rows than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool


def ask(
    control: Control, paths: StorePaths, text: str, *, max_rows: int = 100_000, limits: Limits = LIMITS
) -> Answer:
    """Answer one SELECT over ``market_data``, ``bars_1m``, ``bars_d`` and the tables of the face.

    Raises:
        InvalidRequest: No SQL, not a single SELECT, or it wants a file, an extension or a setting.
        QueryLimit: It takes too much time or memory.
        StoreDamaged: A segment it reads is missing or changed.
    """
    with open_locked(control, paths, limits) as connection:
        statement = _only_select(connection, text)
        try:
            with time_limit(connection, limits.query_s):
                connection.execute(statement)
                names = tuple(str(column[0]) for column in connection.description or ())
                rows = connection.fetchmany(max_rows + 1)
        except ReadFailed as exc:
            raise _told(exc, control, paths) from exc
        return Answer(names, rows[:max_rows], len(rows) > max_rows)


def open_locked(control: Control, paths: StorePaths, limits: Limits) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the face's views and tables, that can open no file at all."""
    shot = contents.snapshot(control)
    connection = duckdb.connect(
        ":memory:", config={**CONFIG, "threads": limits.threads, "memory_limit": limits.memory}
    )
    connection.register("segments_of_bars", _dataset(shot.segments, paths.root.absolute()))
    connection.execute(
        f"CREATE VIEW market_data AS SELECT {contents.TEN.replace('timestamp', 'ts AS timestamp')} "
        "FROM segments_of_bars"
    )
    contents.create_timed(connection)
    contents.create_tables(connection, shot)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _dataset(segments: Sequence[Segment], root: Path) -> dataset.FileSystemDataset:
    """The segments as one Arrow table; a question for one symbol opens that symbol's files only."""
    parquet, files = dataset.ParquetFileFormat(), LocalFileSystem()
    fragments = [
        parquet.make_fragment(str(one.file(root)), files, partition_expression=_what_is_in(one.series))
        for one in segments
    ]
    return dataset.FileSystemDataset(fragments, SCHEMA, parquet, files)


def _what_is_in(series: Series) -> dataset.Expression:
    return (
        (dataset.field("symbol") == series.symbol)
        & (dataset.field("exchange") == series.exchange)
        & (dataset.field("interval") == series.interval)
    )


def _only_select(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as exc:
        raise InvalidRequest(str(exc), code=REFUSED) from exc
    if len(statements) != 1:
        raise InvalidRequest(f"one SELECT is answered at a time, this is {len(statements)}", code=REFUSED)
    if statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidRequest(
            f"only SELECT is answered, not {statements[0].type.name}; to write, `algo history pack FILE` "
            "makes a file of your own",
            code=REFUSED,
        )
    return statements[0]


def _told(failed: ReadFailed, control: Control, paths: StorePaths) -> Exception:
    cause = failed.__cause__
    if isinstance(cause, duckdb.PermissionException):
        return InvalidRequest(f"SQL here reads the stored bars and nothing else: {cause}", code=REFUSED)
    if isinstance(cause, duckdb.OutOfMemoryException):
        return QueryLimit(f"{cause}; ask for less, or use `algo history pack FILE` and your own DuckDB")
    return contents.damaged(control, paths.root) or InvalidRequest(str(cause or failed), code=REFUSED)
