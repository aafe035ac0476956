"""Computed intervals, against arithmetic done bar by bar over the calendar's sessions; in any zone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest

from brokers.calendar import Calendar
from brokers.clock import IST
from historify.model import INTRADAY, Row, Series
from tests.historify.contract.rig import (
    HOLIDAY,
    MONDAY,
    SHORT_DAY,
    SUNDAY_EVENING,
    Rig,
    a_series,
    at,
    bar,
    daily,
    days,
    minutes,
    request,
)

MINUTES = {"3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240}
ZONES = ("UTC", "Asia/Kolkata", "America/New_York")
FEW = ("3m", "15m", "1h", "4h")


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's zone and the one libpq would ask the server for."""
    names = ("TZ", "PGTZ")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, request.param))
    time.tzset()
    yield str(request.param)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    time.tzset()


@pytest.fixture(scope="module")
def nse(rig: Rig) -> tuple[Series, list[Row]]:
    """Two ordinary days, a special Sunday evening, a short day, with holes and bars outside the session."""
    series = a_series()
    monday = minutes(MONDAY)
    del monday[3:9], monday[100:190]
    early = [bar(at(MONDAY + timedelta(days=1), 9, 7)), bar(at(MONDAY + timedelta(days=1), 15, 40))]
    rows = sorted(
        monday
        + minutes(MONDAY + timedelta(days=1), price=200.0)
        + early
        + minutes(SUNDAY_EVENING, 18, 0, count=60, price=300.0)
        + minutes(SHORT_DAY, 10, 7, count=173, price=400.0)
    )
    rig.put(series, rows)
    return series, rows


@pytest.fixture(scope="module")
def mcx(rig: Rig) -> tuple[Series, list[Row]]:
    """Long sessions, one of them in the evening only."""
    series = a_series(exchange="MCX")
    rows = minutes(MONDAY, 9, 0, count=895) + minutes(HOLIDAY, 17, 0, count=415, price=700.0)
    rig.put(series, rows)
    return series, rows


@pytest.fixture(scope="module")
def years(rig: Rig) -> tuple[Series, list[Row]]:
    series = a_series("D")
    rows = days(date(2023, 11, 20), 500)
    rig.put(series, rows)
    return series, rows


def intraday(rows: list[Row], calendar: Calendar, exchange: str, step_min: int) -> list[Row]:
    """Each bar belongs to the n-th step from its own day's open."""
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        session = calendar.session(exchange, datetime.fromtimestamp(row[0], IST).date())
        assert session is not None
        opens = int(session.opens.timestamp())
        grouped.setdefault(opens + (row[0] - opens) // (60 * step_min) * 60 * step_min, []).append(row)
    return [joined(start, group) for start, group in sorted(grouped.items())]


def joined(start: int, group: list[Row]) -> Row:
    highs, lows = [row[2] for row in group], [row[3] for row in group]
    volume = sum(row[5] for row in group)
    return (start, group[0][1], max(highs), min(lows), group[-1][4], volume, group[-1][6])


def first_of(interval: str, day: date) -> date:
    match interval:
        case "W":
            return day - timedelta(days=day.weekday())
        case "M":
            return day.replace(day=1)
        case "Q":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case _:
            return day.replace(month=1, day=1)


@pytest.mark.parametrize("interval", MINUTES)
def test_intraday_bars_start_at_the_session_open(
    rig: Rig, nse: tuple[Series, list[Row]], interval: str
) -> None:
    series, rows = nse
    assert rig.rows(series, interval) == intraday(rows, rig.calendar, "NSE", MINUTES[interval])


@pytest.mark.parametrize("interval", FEW)
def test_long_and_evening_sessions_have_grids_of_their_own(
    rig: Rig, mcx: tuple[Series, list[Row]], interval: str
) -> None:
    series, rows = mcx
    assert rig.rows(series, interval) == intraday(rows, rig.calendar, "MCX", MINUTES[interval])


@pytest.mark.parametrize("interval", ["W", "M", "Q", "Y"])
def test_long_bars_start_at_their_first_calendar_day(
    rig: Rig, years: tuple[Series, list[Row]], interval: str
) -> None:
    series, rows = years
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        day = date(1970, 1, 1) + timedelta(days=row[0] // 86_400)
        grouped.setdefault(daily(first_of(interval, day)), []).append(row)
    assert rig.rows(series, interval) == [joined(ts, group) for ts, group in sorted(grouped.items())]


def test_every_interval_of_the_model_answers(rig: Rig, nse: tuple[Series, list[Row]]) -> None:
    series, rows = nse
    assert rig.rows(series, "1m") == rows
    assert {interval for interval in INTRADAY if not rig.rows(series, interval)} == set()


def test_the_machines_zone_does_not_enter(rig: Rig, nse: tuple[Series, list[Row]], zone: str) -> None:
    series, rows = nse
    other = rig.open()  # connections made under this zone
    try:
        for interval in FEW:
            found = other.get(request(series, interval, MONDAY, SHORT_DAY))
            assert list(found.rows()) == intraday(rows, rig.calendar, "NSE", MINUTES[interval])
    finally:
        other.close()


def test_months_do_not_shift_with_the_zone(rig: Rig, years: tuple[Series, list[Row]], zone: str) -> None:
    series, rows = years
    other = rig.open()
    try:
        found = other.get(request(series, "M", date(2024, 2, 1), date(2024, 2, 29)))
    finally:
        other.close()
    february = [row for row in rows if daily(date(2024, 2, 1)) <= row[0] <= daily(date(2024, 2, 29))]
    assert list(found.rows()) == [joined(daily(date(2024, 2, 1)), february)]


def test_a_week_asked_from_its_middle_is_whole(rig: Rig, years: tuple[Series, list[Row]]) -> None:
    series, rows = years
    monday = date(2024, 3, 4)
    found = rig.rows(series, "W", start=monday + timedelta(days=2), end=monday + timedelta(days=8))
    weeks = [[row for row in rows if daily(first) <= row[0] < daily(first + timedelta(days=7))] for first in
             (monday, monday + timedelta(days=7))]  # fmt: skip
    assert found == [
        joined(daily(monday), weeks[0]),
        joined(daily(monday + timedelta(days=7)), weeks[1][:2]),  # nothing after the end enters
    ]


def test_a_range_cuts_computed_bars_at_trading_days(rig: Rig, nse: tuple[Series, list[Row]]) -> None:
    series, rows = nse
    tuesday = MONDAY + timedelta(days=1)
    found = rig.rows(series, "15m", start=tuesday, end=tuesday)
    of_tuesday = [row for row in rows if at(tuesday, 0, 0) <= row[0] < at(tuesday, 23, 59)]
    assert found == intraday(of_tuesday, rig.calendar, "NSE", 15)


def test_bars_of_a_day_the_calendar_calls_closed_use_the_usual_open(rig: Rig) -> None:
    series = a_series()
    saturday = MONDAY - timedelta(days=2)
    rows = minutes(saturday, 11, 20, count=50)
    rig.put(series, rows)
    opens = at(saturday, 9, 15)
    starts = [row[0] for row in rig.rows(series, "1h")]
    assert starts == [opens + 7200, opens + 7200 + 3600][: len(starts)]
    assert sum(row[5] for row in rig.rows(series, "1h")) == sum(row[5] for row in rows)
