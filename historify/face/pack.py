"""``algo history pack FILE``: one self-contained DuckDB file with every bar in a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from brokers.errors import InvalidRequest
from historify.control import Control, translated
from historify.errors import StoreDamaged, StoreFull
from historify.face import contents
from historify.face.publish import STORAGE_VERSION
from historify.model import Series
from historify.paths import StorePaths
from historify.reader.engine import CONFIG
from historify.reader.query import quoted, scan
from historify.segments import damage, manifest
from historify.segments.manifest import Segment

BATCH = 25
"""Series copied at a time: their files are looked up just before, so none is deleted under a long copy."""
MEMORY = "1GB"


@dataclass(frozen=True, slots=True)
class Packed:
    """What went into the file: bars, series, and the size of the file in bytes."""

    rows: int
    series: int
    bytes: int


def pack(
    control: Control, paths: StorePaths, target: Path, *, progress: Callable[[int, int], None] | None = None
) -> Packed:
    """Write the store into one file that needs nothing beside it. Reads without a lock, like any reader.

    Args:
        target: Must not exist yet.
        progress: Called with series done and of how many.

    Raises:
        InvalidRequest: ``target`` exists.
        StoreDamaged: A segment is missing or changed; no file is left.
        StoreFull: No room or no right to write; no file is left.
    """
    if target.exists():
        raise InvalidRequest(f"{target} exists; pack writes a new file")
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    with translated(target):
        try:
            rows, count = _write(control, paths, fresh, progress)
            os.replace(fresh, target)
        finally:
            for left in (fresh, fresh.with_name(f"{fresh.name}.wal")):
                left.unlink(missing_ok=True)
    return Packed(rows, count, target.stat().st_size)


def _write(
    control: Control, paths: StorePaths, fresh: Path, progress: Callable[[int, int], None] | None
) -> tuple[int, int]:
    shot = contents.snapshot(control)
    with control.read() as connection:
        series = [row.series for row in manifest.catalog(connection)]
    series.sort(key=lambda one: (one.interval, one.exchange, one.symbol))
    with duckdb.connect(":memory:", config={**CONFIG, "memory_limit": MEMORY}) as connection:
        try:
            connection.execute(f"ATTACH {quoted(str(fresh))} AS packed (STORAGE_VERSION '{STORAGE_VERSION}')")
            connection.execute("USE packed")
            connection.execute(
                "CREATE TABLE market_data(symbol VARCHAR, exchange VARCHAR, interval VARCHAR, "
                "timestamp BIGINT, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, "
                "volume BIGINT, oi BIGINT)"
            )
            rows = 0
            for number in range(0, len(series), BATCH):
                rows += _copy(connection, control, paths, series[number : number + BATCH])
                if progress:
                    progress(min(number + BATCH, len(series)), len(series))
            contents.create_timed(connection)
            contents.create_tables(connection, shot)
            connection.execute("DROP TABLE segment")  # names files this one does not need
            connection.execute("USE memory")
            connection.execute("DETACH packed")
        except duckdb.Error as exc:
            raise StoreFull(f"{fresh.parent}: the file could not be written ({exc})") from exc
    return rows, len(series)


def _copy(
    connection: duckdb.DuckDBPyConnection, control: Control, paths: StorePaths, batch: Sequence[Series]
) -> int:
    """Copy the bars of some series; a file merged away meanwhile is looked up once more."""
    for last in (False, True):
        with control.read() as manifest_connection:
            segments = [one for series in batch for one in manifest.segments(manifest_connection, series)]
        expected = sum(one.rows for one in segments)
        try:
            for one in segments:
                damage.whole(paths.root, one)
            copied = _insert(connection, paths, segments)
        except (StoreDamaged, duckdb.IOException):
            if last:
                raise
            continue
        if copied != expected:
            raise StoreDamaged(
                f"{batch[0]} … {batch[-1]}: {copied} bars in the files, {expected} in the manifest"
            )
        return copied
    raise AssertionError("unreachable")


def _insert(connection: duckdb.DuckDBPyConnection, paths: StorePaths, segments: Sequence[Segment]) -> int:
    names = [str(one.file(paths.root.absolute())) for one in segments]
    done = connection.execute(
        "INSERT INTO market_data SELECT symbol, exchange, interval, ts, open, high, low, close, volume, oi "
        f"FROM {scan(names)}"
    ).fetchone()
    return int(done[0]) if done else 0
