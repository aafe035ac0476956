"""A report over a real store: what is wrong is found in place, and the pulls it names are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from historify import lease
from historify.errors import StoreDamaged
from historify.model import BarRequest, Bars, DayState, Provenance, Row, Series
from historify.quality.findings import Kind, damaged, repairs
from historify.quality.verify import only, verify
from historify.store import SegmentStore, open_store
from tests.historify.contract import rig
from tests.historify.contract.rig import MONDAY, daily
from tests.historify.quality.test_checks import session, walk

MINUTES = Series("NSE", "SBIN", "1m")
DAYS = Series("NSE", "SBIN", "D")
WEEK = [MONDAY + timedelta(days=n) for n in range(5)]
PULLED = Provenance("dhan", at_s=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    one = open_store(str(tmp_path / "historify.duckdb"), calendar=rig.calendar(tmp_path))
    assert isinstance(one, SegmentStore)
    yield one
    one.close()


def put(
    store: SegmentStore, series: Series, rows: list[Row], covered: dict[date, DayState] | None = None
) -> None:
    clock = ManualClock(datetime(2025, 3, 20, 6, 0, tzinfo=UTC))
    held = lease.acquire(store.control, None, "test", clock, force=True)
    store.put(series, Bars.of(rows), fence=held, provenance=PULLED, covered=covered)


def week(seed: int = 1) -> list[Row]:
    return walk([ts for day in WEEK for ts in session(day)], seed)


def day_bars(minutes: list[Row]) -> list[Row]:
    found = []
    for n, day in enumerate(WEEK):
        part = minutes[n * 375 : (n + 1) * 375]
        top, bottom = max(row[2] for row in part), min(row[3] for row in part)
        volume = sum(row[5] for row in part)
        found.append((daily(day), part[0][1], top, bottom, part[-1][4], volume, 0))
    return found


def test_a_sound_store_is_told_so(store: SegmentStore, tmp_path: Path) -> None:
    rows = week()
    put(store, MINUTES, rows)
    put(store, DAYS, day_bars(rows))
    report = verify(store, rig.calendar(tmp_path))
    assert (report.sound, report.series, report.bars, report.findings) == (True, 2, 1880, ())
    assert repairs(report.findings) == []


def test_an_empty_store_is_sound(store: SegmentStore, tmp_path: Path) -> None:
    report = verify(store, rig.calendar(tmp_path))
    assert (report.sound, report.series) == (True, 0)


def test_what_is_missing_and_what_contradicts_is_found_and_pulled(
    store: SegmentStore, tmp_path: Path
) -> None:
    rows = week()
    days = day_bars(rows)
    days[4] = (*days[4][:2], days[4][2] * 1.05, *days[4][3:])
    put(store, MINUTES, [row for n, row in enumerate(rows) if n // 375 != 1])
    put(store, DAYS, days)
    report = verify(store, rig.calendar(tmp_path))
    assert [(one.series, one.kind, one.first) for one in report.findings] == [
        (MINUTES, Kind.MISSING_DAY, WEEK[1]),
        (DAYS, Kind.DISAGREEMENT, WEEK[4]),
    ]
    assert not report.sound
    assert report.counts() == {"missing_day": 1, "disagreement": 1}
    told = report.as_json()["findings"]
    assert isinstance(told, list)
    assert told[0] | {"told": "", "advice": ""} == {
        "exchange": "NSE", "symbol": "SBIN", "interval": "1m", "kind": "missing_day", "severity": "error",
        "first": "2025-03-04", "last": "2025-03-04", "bars": 1, "told": "", "advice": "",
    }  # fmt: skip
    jobs = [(job.intervals[0], job.start, job.end) for job in repairs(report.findings)]
    assert jobs == [("1m", WEEK[1], WEEK[4]), ("D", WEEK[4], WEEK[4])]


def test_coverage_decides_what_is_a_gap(store: SegmentStore, tmp_path: Path) -> None:
    rows = week()
    asked = {WEEK[0]: DayState.PARTIAL, WEEK[1]: DayState.EMPTY, WEEK[4]: DayState.PARTIAL}
    put(store, MINUTES, [row for n, row in enumerate(rows) if n // 375 != 1], asked)
    report = verify(store, rig.calendar(tmp_path))
    assert [(one.kind, one.first) for one in report.findings] == [(Kind.UNFINISHED_DAY, WEEK[0])]


@pytest.mark.parametrize(("state", "kinds"), [(DayState.PARTIAL, []), (DayState.FULL, [Kind.MISSING_PART])])
def test_what_comes_after_the_last_bar_of_a_running_day_is_not_missing(
    store: SegmentStore, tmp_path: Path, state: DayState, kinds: list[Kind]
) -> None:
    put(store, MINUTES, week()[: 4 * 375 + 60], dict.fromkeys(WEEK[:4], DayState.FULL) | {WEEK[4]: state})
    assert [one.kind for one in verify(store, rig.calendar(tmp_path)).findings] == kinds


def test_only_what_was_asked_for_is_looked_at(store: SegmentStore, tmp_path: Path) -> None:
    sessions = rig.calendar(tmp_path)
    rows = [row for n, row in enumerate(week()) if n // 375 not in (1, 3)]
    put(store, MINUTES, rows)
    put(store, replace(MINUTES, symbol="TCS"), rows)
    seen: list[tuple[Series, int, int]] = []
    report = verify(
        store, sessions, wanted=only("NSE", ["TCS"]), start=WEEK[2], on_series=lambda *told: seen.append(told)
    )
    assert [(one.series.symbol, one.first) for one in report.findings] == [("TCS", WEEK[3])]
    assert seen == [(replace(MINUTES, symbol="TCS"), 0, 1)]
    assert verify(store, sessions, wanted=only("BSE", None)).series == 0


def test_a_holiday_the_calendar_does_not_list_is_none(store: SegmentStore, tmp_path: Path) -> None:
    """The calendar of these tests lists 2025: before it, a weekday on which nobody traded was one."""
    friday = date(2019, 5, 3)
    days = [friday + timedelta(days=n) for n in (0, 3, 4, 5, 6)]
    for symbol, gone in (("ONE", 2), ("TWO", None)):
        times = [daily(day) for n, day in enumerate(days) if n not in (1, gone)]
        put(store, Series("NSE", symbol, "D"), walk(times))
    report = verify(store, rig.calendar(tmp_path))
    assert [(one.series.symbol, one.kind, one.first) for one in report.findings] == [
        ("ONE", Kind.MISSING_DAY, days[2])
    ]


def test_a_damaged_series_is_a_finding_and_the_others_are_looked_at(
    tmp_path: Path, store: SegmentStore
) -> None:
    rows = week()
    put(store, MINUTES, rows)
    put(store, replace(MINUTES, symbol="TCS"), [row for n, row in enumerate(rows) if n // 375 != 1])
    for file in store.paths.folder("NSE", "SBIN", "1m").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreDamaged):
        store.get(BarRequest("NSE", "SBIN", "1m", WEEK[0], WEEK[4]))
    report = verify(store, rig.calendar(tmp_path))
    assert [(one.series.symbol, one.kind) for one in report.findings] == [
        ("SBIN", Kind.DAMAGED),
        ("TCS", Kind.MISSING_DAY),
    ]
    # what is damaged has to be taken out first: a pull is merged with what is stored
    assert damaged(report.findings) == [MINUTES]
    [pull] = repairs(report.findings)
    assert pull.keys == (("NSE", "TCS"),)


def test_a_split_over_new_year_is_seen(store: SegmentStore, tmp_path: Path) -> None:
    start = date(2024, 11, 1)
    times = [daily(day) for day in (start + timedelta(days=n) for n in range(100)) if day.weekday() < 5]
    first = next(n for n, ts in enumerate(times) if ts >= daily(date(2025, 1, 1)))
    rows = walk(times, step=0.012)
    split = [(r[0], *(price / 5 for price in r[1:5]), r[5] * 5, 0) for r in rows[first:]]
    put(store, DAYS, rows[:first] + split)  # type: ignore[arg-type,operator]
    report = verify(store, rig.calendar(tmp_path))
    assert [(one.kind, one.first) for one in report.findings] == [(Kind.CORPORATE_ACTION, date(2025, 1, 1))]
