"""What every market-data store promises: what goes in comes out, whole, once, and never halfway."""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import date, timedelta

import pytest

from brokers.errors import AlgoError, InvalidRequest
from historify.errors import BadBars, LeaseLost, StoreError, WrongInterval
from historify.model import BarRequest, Bars, DayState, Provenance, PutReport, Series
from tests.historify.contract.rig import (
    MONDAY,
    Rig,
    a_series,
    at,
    bar,
    daily,
    days,
    minutes,
)


@pytest.mark.parametrize("interval", ["1m", "D"])
def test_what_is_put_is_what_comes_back(rig: Rig, interval: str) -> None:
    series = a_series(interval)
    rows = minutes(MONDAY) if interval == "1m" else days(MONDAY, 30)
    assert rig.put(series, rows) == PutReport(len(rows), len(rows), 0)
    assert rig.rows(series) == rows


def test_prices_and_counts_keep_every_bit(rig: Rig) -> None:
    series = a_series()
    first = at(MONDAY, 9, 15)
    rows = [(first, 0.1 + 0.2, 150000.15, 1e-7, 24567.849999999999, 2**53 + 1, 2**62)]
    rig.put(series, rows)
    assert rig.rows(series) == rows


def test_the_same_batch_twice_changes_nothing(rig: Rig) -> None:
    series = a_series()
    rows = minutes(MONDAY)
    rig.put(series, rows)
    [before] = rig.store.catalog(series.exchange, series.symbol)
    again = rig.put(series, rows, provenance=Provenance("kotak", at_s=1_770_000_000))
    assert again == PutReport(len(rows), 0, 0)
    assert rig.rows(series) == rows
    [after] = rig.store.catalog(series.exchange, series.symbol)
    assert (after.rows, after.first_ts, after.last_ts) == (before.rows, before.first_ts, before.last_ts)


def test_a_bar_of_a_known_time_replaces_the_old_one(rig: Rig) -> None:
    series = a_series()
    rows = minutes(MONDAY, count=10)
    rig.put(series, rows)
    newer = bar(rows[4][0], 555.0, 99, 12)
    assert rig.put(series, [newer]) == PutReport(1, 0, 1)
    assert rig.rows(series) == [*rows[:4], newer, *rows[5:]]


@pytest.mark.parametrize("column", range(1, 7))
def test_a_change_in_any_column_counts(rig: Rig, column: int) -> None:
    series = a_series()
    row = (at(MONDAY, 9, 15), 100.0, 110.0, 90.0, 105.0, 5, 6)
    other = list(row)
    other[column] += 1
    rig.put(series, [row])
    assert rig.put(series, [tuple(other)]) == PutReport(1, 0, 1)  # type: ignore[list-item]
    assert rig.rows(series) == [tuple(other)]


def test_overlapping_batches_join_in_order_whichever_came_first(rig: Rig) -> None:
    series = a_series()
    rows = minutes(MONDAY, count=60)
    changed = [bar(row[0], 700.0) for row in rows[20:30]]
    assert rig.put(series, rows[30:]) == PutReport(30, 30, 0)
    assert rig.put(series, rows[:35]) == PutReport(35, 30, 0)
    assert rig.put(series, [*changed, *rows[30:40]]) == PutReport(20, 0, 10)
    assert rig.rows(series) == rows[:20] + changed + rows[30:]


def test_bars_fill_a_hole_between_months_and_years(rig: Rig) -> None:
    series = a_series()
    parts = [
        minutes(day, count=3) for day in (date(2023, 12, 29), date(2024, 1, 1), date(2025, 2, 28), MONDAY)
    ]
    for part in (parts[3], parts[0], parts[2], parts[1]):
        rig.put(series, part)
    assert rig.rows(series) == [row for part in parts for row in part]


def test_a_range_holds_whole_trading_days_of_ist(rig: Rig) -> None:
    series = a_series(exchange="MCX")
    edge = [bar(at(MONDAY, 0, 0)), bar(at(MONDAY, 23, 59))]
    around = [bar(edge[0][0] - 60), bar(edge[1][0] + 60)]
    rig.put(series, [*edge, *around])
    assert rig.rows(series, start=MONDAY, end=MONDAY) == edge


def test_a_range_of_daily_bars_holds_both_ends(rig: Rig) -> None:
    series = a_series("D")
    rows = days(MONDAY, 12)
    rig.put(series, rows)
    assert rig.rows(series, start=MONDAY + timedelta(days=1), end=MONDAY + timedelta(days=2)) == rows[1:3]


def test_daily_and_minute_bars_are_kept_apart(rig: Rig) -> None:
    minute = a_series()
    day = replace(minute, interval="D")
    rig.put(minute, minutes(MONDAY, count=5))
    rig.put(day, days(MONDAY, 1, price=900.0))
    assert len(rig.rows(minute)) == 5
    assert rig.rows(day) == days(MONDAY, 1, price=900.0)
    kept = {row.series: row.rows for row in rig.store.catalog(minute.exchange, minute.symbol)}
    assert kept == {minute: 5, day: 1}


def test_nothing_stored_is_an_empty_answer(rig: Rig) -> None:
    series = a_series()
    assert rig.rows(series) == []
    assert rig.store.catalog(series.exchange, series.symbol) == []
    assert rig.store.coverage(series, MONDAY, MONDAY) == {}
    assert dict(rig.store.latest([(series.exchange, series.symbol)], "1m")) == {}


def test_an_empty_batch_keeps_only_that_it_was_asked(rig: Rig) -> None:
    series = a_series()
    assert rig.put(series, [], covered={MONDAY: DayState.EMPTY}) == PutReport(0, 0, 0)
    assert rig.store.coverage(series, MONDAY, MONDAY) == {MONDAY: DayState.EMPTY}
    assert rig.store.catalog(series.exchange, series.symbol) == []


def test_coverage_tells_asked_from_never_asked(rig: Rig) -> None:
    series = a_series()
    tuesday, wednesday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    asked = {MONDAY: DayState.FULL, tuesday: DayState.EMPTY, wednesday: DayState.PARTIAL}
    rig.put(series, minutes(MONDAY), covered=asked)
    assert rig.store.coverage(series, MONDAY, MONDAY + timedelta(days=9)) == asked
    assert rig.store.coverage(series, tuesday, tuesday) == {tuesday: DayState.EMPTY}
    assert rig.store.coverage(replace(series, interval="D"), MONDAY, wednesday) == {}


def test_a_day_becomes_full_and_stays_so(rig: Rig) -> None:
    series = a_series()
    for state in (DayState.PARTIAL, DayState.FULL, DayState.PARTIAL):
        rig.put(series, minutes(MONDAY, count=5), covered={MONDAY: state})
    assert rig.store.coverage(series, MONDAY, MONDAY) == {MONDAY: DayState.FULL}


def test_the_catalog_counts_what_is_there(rig: Rig) -> None:
    series = a_series()
    rows = minutes(MONDAY, count=30)
    rig.put(series, rows[10:])
    rig.put(series, rows[:15])
    [row] = rig.store.catalog(series.exchange, series.symbol)
    assert (row.series, row.first_ts, row.last_ts, row.rows) == (series, rows[0][0], rows[-1][0], 30)
    assert row.source == "dhan"
    assert row.bytes > 0
    assert row in rig.store.catalog()
    assert row in rig.store.catalog(series.exchange)
    assert rig.store.catalog("BSE", series.symbol) == []


def test_the_catalog_is_ordered(rig: Rig) -> None:
    for name in ("zz", "ZZ", "a-b", "M&M"):
        rig.put(Series("NSE", name, "D"), days(MONDAY, 3))
    found = [row.series for row in rig.store.catalog("NSE")]
    assert found == sorted(found)


@pytest.mark.parametrize("symbol", ["M&M", "NIFTY 50", "A/B", "lower", "LOWER", "50%", "..", "Ünï", "a'b\"c"])
def test_any_symbol_is_its_own(rig: Rig, symbol: str) -> None:
    series = Series("BSE", symbol, "1m")
    rows = minutes(MONDAY, count=4, price=100.0 + len(symbol))
    rig.put(series, rows)
    assert rig.rows(series) == rows
    [row] = rig.store.catalog("BSE", symbol)
    assert row.series == series
    assert list(rig.store.latest([("BSE", symbol)], "1m")["BSE", symbol].rows()) == rows
    assert rig.store.delete(series, fence=rig.fence) == 4


def test_deleting_days_takes_their_bars_and_their_coverage(rig: Rig) -> None:
    series = a_series()
    week = [MONDAY + timedelta(days=n) for n in range(5)]
    for day in week:
        rig.put(series, minutes(day, count=20), covered={day: DayState.FULL})
    assert rig.store.delete(series, fence=rig.fence, start=week[1], end=week[2]) == 40
    left = [row for day in (week[0], week[3], week[4]) for row in minutes(day, count=20)]
    assert rig.rows(series) == left
    assert set(rig.store.coverage(series, week[0], week[4])) == {week[0], week[3], week[4]}
    [row] = rig.store.catalog(series.exchange, series.symbol)
    assert (row.first_ts, row.last_ts, row.rows) == (left[0][0], left[-1][0], 60)


def test_deleting_an_open_range_and_all(rig: Rig) -> None:
    series = a_series("D")
    rows = days(MONDAY, 5)
    rig.put(series, rows, covered={MONDAY: DayState.FULL})
    assert rig.store.delete(series, fence=rig.fence, start=MONDAY + timedelta(days=3)) == 2
    assert rig.store.delete(series, fence=rig.fence, end=MONDAY) == 1
    assert rig.rows(series) == rows[1:3]
    assert rig.store.delete(series, fence=rig.fence) == 2
    assert rig.rows(series) == []
    assert rig.store.catalog(series.exchange, series.symbol) == []
    assert rig.store.delete(series, fence=rig.fence) == 0


def test_a_deleted_series_can_be_filled_again(rig: Rig) -> None:
    series = a_series()
    rig.put(series, minutes(MONDAY, count=9))
    rig.store.delete(series, fence=rig.fence)
    assert rig.put(series, minutes(MONDAY, count=4)) == PutReport(4, 4, 0)
    [row] = rig.store.catalog(series.exchange, series.symbol)
    assert row.rows == 4


def test_latest_is_the_last_day_of_each(rig: Rig) -> None:
    one, two, none = a_series(), a_series(exchange="MCX"), a_series()
    tuesday = MONDAY + timedelta(days=1)
    rig.put(one, minutes(MONDAY) + minutes(tuesday, count=7))
    late = minutes(MONDAY, 23, 50, count=10)  # to 23:59; the rest of the day is Monday in UTC as well
    rig.put(two, [bar(at(MONDAY, 0, 1)), bar(at(MONDAY, 0, 1) - 120), *late])
    keys = [(s.exchange, s.symbol) for s in (two, none, one)]
    found = rig.store.latest(keys, "1m")
    assert {key: list(bars.rows()) for key, bars in found.items()} == {
        (one.exchange, one.symbol): minutes(tuesday, count=7),
        (two.exchange, two.symbol): [bar(at(MONDAY, 0, 1)), *late],
    }


def test_latest_of_daily_bars_is_one_bar(rig: Rig) -> None:
    series = a_series("D")
    rows = days(MONDAY, 9)
    rig.put(series, rows)
    key = (series.exchange, series.symbol)
    assert list(rig.store.latest([key], "D")[key].rows()) == rows[-1:]
    assert dict(rig.store.latest([], "D")) == {}


def test_a_wrong_interval_is_named(rig: Rig) -> None:
    series = a_series()
    with pytest.raises(WrongInterval, match="7m"):
        rig.rows(series, "7m")
    with pytest.raises(WrongInterval, match="5m"):
        rig.put(replace(series, interval="5m"), minutes(MONDAY, count=1))
    with pytest.raises(WrongInterval, match="W"):
        rig.store.latest([(series.exchange, series.symbol)], "W")
    with pytest.raises(WrongInterval, match="5m"):
        rig.store.delete(replace(series, interval="5m"), fence=rig.fence)


def test_reversed_dates_are_an_error_not_an_empty_answer(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="2025-03-02"):
        rig.rows(a_series(), start=MONDAY, end=date(2025, 3, 2))


NINE = at(MONDAY, 9, 15)
BAD = {
    "descending": [bar(NINE + 60), bar(NINE)],
    "twice": [bar(NINE), bar(NINE)],
    "off the minute": [bar(NINE + 1)],
    "milliseconds": [bar(NINE * 1000)],
    "negative time": [bar(-60)],
    "nan": [(NINE, float("nan"), 2.0, 1.0, 1.0, 1, 0)],
    "infinite": [(NINE, 1.0, float("inf"), 1.0, 1.0, 1, 0)],
    "high below low": [(NINE, 5.0, 4.0, 6.0, 5.0, 1, 0)],
    "negative volume": [(NINE, 1.0, 1.0, 1.0, 1.0, -1, 0)],
    "negative open interest": [(NINE, 1.0, 1.0, 1.0, 1.0, 1, -1)],
}


@pytest.mark.parametrize("rows", BAD.values(), ids=BAD.keys())
def test_a_bad_batch_is_refused_whole(rig: Rig, rows: list[tuple[int, ...]]) -> None:
    series = a_series()
    columns = [array(code, values) for code, values in zip("qddddqq", zip(*rows, strict=True), strict=True)]
    with pytest.raises(BadBars, match=series.symbol):
        rig.put(series, Bars(*columns), covered={MONDAY: DayState.FULL})
    assert rig.store.coverage(series, MONDAY, MONDAY) == {}
    assert rig.store.catalog(series.exchange, series.symbol) == []


def test_columns_of_different_length_are_refused(rig: Rig) -> None:
    whole = Bars.of(minutes(MONDAY, count=3))
    with pytest.raises(BadBars, match="length"):
        rig.put(a_series(), replace(whole, close=whole.close[:2]))


@pytest.mark.parametrize("symbol", ["", "A\0B", "X" * 200])
def test_a_name_nobody_can_keep_is_refused(rig: Rig, symbol: str) -> None:
    with pytest.raises(BadBars):
        rig.put(Series("NSE", symbol, "1m"), minutes(MONDAY, count=1))


def test_an_old_epoch_publishes_nothing(rig: Rig) -> None:
    series = a_series()
    rig.put(series, minutes(MONDAY, count=5), covered={MONDAY: DayState.PARTIAL})
    old = rig.take()
    rig.put(series, [])  # the new holder is at work
    more = Bars.of(minutes(MONDAY, count=9))
    pulled = Provenance("dhan", at_s=1)
    with pytest.raises(LeaseLost, match=str(old.epoch)):
        rig.store.put(series, more, fence=old, provenance=pulled, covered={MONDAY: DayState.FULL})
    with pytest.raises(LeaseLost):
        rig.store.delete(series, fence=old)
    assert rig.rows(series) == minutes(MONDAY, count=5)
    assert rig.store.coverage(series, MONDAY, MONDAY) == {MONDAY: DayState.PARTIAL}
    [row] = rig.store.catalog(series.exchange, series.symbol)
    assert row.rows == 5


def test_what_one_handle_puts_another_reads(rig: Rig) -> None:
    series = a_series()
    other = rig.open()
    try:
        for count in (5, 9):
            rig.put(series, minutes(MONDAY, count=count), covered={MONDAY: DayState.PARTIAL})
            found = other.get(BarRequest(series.exchange, series.symbol, "1m", MONDAY, MONDAY))
            assert list(found.rows()) == minutes(MONDAY, count=count)
            [row] = other.catalog(series.exchange, series.symbol)
            assert row.rows == count
    finally:
        other.close()


def test_a_closed_store_says_so(rig: Rig) -> None:
    other = rig.open()
    other.close()
    other.close()
    with pytest.raises(StoreError, match="closed"):
        other.catalog()
    with pytest.raises(StoreError, match="closed"):
        other.get(BarRequest("NSE", "SBIN", "1m", MONDAY, MONDAY))
    with pytest.raises(AlgoError):
        other.put(
            a_series(), Bars.of([bar(daily(MONDAY))]), fence=rig.fence, provenance=Provenance("dhan", at_s=1)
        )
