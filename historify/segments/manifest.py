"""Rows of ``control.db`` that say which files hold which bars. SQL only; no file is touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from historify.errors import StoreError
from historify.model import CatalogRow, DayState, Provenance, Series

COLUMNS = "exchange, symbol, interval, lo, hi, period, path, rows, bytes, crc, epoch, publish"
ONE = "exchange=? AND symbol=? AND interval=?"


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable file.

    Attributes:
        lo: Epoch seconds of its first bar; ``hi`` of its last. Ranges of one series are disjoint.
        path: Relative to the store's folder, with ``/``.
        crc: CRC-32 of the whole file.
        publish: Number of the change that made it visible; 0 before that.
    """

    series: Series
    lo: int
    hi: int
    period: str
    path: str
    rows: int
    bytes: int
    crc: int
    epoch: int
    publish: int = 0

    def file(self, root: Path) -> Path:
        return root / self.path


def _key(series: Series) -> tuple[str, str, str]:
    return (series.exchange, series.symbol, series.interval)


def _segment(row: tuple[str, str, str, int, int, str, str, int, int, int, int, int]) -> Segment:
    return Segment(Series(*row[:3]), *row[3:])


def segments(
    connection: sqlite3.Connection, series: Series, lo: int | None = None, hi: int | None = None
) -> list[Segment]:
    """Files that may hold bars with ``lo <= ts < hi`` (epoch seconds; None: no bound), ascending."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM segment WHERE {ONE} AND hi >= ? AND lo < ? ORDER BY lo",
        (*_key(series), -(2**63) if lo is None else lo, 2**63 - 1 if hi is None else hi),
    )
    return [_segment(row) for row in rows]


def paths(connection: sqlite3.Connection, series: Series) -> set[str]:
    """Files of a series that are in use."""
    return {one.path for one in segments(connection, series)}


def last_segments(connection: sqlite3.Connection, interval: str) -> dict[tuple[str, str], Segment]:
    """The newest file of every ``(exchange, symbol)`` of an interval, in one query."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM segment s WHERE interval=? AND lo=(SELECT max(lo) FROM segment t WHERE"
        " t.symbol=s.symbol AND t.exchange=s.exchange AND t.interval=s.interval)",
        (interval,),
    )
    return {(row[0], row[1]): _segment(row) for row in rows}


def all_segments(connection: sqlite3.Connection) -> Iterable[Segment]:
    """Every file, series by series."""
    for row in connection.execute(f"SELECT {COLUMNS} FROM segment ORDER BY interval, exchange, symbol, lo"):
        yield _segment(row)


def catalog(
    connection: sqlite3.Connection, exchange: str | None = None, symbol: str | None = None
) -> list[CatalogRow]:
    rows = connection.execute(
        "SELECT exchange, symbol, interval, first_ts, last_ts, rows, bytes, updated_at, source FROM series"
        " WHERE (?1 IS NULL OR exchange=?1) AND (?2 IS NULL OR symbol=?2)"
        " ORDER BY exchange, symbol, interval",
        (exchange, symbol),
    )
    return [CatalogRow(Series(*row[:3]), *row[3:]) for row in rows]


def coverage(connection: sqlite3.Connection, series: Series, start: date, end: date) -> dict[date, DayState]:
    rows = connection.execute(
        f"SELECT day, state FROM coverage WHERE {ONE} AND day BETWEEN ? AND ? ORDER BY day",
        (*_key(series), start.isoformat(), end.isoformat()),
    )
    return {date.fromisoformat(day): DayState(state) for day, state in rows}


def publish_number(connection: sqlite3.Connection) -> int:
    """How often the segments changed so far; a face built from this snapshot records it."""
    return int(connection.execute("SELECT value FROM counter WHERE name='publish'").fetchone()[0])


def face_published(tx: sqlite3.Connection, publish: int, at_s: float, stamp: str = "") -> None:
    """The face at the store's path shows the manifest as of ``publish``: superseded files may go some day.

    Args:
        stamp: Of the file; see ``stamp_of``.
    """
    tx.execute(
        "INSERT INTO face(id, number, publish, published_at) VALUES(1, 1, ?, ?)"
        " ON CONFLICT(id) DO UPDATE SET number=number+1, publish=excluded.publish,"
        " published_at=excluded.published_at",
        (publish, at_s),
    )
    tx.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('face', ?)", (stamp,))


def face_stamp(connection: sqlite3.Connection) -> str:
    """Of the face as it was published; empty before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key='face'").fetchone()
    return "" if row is None else str(row[0])


def stamp_of(face: Path) -> str:
    """What tells one version of a file from the next; empty without a file."""
    try:
        found = face.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def next_publish(tx: sqlite3.Connection) -> int:
    tx.execute("UPDATE counter SET value=value+1 WHERE name='publish'")
    return publish_number(tx)


def retire(tx: sqlite3.Connection, old: Iterable[Segment], publish: int, at_s: float) -> None:
    """Take files out of use; they are deleted once nobody can still be reading them (see ``collect``).

    Raises:
        StoreError: One of them is out of use already: the batch was merged with files that no longer count.
    """
    for one in old:
        if not tx.execute("DELETE FROM segment WHERE path=?", (one.path,)).rowcount:
            raise StoreError(f"{one.series}: {one.path} was replaced meanwhile; nothing was published")
        tx.execute(
            "INSERT OR REPLACE INTO trash(path, superseded_at, publish, face)"
            " VALUES(?, ?, ?, coalesce((SELECT number FROM face), 0))",
            (one.path, at_s, publish),
        )


def add(tx: sqlite3.Connection, new: Segment, publish: int, at_s: float) -> None:
    tx.execute(
        f"INSERT INTO segment({COLUMNS}, created_at) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            *_key(new.series), new.lo, new.hi, new.period, new.path, new.rows, new.bytes, new.crc, new.epoch,
            publish, int(at_s),
        ),
    )  # fmt: skip


def recount(tx: sqlite3.Connection, series: Series, at_s: float, source: str | None) -> int | None:
    """Bring the catalog's row in line with the files; returns the series' last ``ts``, None when it is gone.

    Args:
        source: None keeps the one the row names.
    """
    key = _key(series)
    first, last, rows, size = tx.execute(
        f"SELECT min(lo), max(hi), sum(rows), sum(bytes) FROM segment WHERE {ONE}", key
    ).fetchone()
    if first is None:
        tx.execute(f"DELETE FROM series WHERE {ONE}", key)
        tx.execute(f"DELETE FROM tail WHERE {ONE}", key)
        return None
    tx.execute(
        "INSERT INTO series(exchange, symbol, interval, first_ts, last_ts, rows, bytes, updated_at, source)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,coalesce(?9,'')) ON CONFLICT(symbol, exchange, interval) DO UPDATE"
        " SET first_ts=?4, last_ts=?5, rows=?6, bytes=?7, updated_at=?8, source=coalesce(?9, source)",
        (*key, first, last, rows, size, int(at_s), source),
    )
    return int(last)


def cover(tx: sqlite3.Connection, series: Series, days: Mapping[date, DayState]) -> None:
    """Note what was asked; a day once complete stays so."""
    key = _key(series)
    tx.executemany(
        "INSERT INTO coverage(exchange, symbol, interval, day, state) VALUES(?,?,?,?,?)"
        " ON CONFLICT(symbol, exchange, interval, day) DO UPDATE SET state=excluded.state"
        f" WHERE state <> '{DayState.FULL}'",
        [(*key, day.isoformat(), str(state)) for day, state in sorted(days.items())],
    )


def uncover(tx: sqlite3.Connection, series: Series, start: date | None, end: date | None) -> None:
    """Forget that days start..end were asked; the next pull asks again."""
    tx.execute(
        f"DELETE FROM coverage WHERE {ONE} AND day BETWEEN ? AND ?",
        (
            *_key(series),
            start.isoformat() if start else "",
            end.isoformat() if end else "9999-12-31",
        ),
    )


def note(
    tx: sqlite3.Connection,
    series: Series,
    bounds: tuple[int, int],
    counts: tuple[int, int, int],
    provenance: Provenance,
    epoch: int,
) -> None:
    """Keep where a batch came from. ``counts``: rows, of which added, of which changed."""
    tx.execute(
        "INSERT INTO ingest(exchange, symbol, interval, lo, hi, rows, added, changed, job, source, note,"
        " epoch, at) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            *_key(series), *bounds, *counts, provenance.job, provenance.source, provenance.note, epoch,
            provenance.at_s,
        ),
    )  # fmt: skip


def has_months_before(connection: sqlite3.Connection, year: int) -> bool:
    """Whether a year that is over still lies in files of its months."""
    found = connection.execute(
        "SELECT 1 FROM segment WHERE length(period)=7 AND period < ? LIMIT 1", (f"{year:04d}",)
    ).fetchone()
    return found is not None


def forget_replaced(tx: sqlite3.Connection, before_s: int) -> int:
    """Forget where batches came from whose every bar a later batch brought anew; returns how many.

    Args:
        before_s: Epoch seconds; younger ones are kept for a person who looks for what went wrong.
    """
    return tx.execute(
        "DELETE FROM ingest WHERE at < ? AND EXISTS (SELECT 1 FROM ingest later WHERE later.symbol ="
        " ingest.symbol AND later.exchange = ingest.exchange AND later.interval = ingest.interval"
        " AND later.id > ingest.id AND later.lo <= ingest.lo AND later.hi >= ingest.hi)",
        (before_s,),
    ).rowcount
