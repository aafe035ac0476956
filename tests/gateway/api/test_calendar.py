"""Holidays, timings and chart preferences over the real calendar file and the real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST
from tests.gateway.api.rig import Rig, running

ALL_DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


def ist_ms(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=IST).timestamp() * 1000)


def test_timings_are_epoch_milliseconds_of_ist_in_openalgos_order(rig):
    rows = rig.post("market/timings", date="2026-11-20").json["data"]
    assert [row["exchange"] for row in rows] == [
        "NSE",
        "BSE",
        "NFO",
        "BFO",
        "MCX",
        "BCD",
        "CDS",
        "NCO",
        "CRYPTO",
    ]
    times = {row["exchange"]: (row["start_time"], row["end_time"]) for row in rows}
    assert times["NSE"] == (1795146300000, 1795168800000)
    assert datetime.fromtimestamp(1795146300, UTC) == datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
    assert times["NFO"] == (ist_ms(2026, 11, 20, 9, 15), ist_ms(2026, 11, 20, 15, 40))
    assert times["MCX"][1] == ist_ms(2026, 11, 20, 23, 55)
    assert times["CRYPTO"] == (ist_ms(2026, 11, 20, 0, 0), ist_ms(2026, 11, 20, 0, 0) + ALL_DAY_MS)


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        ("2026-11-21", ["CRYPTO"]),
        ("2026-11-24", ["MCX", "NCO", "CRYPTO"]),
        ("2026-12-25", ["CRYPTO"]),
    ],
)
def test_closed_days_list_only_what_trades(rig, day, open_):
    rows = rig.post("market/timings", date=day).json["data"]
    assert [row["exchange"] for row in rows] == open_


def test_mcx_opens_in_the_evening_of_an_equity_holiday(rig):
    rows = rig.post("market/timings", date="2026-11-24").json["data"]
    assert rows[0] == {
        "exchange": "MCX",
        "start_time": ist_ms(2026, 11, 24, 17, 0),
        "end_time": ist_ms(2026, 11, 24, 23, 55),
    }


def test_holidays_say_what_is_closed_and_what_is_open(rig):
    answer = rig.post("market/holidays", year="2026").json
    assert (answer["year"], answer["timezone"]) == (2026, "Asia/Kolkata")
    by_date = {row["date"]: row for row in answer["data"]}
    assert len(by_date) == 16
    guru = by_date["2026-11-24"]
    assert (guru["description"], guru["holiday_type"]) == ("Guru Nanak Jayanti", "TRADING_HOLIDAY")
    assert guru["closed_exchanges"] == ["NSE", "BSE", "NFO", "BFO", "BCD", "CDS"]
    assert [row["exchange"] for row in guru["open_exchanges"]] == ["MCX", "NCO", "CRYPTO"]
    assert "MCX" in by_date["2026-12-25"]["closed_exchanges"]
    assert sorted(by_date) == [row["date"] for row in answer["data"]]


def test_the_year_defaults_to_this_one_in_ist(rig):
    year = datetime.now(IST).year
    assert rig.post("market/holidays").json["year"] == year
    assert rig.post("market/holidays", year=2031).json["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("market/holidays", {"year": 2019}, "year"),
        ("market/holidays", {"year": "soon"}, "year"),
        ("market/timings", {}, "date"),
        ("market/timings", {"date": "20-11-2026"}, "date"),
        ("market/timings", {"date": "2026-11-20", "exchange": "NSE"}, "exchange"),
    ],
)
def test_bad_requests_are_refused_by_field(rig, path, body, field):
    answer = rig.post(path, **body)
    assert answer.status_code == 400
    assert field in answer.json["message"]


def test_the_key_is_checked_although_openalgo_does_not(rig):
    for path, body in (("market/holidays", {}), ("market/timings", {"date": "2026-11-20"})):
        assert rig.post(path, apikey="f" * 64, **body).status_code == 403


def test_every_holiday_of_the_file_has_a_name():
    days = FileCalendar().days()
    assert {day.on.year for day in days} >= {2025, 2026}
    assert all(day.description for day in days)
    assert all(FileCalendar().session("NSE", day.on) is None for day in days if "NSE" in day.closed)
    assert FileCalendar().session("MCX", date(2026, 10, 2)) is None


# -- chart preferences ----------------------------------------------------------------------------------


def read(rig: Rig, **query: str):
    return rig.app.test_client().get("/api/v1/chart", query_string={"apikey": rig.key} | query)


def test_preferences_come_back_as_they_were_sent_and_others_stay(tmp_path):
    with running(tmp_path, logged_in=False, reconciled=False) as rig:
        assert read(rig).json == {"status": "success", "data": {}}
        first = rig.post("chart", theme="dark", layout={"panes": [1, 2.5, None, True]}, **{"नाम": "x"})
        assert first.json == {"status": "success", "message": "Preferences updated successfully"}
        rig.post("chart", theme="light", zoom=1.25)
        kept = {"theme": "light", "layout": {"panes": [1, 2.5, None, True]}, "zoom": 1.25, "नाम": "x"}
        assert read(rig).json["data"] == kept
    with running(tmp_path, logged_in=False, reconciled=False) as again:
        assert read(again).json["data"] == kept


@pytest.mark.parametrize(
    "body",
    [
        {},
        {f"k{n}": 1 for n in range(51)},
        {"k" * 51: 1},
        {"": 1},
        {"big": "x" * (1024 * 1024)},
    ],
    ids=["none", "51 names", "long name", "empty name", "large value"],
)
def test_preferences_have_bounds(rig, body):
    answer = rig.post("chart", **body)
    assert answer.status_code in (400, 413), answer.json
    assert not body.keys() & read(rig).json["data"].keys()


def test_no_more_names_are_kept_than_a_thousand(tmp_path):
    with running(tmp_path, logged_in=False, reconciled=False) as rig:
        for start in range(0, 1000, 50):
            assert rig.post("chart", **{f"k{n}": n for n in range(start, start + 50)}).status_code == 200
        assert rig.post("chart", k0="again").status_code == 200
        assert rig.post("chart", one_more=1, k1="no").status_code == 400
        assert read(rig).json["data"]["k1"] == 1


def test_the_chart_key_is_checked(rig):
    assert read(rig, apikey="f" * 64).status_code == 403
    bare = rig.app.test_client().get("/api/v1/chart")
    assert (bare.status_code, bare.json["message"]) == (400, "Missing apikey parameter")
    assert rig.post("chart", apikey="f" * 64, theme="x").status_code == 403
