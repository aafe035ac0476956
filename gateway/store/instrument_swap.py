"""The swap of the instrument table, in steps short enough for orders to pass between them.

Orders and instruments share one writer thread. So the new rows go into a staging table 2,000 at a time, and
only the renaming of two tables must happen in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from brokers.errors import WireError
from brokers.model import Instrument
from gateway.store.engine import Database
from gateway.store.instrument_rows import COLUMNS, DDL, EXPIRED, INDEXES, INSERT, LIVE, OLD, STAGING, to_row

CHUNK = 2000
BITE = 10_000
LEAST_EXCHANGE_ROWS = 100
"""An exchange that had this many rows does not vanish over night; its file was missing."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Counts of one swap. ``total``: tradable rows now; ``expired``: rows that left it for the archive."""

    added: int
    changed: int
    expired: int
    total: int


def make_tables(connection: Connection) -> None:
    """The live and the expired table; what a killed swap left behind goes."""
    for leftover in (STAGING, OLD):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {leftover}")
    for table in (LIVE, EXPIRED):
        if not _exists(connection, table):
            _make(connection, table)


def swap(database: Database, rows: Iterable[Instrument], today: date, at: str) -> SyncReport:
    """See ``InstrumentStore.swap``. ``at``: ISO-8601 UTC of now."""
    database.write(_fresh_staging)
    try:
        passed = _stage_all(database, rows, today)
        with database.read() as connection:
            refuse_suspicious(_counts(connection, LIVE), _counts(connection, STAGING))
            added, changed = _compare(connection)
            gone = [r[0] for r in connection.exec_driver_sql(_GONE)]
        for chunk in _chunks(gone):
            database.write(partial(_archive, chunk))
        archived = [to_row(i) for i in passed]
        database.write(partial(_insert, EXPIRED, archived))
        total: int = database.write(partial(_switch, added=added, changed=changed, gone=len(gone), at=at))
    finally:
        _clean_up(database)
    return SyncReport(added=added, changed=changed, expired=len(gone), total=total)


def refuse_suspicious(before: dict[str, int], now: dict[str, int]) -> None:
    """Raises ``WireError`` when the new rows cannot be the whole truth. Counts by exchange."""
    had, have = sum(before.values()), sum(now.values())
    if have == 0:
        raise WireError("the broker's instrument file has no row we can use; the old table stays")
    if have * 2 < had:
        raise WireError(
            f"the broker's instrument file has {have} rows, the table has {had}: less than half; "
            "the old table stays"
        )
    lost = [e for e, count in before.items() if count >= LEAST_EXCHANGE_ROWS and not now.get(e)]
    if lost:
        names = ", ".join(sorted(lost))
        raise WireError(f"the broker's instrument file has no row of {names} any more; the old table stays")


# the order of the old table stands for the new one where both have the key
_SAME = " AND ".join(f"o.{c} IS n.{c}" for c in COLUMNS.split(", ")[2:])
_ADDED = f"""SELECT count(*) FROM {STAGING} n WHERE NOT EXISTS
    (SELECT 1 FROM {LIVE} o WHERE o.exchange = n.exchange AND o.symbol = n.symbol)"""
_CHANGED = f"""SELECT count(*) FROM {STAGING} n JOIN {LIVE} o
    ON o.exchange = n.exchange AND o.symbol = n.symbol WHERE NOT ({_SAME})"""
_GONE = f"""SELECT o.rowid FROM {LIVE} o WHERE NOT EXISTS
    (SELECT 1 FROM {STAGING} n WHERE n.exchange = o.exchange AND n.symbol = o.symbol)"""


def _stage_all(database: Database, rows: Iterable[Instrument], today: date) -> list[Instrument]:
    """Fill the staging table; returns the contracts that have already passed."""
    passed: list[Instrument] = []
    for chunk in _chunks(rows):
        live = []
        for instrument in chunk:
            if instrument.expiry is not None and instrument.expiry < today:
                passed.append(instrument)
            else:
                live.append(to_row(instrument))
        database.write(partial(_insert, STAGING, live))
    return passed


def _fresh_staging(connection: Connection) -> None:
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {STAGING}")
    _make(connection, STAGING)


def _make(connection: Connection, table: str) -> None:
    connection.exec_driver_sql(DDL.format(table=table))
    # an index keeps its name when its table is renamed, so names must never repeat
    serial = f"{time.time_ns():x}"
    for part, statement in INDEXES.items():
        connection.exec_driver_sql(
            f"CREATE {statement.format(name=f'i_{part}_{table}_{serial}', table=table)}"
        )


def _insert(table: str, rows: list[tuple[Any, ...]], connection: Connection) -> None:
    if rows:
        connection.exec_driver_sql(INSERT.format(table=table), rows)


def _archive(rowids: list[int], connection: Connection) -> None:
    """Copy rows that left the file. Harmless until the switch: lookups ask the live table first."""
    marks = ",".join(str(int(r)) for r in rowids)
    connection.exec_driver_sql(
        f"INSERT OR REPLACE INTO {EXPIRED} SELECT * FROM {LIVE} WHERE rowid IN ({marks})"
    )


def _switch(connection: Connection, *, added: int, changed: int, gone: int, at: str) -> int:
    connection.exec_driver_sql(f"ALTER TABLE {LIVE} RENAME TO {OLD}")
    connection.exec_driver_sql(f"ALTER TABLE {STAGING} RENAME TO {LIVE}")
    total = int(connection.exec_driver_sql(f"SELECT count(*) FROM {LIVE}").scalar_one())
    connection.exec_driver_sql(
        "INSERT INTO instrument_syncs (at, added, changed, expired, total) VALUES (?, ?, ?, ?, ?)",
        (at, added, changed, gone, total),
    )
    return total


def _clean_up(database: Database) -> None:
    """Drop what is left in small bites: dropping a full table at once would hold up an order's commit."""
    with database.read() as connection:
        found = connection.exec_driver_sql(
            "SELECT type, name FROM sqlite_master WHERE tbl_name IN (?, ?) ORDER BY type", (OLD, STAGING)
        ).all()
    for kind, name in found:
        while kind == "table" and database.write(partial(_bite, name)):
            pass
        database.write(partial(_drop, kind, name))


def _bite(table: str, connection: Connection) -> int:
    """Delete some rows (their indexes are gone already); 0 when none is left."""
    statement = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT {BITE})"
    return connection.exec_driver_sql(statement).rowcount


def _drop(kind: str, name: str, connection: Connection) -> None:
    connection.exec_driver_sql(f"DROP {kind} IF EXISTS {name}")


def _counts(connection: Connection, table: str) -> dict[str, int]:
    rows = connection.exec_driver_sql(f"SELECT exchange, count(*) FROM {table} GROUP BY exchange")
    return {str(e): int(n) for e, n in rows}


def _compare(connection: Connection) -> tuple[int, int]:
    added = connection.exec_driver_sql(_ADDED).scalar_one()
    changed = connection.exec_driver_sql(_CHANGED).scalar_one()
    return int(added), int(changed)


def _exists(connection: Connection, table: str) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
    return found.first() is not None


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
