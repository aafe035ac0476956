"""A broker does not forget orders because its process died: the books, kept in one small SQLite file.

Every change is one transaction, written before anybody hears of it. The file belongs to one process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

from brokers.errors import SettingsError
from brokers.sim.exchange.account import AccountState
from brokers.sim.exchange.types import SimOrder

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, number INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, body BLOB NOT NULL);
"""
_SCHEMA_NAME = "algo-sim"
_SCHEMA_VERSION = "1"


@dataclass(slots=True)
class Saved:
    """The books as last written; ``day`` is None for a new file."""

    day: date | None = None
    accounts: list[AccountState] = field(default_factory=list)
    orders: list[tuple[int, SimOrder]] = field(default_factory=list)


class Journal:
    """The file of one broker.

    Raises:
        SettingsError: The file is another program's, another broker's or a live one; it is left untouched.
    """

    def __init__(self, path: Path, broker: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        stamp = {"schema": _SCHEMA_NAME, "version": _SCHEMA_VERSION, "venue": "sim", "broker": broker}
        try:
            self._check(stamp)
            self._db.execute("PRAGMA journal_mode=WAL")
            # a commit survives the process; only a power cut may cost the last ones, and then the market too
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            with self._transaction() as db:
                db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", stamp.items())
        except sqlite3.DatabaseError as exc:
            self._db.close()
            raise SettingsError(f"{path}: not a simulator's state file ({exc}); move it away") from exc
        except SettingsError:
            self._db.close()
            raise

    def _check(self, stamp: dict[str, str]) -> None:
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return
        found = dict(self._db.execute("SELECT key, value FROM meta")) if "meta" in tables else {}
        wrong = {key: found.get(key) for key, value in stamp.items() if found.get(key) != value}
        if wrong:
            raise SettingsError(f"{self._path}: not this simulator's state file, {wrong}; move it away")

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def load(self) -> Saved:
        meta = dict(self._db.execute("SELECT key, value FROM meta"))
        if "day" not in meta:
            return Saved()
        accounts = [
            msgspec.json.decode(body, type=AccountState)
            for (body,) in self._db.execute("SELECT body FROM accounts ORDER BY id")
        ]
        orders = [
            (number, msgspec.json.decode(body, type=SimOrder))
            for number, body in self._db.execute("SELECT number, body FROM orders ORDER BY number")
        ]
        return Saved(date.fromisoformat(meta["day"]), accounts, orders)

    def begin_day(self, day: date, accounts: Iterable[AccountState]) -> None:
        """Replace everything: a day's books begin with what its accounts carry."""
        with self._transaction() as db:
            db.execute("DELETE FROM orders")
            db.execute("DELETE FROM accounts")
            db.executemany(
                "INSERT INTO accounts VALUES (?, ?)", [(a.account, msgspec.json.encode(a)) for a in accounts]
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('day', ?)", (day.isoformat(),))

    def open_account(self, state: AccountState) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?)", (state.account, msgspec.json.encode(state))
            )

    def write(self, orders: Iterable[tuple[int, SimOrder]]) -> None:
        """Orders as they are now, each with its running number of the day."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?, ?)",
                [(order.order_id, number, msgspec.json.encode(order)) for number, order in orders],
            )

    def keep(self, name: str, body: bytes) -> None:
        """Something of a venue's own that outlives days and processes."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, body))

    def kept(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT body FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        self._db.close()


class _Transaction:
    """BEGIN … COMMIT, or nothing at all."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")
