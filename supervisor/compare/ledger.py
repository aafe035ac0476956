"""How many probes each instance has sent today: a small SQLite file that outlives every run."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from brokers.errors import StoreError
from supervisor.compare.probe import LIVE_CAP, SIM_CAP

NAME = "compare.db"
BUSY_S = 5.0


class Ledger:
    """Counts by IST day and instance.

    Probes are taken before they are sent and given back when they were not: a run that was killed has used
    too many rather than too few.
    """

    def __init__(self, path: Path, venue: str) -> None:
        self._path, self._venue = path, venue

    def used(self, instance: str, day: str) -> int:
        with self._open() as connection:
            return _used(connection, instance, day)

    def take(self, wanted: Mapping[str, int], day: str) -> str:
        """All of it, on disk when this returns; or nothing, and which cap stands in the way."""
        cap = SIM_CAP if self._venue == "sim" else LIVE_CAP
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for instance, count in wanted.items():
                used = _used(connection, instance, day)
                if used + count > cap:
                    connection.execute("ROLLBACK")
                    return f"{instance}: {used} of {cap} probes of today are used, {count} asked"
                _add(connection, instance, day, count)
            connection.execute("COMMIT")
        return ""

    def give_back(self, instance: str, day: str, count: int) -> None:
        """Taken and provably not sent."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            _add(connection, instance, day, -min(count, _used(connection, instance, day)))
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(
                sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)")
                connection.execute("INSERT OR IGNORE INTO meta VALUES ('venue', ?)", (self._venue,))
                (venue,) = connection.execute("SELECT value FROM meta WHERE name = 'venue'").fetchone()
                if venue != self._venue:
                    raise StoreError(f"{self._path.name} belongs to {venue}, not to {self._venue}")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS probes "
                    "(day TEXT, instance TEXT, count INTEGER NOT NULL, PRIMARY KEY (day, instance))"
                )
                yield connection
        except sqlite3.Error as exc:
            raise StoreError(f"{self._path.name}: {exc}") from exc


def _used(connection: sqlite3.Connection, instance: str, day: str) -> int:
    found = connection.execute(
        "SELECT count FROM probes WHERE day = ? AND instance = ?", (day, instance)
    ).fetchone()
    return int(found[0]) if found else 0


def _add(connection: sqlite3.Connection, instance: str, day: str, count: int) -> None:
    connection.execute(
        "INSERT INTO probes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        (day, instance, count),
    )
