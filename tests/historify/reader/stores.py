"""A store laid out by hand: Parquet files and their rows in the manifest."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from brokers.calendar import AlwaysOpen, Calendar
from brokers.clock import IST
from historify import tail
from historify.control import Control
from historify.model import Bars, Row, Series
from historify.paths import StorePaths
from historify.reader.bars import Reader
from historify.segments import manifest
from historify.segments.manifest import Segment

AT = datetime(2026, 11, 20, 18, tzinfo=UTC).timestamp()


def at(day: date | str, clock: str) -> int:
    """Epoch seconds of an IST time of day."""
    day = date.fromisoformat(day) if isinstance(day, str) else day
    return int(datetime.combine(day, time.fromisoformat(clock), IST).timestamp())


def daily(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), time(0), UTC).timestamp())


def minutes(day: date | str, first: str, count: int, *, base: float = 100.0) -> list[Row]:
    """``count`` bars in a row from an IST time; every value tells its place."""
    start = at(day, first)
    return [
        (start + 60 * n, base + n, base + n + 0.5, base + n - 0.5, base + n + 0.25, 10 + n, 1000 + n)
        for n in range(count)
    ]


def days(values: Iterable[tuple[str, float]]) -> list[Row]:
    return [(daily(day), p, p + 1, p - 1, p + 0.5, 100, 7) for day, p in values]


def table(series: Series, bars: Bars) -> pa.Table:
    """As the writer lays a file out: the series in constant columns, then the bars."""
    names = {"symbol": series.symbol, "exchange": series.exchange, "interval": series.interval}
    constant = {name: pa.array([value] * len(bars), pa.string()) for name, value in names.items()}
    columns = ("ts", "open", "high", "low", "close", "volume", "oi")
    return pa.table({**constant, **{name: getattr(bars, name) for name in columns}})


class HandMade:
    """A store in a folder; ``add`` publishes one segment."""

    def __init__(self, folder: Path, calendar: Calendar | None = None) -> None:
        self.paths = StorePaths(folder / "historify.duckdb")
        self.control = Control(self.paths.control)
        self.calendar = calendar or AlwaysOpen()
        self.count = 0

    def reader(self) -> Reader:
        return Reader(self.control, self.paths.root, self.calendar)

    def add(
        self, series: Series, rows: Iterable[Row], *, hot: bool = False, replaces: Iterable[Segment] = ()
    ) -> Segment:
        bars = Bars.of(rows)
        self.count += 1
        folder = self.paths.folder(series.exchange, series.symbol, series.interval)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"p{self.count}.e1-{self.count}.parquet"
        pq.write_table(table(series, bars), file, compression="zstd", row_group_size=32_768)
        content = file.read_bytes()
        path = file.relative_to(self.paths.root).as_posix()
        segment = Segment(
            series,
            bars.ts[0],
            bars.ts[-1],
            f"p{self.count}",
            path,
            len(bars),
            len(content),
            zlib.crc32(content),
            1,
        )
        with self.control.transaction() as tx:
            number = manifest.next_publish(tx)
            manifest.retire(tx, replaces, number, AT)
            manifest.add(tx, segment, number, AT)
            manifest.recount(tx, series, AT, "dhan")
            if hot:
                tail.keep(tx, series, path, bars)
        return segment

    def file(self, segment: Segment) -> Path:
        return segment.file(self.paths.root)
