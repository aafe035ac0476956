"""A file's rows in blocks, never the whole file: CSV by the standard library, Parquet by row groups."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from brokers.errors import InvalidRequest
from historify.portable.columns import Block, Layout, layout_of

BLOCK_ROWS = 8_192
PARQUET_MAGIC = b"PAR1"
DELIMITERS = ",;\t|"


class Source(Protocol):
    """An open file. ``kind`` is ``csv`` or ``parquet``."""

    kind: str
    layout: Layout

    def blocks(self) -> Iterator[Block]:
        """Its rows in the order of the file, some thousand at a time."""
        ...


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises ``InvalidRequest`` when the file cannot be read, is empty, or lacks columns."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        raise InvalidRequest(f"{path.name} cannot be read: {exc.strerror}") from exc
    if not magic:
        raise InvalidRequest(f"{path.name} is empty")
    if magic == PARQUET_MAGIC:
        yield ParquetSource(path)
        return
    if b"\0" in magic or magic[:2] in (b"PK", b"\x1f\x8b"):
        raise InvalidRequest(f"{path.name} is neither CSV nor Parquet; unpack it first")
    # utf-8-sig: Excel puts a mark at the beginning
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield CsvSource(file, path.name)


class CsvSource:
    """Rows as text."""

    kind = "csv"

    def __init__(self, file: Any, name: str) -> None:
        self._name = name
        with _readable(name, 1):
            first = file.readline()
        self._reader = csv.reader(file, delimiter=_delimiter(first), strict=True)
        header = next(csv.reader([first], delimiter=_delimiter(first)), [])
        self.layout = layout_of(header)
        self._width = len(header)

    def blocks(self) -> Iterator[Block]:
        """Raises ``InvalidRequest`` with the line that is not CSV."""
        places = self.layout.places
        while True:
            line = self._reader.line_num + 2
            with _readable(self._name, line, self._reader):
                rows = list(islice(self._reader, BLOCK_ROWS))
            while rows and not rows[-1]:
                rows.pop()  # blank lines at the end
            if not rows:
                return
            if any(len(row) != self._width for row in rows):
                yield from self._ragged(rows, line)
            else:
                columns = list(zip(*rows, strict=True))
                yield Block(line, {name: columns[place] for name, place in places.items()})

    def _ragged(self, rows: Sequence[list[str]], line: int) -> Iterator[Block]:
        """Row by row: a blank line is skipped, one with too few or too many cells is bad as a whole."""
        for number, row in enumerate(rows):
            if not any(cell.strip() for cell in row):
                continue
            wrong = "" if len(row) == self._width else f"{len(row)} cells, the header has {self._width}"
            places = self.layout.places.items()
            cells = {name: (row[place] if place < len(row) else "",) for name, place in places}
            yield Block(line + number, cells, wrong)


class ParquetSource:
    """Rows as Python values. Columns that mean nothing to us are not read."""

    kind = "parquet"

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._arrow: Any = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
        with self._errors():
            self._file = parquet.ParquetFile(path, page_checksum_verification=True)
        self.layout = layout_of(self._file.schema_arrow.names)

    def blocks(self) -> Iterator[Block]:
        """Raises ``InvalidRequest`` when the file is torn."""
        names = list(self._file.schema_arrow.names)
        wanted = {ours: names[place] for ours, place in self.layout.places.items()}
        line = 1
        with self._errors():
            # one row group at a time; use_threads would hold several
            for batch in self._file.iter_batches(
                BLOCK_ROWS, columns=list(wanted.values()), use_threads=False
            ):
                if batch.num_rows:
                    found = {ours: batch.column(theirs).to_pylist() for ours, theirs in wanted.items()}
                    yield Block(line, found)
                    line += batch.num_rows

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError) as exc:
            raise InvalidRequest(f"{self._name} is not a readable Parquet file: {str(exc)[:200]}") from exc


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


@contextmanager
def _readable(name: str, line: int, reader: Any = None) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{name}: around line {line} is no UTF-8 text; save the file as UTF-8") from exc
    except csv.Error as exc:
        at = reader.line_num + 1 if reader is not None else line
        raise InvalidRequest(f"{name} line {at} is not CSV: {exc}") from exc
