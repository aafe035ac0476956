from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from array import array
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brokers.clock import ManualClock
from historify import tail
from historify.errors import BadBars, LeaseLost, StoreDamaged, StoreFull, WrongInterval
from historify.lease import Lease
from historify.model import BarRequest, Bars, Batch, DayState, PutReport, Series
from historify.segments import manifest
from historify.segments.damage import verify
from historify.store import SegmentStore
from tests.historify.rows import FROM_BROKER, SBIN, at, bars

SYMBOLS = ["M&M", "NIFTY 50", "A/B", "sbin", "SBIN", "A=B%26", "..", "रुपया", "A?*<>|:"]
ALL = (date(2000, 1, 1), date(2030, 1, 1))


@dataclass(frozen=True)
class Epoch:
    epoch: int


def read(store: SegmentStore, series: Series = SBIN) -> list[tuple[float, ...]]:
    return list(store.get(BarRequest(series.exchange, series.symbol, series.interval, *ALL)).rows())


def files(store: SegmentStore) -> list[str]:
    return sorted(path.name for path in store.paths.bars.rglob("*") if path.is_file())


def listed(store: SegmentStore, series: Series = SBIN) -> list[manifest.Segment]:
    with store.control.read() as connection:
        return manifest.segments(connection, series)


def put(store: SegmentStore, fence: Lease, batch: Bars, series: Series = SBIN) -> PutReport:
    return store.put(series, batch, fence=fence, provenance=FROM_BROKER)


def state(store: SegmentStore) -> list[str]:
    """All that a reader could see, to compare before and after."""
    with store.control.read() as connection:
        tables = ("segment", "series", "coverage", "ingest", "trash", "counter")
        return [repr(row) for name in tables for row in connection.execute(f"SELECT * FROM {name}")]


def test_the_same_batch_twice_changes_nothing(store, fence):
    batch = bars("2025-12-31 18:00", 100)  # two days of IST, two files
    first = store.put(
        SBIN, batch, fence=fence, provenance=FROM_BROKER, covered={date(2025, 12, 31): DayState.FULL}
    )
    before, on_disk = state(store), files(store)
    second = store.put(
        SBIN, batch, fence=fence, provenance=FROM_BROKER, covered={date(2025, 12, 31): DayState.FULL}
    )
    assert (first, second) == (PutReport(100, 100, 0), PutReport(100, 0, 0))
    assert (state(store), files(store)) == (before, on_disk)


def test_later_bars_replace_by_time_and_the_rest_stays(store, fence):
    put(store, fence, bars("2025-03-04 04:00", 10))
    report = put(store, fence, bars("2025-03-04 04:08", 4, price=200))
    assert report == PutReport(4, added=2, changed=2)
    rows = read(store)
    assert [row[4] for row in rows] == [100.0] * 8 + [200.0] * 4
    assert [row[0] for row in rows] == list(range(at("2025-03-04 04:00"), at("2025-03-04 04:12"), 60))


def test_earlier_bars_go_before_the_stored_ones(store, fence):
    put(store, fence, bars("2025-03-04 04:00", 10))
    put(store, fence, bars("2025-03-03 04:00", 5))
    assert [row[0] for row in read(store)] == sorted(row[0] for row in read(store))
    assert len(read(store)) == 15


def test_closed_years_have_one_file_and_the_running_one_a_file_a_month(store, fence):
    put(store, fence, bars("2025-12-31 18:20", 20))
    put(store, fence, bars("2026-01-31 18:20", 20))
    put(store, fence, bars("2025-02-01 04:00", 20))
    assert [one.period for one in listed(store)] == ["2025", "2026-01", "2026-02"]


def test_month_files_become_a_year_file_once_the_year_is_over(store, fence, clock: ManualClock):
    for day in ("2026-01-05 04:00", "2026-02-05 04:00", "2026-11-05 04:00"):
        put(store, fence, bars(day, 20))
    before = read(store)
    assert store.writer.close_years(fence) == 0
    clock.advance(60 * 86_400)
    assert store.writer.close_years(fence) == 1
    assert [one.period for one in listed(store)] == ["2026"]
    assert read(store) == before
    assert store.writer.close_years(fence) == 0


def test_a_clock_set_back_leaves_one_bar_for_each_time(store, fence, clock: ManualClock):
    put(store, fence, bars("2025-03-04 04:00", 10))
    clock.advance(-700 * 86_400)  # 2024: 2025 would get month files
    put(store, fence, bars("2025-03-04 04:05", 10, price=7))
    assert [one.period for one in listed(store)] == ["2025"]
    assert [row[4] for row in read(store)] == [100.0] * 5 + [7.0] * 10


def test_daily_bars_of_a_series_share_a_file(store, fence):
    daily = Series("NSE", "SBIN", "D")
    put(store, fence, bars("2024-12-30 00:00", 800, step=86_400), daily)
    assert [one.period for one in listed(store, daily)] == ["all"]
    assert len(read(store, daily)) == 800


@pytest.mark.parametrize(
    "symbol", ["M&M", "NIFTY 50", "A/B", "sbin", "SBIN", "A=B%26", "..", "रुपया", "A?*<>|:"]
)
def test_any_symbol_is_stored_under_its_own_name(store, fence, symbol):
    series = Series("NSE", symbol, "1m")
    put(store, fence, bars("2025-03-04 04:00", 3), Series("NSE", "OTHER", "1m"))
    put(store, fence, bars("2025-03-04 04:00", 3, price=5), series)
    assert [row[4] for row in read(store, series)] == [5.0] * 3
    path = listed(store, series)[0].file(store.paths.root)
    assert path.resolve().is_relative_to(store.paths.bars.resolve())
    assert len(path.relative_to(store.paths.bars).parts) == 4
    assert set(pq.ParquetFile(path).read(columns=["symbol"]).column(0).to_pylist()) == {symbol}


@pytest.mark.parametrize("symbol", ["", " A", "A\n", "x" * 151, "रु" * 20])
def test_a_name_that_is_none_is_refused(store, fence, symbol):
    with pytest.raises(BadBars, match="printable"):
        put(store, fence, bars("2025-03-04 04:00", 3), Series("NSE", symbol, "1m"))


def test_other_intervals_are_refused(store, fence):
    with pytest.raises(WrongInterval, match="1m and D"):
        put(store, fence, bars("2025-03-04 04:00", 3), Series("NSE", "SBIN", "5m"))


def spoilt(name: str, value: float, where: int = 5) -> Bars:
    good = bars("2025-03-04 04:00", 10)
    column = array(getattr(good, name).typecode, getattr(good, name))
    column[where] = value
    return replace(good, **{name: column})


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (spoilt("close", math.nan), "no finite number"),
        (spoilt("open", math.inf), "no finite number"),
        (spoilt("high", 99.0), "high below"),
        (spoilt("low", 101.0), "low above"),
        (spoilt("volume", -1), "negative volume"),
        (spoilt("oi", -1), "negative open interest"),
        (spoilt("ts", at("2025-03-04 04:05") + 1), "no multiple of 60 s"),
        (spoilt("ts", at("2025-03-04 04:04")), "not after the one before"),
        (spoilt("ts", at("2025-03-04 04:05") * 1000), "outside 1980"),
    ],
)
def test_one_bad_row_refuses_the_batch_and_is_named(store, fence, batch, says):
    before = state(store)
    with pytest.raises(BadBars, match=says) as caught:
        put(store, fence, batch)
    assert "NSE:SBIN 1m at " in str(caught.value)
    if batch.ts[5] == at("2025-03-04 04:05"):
        assert "2025-03-04 04:05:00 UTC" in str(caught.value)
    assert (state(store), files(store)) == (before, [])


def test_columns_of_different_length_are_refused(store, fence):
    with pytest.raises(BadBars, match="different length"):
        put(store, fence, replace(bars("2025-03-04 04:00", 3), oi=array("q")))


def test_a_daily_bar_off_midnight_is_refused(store, fence):
    with pytest.raises(BadBars, match="86400"):
        put(store, fence, bars("2025-03-04 09:15", 1), Series("NSE", "SBIN", "D"))


def test_many_series_are_published_all_or_none(store, fence):
    batches = [
        Batch(Series("NSE", f"S{n}", "1m"), bars("2025-03-04 04:00", 5), FROM_BROKER) for n in range(5)
    ]
    assert store.put_many(batches, fence=fence) == [PutReport(5, 5, 0)] * 5
    assert [(one.series.symbol, one.rows) for one in store.catalog()] == [(f"S{n}", 5) for n in range(5)]
    before, on_disk = state(store), files(store)
    shifted = [replace(one, bars=bars("2025-03-05 04:00", 5)) for one in batches]
    shifted[3] = replace(shifted[3], bars=spoilt("low", 500))
    with pytest.raises(BadBars, match="S3"):
        store.put_many(shifted, fence=fence)
    assert (state(store), files(store)) == (before, on_disk)


def test_a_series_twice_in_one_call_is_merged_in_turn(store, fence):
    batches = [
        Batch(SBIN, bars("2025-03-04 04:00", 5, price=1), FROM_BROKER),
        Batch(SBIN, bars("2025-03-04 04:03", 5, price=2), FROM_BROKER),
    ]
    assert store.put_many(batches, fence=fence) == [PutReport(5, 5, 0), PutReport(5, 3, 2)]
    assert [row[4] for row in read(store)] == [1.0] * 3 + [2.0] * 5


def test_an_older_epoch_publishes_nothing_and_leaves_nothing(store, fence):
    put(store, fence, bars("2025-03-04 04:00", 10))
    before, on_disk = state(store), files(store)
    old = Epoch(fence.epoch - 1)
    with pytest.raises(LeaseLost, match="was not published"):
        store.put(SBIN, bars("2025-03-04 04:05", 10, price=9), fence=old, provenance=FROM_BROKER)
    with pytest.raises(LeaseLost):
        store.put(SBIN, Bars(), fence=old, provenance=FROM_BROKER, covered={date(2025, 1, 1): DayState.EMPTY})
    with pytest.raises(LeaseLost):
        store.delete(SBIN, fence=old)
    assert (state(store), files(store)) == (before, on_disk)


def test_a_released_lease_publishes_nothing(store, fence):
    fence.release()
    with pytest.raises(LeaseLost, match="nobody holds it"):
        put(store, fence, bars("2025-03-04 04:00", 10))


def test_coverage_tells_asked_and_empty_from_never_asked(store, fence):
    first, second, third = (date(2025, 3, day) for day in (3, 4, 5))
    asked = {first: DayState.EMPTY, second: DayState.PARTIAL}
    store.put(SBIN, Bars(), fence=fence, provenance=FROM_BROKER, covered=asked)
    assert store.coverage(SBIN, first, third) == asked
    for after in (DayState.FULL, DayState.PARTIAL, DayState.EMPTY):
        store.put(SBIN, Bars(), fence=fence, provenance=FROM_BROKER, covered={second: after})
    assert store.coverage(SBIN, second, third) == {second: DayState.FULL}
    assert store.catalog() == []


def test_the_catalog_and_the_source_are_those_of_the_bars(store, fence, clock: ManualClock):
    put(store, fence, bars("2025-12-31 04:00", 10))
    put(store, fence, bars("2026-01-01 04:00", 5))
    (row,) = store.catalog("NSE", "SBIN")
    assert (row.first_ts, row.last_ts, row.rows) == (at("2025-12-31 04:00"), at("2026-01-01 04:04"), 15)
    assert row.bytes == sum(one.bytes for one in listed(store))
    assert (row.source, row.updated_at_s) == ("dhan", clock.time_ns() // 10**9)
    assert (store.catalog("BSE"), store.catalog(None, "X")) == ([], [])
    with store.control.read() as connection:
        kept = connection.execute(
            "SELECT source, job, lo, hi, rows, epoch FROM ingest ORDER BY id"
        ).fetchall()
    assert kept[1] == ("dhan", 7, at("2026-01-01 04:00"), at("2026-01-01 04:04"), 5, fence.epoch)


def test_the_tail_is_the_last_day_of_the_newest_file(store, fence):
    def last_day() -> list[int]:
        with store.control.read() as connection:
            return list(tail.read(connection, [("NSE", "SBIN")], "1m")["NSE", "SBIN"].ts)

    put(store, fence, bars("2025-03-03 04:00", 10))
    put(store, fence, bars("2025-03-04 04:00", 3))
    newest = [at("2025-03-04 04:00") + 60 * n for n in range(3)]
    assert last_day() == newest
    put(store, fence, bars("2024-03-04 04:00", 3))
    assert last_day() == newest, "older bars in another file"
    put(store, fence, bars("2025-03-04 04:03", 1))
    assert last_day() == [*newest, newest[-1] + 60]


def test_delete_takes_days_and_their_coverage(store, fence):
    days = [date(2025, 12, 30), date(2025, 12, 31), date(2026, 1, 1)]
    for day in days:
        store.put(
            SBIN, bars(f"{day} 04:00", 10), fence=fence, provenance=FROM_BROKER, covered={day: DayState.FULL}
        )  # fmt: skip
    assert store.delete(SBIN, fence=fence, start=days[1], end=days[1]) == 10
    assert [row[0] for row in read(store)][::10] == [at("2025-12-30 04:00"), at("2026-01-01 04:00")]
    assert list(store.coverage(SBIN, *ALL)) == [days[0], days[2]]
    assert store.delete(SBIN, fence=fence) == 20
    assert (store.catalog(), read(store), dict(store.coverage(SBIN, *ALL))) == ([], [], {})
    assert store.delete(SBIN, fence=fence) == 0


def test_what_was_merged_with_files_no_longer_listed_is_not_published(store, fence):
    put(store, fence, bars("2025-03-04 04:00", 10))
    old = listed(store)
    put(store, fence, bars("2025-03-05 04:00", 10))
    with (
        pytest.raises(Exception, match="replaced meanwhile"),
        store.control.transaction() as tx,
    ):
        manifest.retire(tx, old, 99, 0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"), [(_cut, "bytes instead of"), (_flip, "content"), (Path.unlink, "missing")]
)
def test_a_damaged_file_is_named_never_merged_and_can_be_taken_out(store, fence, harm, says):
    other = Series("NSE", "OTHER", "1m")
    put(store, fence, bars("2025-03-04 04:00", 10), other)
    day = date(2026, 1, 5)
    full = {day: DayState.FULL}
    store.put(SBIN, bars("2026-01-05 04:00", 10), fence=fence, provenance=FROM_BROKER, covered=full)
    put(store, fence, bars("2025-01-06 04:00", 10))
    bad = listed(store)[1]
    harm(bad.file(store.paths.root))
    with pytest.raises(StoreDamaged, match=f"NSE:SBIN 1m: bars from 2026-01-05 04:00.*{says}"):
        put(store, fence, bars("2026-01-06 04:00", 10))
    assert put(store, fence, bars("2025-01-07 04:00", 10)).added == 10, "the other file takes bars"
    assert put(store, fence, bars("2025-03-05 04:00", 10), other).added == 10, "other series are unaffected"
    assert [found.segment for found in verify(store.control, store.paths.root)] == [bad]
    assert [found.segment for found in store.writer.drop_damaged(fence)] == [bad]
    assert dict(store.coverage(SBIN, day, day)) == {}, "asked again by the next pull"
    assert put(store, fence, bars("2026-01-05 04:00", 10)).added == 10
    assert list(verify(store.control, store.paths.root)) == []


def test_an_interrupt_after_the_commit_takes_nothing_back(store, fence, monkeypatch):
    real = type(store.writer)._publish_batches

    def interrupted(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(store.writer), "_publish_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(store, fence, bars("2025-03-04 04:00", 10))
    monkeypatch.undo()
    assert len(read(store)) == 10
    assert list(verify(store.control, store.paths.root)) == []


def test_a_failed_second_file_leaves_nothing_of_the_first(store, fence, monkeypatch):
    put(store, fence, bars("2025-12-31 04:00", 10))
    before, on_disk = state(store), files(store)
    real, calls = os.fsync, []

    def no_room(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StoreFull, match="nothing is lost"):
        put(store, fence, bars("2025-12-31 18:20", 20))
    monkeypatch.undo()
    assert (state(store), files(store)) == (before, on_disk)
    assert put(store, fence, bars("2025-12-31 18:20", 20)).added == 20


HERE = {"PYTHONPATH": os.getcwd(), "PATH": os.environ["PATH"]}
FULL_DISK = """
import sys
from pathlib import Path
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from historify.errors import StoreError, StoreFull
from historify.lease import writing
from historify.model import BarRequest, Series
from historify.segments.damage import verify
from historify.store import SegmentStore, store_paths
from tests.historify.rows import FROM_BROKER, bars
from datetime import date
import random
from array import array
from dataclasses import replace
store = SegmentStore(store_paths(sys.argv[1]), calendar=AlwaysOpen())
made = 0
with writing(store.control, store.paths.lock, "x", SystemClock()) as fence:
    def put(n):
        batch = bars("2024-01-01 04:00", 20_000)
        noise = array("q", [random.getrandbits(60) for _ in range(20_000)])
        batch = replace(batch, volume=noise)
        store.put(Series("NSE", f"S{n}", "1m"), batch, fence=fence, provenance=FROM_BROKER)
    try:
        while made < 100:
            put(made)
            made += 1
    except StoreFull as exc:
        print("full after", made, exc, file=sys.stderr)
    assert 0 < made < 100, made
    assert len(store.catalog()) == made
    assert not list(verify(store.control, store.paths.root))
    for n in range(made):
        assert len(store.get(BarRequest("NSE", f"S{n}", "1m", date(2024, 1, 1), date(2025, 1, 1)))) == 20_000
    Path(sys.argv[2]).unlink()  # room again
    put(made)
    assert len(store.catalog()) == made + 1
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk: root on Linux")
def test_a_full_disk_refuses_loses_nothing_and_goes_on_with_room(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=4m small {disk}"
        f" && dd if=/dev/zero of={disk}/ballast bs=1M count=1 status=none"
        f' && exec {sys.executable} -c "$0" {disk}/historify.duckdb {disk}/ballast'
    )
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, FULL_DISK],
        capture_output=True, text=True, timeout=60, env=HERE,
    )  # fmt: skip
    if "unshare failed" in ran.stderr or "permission denied" in ran.stderr:
        pytest.skip("this container may not mount")
    assert ran.returncode == 0, ran.stderr
    assert "nothing" in ran.stderr


READ_ONLY = """
import os, sys
from datetime import date
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from historify.errors import StoreFull
from historify.lease import writing
from historify.model import BarRequest
from historify.store import SegmentStore, store_paths
from tests.historify.rows import FROM_BROKER, SBIN, bars
import historify.segments.writer, historify.reader.bars, historify.reader.engine
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with_store = SegmentStore(store_paths(sys.argv[1]), calendar=AlwaysOpen())
    with writing(with_store.control, with_store.paths.lock, "x", SystemClock()) as fence:
        with_store.put(SBIN, bars("2025-03-04 04:00", 5), fence=fence, provenance=FROM_BROKER)
except StoreFull as exc:
    print("refused", exc)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
def test_a_folder_without_the_right_to_write_is_a_clear_error(store, fence, tmp_path: Path):
    put(store, fence, bars("2025-03-04 04:00", 5))
    before = state(store)
    shutil.copytree(store.paths.root, tmp_path / "locked" / "historify.d")
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o555)
    for path in [tmp_path / "locked", *(tmp_path / "locked").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(tmp_path / "locked" / "historify.duckdb")],
            capture_output=True, text=True, timeout=60, env=HERE,
        )  # fmt: skip
    finally:
        for path in [tmp_path / "locked", *(tmp_path / "locked").rglob("*")]:
            path.chmod(0o755)
    assert ran.stdout.startswith("refused"), ran.stdout + ran.stderr
    assert "rights" in ran.stdout or "right to write" in ran.stdout
    assert state(store) == before
