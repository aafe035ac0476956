"""Statements on the latency database: text for the driver, as in the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Protocol, TypeVar

from brokers.clock import IST
from gateway.latency.book import Duration, Gathered
from gateway.latency.histograms import Histogram
from gateway.latency.model import FIRST, LAST, RESTARTED, STAGES, Row, day_of
from gateway.latency.reader import COLUMNS
from gateway.store.engine import Database, raw_of

MOST_BROWSER_ROWS = 20_000
PRUNED_AT_ONCE = 20_000
DAY_NS = 86_400 * 1_000_000_000
DIRTY = "unclean_since"

_VALUES = attrgetter(*COLUMNS)
_PUT = f"INSERT OR REPLACE INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_ADD = (
    "INSERT INTO counts (day, name, value) VALUES (?, ?, ?) "
    "ON CONFLICT (day, name) DO UPDATE SET value = value + excluded.value"
)
_SPECIAL = {
    FIRST: "INSERT OR IGNORE INTO counts (day, name, value) VALUES (?, ?, ?)",
    LAST: "INSERT OR REPLACE INTO counts (day, name, value) VALUES (?, ?, ?)",
}


class Browser(Protocol):
    """One figure of a page."""

    @property
    def at_ns(self) -> int: ...
    @property
    def order_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def us(self) -> int: ...


B = TypeVar("B", bound=Browser)


def begin(database: Database, now_ns: int) -> int:
    """Mark what an earlier run left open; the number of the next row.

    Orders whose end was not heard of: what comes of them now belongs to no clock of theirs.
    """

    def work(raw: sqlite3.Connection) -> int:
        raw.execute(
            "UPDATE requests SET flags = flags | ? WHERE at_ns >= ? AND outcome IN ('acknowledged', 'lost') "
            "AND cancelled_ns IS NULL AND (endpoint = 'place' AND filled_ns IS NULL OR endpoint = 'cancel')",
            (RESTARTED, now_ns - 2 * DAY_NS),
        )
        return int(raw.execute("SELECT coalesce(max(id), 0) + 1 FROM requests").fetchone()[0])

    return database.write(lambda c: work(raw_of(c)))


def put(raw: sqlite3.Connection, gathered: Gathered, timed: Sequence[B]) -> list[B]:
    """Write rows, counts and figures of pages; those of the pages that were new."""
    raw.executemany(_PUT, map(_VALUES, gathered.rows.values()))
    days = {row.day for row in gathered.rows.values()} | {day_of(one.at_ns) for one in timed}
    for (day, name), value in gathered.counts.items():
        raw.execute(_SPECIAL.get(name, _ADD), (day, name, value))
    kept = _put_browser(raw, timed) if timed else []
    if days:
        # the histograms in the file are older than the rows from here on
        raw.execute(
            "INSERT INTO state VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = min(value, excluded.value)",
            (DIRTY, _number(min(days))),
        )
    return kept


def _put_browser(raw: sqlite3.Connection, timed: Sequence[B]) -> list[B]:
    newest_ns = max(one.at_ns for one in timed)
    text = "SELECT count(*) FROM browser WHERE at_ns > ?"
    room = MOST_BROWSER_ROWS - raw.execute(text, (newest_ns - DAY_NS,)).fetchone()[0]
    kept: list[B] = []
    for one in timed:
        if len(kept) >= room:
            break
        done = raw.execute(
            "INSERT OR IGNORE INTO browser (at_ns, order_id, kind, us) VALUES (?, ?, ?, ?)",
            (one.at_ns, one.order_id, one.kind, one.us),
        )
        if done.rowcount:
            kept.append(one)
    return kept


def histogram(database: Database, broker: str, key: tuple[str, str, str]) -> Histogram:
    """As saved; an empty one when there is none."""
    text = "SELECT data FROM histograms WHERE day = ? AND endpoint = ? AND stage = ? AND broker = ?"
    with database.read() as connection:
        found = raw_of(connection).execute(text, (*key, broker)).fetchone()
    return Histogram.decode(found[0]) if found else Histogram()


def save(raw: sqlite3.Connection, broker: str, encoded: Mapping[tuple[str, str, str], bytes]) -> None:
    raw.executemany(
        "INSERT OR REPLACE INTO histograms (day, endpoint, stage, broker, data) VALUES (?, ?, ?, ?, ?)",
        [(*key, broker, data) for key, data in encoded.items()],
    )
    # every row is in them now
    raw.execute("DELETE FROM state WHERE name = ?", (DIRTY,))


def unclean_days(database: Database, today: str) -> list[str]:
    """Days whose histograms lack rows, because the last run ended before it saved them."""
    with database.read() as connection:
        found = raw_of(connection).execute("SELECT value FROM state WHERE name = ?", (DIRTY,)).fetchone()
    if found is None:
        return []
    day, days = datetime.strptime(str(found[0]), "%Y%m%d").replace(tzinfo=IST), []
    while (name := day.date().isoformat()) <= today:
        days.append(name)
        day += timedelta(days=1)
    # saved each minute: what lies days back is an order that was heard of again, and a figure of thousands
    return days[-2:]


def durations(database: Database, day: str) -> Iterator[Duration]:
    """Every duration of an IST day, from its rows."""
    since = datetime.fromisoformat(day).replace(tzinfo=IST)
    since_ns = int(since.timestamp()) * 1_000_000_000
    with database.read() as connection:
        raw = raw_of(connection)
        text = f"SELECT {', '.join(COLUMNS)} FROM requests WHERE at_ns >= ? AND at_ns < ?"
        for values in raw.execute(text, (since_ns, since_ns + DAY_NS)):
            row = Row(**dict(zip(COLUMNS, values, strict=True)))
            for stage in STAGES:
                if (took := row.duration_ns(stage)) is not None:
                    yield Duration(day, row.endpoint, stage, took)
        text = "SELECT kind, us FROM browser WHERE at_ns >= ? AND at_ns < ?"
        for kind, us in raw.execute(text, (since_ns, since_ns + DAY_NS)):
            yield Duration(day, "browser", kind, us * 1000)


def prune(raw: sqlite3.Connection, until_ns: int) -> int:
    """Drop some of what is older; how many rows of them. 0: nothing is left to drop."""
    gone = 0
    for table in ("requests", "browser"):
        text = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at_ns < ? LIMIT ?)"
        gone += raw.execute(text, (until_ns, PRUNED_AT_ONCE)).rowcount
    return gone


def _number(day: str) -> int:
    return int(day.replace("-", ""))
