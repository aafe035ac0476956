from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from brokers.clock import ManualClock
from historify.errors import ForeignStore, StoreBusy
from historify.jobs.watchlist import Watchlists
from historify.model import BarRequest, DayState, Series
from historify.store import SegmentStore
from tests.historify.rows import SBIN, at

OPENALGO = """
    CREATE TABLE market_data(symbol VARCHAR NOT NULL, exchange VARCHAR NOT NULL, interval VARCHAR NOT NULL,
        timestamp BIGINT NOT NULL, open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL,
        close DOUBLE NOT NULL, volume BIGINT NOT NULL, oi BIGINT DEFAULT 0, created_at TIMESTAMP,
        PRIMARY KEY (symbol, exchange, interval, timestamp));
    CREATE TABLE watchlist(id INTEGER, symbol VARCHAR, exchange VARCHAR, display_name VARCHAR);
    INSERT INTO watchlist VALUES(1, 'SBIN', 'NSE', NULL), (2, 'M&M', 'NSE', NULL);
"""
MONDAY = "2025-03-03 03:45"


def openalgo(path: Path, *rows: tuple[object, ...]) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(OPENALGO)
        for row in rows:
            connection.execute("INSERT INTO market_data VALUES(?,?,?,?,?,?,?,?,?,?,NULL)", row)


def row(ts: int, price: float = 100.0, *, symbol: str = "SBIN", interval: str = "1m") -> tuple[object, ...]:
    return (symbol, "NSE", interval, ts, price, price, price, price, 10, None)


def closes(store: SegmentStore, series: Series) -> list[tuple[int, float]]:
    got = store.get(
        BarRequest(series.exchange, series.symbol, series.interval, date(2000, 1, 1), date(2030, 1, 1))
    )
    return list(zip(got.ts, got.close, strict=True))


def test_an_openalgo_store_is_taken_over_and_kept(store, fence, clock: ManualClock):
    face = store.paths.face
    begin = at(MONDAY)
    minutes = [row(begin + 60 * n, 100 + n) for n in range(5)] + [row(begin + 86_400, 200)]
    daily = [
        row(at("2025-03-03 00:00"), 1, interval="D", symbol="M&M"),
        row(at("2025-03-03 18:30"), 2, interval="D", symbol="M&M"),  # IST midnight of the 4th
    ]
    wrong = [
        row(begin + 600, math.nan),
        ("SBIN", "NSE", "1m", begin + 660, 10.0, 9.0, 8.0, 10.0, 1, 0),
        row(begin, interval="5m"),
    ]
    openalgo(face, *minutes, *daily, *wrong)
    told: list[tuple[int, int, str]] = []
    done = store.migrate(fence, lambda *step: told.append(step))
    assert done is not None
    assert (done.series, done.rows, done.watched) == (2, 8, 2)
    assert (done.refused, done.computed) == ({"NSE:SBIN 1m": 2}, {"5m": 1})
    assert done.kept == face.with_name("historify.duckdb.before-2026-11-20")
    assert told == [(1, 3, "NSE:M&M D"), (2, 3, "NSE:SBIN 1m"), (3, 3, "NSE:SBIN 5m")]
    assert not face.exists()
    with duckdb.connect(str(done.kept), read_only=True) as old:
        assert old.execute("SELECT count(*) FROM market_data").fetchone() == (11,)
    assert closes(store, SBIN) == [(r[3], r[4]) for r in minutes]
    assert closes(store, Series("NSE", "M&M", "D")) == [
        (at("2025-03-03 00:00"), 1.0), (at("2025-03-04 00:00"), 2.0)
    ]  # fmt: skip
    assert store.coverage(SBIN, date(2025, 3, 1), date(2025, 3, 9)) == {
        date(2025, 3, 3): DayState.FULL, date(2025, 3, 4): DayState.PARTIAL
    }  # fmt: skip
    assert {one.source for one in store.catalog()} == {"migration"}
    assert sorted(Watchlists(store.control, clock).keys("openalgo")) == [("NSE", "M&M"), ("NSE", "SBIN")]
    assert store.migrate(fence) is None


def test_a_migration_that_was_cut_off_goes_on(store, fence):
    openalgo(
        store.paths.face, *[row(at(MONDAY) + 60 * n, symbol=f"S{s}") for s in range(3) for n in range(3)]
    )

    class PowerCut(Exception):
        pass

    def cut(done: int, total: int, name: str) -> None:
        if done == 2:
            raise PowerCut

    with pytest.raises(PowerCut):
        store.migrate(fence, cut)
    assert store.paths.face.exists()
    assert len(store.catalog()) == 2
    assert store.migrate(fence) is not None
    assert [one.rows for one in store.catalog()] == [3, 3, 3]
    openalgo(store.paths.face, row(at(MONDAY)))
    again = store.migrate(fence)
    assert again is not None
    assert again.kept.name == "historify.duckdb.before-2026-11-20-2", "nothing is replaced"


def test_a_foreign_duckdb_file_is_refused_and_untouched(store, fence):
    with duckdb.connect(str(store.paths.face)) as connection:
        connection.execute("CREATE TABLE theirs(x INT); INSERT INTO theirs VALUES(1)")
    before = store.paths.face.read_bytes()
    with pytest.raises(ForeignStore, match="theirs.*untouched"):
        store.migrate(fence)
    assert store.paths.face.read_bytes() == before


def test_another_file_at_the_path_is_refused_and_untouched(store, fence):
    store.paths.face.write_bytes(b"letters to my aunt")
    with pytest.raises(ForeignStore, match="no DuckDB file"):
        store.migrate(fence)
    assert store.paths.face.read_bytes() == b"letters to my aunt"


def test_nothing_at_the_path_is_nothing_to_do(store, fence):
    assert store.migrate(fence) is None


HOLDER = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses the open itself")
def test_a_store_openalgo_still_has_open_waits(store, fence):
    openalgo(store.paths.face, row(at(MONDAY)))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.paths.face)], stdin=-1, stdout=-1, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy, match="close OpenAlgo"):
            store.migrate(fence)
        holder.kill()
    done = store.migrate(fence)
    assert done is not None
    assert done.rows == 1
