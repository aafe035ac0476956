"""What lies at the store's path, found out without changing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from historify.reader.engine import CONFIG
from historify.reader.query import quoted

if sys.platform != "win32":
    import fcntl

MARK = "historify_face"
"""The table that says a file is ours."""
_MAGIC = slice(8, 12)
_OPENALGO = {"symbol", "exchange", "interval", "timestamp", "open", "high", "low", "close", "volume", "oi"}


class Kind(StrEnum):
    """What lies at the path of a face."""

    ABSENT = "absent"
    EMPTY = "empty"
    """A file of no bytes, or a DuckDB file with nothing in it: somebody opened the path before we did."""
    OURS = "ours"
    OPENALGO = "openalgo"
    """A DuckDB file with OpenAlgo's table ``market_data``: to be migrated."""
    FOREIGN = "foreign"
    """Anything else; not to be touched."""
    UNREADABLE = "unreadable"
    """It calls itself a DuckDB file, but this DuckDB cannot open it."""
    HELD = "held"
    """Another process has it open to write, so nobody can look."""


@dataclass(frozen=True, slots=True)
class Found:
    """``detail`` says why, in words for a person, where the kind alone does not."""

    kind: Kind
    detail: str = ""


def inspect(path: Path) -> Found:
    """Look at a file by its own words, read-only.

    Not while this process itself has it open in DuckDB: closing our look would drop that lock.
    """
    if not path.exists():
        return Found(Kind.ABSENT)
    if not path.is_file():
        return Found(Kind.FOREIGN, "it is no file")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except PermissionError as exc:
        return Found(Kind.HELD if sys.platform == "win32" else Kind.UNREADABLE, str(exc.strerror))
    if not head:
        return Found(Kind.EMPTY)
    if head[_MAGIC] != b"DUCK":
        return Found(Kind.FOREIGN, "it is no DuckDB file")
    with unlocked(path) as free:
        if not free:
            return Found(Kind.HELD, "another program has it open to write")
    return _look_inside(path)


@contextmanager
def unlocked(path: Path) -> Iterator[bool]:
    """Whether nobody has the file open to write, and for the length of the block nobody can.

    DuckDB takes a POSIX lock on the whole file: shared to read, exclusive to write. We take the shared one.
    On Windows the replacement itself is refused while somebody has the file open; this answers True.
    """
    if sys.platform == "win32" or not path.exists():
        yield True
        return
    with path.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _look_inside(path: Path) -> Found:
    with duckdb.connect(":memory:", config=CONFIG) as connection:
        try:
            connection.execute(f"ATTACH {quoted(str(path))} AS found (READ_ONLY)")
            columns = connection.execute(
                "SELECT table_name, column_name FROM duckdb_columns() "
                "WHERE database_name = 'found' AND NOT internal"
            ).fetchall()
        except duckdb.Error as exc:
            return Found(Kind.UNREADABLE, str(exc).splitlines()[0])
        tables: dict[str, set[str]] = {}
        for table, column in columns:
            tables.setdefault(table, set()).add(column)
        if MARK in tables:
            return Found(Kind.OURS)
        if tables.get("market_data", set()) >= _OPENALGO:
            return Found(Kind.OPENALGO)
        if not tables:
            return Found(Kind.EMPTY)
        return Found(Kind.FOREIGN, f"it holds {', '.join(sorted(tables)[:5])}")
