"""What the one that writes does besides pulling, on a real store with a clock in the hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from brokers.calendar import FileCalendar
from brokers.clock import ManualClock, SystemClock
from brokers.venue import Venue
from historify import lease as leases
from historify.errors import StoreBusy
from historify.face.detect import Found, Kind
from historify.jobs.model import JobRequest, JobState
from historify.jobs.queue import Queue
from historify.jobs.watchlist import Watchlists
from historify.lease import Lease, PullerLock
from historify.model import BarRequest, Provenance, Series
from historify.paths import StorePaths
from historify.puller.app import Process
from historify.puller.config import Candidate, Config
from historify.puller.upkeep import Upkeep
from historify.segments.inbox import Inbox
from historify.store import SegmentStore, open_store
from tests.e2e.fleet import until
from tests.historify.puller.test_runner import WEEK, answer
from tests.historify.puller.test_source import VALID, Api
from tests.historify.rows import FROM_BROKER, SBIN, at, bars

NSE = FileCalendar()
OLD_COLUMNS = (
    "symbol VARCHAR, exchange VARCHAR, interval VARCHAR, timestamp BIGINT, open DOUBLE, high DOUBLE, "
    "low DOUBLE, close DOUBLE, volume BIGINT, oi BIGINT"
)


class Rig:
    """A store in December 2025 whose writer holds lock and lease."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(datetime(2025, 12, 30, 4, tzinfo=UTC))
        self.paths = StorePaths(folder / "historify.duckdb")
        self.store = SegmentStore(self.paths, calendar=NSE, clock=self.clock)
        self.control = self.store.control
        self.lock = PullerLock(self.paths.lock)
        self.lock.acquire()
        self.lease: Lease = leases.acquire(self.control, self.lock, "test", self.clock)
        self.inbox = Inbox(self.paths.inbox)

    def upkeep(self) -> Upkeep:
        return Upkeep(self.store, self.control, self.paths, NSE, self.clock)

    def put(self, series: Series, start: str, count: int = 3, **more: Any) -> None:
        batch = bars(start, count, step=60 if series.interval == "1m" else 86_400, **more)
        provenance = replace(FROM_BROKER, at_s=self.clock.time_ns() // 10**9)
        self.store.put(series, batch, fence=self.lease, provenance=provenance)

    def files(self) -> list[str]:
        return sorted(path.name.split(".")[0] for path in self.paths.bars.rglob("*.parquet"))

    def rows(self, sql: str) -> list[Any]:
        with self.control.read() as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.lock.release()
    made.store.close()


def test_the_months_of_a_year_are_merged_when_it_is_over(rig):
    other = Series("NSE", "M&M", "1m")
    for series in (SBIN, other):
        rig.put(series, "2025-11-28 04:00")
        rig.put(series, "2025-12-29 04:00")
    upkeep = rig.upkeep()
    upkeep.tidy(rig.lease, False)
    assert rig.files() == ["2025-11", "2025-11", "2025-12", "2025-12"]
    # New Year in India, which is 18:30 UTC; one of the months is damaged and stays for readers to name
    folder = rig.paths.folder("NSE", "M&M", "1m")
    broken = next(folder.glob("2025-11*"))
    broken.chmod(0o600)
    broken.write_bytes(b"torn")
    rig.clock.set(datetime(2025, 12, 31, 18, 31, tzinfo=UTC))
    upkeep.tidy(rig.lease, False)
    periods = rig.rows("SELECT symbol, period FROM segment ORDER BY 1, 2")
    assert periods == [("M&M", "2025-11"), ("M&M", "2025-12"), ("SBIN", "2025")]
    rig.clock.advance(timedelta(days=1).total_seconds())
    assert rig.store.writer.drop_damaged(rig.lease, other)
    upkeep.tidy(rig.lease, False)
    assert rig.rows("SELECT symbol, period FROM segment ORDER BY 1, 2") == [("M&M", "2025"), ("SBIN", "2025")]
    assert {row.rows for row in rig.store.catalog()} == {3, 6}


def test_what_is_not_needed_any_more_is_forgotten(rig):
    expired = Series("NFO", "NIFTY25SEPFUT", "1m")
    rig.put(expired, "2025-09-29 04:00")
    rig.put(SBIN, "2025-12-29 04:00", 3)
    rig.put(SBIN, "2025-12-29 04:01", 1, price=7.0)
    rig.clock.advance(2 * 86_400)
    rig.put(SBIN, "2025-12-29 04:00", 4, price=8.0)
    rig.put(SBIN, "2025-12-29 05:00", 1)
    rig.upkeep().tidy(rig.lease, False)
    # both batches of two days ago were replaced whole by a later one; the first one's bars were not
    assert rig.rows("SELECT symbol, rows FROM ingest ORDER BY id") == [
        ("NIFTY25SEPFUT", 3),
        ("SBIN", 4),
        ("SBIN", 1),
    ]
    # the row itself: merging the ended year has made the expired one's worthless already
    assert rig.rows("SELECT symbol FROM tail") == [("SBIN",)]


def test_a_letter_that_can_never_be_published_does_not_stay_first(rig):
    rig.put(SBIN, "2025-12-29 04:00")
    [segment] = rig.paths.bars.rglob("*.parquet")
    segment.chmod(0o600)
    segment.write_bytes(b"torn")
    good = Series("NSE", "INFY", "D")
    upkeep = rig.upkeep()
    assert not upkeep.waits()
    provenance = Provenance("kotak", 1)
    for series in (SBIN, Series("NSE", "X", "7m")):
        rig.inbox.drop(series, bars("2025-12-29 04:01", 2), provenance)
    rig.inbox.drop(good, bars("2025-12-29 00:00", 2, step=86_400), provenance)
    assert upkeep.waits()
    assert upkeep.drain(rig.lease) == 3
    assert not upkeep.waits()
    assert [row.rows for row in rig.store.catalog("NSE", "INFY")] == [2]
    bad = list(rig.paths.inbox.glob("*.bad"))
    assert len(bad) == 2
    os.utime(bad[0], (0, rig.clock.time_ns() / 1e9 - 40 * 86_400))
    os.utime(bad[1], (0, rig.clock.time_ns() / 1e9))
    upkeep.tidy(rig.lease, False)
    assert [path.exists() for path in bad] == [False, True]


def old_store(face: Path) -> None:
    with duckdb.connect(str(face)) as old:
        old.execute(f"CREATE TABLE market_data({OLD_COLUMNS})")
        first = at("2025-12-29 04:00")
        old.executemany(
            "INSERT INTO market_data VALUES (?, 'NSE', '1m', ?, 100, 101, 99, 100, 5, 0)",
            [("M&M", first), ("M&M", first + 60), ("SBIN", first)],
        )
        old.execute("CREATE TABLE watchlist(symbol VARCHAR, exchange VARCHAR)")
        old.execute("INSERT INTO watchlist VALUES ('M&M', 'NSE')")


def test_an_openalgo_store_somebody_has_open_is_taken_over_when_they_leave(rig):
    old_store(rig.paths.face)
    upkeep = rig.upkeep()
    assert upkeep.strange
    with pytest.MonkeyPatch.context() as patch:
        held = Found(Kind.HELD, "another program has it open to write")
        patch.setattr("historify.segments.migrate.inspect", lambda _: held)
        with pytest.raises(StoreBusy, match="close OpenAlgo"):
            upkeep.drain(rig.lease)
    assert upkeep.strange
    assert upkeep.waits()
    assert upkeep.drain(rig.lease) == 1
    assert not upkeep.strange
    assert {row.series.symbol: row.rows for row in rig.store.catalog()} == {"M&M": 2, "SBIN": 1}


# --- the whole process


@contextmanager
def running(folder: Path, store: str = "", candidates: tuple[Candidate, ...] = ()) -> Iterator[Process]:
    run = folder / "run"
    run.mkdir(exist_ok=True)
    store = store or str(folder / "historify.duckdb")
    config = Config(store, run, Venue.LIVE, "nse", 0.1, 0, run / "historify.key", candidates)
    process = Process(config, SystemClock())
    process.start()
    try:
        yield process
    finally:
        process.end()


def asked(face: Path, sql: str) -> list[Any]:
    """As a person opens it; None while there is none of ours."""
    try:
        with duckdb.connect(str(face), read_only=True) as connection:
            return connection.execute(sql).fetchall()
    except duckdb.Error:
        return []


def test_an_openalgo_store_at_the_path_becomes_ours_and_an_edited_face_is_made_anew(tmp_path):
    face = tmp_path / "historify.duckdb"
    old_store(face)
    count = "SELECT symbol, count(*) FROM market_data JOIN historify_face ON true GROUP BY 1 ORDER BY 1"
    with running(tmp_path) as process:
        until(lambda: asked(face, count) == [("M&M", 2), ("SBIN", 1)], 10, "the face shows the old bars")
        assert asked(face, "SELECT symbol FROM watchlist") == [("M&M",)]
        [kept] = tmp_path.glob("historify.duckdb.before-*")
        assert asked(kept, "SELECT count(*) FROM market_data") == [(3,)]
        assert Watchlists(process.control, SystemClock()).keys("openalgo") == [("NSE", "M&M")]
        face.unlink()
        until(lambda: asked(face, count) != [], 10, "a deleted face comes back")
        assert process.puller.report()["state"] == "waiting for capability"
    first = face.stat()
    with running(tmp_path):
        pass
    assert face.stat().st_mtime_ns == first.st_mtime_ns  # it was current: nothing was written
    with duckdb.connect(str(face)) as mine:
        mine.execute("DROP VIEW market_data")
    with running(tmp_path):
        until(lambda: asked(face, count) != [], 10, "an edited face is made anew at the next start")


def test_bars_on_a_server_are_pulled_with_the_jobs_in_the_home(tmp_path, server):
    url = f"{server.url()}&schema=puller"
    api = Api()
    api.says(chunk_days={"D": 400}, years={})
    api.candles = answer(WEEK)
    candidate = Candidate("dhan", str(VALID["broker"]), f"http://127.0.0.1:{api.server.server_port}")
    try:
        with running(tmp_path, url, (candidate,)) as process:
            control = process.control
            assert control.path == tmp_path / "historify.d" / "control.db"
            queue = Queue(control, SystemClock())
            job = queue.enqueue(JobRequest((("NSE", "M&M"),), ("D",), WEEK[0], WEEK[-1]))[0]
            done = until(lambda: (j := queue.show(job.id)).state is JobState.DONE and j, 20, "it is pulled")
            assert (done.rows, done.failed, done.source) == (4, 0, "dhan")
            inbox = Inbox(tmp_path / "historify.d" / "inbox")
            inbox.drop(Series("NSE", "INFY", "D"), bars("2025-12-29 00:00", 2, step=86_400), FROM_BROKER)
            until(lambda: not process.upkeep.waits(), 10, "the inbox is empty")
    finally:
        api.close()
    store = open_store(url, calendar=NSE)
    try:
        assert list(store.get(BarRequest("NSE", "M&M", "D", WEEK[0], WEEK[-1])).close) == [100.05] * 4
        assert [row.rows for row in store.catalog("NSE", "INFY")] == [2]
    finally:
        store.close()
    assert not (tmp_path / "historify.duckdb").exists()
