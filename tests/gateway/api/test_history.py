"""``/history`` from the market-data store: ``db`` alone, ``auto`` with the broker for what it lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from brokers.clock import IST
from brokers.errors import BrokerDown, LoginRequired
from brokers.model import Candle
from gateway.marketdata.history import History
from historify import lease
from historify.model import DAY, MINUTE, Bars, DayState, Provenance, Series
from historify.segments.inbox import Inbox
from tests.gateway.api.rig import Rig, running

SBIN = {"symbol": "SBIN", "exchange": "NSE"}
FIRST, LAST = date(2026, 11, 16), date(2026, 11, 18)
MIDNIGHT = int(datetime(2026, 11, 16, tzinfo=IST).timestamp())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        history = of(one)
        put(one, Series("NSE", "SBIN", MINUTE), minutes(FIRST, 3), days(FIRST, 3))
        put(one, Series("NSE", "SBIN", DAY), daily(date(2026, 11, 2), 10), days(date(2026, 11, 2), 10))
        put(one, Series("NSE", "TCS", DAY), daily(FIRST, 2), days(FIRST, 2))
        put(one, Series("CDS", "OLD26MARFUT", DAY), daily(FIRST, 1), None)
        assert history.used
        yield one


def of(rig: Rig) -> History:
    assert rig.parts.history is not None
    return rig.parts.history


def put(rig: Rig, series: Series, bars: Bars, covered: dict[date, DayState] | None) -> None:
    history = of(rig)
    with lease.writing(history.control, history.paths.lock, "test", rig.parts.clock) as fence:
        history.store.put(series, bars, fence=fence, provenance=Provenance("test", 1), covered=covered)


def bar(ts: int, number: int) -> tuple[float, ...]:
    return (ts, 100 + number, 110.12345 + number, 90 + number, 101 + number, 10 + number, number)


def minutes(first: date, count: int) -> Bars:
    """Four a day, from 09:14 on, so that a session from midnight and one from 09:15 cut them differently."""
    start = int(datetime(first.year, first.month, first.day, 9, 14, tzinfo=IST).timestamp())
    return Bars.of(bar(start + day * 86_400 + 60 * n, day * 4 + n) for day in range(count) for n in range(4))


def daily(first: date, count: int) -> Bars:
    start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    return Bars.of(bar(start + n * 86_400, n) for n in range(count))


def days(first: date, count: int) -> dict[date, DayState]:
    return {first + timedelta(days=n): DayState.FULL for n in range(count)}


def ask(rig: Rig, source: str, interval: str, first: date, last: date, **key: str) -> Any:
    body = {**SBIN, **key, "interval": interval, "start_date": str(first), "end_date": str(last)}
    return rig.post("history", **body, source=source)


def script(rig: Rig, monkeypatch: pytest.MonkeyPatch, bars: dict[str, Bars]) -> list[tuple[str, str, str]]:
    """A broker that has these bars by interval; returns what it is asked."""
    asked: list[tuple[str, str, str]] = []

    def candles(row: Any, interval: str, start: date, end: date) -> list[Candle]:
        asked.append((interval, str(start), str(end)))
        zone = UTC if interval == DAY else IST
        rows = [Candle(*each) for each in bars[interval].rows()]
        return [c for c in rows if start <= datetime.fromtimestamp(c.opened_at_s, zone).date() <= end]

    monkeypatch.setattr(rig.rest, "candles", candles)
    monkeypatch.setattr(rig.parts.market, "_history_turn", lambda: None)
    return asked


def test_the_store_answers_in_the_same_words_as_a_broker(rig):
    answer = ask(rig, "db", "1m", FIRST, FIRST)
    assert answer.status_code == 200
    start = MIDNIGHT + 9 * 3600 + 14 * 60
    assert answer.json["status"] == "success"
    assert [row["timestamp"] for row in answer.json["data"]] == [start + 60 * n for n in range(4)]
    first = {"open": 100.0, "high": 110.12, "low": 90.0, "close": 101.0, "volume": 10, "oi": 0}
    assert answer.json["data"][0] == {"timestamp": start, **first}
    assert list(answer.json["data"][0]) == ["timestamp", "open", "high", "low", "close", "volume", "oi"]


def test_computed_intervals_come_from_the_stored_ones(rig):
    quarter = ask(rig, "db", "15m", FIRST, LAST).json["data"]
    assert [(row["timestamp"] - MIDNIGHT) % 86_400 for row in quarter] == [9 * 3600, 9 * 3600 + 900] * 3
    assert quarter[1]["volume"] == 11 + 12 + 13
    week = ask(rig, "db", "W", date(2026, 11, 4), date(2026, 11, 11)).json["data"]
    assert [datetime.fromtimestamp(row["timestamp"], UTC).date() for row in week] == [
        date(2026, 11, 2),
        date(2026, 11, 9),
    ]


def test_no_broker_session_is_needed_for_the_store(rig, monkeypatch):
    def gone() -> None:
        raise LoginRequired("no session")

    monkeypatch.setattr(rig.parts.session, "check", gone)
    assert ask(rig, "db", "D", FIRST, LAST, symbol="TCS").status_code == 200
    assert ask(rig, "api", "D", FIRST, LAST).json["code"] == "AUTH_EXPIRED"
    assert ask(rig, "auto", "D", FIRST, LAST).json["code"] == "AUTH_EXPIRED"
    assert rig.post("history", apikey="no", source="db", **SBIN, interval="D", start_date="2026-11-16",
                    end_date="2026-11-16").status_code == 403  # fmt: skip


def test_prices_keep_the_places_of_the_instrument_also_when_it_has_expired(rig):
    row = ask(rig, "db", "D", FIRST, FIRST, symbol="OLD26MARFUT", exchange="CDS").json["data"][0]
    assert row["high"] == 110.1235


@pytest.mark.parametrize(
    ("key", "interval", "first", "last", "status", "code", "said"),
    [
        (
            {"symbol": "RELIANCE"},
            "1m",
            FIRST,
            LAST,
            404,
            "NO_STORED_DATA",
            "download it first: algo history pull",
        ),
        (
            {},
            "1m",
            date(2026, 10, 1),
            date(2026, 10, 2),
            404,
            "NO_STORED_DATA",
            "has 2026-11-16 to 2026-11-18",
        ),
        ({"symbol": "SBINN"}, "D", FIRST, LAST, 400, "SYMBOL_NOT_FOUND", "Did you mean SBIN"),
        ({}, "45s", FIRST, LAST, 400, "WRONG_INTERVAL", "1m, 3m, 5m"),
        ({}, "7m", FIRST, LAST, 400, "INVALID_REQUEST", "interval"),
        ({}, "1m", LAST, FIRST, 400, "INVALID_REQUEST", "start_date must not be after end_date"),
        ({"exchange": "LSE"}, "1m", FIRST, LAST, 400, "INVALID_REQUEST", "exchange"),
    ],
    ids=["never pulled", "other days", "unknown", "not computed", "no interval", "reversed", "exchange"],
)
def test_what_cannot_be_answered_says_why(rig, key, interval, first, last, status, code, said):
    answer = ask(rig, "db", interval, first, last, **key)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert said in str(answer.json["message"])


def test_a_damaged_segment_is_never_no_data(rig):
    history = of(rig)
    series = Series("NSE", "RELIANCE", MINUTE)
    put(rig, series, minutes(date(2024, 3, 4), 3), days(date(2024, 3, 4), 3))
    (path,) = (history.paths.bars / "interval=1m" / "exchange=NSE" / "symbol=RELIANCE").glob("*.parquet")
    whole = path.read_bytes()
    os.chmod(path, 0o600)
    path.write_bytes(whole[: len(whole) // 2])
    for source in ("db", "auto"):
        answer = ask(rig, source, "1m", date(2024, 3, 4), date(2024, 3, 6), symbol="RELIANCE")
        assert (answer.status_code, answer.json["code"]) == (500, "STORE_DAMAGED")
        assert "RELIANCE" in answer.json["message"]
    assert ask(rig, "db", "1m", FIRST, LAST).status_code == 200


def test_auto_asks_nobody_for_what_is_there(rig, monkeypatch):
    asked = script(rig, monkeypatch, {})
    for interval in ("1m", "15m", "1h"):
        stored = ask(rig, "db", interval, FIRST, LAST).json["data"]
        assert ask(rig, "auto", interval, FIRST, LAST).json["data"] == stored
    assert asked == []


@pytest.mark.parametrize("interval", ["1m", "3m", "15m", "2h"])
def test_auto_asks_for_missing_days_alone_and_answers_as_if_they_had_been_there(rig, monkeypatch, interval):
    whole = minutes(date(2026, 11, 14), 6)
    fresh = Bars.of(row for row in whole.rows() if not MIDNIGHT <= row[0] < MIDNIGHT + 3 * 86_400)
    asked = script(rig, monkeypatch, {MINUTE: whole})
    found = ask(rig, "auto", interval, date(2026, 11, 14), date(2026, 11, 19)).json["data"]
    assert asked == [("1m", "2026-11-14", "2026-11-15"), ("1m", "2026-11-19", "2026-11-19")]
    put(rig, Series("NSE", "M&M", MINUTE), minutes(FIRST, 3), None)
    put(rig, Series("NSE", "M&M", MINUTE), fresh, None)
    known = ask(rig, "db", interval, date(2026, 11, 14), date(2026, 11, 19), symbol="M&M").json["data"]
    assert found == known


@pytest.mark.parametrize("interval", ["D", "W", "M"])
def test_auto_joins_days_into_weeks_and_months(rig, monkeypatch, interval):
    whole = daily(date(2026, 11, 1), 19)
    stored = range(
        int(datetime(2026, 11, 2, tzinfo=UTC).timestamp()),
        int(datetime(2026, 11, 12, tzinfo=UTC).timestamp()),
    )
    asked = script(rig, monkeypatch, {DAY: whole})
    found = ask(rig, "auto", interval, date(2026, 11, 1), date(2026, 11, 19)).json["data"]
    assert {each[0] for each in asked} == {"D"}
    assert all(first > "2026-11-11" or last < "2026-11-02" for _, first, last in asked)
    put(rig, Series("NSE", "M&M", DAY), daily(date(2026, 11, 2), 10), None)
    put(rig, Series("NSE", "M&M", DAY), Bars.of(r for r in whole.rows() if r[0] not in stored), None)
    known = ask(rig, "db", interval, date(2026, 11, 1), date(2026, 11, 19), symbol="M&M").json["data"]
    assert found == known


def test_what_came_is_left_for_the_puller_with_what_is_known_of_each_day(rig, monkeypatch):
    inbox = Inbox(of(rig).paths.inbox)
    for letter in inbox.waiting():
        inbox.done(letter)
    script(rig, monkeypatch, {DAY: daily(date(2026, 10, 5), 1)})
    answer = ask(rig, "auto", "D", date(2026, 10, 4), date(2026, 10, 6), symbol="TCS")
    assert len(answer.json["data"]) == 1
    (letter,) = inbox.waiting()
    assert (letter.series, letter.provenance.source) == (Series("NSE", "TCS", DAY), "dhan")
    states = {
        date(2026, 10, 4): DayState.EMPTY,
        date(2026, 10, 5): DayState.FULL,
        date(2026, 10, 6): DayState.EMPTY,
    }
    assert letter.covered == states
    put(rig, letter.series, letter.bars, dict(letter.covered))
    asked = script(rig, monkeypatch, {})
    assert ask(rig, "auto", "D", date(2026, 10, 4), date(2026, 10, 6), symbol="TCS").json == answer.json
    assert asked == []


def test_a_broker_that_is_needed_and_silent_is_an_error(rig, monkeypatch):
    def down(*_: object) -> list[Candle]:
        raise BrokerDown("no route")

    monkeypatch.setattr(rig.rest, "candles", down)
    answer = ask(rig, "auto", "1m", FIRST, date(2026, 11, 19))
    assert (answer.status_code, answer.json["code"]) == (503, "BROKER_DISCONNECTED")
    assert ask(rig, "auto", "1m", FIRST, LAST).status_code == 200


def test_an_unknown_symbol_and_an_interval_of_the_broker_alone_are_as_ever(rig, monkeypatch):
    asked = script(rig, monkeypatch, {"25m": minutes(FIRST, 1)})
    assert ask(rig, "auto", "1m", FIRST, LAST, symbol="NOSUCH").json["code"] == "SYMBOL_NOT_FOUND"
    assert ask(rig, "auto", "45s", FIRST, LAST).json["code"] == "NOT_SUPPORTED"
    assert asked == []


def test_a_store_that_cannot_be_opened_says_so_and_is_tried_again(tmp_path):
    with running(tmp_path, reconciled=False, loaded=False) as one:
        history = of(one)
        assert not history.used
        history.paths.root.mkdir(parents=True)
        history.paths.control.write_bytes(b"this is no database" * 100)
        answer = ask(one, "db", "D", FIRST, LAST)
        assert (answer.status_code, answer.json["code"]) == (500, "STORE_DAMAGED")
        history.paths.control.unlink()
        assert ask(one, "db", "D", FIRST, LAST).json["code"] == "NO_STORED_DATA"


def test_of_a_day_that_was_asked_while_it_ran_only_the_new_answer_counts(rig, monkeypatch):
    day = date(2025, 5, 6)
    early, late = minutes(day, 1), Bars.of([*minutes(day, 1).rows()][1:3])
    put(rig, Series("NSE", "SBICARD", MINUTE), early, {day: DayState.PARTIAL})
    script(rig, monkeypatch, {MINUTE: late})
    found = ask(rig, "auto", "1m", day, day, symbol="SBICARD").json["data"]
    assert [row["timestamp"] for row in found] == list(late.ts)
