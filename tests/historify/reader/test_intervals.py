"""Bars belong to sessions, not to the machine: the same aggregates whatever its zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar, Session
from brokers.clock import IST
from historify.days import trading_date
from historify.errors import WrongInterval
from historify.model import INTERVALS, BarRequest, Series
from historify.reader import intervals
from tests.historify.reader.stores import HandMade, at, days, minutes

ZONES = ("UTC", "Asia/Kolkata", "America/New_York")
READ_ALL = """
import json, sys, time
from datetime import date
from pathlib import Path
from brokers.calendar import FileCalendar
from historify.control import Control
from historify.model import INTERVALS, BarRequest
from historify.reader.bars import Reader
root = Path(sys.argv[1])
reader = Reader(Control(root / "control.db"), root, FileCalendar(Path(sys.argv[2])))
start, end = date(2025, 10, 20), date(2025, 11, 3)
answers = [list(reader.get(BarRequest("NSE", "SBIN", i, start, end)).rows()) for i in INTERVALS]
last = reader.latest([("NSE", "SBIN")], "1m")["NSE", "SBIN"]
print(json.dumps([time.tzname[0], answers, list(last.rows())]))
"""


def test_the_zone_of_the_machine_changes_nothing(tmp_path):
    """Over a Muhurat session (an hour on a holiday) and the night New York leaves daylight saving time."""
    calendar = tmp_path / "calendar.json"
    muhurat = {"date": "2025-10-21", "open": {"NSE": ["13:45", "14:45"]}}
    calendar.write_text(
        json.dumps({"dated": "2025-11-01", "hours": {"NSE": ["09:15", "15:30"]}, "days": [muhurat]})
    )
    store = HandMade(tmp_path)
    rows = []
    for day in ("2025-10-20", "2025-10-23", "2025-10-31", "2025-11-03"):
        rows += minutes(day, "09:15", 375)
    store.add(Series("NSE", "SBIN", "1m"), rows + minutes("2025-10-21", "13:45", 60))
    store.add(Series("NSE", "SBIN", "D"), days([("2025-10-20", 1), ("2025-10-31", 2), ("2025-11-03", 3)]))
    store.control.close()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", READ_ALL, str(store.paths.root), str(calendar)],
            env={**os.environ, "TZ": zone}, stdout=subprocess.PIPE, text=True,
        )
        for zone in ZONES
    ]  # fmt: skip
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert len({answer[0] for answer in answers}) == 3, "the machine knows no zones: nothing was tried"
    assert answers[0][1:] == answers[1][1:] == answers[2][1:]
    computed = dict(zip(INTERVALS, answers[0][1], strict=True))
    holiday = range(at("2025-10-21", "00:00"), at("2025-10-22", "00:00"))
    assert [row[0] for row in computed["1h"] if row[0] in holiday] == [at("2025-10-21", "13:45")]
    assert [row[0] for row in computed["4h"]][:2] == [at("2025-10-20", "09:15"), at("2025-10-20", "13:15")]


class Odd:
    """A half day: opens at 10:07 on odd days of the month, at 09:15 on even ones, never on the 7th."""

    def session(self, exchange: str, on: date) -> Session | None:
        if on.day == 7:
            return None
        opens = datetime(on.year, on.month, on.day, *((10, 7) if on.day % 2 else (9, 15)), tzinfo=IST)
        return Session(opens, opens + timedelta(hours=3))

    def is_open(self, exchange: str, moment: datetime) -> bool:
        return False


@pytest.mark.parametrize("interval", ["3m", "10m", "1h", "4h"])
def test_each_day_has_the_grid_of_its_own_session(tmp_path, interval):
    store = HandMade(tmp_path, Odd())
    step = intervals.MINUTES[interval]
    expected, rows = [], []
    for number in range(1, 31):
        day = date(2026, 11, number)
        first = "10:07" if number % 2 else "09:15"
        rows += minutes(day, first, 100)
        grid = "09:15" if number == 7 else first  # a day the calendar calls closed: as on most days
        origin = at(day, grid)
        expected += sorted({ts - (ts - origin) % (step * 60) for ts, *_ in minutes(day, first, 100)})
    store.add(Series("NSE", "SBIN", "1m"), rows)
    found = store.reader().get(BarRequest("NSE", "SBIN", interval, date(2026, 11, 1), date(2026, 11, 30)))
    assert list(found.ts) == expected
    assert sum(found.volume) == sum(row[5] for row in rows)


def test_openings_follow_the_calendar():
    nse = intervals.openings(FileCalendar(), "NSE", 2026)
    assert len(nse) == 365
    assert nse[0] == 9 * 3600 + 15 * 60
    assert set(intervals.openings(AlwaysOpen(), "NSE", 2026)) == {0}
    assert set(intervals.openings(FileCalendar(), "NOWHERE", 2026)) == {0}


@pytest.mark.parametrize(
    ("interval", "start", "first"),
    [
        ("1m", "2026-11-04", "2026-11-04"),
        ("D", "2026-11-04", "2026-11-04"),
        ("W", "2026-11-04", "2026-11-02"),
        ("W", "2026-11-02", "2026-11-02"),
        ("M", "2026-11-04", "2026-11-01"),
        ("Q", "2026-12-31", "2026-10-01"),
        ("Q", "2026-03-01", "2026-01-01"),
        ("Y", "2026-11-04", "2026-01-01"),
    ],
)
def test_a_range_begins_with_the_bar_that_holds_its_start(interval, start, first):
    lo, hi = intervals.span(interval, date.fromisoformat(start), date.fromisoformat(start))
    shift = 19_800 if interval == "1m" else 0
    assert lo == intervals.midnight(date.fromisoformat(first)) - shift
    assert hi == intervals.midnight(date.fromisoformat(start)) + 86_400 - shift


def test_stored_names_the_source_or_refuses():
    assert {name: intervals.stored(name) for name in ("5m", "W")} == {"5m": "1m", "W": "D"}
    with pytest.raises(WrongInterval, match="2h, 4h, D"):
        intervals.stored("6h")


def test_the_night_of_a_day_belongs_to_it():
    assert trading_date(at("2026-11-03", "02:00"), "1m") == date(2026, 11, 3)
    assert trading_date(intervals.midnight(date(2026, 11, 3)), "D") == date(2026, 11, 3)
