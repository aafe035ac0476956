"""Which calls a series needs: middle gaps, asked-and-empty days, the running day, a broker's limits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import registry
from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST
from brokers.errors import NotSupported
from historify.days import trading_date
from historify.jobs import plan
from historify.jobs.model import Mode
from historify.jobs.plan import Chunk, Limits
from historify.model import Bars, DayState, Series

MINUTES = Series("NSE", "SBIN", "1m")
DAYS = Series("NSE", "SBIN", "D")
NSE = FileCalendar()
# a Friday, an hour after the opening
NOW = datetime(2026, 11, 20, 10, 15, tzinfo=IST)
FULL, EMPTY, PARTIAL = DayState.FULL, DayState.EMPTY, DayState.PARTIAL


def limits(broker: str) -> Limits:
    offered = registry.spec(broker).capabilities
    return Limits(
        broker, offered.history_days, offered.history_exchanges, offered.history_years, offered.history_oi
    )


def chunks(series: Series, start: date, end: date, broker: str = "dhan", **more: object) -> list[Chunk]:
    given_: dict[str, object] = {"covered": {}, "limits": limits(broker), "calendar": NSE, "now": NOW}
    return plan.chunks(series, start, end, **(given_ | more))  # type: ignore[arg-type]


def spans(found: list[Chunk]) -> list[tuple[date, date]]:
    return [(one.start, one.end) for one in found]


def test_a_year_of_minutes_is_cut_into_what_each_broker_allows():
    start, end = date(2025, 11, 20), date(2026, 11, 20)
    for broker, most in (("dhan", 90), ("kotak", 30)):
        found = chunks(MINUTES, start, end, broker)
        assert all((one.end - one.start).days < most for one in found)
        assert [one.start for one in found] == sorted(one.start for one in found)
        asked = [day for one in found for day in one.days]
        assert asked == list(plan.days(MINUTES, start, end, NSE, NOW))
    assert len(chunks(DAYS, start, end, "dhan")) == 1
    assert len(chunks(DAYS, start, end, "kotak")) == 3


def test_only_missing_days_are_asked_for_also_in_the_middle():
    start, end = date(2026, 11, 2), date(2026, 11, 13)
    covered = dict.fromkeys(plan.days(MINUTES, start, end, NSE, NOW), FULL)
    assert chunks(MINUTES, start, end, covered=covered) == []
    covered[date(2026, 11, 5)] = EMPTY  # asked, and there was nothing: no gap
    del covered[date(2026, 11, 6)], covered[date(2026, 11, 11)]
    # one call reaches both
    assert spans(chunks(MINUTES, start, end, covered=covered)) == [(date(2026, 11, 6), date(2026, 11, 11))]


def test_the_running_day_is_asked_for_again_and_a_day_to_come_never():
    start, end = date(2026, 11, 19), date(2026, 11, 27)
    covered = {date(2026, 11, 19): FULL, date(2026, 11, 20): PARTIAL}
    assert spans(chunks(MINUTES, start, end, covered=covered)) == [(NOW.date(), NOW.date())]
    before = datetime(2026, 11, 20, 9, 0, tzinfo=IST)
    assert chunks(MINUTES, start, end, covered={date(2026, 11, 19): FULL}, now=before) == []


def test_a_day_is_settled_only_a_while_after_its_close():
    day = date(2026, 11, 20)
    chunk = Chunk(day, day, (day,))
    bar = Bars.of([(int(datetime(2026, 11, 20, 9, 15, tzinfo=IST).timestamp()), 1, 1, 1, 1, 1, 0)])
    for clock, state in (("15:29", PARTIAL), ("15:40", PARTIAL), ("15:46", FULL)):
        now = datetime.fromisoformat(f"2026-11-20T{clock}+05:30")
        assert plan.outcome(bar, MINUTES, chunk, NSE, now) == {day: state}


def test_days_without_bars_are_noted_as_asked_and_empty():
    days = (date(2026, 11, 18), date(2026, 11, 19))
    bar = Bars.of([(int(datetime(2026, 11, 19, tzinfo=UTC).timestamp()), 1, 1, 1, 1, 1, 0)])
    assert plan.outcome(bar, DAYS, Chunk(*days, days), NSE, NOW) == {days[0]: EMPTY, days[1]: FULL}


def test_a_bar_beside_what_was_asked_says_nothing_of_its_day():
    asked = date(2026, 11, 19)
    stamps = (datetime(2026, 11, day, tzinfo=UTC) for day in (18, 19, 20))
    bars = Bars.of([(int(at.timestamp()), 1, 1, 1, 1, 1, 0) for at in stamps])
    assert plan.outcome(bars, DAYS, Chunk(asked, asked, (asked,)), NSE, NOW) == {asked: FULL}


def test_everything_is_asked_for_again_when_all_is_wanted():
    start, end = date(2026, 11, 2), date(2026, 11, 13)
    covered = dict.fromkeys(plan.days(MINUTES, start, end, NSE, NOW), FULL)
    assert len(chunks(MINUTES, start, end, covered=covered, mode=Mode.ALL)) == 1


def test_nothing_older_than_the_broker_keeps_is_asked_for():
    found = chunks(DAYS, date(2010, 1, 1), date(2026, 11, 19), "kotak")
    assert found[0].start >= date(2021, 11, 21)
    assert chunks(DAYS, date(2010, 1, 1), date(2026, 11, 19), "dhan")[0].start.year == 2010
    leap = Limits("x", {"1m": 30}, frozenset({"NSE"}), {"1m": 5})
    assert leap.oldest("1m", date(2028, 2, 29)) == date(2023, 3, 1)


@pytest.mark.parametrize(("exchange", "interval"), [("MCX", "1m"), ("NSE", "5m")])
def test_what_a_broker_does_not_have_is_an_error_not_an_empty_plan(exchange, interval):
    with pytest.raises(NotSupported, match="kotak has no"):
        chunks(Series(exchange, "X", interval), date(2026, 11, 2), date(2026, 11, 3), "kotak")


def test_an_exchange_that_never_closes_is_asked_for_in_smaller_calls():
    found = chunks(MINUTES, date(2026, 8, 1), date(2026, 11, 1), calendar=AlwaysOpen())
    assert max(len(one.days) for one in found) * 1440 <= plan.MOST_BARS


def test_days_already_settled_stay_as_they_are():
    days = [date(2026, 11, 3), date(2026, 11, 4), date(2026, 11, 5)]
    bars = Bars.of(
        [
            (int(datetime(d.year, d.month, d.day, 9, 15, tzinfo=IST).timestamp()), 1, 1, 1, 1, 1, 0)
            for d in days
        ]
    )
    chunk = Chunk(days[0], days[2], (days[0], days[2]))
    kept = plan.kept(bars, MINUTES, chunk, {days[1]: FULL})
    assert [trading_date(ts, "1m") for ts in kept.ts] == [days[0], days[2]]
    assert len(plan.kept(bars, MINUTES, chunk, {days[1]: FULL}, Mode.ALL)) == 3


@given(st.sets(st.integers(0, 400)), st.integers(1, 120))
def test_no_needed_day_is_left_out_and_no_call_is_too_long(offsets, most):
    start = date(2025, 1, 1)
    wanted = sorted(start + timedelta(days=offset) for offset in offsets)
    every = [start + timedelta(days=offset) for offset in range(401)]
    covered = {day: FULL for day in every if day not in set(wanted)}
    one = Limits("x", {"D": most}, frozenset({"NSE"}))
    found = plan.chunks(DAYS, start, every[-1], covered=covered, limits=one, calendar=AlwaysOpen(), now=NOW)
    assert [day for chunk in found for day in chunk.days] == wanted
    assert all((chunk.end - chunk.start).days < most for chunk in found)
    for before, after in pairwise(found):
        # the greedy cut is the shortest: the next needed day was out of reach
        assert (after.start - before.start).days >= most
