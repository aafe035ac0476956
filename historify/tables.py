"""Tables of ``control.db``. Times are epoch seconds; days are ISO dates of the exchange's trading day.

A new column of a table that holds data raises ``VERSION`` and needs a step in ``control``.
"""

from __future__ import annotations

from historify.jobs import tables as jobs
from historify.portable import tables as portable

SCHEMA = "historify"
VERSION = 1

TABLES = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # who writes: see historify.lease
    """CREATE TABLE lease(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        holder TEXT NOT NULL, instance_url TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
        boot_id TEXT NOT NULL, epoch INTEGER NOT NULL, acquired_at REAL NOT NULL, renewed_at REAL NOT NULL,
        expires_at REAL NOT NULL, released INTEGER NOT NULL DEFAULT 0,
        broker_session_ok INTEGER NOT NULL DEFAULT 1)""",
    """CREATE TABLE release_request(
        id INTEGER PRIMARY KEY CHECK (id = 1), wanted_by TEXT NOT NULL, instance TEXT NOT NULL DEFAULT '',
        at REAL NOT NULL)""",
    # publish: counts every change of the segments; face: what the published DuckDB file shows
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counter VALUES('publish', 0)",
    """CREATE TABLE face(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        number INTEGER NOT NULL, publish INTEGER NOT NULL, published_at REAL NOT NULL)""",
    # path: relative to historify.d, with '/'; lo, hi: first and last ts of the file; ranges are disjoint
    """CREATE TABLE segment(
        symbol TEXT NOT NULL, exchange TEXT NOT NULL, interval TEXT NOT NULL,
        lo INTEGER NOT NULL, hi INTEGER NOT NULL, period TEXT NOT NULL, path TEXT NOT NULL UNIQUE,
        rows INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER NOT NULL,
        epoch INTEGER NOT NULL, publish INTEGER NOT NULL, created_at INTEGER NOT NULL,
        PRIMARY KEY (symbol, exchange, interval, lo)) WITHOUT ROWID""",
    # publish: the change that put it out of use; face: the face's number then
    """CREATE TABLE trash(
        path TEXT PRIMARY KEY, superseded_at REAL NOT NULL, publish INTEGER NOT NULL,
        face INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE series(
        symbol TEXT NOT NULL, exchange TEXT NOT NULL, interval TEXT NOT NULL,
        first_ts INTEGER NOT NULL, last_ts INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (symbol, exchange, interval)) WITHOUT ROWID""",
    """CREATE TABLE coverage(
        symbol TEXT NOT NULL, exchange TEXT NOT NULL, interval TEXT NOT NULL,
        day TEXT NOT NULL, state TEXT NOT NULL,
        PRIMARY KEY (symbol, exchange, interval, day)) WITHOUT ROWID""",
    """CREATE TABLE ingest(
        id INTEGER PRIMARY KEY, job INTEGER, source TEXT NOT NULL, note TEXT NOT NULL,
        symbol TEXT NOT NULL, exchange TEXT NOT NULL, interval TEXT NOT NULL,
        lo INTEGER NOT NULL, hi INTEGER NOT NULL, rows INTEGER NOT NULL, added INTEGER NOT NULL,
        changed INTEGER NOT NULL, epoch INTEGER NOT NULL, at INTEGER NOT NULL)""",
    "CREATE INDEX ingest_series ON ingest(symbol, exchange, interval)",
    *jobs.DDL,
    *portable.DDL,
    # split: face value old:new; bonus: shares new:held. See historify.reader.actions
    """CREATE TABLE corporate_action(
        exchange TEXT NOT NULL, symbol TEXT NOT NULL, ex_date TEXT NOT NULL, kind TEXT NOT NULL,
        a INTEGER NOT NULL CHECK (a > 0), b INTEGER NOT NULL CHECK (b > 0), note TEXT NOT NULL DEFAULT '',
        imported_at INTEGER NOT NULL, PRIMARY KEY (exchange, symbol, ex_date, kind)) WITHOUT ROWID""",
    # the last day of a series again, good as long as path is its newest segment. See historify.tail
    """CREATE TABLE tail(
        symbol TEXT NOT NULL, exchange TEXT NOT NULL, interval TEXT NOT NULL,
        path TEXT NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (symbol, exchange, interval))""",
    """CREATE TABLE instrument(
        exchange TEXT NOT NULL, symbol TEXT NOT NULL, kind TEXT NOT NULL DEFAULT '',
        name TEXT NOT NULL DEFAULT '', root TEXT NOT NULL DEFAULT '', expiry TEXT, strike REAL,
        lot_size INTEGER, tick_size REAL, broker TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '',
        seen_at REAL NOT NULL, PRIMARY KEY (exchange, symbol)) WITHOUT ROWID""",
)
