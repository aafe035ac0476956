"""The route's journal: a SQLite file with every decision, written before anything is sent, kept for ever.

One process writes it. ``synchronous=FULL``: what a method has written is on disk when it returns.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers.errors import InvalidRequest, StoreError
from supervisor.routing.choose import Declined, Seen
from supervisor.routing.model import Chosen, Order, Row, State
from supervisor.routing.verdict import Verdict

NAME = "route.db"
VERSION = 1
BUSY_S = 5.0
STILL_OPEN = 2**62
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client_order_id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL, body TEXT NOT NULL, contract TEXT NOT NULL,
    instance TEXT NOT NULL, mode TEXT NOT NULL, reason TEXT NOT NULL,
    medians TEXT NOT NULL, candidates TEXT NOT NULL,
    attempt INTEGER NOT NULL, state TEXT NOT NULL,
    http INTEGER NOT NULL DEFAULT 0, answer TEXT NOT NULL DEFAULT '{}', order_id TEXT NOT NULL DEFAULT '',
    created_ns INTEGER NOT NULL, settled_ns INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS orders_open ON orders (number) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS orders_contract ON orders (contract, state, instance, settled_ns);
CREATE INDEX IF NOT EXISTS orders_id ON orders (instance, order_id);
CREATE TABLE IF NOT EXISTS declined (
    at_ns INTEGER NOT NULL, contract TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS books (
    instance TEXT PRIMARY KEY, at TEXT NOT NULL, mode TEXT NOT NULL, contracts TEXT NOT NULL
);
"""
_COLUMNS = (
    "number, endpoint, body, contract, instance, mode, reason, medians, candidates, attempt, state, http, "
    "answer, order_id, created_ns, settled_ns"
)


class Journal:
    """Thread-safe: one connection, one lock.

    Raises:
        StoreError: The file is of another venue or of a newer version; or it cannot be written.
    """

    def __init__(self, path: Path, venue: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
            for name, value in (("venue", venue), ("version", str(VERSION))):
                self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
                (found,) = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
                if found != value:
                    raise StoreError(f"{path}: its {name} is {found}, expected {value}")
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"{path}: {exc}") from exc

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, order: Order, contract: str, chosen: Chosen, now_ns: int) -> Row:
        """The decision, on disk. Raises ``InvalidRequest`` when the id is there already."""
        values = (
            order.client_order_id,
            order.endpoint,
            _dump(dict(order.body)),
            contract,
            chosen.instance,
            chosen.mode,
            chosen.reason,
            _dump(dict(chosen.medians_ms)),
            _dump([dict(one) for one in chosen.candidates]),
            State.OPEN.value,
            now_ns,
        )
        with self._write() as db:
            try:
                done = db.execute(
                    "INSERT INTO orders (client_order_id, endpoint, body, contract, instance, mode, reason, "
                    "medians, candidates, attempt, state, created_ns) VALUES (?,?,?,?,?,?,?,?,?,1,?,?)",
                    values,
                )
            except sqlite3.IntegrityError as exc:
                raise InvalidRequest(f"client_order_id '{order.client_order_id}' exists already") from exc
            number = int(done.lastrowid or 0)
        return Row(number, order, contract, chosen, 1, State.OPEN, 0, {}, "", now_ns, 0)

    def again(self, row: Row) -> Row:
        """The next attempt of an order that was not sent, on disk before it is."""
        with self._write() as db:
            db.execute(
                "UPDATE orders SET attempt = attempt + 1, state = 'open' WHERE number = ? AND state = ?",
                (row.number, State.NOT_SENT.value),
            )
        return self._row("number = ?", row.number) or row

    def settle(self, row: Row, verdict: Verdict, now_ns: int) -> Row:
        """Keep what is known now; an answer that stands is never replaced."""
        with self._write() as db:
            db.execute(
                "UPDATE orders SET state = ?, http = ?, answer = ?, settled_ns = ?, "
                "order_id = CASE WHEN ? = '' THEN order_id ELSE ? END "
                "WHERE number = ? AND state = 'open'",
                (
                    verdict.state.value,
                    verdict.http,
                    _dump(dict(verdict.answer)),
                    now_ns if verdict.state is not State.OPEN else 0,
                    verdict.order_id,
                    verdict.order_id,
                    row.number,
                ),
            )
        return self._row("number = ?", row.number) or row

    def decline(self, contract: str, found: Declined, now_ns: int) -> None:
        with self._write() as db:
            values = (now_ns, contract, found.code, found.reason)
            db.execute("INSERT INTO declined VALUES (?,?,?,?)", values)

    def by_client_id(self, client_order_id: str) -> Row | None:
        return self._row("client_order_id = ?", client_order_id)

    def by_number(self, number: int) -> Row | None:
        return self._row("number = ?", number)

    def by_order_id(self, instance: str, order_id: str) -> Row | None:
        return self._row("instance = ? AND order_id = ?", instance, order_id)

    def open_rows(self) -> list[Row]:
        """Orders whose end is not known, oldest first."""
        return self._rows("state = 'open' ORDER BY number")

    def lately(self, contract: str) -> dict[str, int]:
        """Instance -> when the last order of this contract was placed there, or ``STILL_OPEN``."""
        rows = self._read(
            "SELECT instance, MAX(CASE state WHEN 'open' THEN ? ELSE settled_ns END) FROM orders "
            "WHERE contract = ? AND state IN ('open', 'placed') GROUP BY instance",
            (STILL_OPEN, contract),
        )
        return {str(name): int(at_ns) for name, at_ns in rows}

    def open_count(self) -> int:
        """Orders whose end is not known."""
        return int(self._read("SELECT COUNT(*) FROM orders WHERE state = 'open'", ())[0][0])

    def counts(self) -> dict[str, int]:
        """Orders by state."""
        rows = self._read("SELECT state, COUNT(*) FROM orders GROUP BY state", ())
        return {str(state): int(count) for state, count in rows}

    def see(self, instance: str, books: Seen) -> None:
        """Remember an instance's books for when it does not answer."""
        with self._write() as db:
            values = (instance, books.at, books.mode, _dump(sorted(books.contracts)))
            db.execute("INSERT OR REPLACE INTO books VALUES (?,?,?,?)", values)

    def last_seen(self) -> dict[str, Seen]:
        rows = self._read("SELECT instance, at, mode, contracts FROM books", ())
        return {name: Seen(at, mode, frozenset(json.loads(text))) for name, at, mode, text in rows}

    def _row(self, where: str, *values: object) -> Row | None:
        return next(iter(self._rows(where, *values)), None)

    def _rows(self, where: str, *values: object) -> list[Row]:
        return [_row(found) for found in self._read(f"SELECT {_COLUMNS} FROM orders WHERE {where}", values)]

    def _read(self, statement: str, values: Sequence[object]) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(statement, tuple(values)).fetchall()
        except sqlite3.Error as exc:
            raise StoreError(f"{self._path.name}: {exc}") from exc

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._db
        except sqlite3.Error as exc:
            raise StoreError(f"{self._path.name}: {exc}") from exc


def decisions(path: Path, count: int) -> list[dict[str, Any]]:
    """The last decisions, newest first, for people; also while the route runs. Raises ``StoreError``."""
    if not path.exists():
        return []
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_S)
        ) as connection:
            rows = connection.execute(
                "SELECT created_ns, contract, instance, reason, state, client_order_id, order_id, medians "
                "FROM orders UNION ALL SELECT at_ns, contract, '', reason, code, '', '', '{}' FROM declined "
                "ORDER BY 1 DESC LIMIT ?",
                (count,),
            ).fetchall()
    except sqlite3.Error as exc:
        raise StoreError(f"{path.name}: {exc}") from exc
    return [
        {
            "at": datetime.fromtimestamp(row[0] / 1e9, UTC).isoformat(timespec="milliseconds"),
            **dict(
                zip(
                    ("contract", "instance", "reason", "state", "client_order_id", "orderid"),
                    row[1:7],
                    strict=True,
                )
            ),
            "medians_ms": json.loads(row[7]),
        }
        for row in rows
    ]


def _row(found: Sequence[Any]) -> Row:
    number, endpoint, body, contract, instance, mode, reason, medians, candidates = found[:9]
    attempt, state, http, answer, order_id, created_ns, settled_ns = found[9:]
    chosen = Chosen(instance, mode, reason, json.loads(medians), tuple(json.loads(candidates)))
    return Row(
        number,
        Order(endpoint, json.loads(body)),
        contract,
        chosen,
        attempt,
        State(state),
        http,
        json.loads(answer),
        order_id,
        created_ns,
        settled_ns,
    )


def _dump(value: object) -> str:
    # prices come as Decimal: their text is what the instance takes, and what a repeat is compared with
    return json.dumps(value, default=str, sort_keys=True)
