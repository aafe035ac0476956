"""Candles out of the store: CSV, TXT, Parquet, or a ZIP of many files; computed intervals as well as stored.

Written a year at a time, so that ten years of minutes cost the memory of one.
"""

from __future__ import annotations

import importlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.contract import BarStore
from historify.errors import StoreFull
from historify.model import INTRADAY, LONG, BarRequest, Bars

COLUMNS = ("symbol", "exchange", "interval", "timestamp", "open", "high", "low", "close", "volume", "oi")
"""Of ``market_data``, in its order."""
CHUNK_BYTES = 1 << 16


class Format(StrEnum):
    """What is written."""

    CSV = "csv"
    """The ten columns of ``market_data``; ``timestamp`` in epoch seconds. It can be imported again."""
    TXT = "txt"
    """``NSE:SBIN,2026-11-20,09:15:00,O,H,L,C,V`` in IST, the symbol in each line, no header."""
    PARQUET = "parquet"
    """The ten columns, zstd."""
    ZIP = "zip"
    """One CSV for each instrument and interval."""
    ZIP_TXT = "zip-txt"
    """One TXT for each instrument and interval."""

    @property
    def suffix(self) -> str:
        """Of the file name, without the dot."""
        return "zip" if self in (Format.ZIP, Format.ZIP_TXT) else self.value

    @property
    def content_type(self) -> str:
        """For a download."""
        return {
            "csv": "text/csv; charset=utf-8",
            "txt": "text/plain; charset=utf-8",
            "zip": "application/zip",
            "parquet": "application/vnd.apache.parquet",
        }[self.suffix]


def format_of(path: Path) -> Format:
    """By the file's suffix. Raises ``InvalidRequest``."""
    try:
        return Format(path.suffix.lower().removeprefix("."))
    except ValueError as exc:
        raise InvalidRequest(
            f"{path.name}: expected a name that ends in .csv, .txt, .zip or .parquet"
        ) from exc


def pieces(store: BarStore, request: BarRequest) -> Iterator[Bars]:
    """The bars asked for, ascending, in parts that fit into memory; none is empty.

    Raises:
        WrongInterval, StoreError: As ``BarStore.get``, before the first part where it can be known by then.
    """
    if request.interval not in INTRADAY:
        whole = store.get(request)
        if len(whole):
            yield whole
        return
    for year in range(request.start.year, request.end.year + 1):
        first, last = max(request.start, date(year, 1, 1)), min(request.end, date(year, 12, 31))
        part = store.get(replace(request, start=first, end=last))
        if len(part):
            yield part


def write(store: BarStore, requests: Sequence[BarRequest], path: Path, form: Format) -> int:
    """Write a file, replacing one of that name only when all of it is written; returns the rows.

    Raises:
        StoreFull: No room, or no right to write there.
        WrongInterval, StoreError: As ``BarStore.get``; there is no file then.
    """
    whole = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with whole.open("wb") as file:
            rows = write_to(store, requests, file, form)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)
    except OSError as exc:
        raise StoreFull(f"{path} cannot be written: {exc.strerror or exc}") from exc
    finally:
        whole.unlink(missing_ok=True)
    return rows


def write_to(store: BarStore, requests: Sequence[BarRequest], file: IO[bytes], form: Format) -> int:
    """As ``write``, into an open binary file that need not be seekable."""
    return sum(_steps(store, requests, file, form))


def stream(store: BarStore, requests: Sequence[BarRequest], form: Format) -> Iterator[bytes]:
    """The bytes of ``write`` while they are made, in parts of 64 KiB and more. Raises as ``write``."""
    out = _Outbox()
    for _ in _steps(store, requests, out, form):
        if out.size >= CHUNK_BYTES:
            yield out.taken()
    if out.size:
        yield out.taken()


def _steps(store: BarStore, requests: Sequence[BarRequest], file: Any, form: Format) -> Iterator[int]:
    """Writes; yields the rows of each part when it is written."""
    if form is Format.PARQUET:
        yield from _parquet_steps(store, requests, file)
    elif form in (Format.ZIP, Format.ZIP_TXT):
        yield from _zip_steps(store, requests, file, form)
    else:
        yield from _text_steps(store, requests, file, form)


def file_name(request: BarRequest, suffix: str) -> str:
    """``NSE_M%26M_1m.csv``: safe on every file system, and no two instruments share one."""
    return f"{request.exchange}_{quote(request.symbol, safe=' ')}_{request.interval}.{suffix}"


_HEADER = (",".join(COLUMNS) + "\n").encode()


def _csv_lines(request: BarRequest, bars: Bars) -> str:
    head = f"{_cell(request.symbol)},{request.exchange},{request.interval},"
    return "".join(f"{head}{t},{o!r},{h!r},{lo!r},{c!r},{v},{oi}\n" for t, o, h, lo, c, v, oi in bars.rows())


def _txt_lines(request: BarRequest, bars: Bars) -> str:
    head = f"{request.exchange}:{_cell(request.symbol)},"
    zone, stamp = (UTC, "%Y-%m-%d") if request.interval in LONG else (IST, "%Y-%m-%d,%H:%M:%S")
    return "".join(
        f"{head}{datetime.fromtimestamp(t, zone).strftime(stamp)},{o!r},{h!r},{lo!r},{c!r},{v}\n"
        for t, o, h, lo, c, v, _ in bars.rows()
    )


def _cell(text: str) -> str:
    """In quotes when a comma or a quote would end the cell."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


def _text_steps(store: BarStore, requests: Sequence[BarRequest], file: Any, form: Format) -> Iterator[int]:
    lines = _txt_lines if form is Format.TXT else _csv_lines
    if form is Format.CSV:
        file.write(_HEADER)
    for request in requests:
        for part in pieces(store, request):
            file.write(lines(request, part).encode())
            yield len(part)


def _zip_steps(store: BarStore, requests: Sequence[BarRequest], file: Any, form: Format) -> Iterator[int]:
    inner = Format.TXT if form is Format.ZIP_TXT else Format.CSV
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for request in requests:
            # a fixed date: the same bars make the same archive
            info = zipfile.ZipInfo(file_name(request, inner.suffix), (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                yield from _text_steps(store, [request], member, inner)
    yield 0


def _parquet_steps(store: BarStore, requests: Sequence[BarRequest], file: Any) -> Iterator[int]:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetWriter(file, schema(arrow), compression="zstd") as writer:
        for request in requests:
            for part in pieces(store, request):
                writer.write_table(table(arrow, request, part), row_group_size=32_768)
                yield len(part)
    yield 0


def schema(arrow: Any) -> Any:
    """The ten columns as Arrow types."""
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    kinds = (text, text, text, whole, real, real, real, real, whole, whole)
    return arrow.schema([arrow.field(n, k, nullable=False) for n, k in zip(COLUMNS, kinds, strict=True)])


def table(arrow: Any, request: BarRequest, bars: Bars) -> Any:
    """The ten columns as an Arrow table; numbers are not copied."""
    rows = len(bars)
    names = [
        arrow.array([n] * rows, arrow.string()) for n in (request.symbol, request.exchange, request.interval)
    ]
    columns = (bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.oi)
    numbers = [
        arrow.Array.from_buffers(
            arrow.int64() if column.typecode == "q" else arrow.float64(),
            rows,
            [None, arrow.py_buffer(column)],
        )
        for column in columns
    ]
    return arrow.Table.from_arrays([*names, *numbers], schema=schema(arrow))


class _Outbox(io.RawIOBase):
    """A file that only grows at its end and is emptied by its reader."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        self.size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        whole, self._parts, self.size = b"".join(self._parts), [], 0
        return whole
