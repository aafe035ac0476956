"""Parquet files of bars: written whole or not at all, under a name never used before. Loads pyarrow."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from historify.errors import StoreDamaged, StoreError, StoreFull
from historify.model import Series
from historify.paths import StorePaths
from historify.segments.columns import NAMES, VALUES, with_names
from historify.segments.damage import Damage, whole
from historify.segments.manifest import Segment

GROUP_ROWS = 32_768
"""A month of minutes fits into one. Prices as a dictionary, the other numbers as differences: on random walks
in paise a fifth smaller, written a fifth and read twice as fast as plain values."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG})


def read(paths: StorePaths, segment: Segment) -> pa.Table:
    """The seven value columns of one file.

    Raises:
        StoreDamaged: It is missing or not what was written.
    """
    content = whole(paths.root, segment)
    try:
        table = pq.read_table(pa.BufferReader(content), columns=VALUES.names, schema=None)
    except (pa.ArrowInvalid, OSError) as exc:
        raise Damage(segment, str(exc)).error() from exc
    if len(table) != segment.rows:
        raise StoreDamaged(f"{segment.series}: {segment.path} has {len(table)} rows, not {segment.rows}")
    return table.cast(VALUES)


class Files:
    """Makes the files of one writer; what it made is on disk when ``sync`` returns."""

    def __init__(self, paths: StorePaths) -> None:
        self._paths = paths
        self._count = 0
        self._touched: set[Path] = set()

    def write(self, series: Series, period: str, table: pa.Table, epoch: int) -> Segment:
        """One new file, its bytes on disk; its name may be lost in a power cut until ``sync``.

        Raises:
            StoreFull: No room or no right; nothing of it is left.
        """
        folder = self._paths.folder(series.exchange, series.symbol, series.interval)
        content = packed(series, table)
        with refused(folder):
            self._make(folder)
            path = self._unused(folder, period, epoch)
            temp = path.with_name(f".{path.name}.tmp")
            try:
                _write(temp, content)
                temp.rename(path)
            finally:
                with contextlib.suppress(OSError):
                    temp.unlink(missing_ok=True)
        self._touched.add(folder)
        ts = table.column("ts")
        return Segment(
            series, ts[0].as_py(), ts[-1].as_py(), period, path.relative_to(self._paths.root).as_posix(),
            len(table), len(content), zlib.crc32(content), epoch,
        )  # fmt: skip

    def sync(self) -> None:
        """Make the names of all that was written since the last call as lasting as the bytes."""
        touched, self._touched = self._touched, set()
        for folder in touched:
            with refused(folder):
                sync_folder(folder)

    def _unused(self, folder: Path, period: str, epoch: int) -> Path:
        while True:
            self._count += 1
            path = folder / f"{period}.e{epoch}-{self._count:06d}.parquet"
            if not path.exists():  # a manifest restored from a backup repeats its epochs
                return path

    def _make(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            self._touched.add(one.parent)


def packed(series: Series, table: pa.Table) -> bytes:
    """A Parquet file of the ten columns, without Arrow's own schema: others see plain strings."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        with_names(series, table),
        sink,
        compression="zstd",
        row_group_size=GROUP_ROWS,
        use_dictionary=[*NAMES, "open", "high", "low", "close"],
        column_encoding=dict.fromkeys(("ts", "volume", "oi"), "DELTA_BINARY_PACKED"),
        store_schema=False,
    )
    return bytes(sink.getvalue())


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """The file system's refusals as the store's errors."""
    try:
        yield
    except OSError as exc:
        if exc.errno in NO_ROOM:
            raise StoreFull(
                f"{path}: cannot write ({exc.strerror}); nothing was published and nothing is lost: "
                "make room or give rights, then go on"
            ) from exc
        raise StoreError(f"{path}: {exc.strerror or exc}") from exc


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # untested: Windows cannot open a folder; NTFS journals names itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
