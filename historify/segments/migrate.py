"""Taking over OpenAlgo's ``historify.duckdb``: its bars and its watchlist. Loads DuckDB and pyarrow.

The old file is only read, and afterwards kept beside the store as ``historify.duckdb.before-<date>``. A
migration that is cut off starts again and changes nothing that is there already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from brokers.clock import IST, Clock
from brokers.errors import InvalidRequest
from historify.contract import Fence
from historify.control import Control
from historify.days import DAY_S, EPOCH, IST_S, shift_s
from historify.errors import BadBars, ForeignStore, StoreBusy, StoreError
from historify.face.detect import Kind, inspect, unlocked
from historify.jobs.watchlist import Watchlists
from historify.model import DAY, MINUTE, Batch, DayState, Provenance, Series
from historify.paths import StorePaths
from historify.reader.engine import CONFIG
from historify.segments.columns import EARLIEST, LATEST, VALUES, bars_from, check_series
from historify.segments.files import refused
from historify.segments.writer import Writer

INTERVALS = {"1m": MINUTE, "D": DAY, "1D": DAY, "1d": DAY, "d": DAY}
WATCHLIST = "openalgo"
BEGIN = {
    MINUTE: "timestamp - timestamp % 60",
    # at 00:00 UTC of the trading day, or at its IST midnight: both are the day's bar
    DAY: f"(timestamp + {IST_S}) // {DAY_S} * {DAY_S}",
}
BARS = """
    SELECT {begin} AS ts, open, high, low, close, coalesce(volume, 0)::BIGINT, coalesce(oi, 0)::BIGINT
    FROM old.market_data
    WHERE symbol = $symbol AND exchange = $exchange AND interval = $interval
      AND timestamp >= {earliest} AND timestamp < {latest}
      AND isfinite(open) AND isfinite(high) AND isfinite(low) AND isfinite(close)
      AND high >= greatest(open, close) AND low <= least(open, close)
      AND coalesce(volume, 0) >= 0 AND coalesce(oi, 0) >= 0
    QUALIFY row_number() OVER (PARTITION BY ts ORDER BY timestamp DESC) = 1
    ORDER BY ts
"""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Migration:
    """What was taken over.

    Attributes:
        kept: Where the old file is now.
        refused: Rows that no store keeps (a price that is no number, a high below the open …), by series.
        computed: Rows of intervals we compute instead of keeping, by interval.
    """

    kept: Path
    series: int = 0
    rows: int = 0
    watched: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)


Told = Callable[[int, int, str], None]


class Migrator:
    """Moves an old file's bars into the segments; the caller holds ``puller.lock`` and its lease."""

    def __init__(self, control: Control, paths: StorePaths, writer: Writer, clock: Clock) -> None:
        self._control = control
        self._paths = paths
        self._writer = writer
        self._clock = clock

    def run(self, fence: Fence, told: Told | None = None) -> Migration | None:
        """Migrate what lies at the store's path; None when there is nothing to migrate.

        Args:
            told: Called after each series with how many of how many are done, and its name.

        Raises:
            ForeignStore: The file is neither ours nor OpenAlgo's; it is left untouched.
            StoreBusy: A program has it open to write.
            StoreFull, LeaseLost: The migration stopped; the old file is still in its place.
        """
        face = self._paths.face
        found = inspect(face)
        if found.kind in (Kind.ABSENT, Kind.EMPTY, Kind.OURS):
            return None
        if found.kind is Kind.HELD:
            raise StoreBusy(
                f"{face}: {found.detail}; close OpenAlgo and other programs that use it, then go on"
            )
        if found.kind is Kind.UNREADABLE and self._published():
            return None  # our own face, broken: the next publish replaces it
        if found.kind is not Kind.OPENALGO:
            raise ForeignStore(
                f"{face} is no market-data store ({found.detail}); it was left untouched: move it away, or "
                "set HISTORIFY_DATABASE_URL to another path"
            )
        migration = Migration(self._spare_name())
        with _attached(face) as old:
            self._bars(old, fence, migration, told)
            self._watchlist(old, migration)
        self._put_aside(migration.kept)
        log.info(
            "took over %d bars of %d series from OpenAlgo's store; the old file is %s",
            migration.rows, migration.series, migration.kept,
        )  # fmt: skip
        return migration

    def _bars(
        self, old: duckdb.DuckDBPyConnection, fence: Fence, migration: Migration, told: Told | None
    ) -> None:
        listed = old.execute(
            "SELECT exchange, symbol, interval, count(*) FROM old.market_data GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for number, (exchange, symbol, interval, count) in enumerate(listed, 1):
            if interval in INTERVALS:
                series = Series(exchange, symbol, INTERVALS[interval])
                rows = self._series(old, fence, series, interval)
                migration.series += rows > 0
                migration.rows += rows
                if rows < count:
                    migration.refused[str(series)] = migration.refused.get(str(series), 0) + count - rows
            else:
                migration.computed[interval] = migration.computed.get(interval, 0) + count
            if told:
                told(number, len(listed), f"{exchange}:{symbol} {interval}")

    def _series(self, old: duckdb.DuckDBPyConnection, fence: Fence, series: Series, interval: str) -> int:
        try:
            check_series(series)
        except BadBars:
            return 0
        batch = self._batch(old, series, interval)
        if len(batch.bars):
            self._writer.put([batch], fence)
        return len(batch.bars)

    def _batch(self, old: duckdb.DuckDBPyConnection, series: Series, interval: str) -> Batch:
        sql = BARS.format(begin=BEGIN[series.interval], earliest=EARLIEST + DAY_S, latest=LATEST - DAY_S)
        values = {"symbol": series.symbol, "exchange": series.exchange, "interval": interval}
        table: pa.Table = old.sql(sql, params=values).to_arrow_table()
        table = table.rename_columns(VALUES.names).cast(VALUES)
        shift = shift_s(series.interval)
        numbers = pc.unique(pc.divide(pc.add(table.column("ts"), shift), DAY_S)).to_pylist()
        days = {EPOCH + timedelta(days=number): DayState.FULL for number in numbers}
        if days:  # the old store's last day may have been running when it was pulled
            days[max(days)] = DayState.PARTIAL
        at_s = self._clock.time_ns() // 10**9
        return Batch(
            series, bars_from(table, 0), Provenance("migration", at_s, note=self._paths.face.name), days
        )

    def _watchlist(self, old: duckdb.DuckDBPyConnection, migration: Migration) -> None:
        try:
            keys = old.execute("SELECT DISTINCT exchange, symbol FROM old.watchlist ORDER BY ALL").fetchall()
        except duckdb.Error:  # a store without one, or with another shape: it held no bars
            return
        if not keys:
            return
        lists = Watchlists(self._control, self._clock)
        try:
            if not any(one.name == WATCHLIST for one in lists.listing()):
                lists.create(WATCHLIST, note="from OpenAlgo")
            migration.watched = lists.add(WATCHLIST, [(str(key[0]), str(key[1])) for key in keys])
        except InvalidRequest as exc:
            log.warning("OpenAlgo's watchlist was not taken over: %s", exc)

    def _put_aside(self, kept: Path) -> None:
        face = self._paths.face
        log_file = face.with_name(f"{face.name}.wal")
        with unlocked(face) as free, refused(face):
            if not free:
                raise StoreBusy(
                    f"{face}: a program opened it meanwhile; its bars are taken over, close it and go on"
                )
            if log_file.exists():  # first: it must never be replayed into a new face
                log_file.rename(kept.with_name(f"{kept.name}.wal"))
            face.rename(kept)

    def _published(self) -> bool:
        with self._control.read() as connection:
            return connection.execute("SELECT 1 FROM face").fetchone() is not None

    def _spare_name(self) -> Path:
        face, today = self._paths.face, self._clock.now().astimezone(IST).date()
        name, number = f"{face.name}.before-{today}", 1
        while face.with_name(name).exists():
            number += 1
            name = f"{face.name}.before-{today}-{number}"
        return face.with_name(name)


@contextmanager
def _attached(face: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={**CONFIG, "threads": 2, "memory_limit": "512MB"}) as connection:
        try:
            connection.execute(f"ATTACH '{str(face).replace(chr(39), chr(39) * 2)}' AS old (READ_ONLY)")
            yield connection
        except duckdb.Error as exc:
            raise StoreError(f"{face}: {exc}; it was left untouched") from exc
