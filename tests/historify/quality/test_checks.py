"""Each check finds what it is for, and nothing in bars as exchanges print them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest

from brokers.calendar import FileCalendar
from historify.model import Bars, DayState, Row, Series
from historify.quality import agreement, gaps, prices
from historify.quality.findings import Finding, Kind, Severity, repairs
from historify.quality.habits import InstrumentClass, class_of, longest_usual, silences
from tests.historify.contract import rig
from tests.historify.contract.rig import HOLIDAY, MONDAY, SHORT_DAY, SUNDAY_EVENING, at, daily

SHARE = Series("NSE", "SBIN", "1m")
SHARE_DAYS = Series("NSE", "SBIN", "D")
OPTION = Series("MCX", "GOLD27MAR25100000CE", "1m")


@pytest.fixture(scope="module")
def calendar(tmp_path_factory: pytest.TempPathFactory) -> FileCalendar:
    return rig.calendar(tmp_path_factory.mktemp("calendar"))


def walk(times: list[int], seed: int = 1, price: float = 500.0, step: float = 0.0008) -> list[Row]:
    """A random walk with volume, as a share trades."""
    luck = random.Random(seed)
    rows: list[Row] = []
    for ts in times:
        opened = price
        price *= 1 + luck.gauss(0, step)
        high, low = max(opened, price) * (1 + step / 2), min(opened, price) * (1 - step / 2)
        rows.append((ts, opened, high, low, price, luck.randint(100, 900), 0))
    return rows


def session(day: date, hour: int = 9, minute: int = 15, count: int = 375) -> list[int]:
    return [at(day, hour, minute) + 60 * n for n in range(count)]


def fortnight() -> list[date]:
    """Every open NSE day from Monday on."""
    ordinary = [MONDAY + timedelta(days=n) for n in range(12)]
    return [d for d in ordinary if (d.weekday() < 5 or d == SUNDAY_EVENING) and d != HOLIDAY]


def whole(seed: int = 1) -> list[int]:
    times: list[int] = []
    for day in fortnight():
        if day == SUNDAY_EVENING:
            times += session(day, 18, 0, 60)
        elif day == SHORT_DAY:
            times += session(day, 10, 7, 173)
        else:
            times += session(day)
    return times


def trading_days(count: int) -> list[int]:
    days = (MONDAY + timedelta(days=n) for n in range(count * 2))
    return [daily(d) for d in days if d.weekday() < 5][:count]


def everything(series: Series, rows: list[Row], calendar: FileCalendar) -> list[Finding]:
    bars = Bars.of(rows)
    days = gaps.cut(series, bars)
    first, last = min(days.spans), max(days.spans)
    return [
        *gaps.missing_days(days, calendar, {}, first, last),
        *gaps.missing_parts(days, calendar),
        *gaps.off_session(days, calendar),
        *gaps.repeated_days(days),
        *prices.insane(days),
        *prices.outliers(series, bars),
        *prices.corporate_actions(series, bars),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_share_that_trades_every_minute_is_sound(calendar: FileCalendar, seed: int) -> None:
    assert everything(SHARE, walk(whole(), seed), calendar) == []


@pytest.mark.parametrize("seed", range(5))
def test_daily_bars_of_two_years_are_sound(calendar: FileCalendar, seed: int) -> None:
    times = [ts for ts in trading_days(500) if ts != daily(HOLIDAY)] + [daily(SUNDAY_EVENING)]
    assert everything(SHARE_DAYS, walk(sorted(times), seed, step=0.018), calendar) == []


def test_a_missing_day_is_found_once_with_its_neighbours(calendar: FileCalendar) -> None:
    rows = [
        row
        for row in walk(whole())
        if not at(date(2025, 3, 10), 0, 0) <= row[0] < at(date(2025, 3, 12), 0, 0)
    ]
    [one] = everything(SHARE, rows, calendar)
    assert (one.kind, one.first, one.last, one.bars) == (
        Kind.MISSING_DAY, date(2025, 3, 10), date(2025, 3, 11), 2,
    )  # fmt: skip
    assert one.severity is Severity.ERROR


def test_a_missing_run_over_a_weekend_counts_open_days_only(calendar: FileCalendar) -> None:
    gone = {daily(date(2025, 3, 21)), daily(date(2025, 3, 24))}
    rows = walk([ts for ts in trading_days(40) if ts not in gone and ts != daily(HOLIDAY)])
    bars = Bars.of(rows)
    days = gaps.cut(SHARE_DAYS, bars)
    covered = {SUNDAY_EVENING: DayState.EMPTY}
    [one] = gaps.missing_days(days, calendar, covered, MONDAY, max(days.spans))
    assert (one.first, one.last, one.bars) == (date(2025, 3, 21), date(2025, 3, 24), 2)


def test_a_missing_special_session_is_a_gap_and_a_holiday_is_none(calendar: FileCalendar) -> None:
    rows = walk([ts for ts in trading_days(15) if ts != daily(HOLIDAY)])
    [one] = everything(SHARE_DAYS, rows, calendar)
    assert (one.kind, one.first) == (Kind.MISSING_DAY, SUNDAY_EVENING)


def test_a_day_that_was_asked_and_empty_is_no_gap(calendar: FileCalendar) -> None:
    days = gaps.cut(SHARE_DAYS, Bars.of(walk([daily(MONDAY), daily(MONDAY + timedelta(days=2))])))
    tuesday = MONDAY + timedelta(days=1)
    last = MONDAY + timedelta(days=2)
    for state, found in ((DayState.EMPTY, 0), (DayState.FULL, 1), (DayState.PARTIAL, 1)):
        assert len(list(gaps.missing_days(days, calendar, {tuesday: state}, MONDAY, last))) == found, state


def test_an_option_may_pass_a_day_it_was_asked_for(calendar: FileCalendar) -> None:
    rows = walk(session(MONDAY, 9, 0, 3) + session(MONDAY + timedelta(days=2), 9, 0, 3))
    days = gaps.cut(OPTION, Bars.of(rows))
    tuesday, last = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    assert list(gaps.missing_days(days, calendar, {tuesday: DayState.FULL}, MONDAY, last)) == []
    assert len(list(gaps.missing_days(days, calendar, {}, MONDAY, last))) == 1


def test_a_day_pulled_while_it_ran_is_unfinished_until_it_is_the_newest(calendar: FileCalendar) -> None:
    days = gaps.cut(SHARE, Bars.of(walk(session(MONDAY))))
    partial = {MONDAY: DayState.PARTIAL}
    [one] = gaps.missing_days(days, calendar, partial, MONDAY, MONDAY)
    assert one.kind is Kind.UNFINISHED_DAY
    assert list(gaps.missing_days(days, calendar, partial, MONDAY, MONDAY, newest=MONDAY)) == []


def test_where_holidays_are_not_listed_nobody_trading_means_closed(calendar: FileCalendar) -> None:
    days = gaps.cut(SHARE_DAYS, Bars.of(walk([daily(MONDAY), daily(MONDAY + timedelta(days=3))])))
    traded = frozenset({MONDAY, MONDAY + timedelta(days=2), MONDAY + timedelta(days=3)})
    [one] = gaps.missing_days(days, calendar, {}, MONDAY, MONDAY + timedelta(days=3), traded=traded)
    assert (one.first, one.last) == (MONDAY + timedelta(days=2),) * 2


def test_an_hour_missing_from_a_liquid_share_is_found(calendar: FileCalendar) -> None:
    rows = [row for row in walk(whole()) if not at(MONDAY, 11, 0) <= row[0] < at(MONDAY, 12, 0)]
    [one] = everything(SHARE, rows, calendar)
    assert (one.kind, one.first, one.bars) == (Kind.MISSING_PART, MONDAY, 60)
    assert "11:00-12:00" in one.told


def test_a_session_that_breaks_off_is_found(calendar: FileCalendar) -> None:
    rows = [row for row in walk(whole()) if not at(MONDAY, 14, 0) <= row[0] < at(MONDAY, 23, 0)]
    [one] = everything(SHARE, rows, calendar)
    assert (one.kind, one.bars) == (Kind.MISSING_PART, 90)


def test_a_few_minutes_missing_from_a_share_are_its_habit_but_not_an_index(calendar: FileCalendar) -> None:
    rows = [row for row in walk(whole()) if not at(MONDAY, 11, 0) <= row[0] < at(MONDAY, 11, 8)]
    assert everything(SHARE, rows, calendar) == []
    [one] = everything(Series("NSE_INDEX", "NIFTY", "1m"), rows, calendar)
    assert (one.kind, one.bars) == (Kind.MISSING_PART, 8)


def test_an_illiquid_option_is_measured_by_its_own_days(calendar: FileCalendar) -> None:
    days = [MONDAY + timedelta(days=n) for n in (0, 1, 2, 3, 4)]
    times = [ts for day in days for ts in session(day, 9, 0, 895)[::200]]
    assert everything(OPTION, walk(times), calendar) == []
    busy = [ts for day in days for ts in session(day, 9, 0, 895)]
    gone = [ts for ts in busy if not at(MONDAY, 12, 0) <= ts < at(MONDAY, 18, 0)]
    assert [one.kind for one in everything(OPTION, walk(gone), calendar)] == [Kind.MISSING_PART]


def test_bars_outside_the_session_are_a_remark(calendar: FileCalendar) -> None:
    times = [
        *session(MONDAY),
        at(MONDAY, 9, 7),
        at(MONDAY, 15, 45),
        *session(MONDAY - timedelta(days=2), 9, 15, 3),
    ]
    found = list(gaps.off_session(gaps.cut(SHARE, Bars.of(walk(sorted(times)))), calendar))
    assert [(one.first, one.bars) for one in found] == [(MONDAY - timedelta(days=2), 3), (MONDAY, 2)]
    assert {one.severity for one in found} == {Severity.INFO}
    assert repairs(found) == []


def test_yesterdays_bars_under_todays_date_are_found(calendar: FileCalendar) -> None:
    rows = walk(whole())
    monday = [row for row in rows if row[0] < at(MONDAY, 23, 0)]
    copy = {ts + 86_400: row for ts, *row in monday}
    rows = [(row[0], *copy[row[0]]) if row[0] in copy else row for row in rows]  # type: ignore[misc]
    found = [one for one in everything(SHARE, rows, calendar) if one.kind is Kind.REPEATED_DAY]
    assert [(one.first, one.bars) for one in found] == [(MONDAY + timedelta(days=1), 375)]


@pytest.mark.parametrize("column", [2, 3])
def test_a_bar_no_exchange_prints_is_found(calendar: FileCalendar, column: int) -> None:
    rows = walk(session(MONDAY))
    bad = list(rows[50])
    bad[column] = bad[1] * (0.9 if column == 2 else 1.1)
    found = list(prices.insane(gaps.cut(SHARE, Bars.of([*rows[:50], tuple(bad), *rows[51:]]))))
    assert [(one.kind, one.bars) for one in found] == [(Kind.INSANE, 1)]


@pytest.mark.parametrize("factor", [10.0, 0.1, 1.06, 0.94])
def test_a_spike_that_comes_back_is_an_outlier(factor: float) -> None:
    rows = walk(session(MONDAY))
    ts, opened, _, _, _, volume, oi = rows[100]
    wild = opened * factor
    rows[100] = (ts, opened, max(opened, wild), min(opened, wild), wild, volume, oi)
    [one] = prices.outliers(SHARE, Bars.of(rows))
    assert (one.kind, one.first) == (Kind.OUTLIER, MONDAY)


def test_a_wick_is_an_outlier_too() -> None:
    rows = walk(session(MONDAY))
    rows[100] = (*rows[100][:3], 0.05, *rows[100][4:])  # type: ignore[assignment]
    assert len(list(prices.outliers(SHARE, Bars.of(rows)))) == 1


def test_a_move_that_stays_is_none() -> None:
    rows = walk(session(MONDAY))
    moved = [(r[0], r[1] * 1.08, r[2] * 1.08, r[3] * 1.08, r[4] * 1.08, r[5], r[6]) for r in rows[200:]]
    assert list(prices.outliers(SHARE, Bars.of(rows[:200] + moved))) == []


@pytest.mark.parametrize(
    ("shares", "told"), [(2, "1:2"), (5, "1:5"), (10, "1:10"), (1.5, "2:3"), (0.1, "10:1")]
)
def test_a_split_is_found_with_its_ratio_and_its_volume(shares: float, told: str) -> None:
    rows = walk(trading_days(120), step=0.015)
    after = [
        (r[0], r[1] / shares, r[2] / shares, r[3] / shares, r[4] / shares, int(r[5] * shares), r[6])
        for r in rows[60:]
    ]
    [one] = prices.corporate_actions(SHARE_DAYS, Bars.of(rows[:60] + after))
    assert one.kind is Kind.CORPORATE_ACTION
    assert one.first == date(1970, 1, 1) + timedelta(days=rows[60][0] // 86_400)
    assert f"about {told}, and the volume fits" in one.told
    assert repairs([one]) == []


def test_two_bad_days_are_no_split() -> None:
    rows = walk(trading_days(120), step=0.01)
    rows[60:62] = [(r[0], r[1] / 2, r[2] / 2, r[3] / 2, r[4] / 2, r[5], r[6]) for r in rows[60:62]]
    found = [one.first for one in prices.corporate_actions(SHARE_DAYS, Bars.of(rows))]
    assert date(1970, 1, 1) + timedelta(days=rows[60][0] // 86_400) not in found


def test_a_crash_by_no_simple_ratio_is_none() -> None:
    rows = walk(trading_days(120), step=0.01)
    after = [(r[0], r[1] * 0.69, r[2] * 0.69, r[3] * 0.69, r[4] * 0.69, r[5], r[6]) for r in rows[60:]]
    near = [float(r) for r in prices.RATIOS]
    assert min(abs(r / 0.69 - 1) for r in near) < 0.05  # as a ratio alone it would count
    found = list(prices.corporate_actions(SHARE_DAYS, Bars.of(rows[:60] + after)))
    assert all("does not say so" in one.told for one in found)


def test_minutes_and_day_that_agree_say_nothing(calendar: FileCalendar) -> None:
    minutes, day = a_day()
    assert list(agreement.disagreements(cut(SHARE, minutes), cut(SHARE_DAYS, [day]), calendar)) == []


@pytest.mark.parametrize(
    ("column", "factor", "word"),
    [
        (2, 1.02, "high"),
        (2, 0.98, "high"),
        (3, 0.98, "low"),
        (3, 1.02, "low"),
        (4, 1.05, "close"),
        (5, 3, "volume"),
        (5, 0.5, "volume"),
    ],
)
def test_minutes_and_day_that_contradict_each_other_are_told(
    calendar: FileCalendar, column: int, factor: float, word: str
) -> None:
    minutes, day = a_day()
    other = list(day)
    other[column] = type(other[column])(other[column] * factor)
    [one] = agreement.disagreements(cut(SHARE, minutes), cut(SHARE_DAYS, [tuple(other)]), calendar)
    assert one.told.startswith(word)


def test_half_a_day_of_minutes_contradicts_only_what_it_exceeds(calendar: FileCalendar) -> None:
    minutes, day = a_day()
    half = minutes[:180]
    assert list(agreement.disagreements(cut(SHARE, half), cut(SHARE_DAYS, [day]), calendar)) == []
    low = (*day[:5], sum(row[5] for row in half) - 5000, 0)
    assert len(list(agreement.disagreements(cut(SHARE, half), cut(SHARE_DAYS, [low]), calendar))) == 1


def test_a_contradiction_is_mended_by_pulling_both() -> None:
    one = Finding(SHARE_DAYS, Kind.DISAGREEMENT, MONDAY, MONDAY, "")
    assert [job.intervals for job in repairs([one])] == [("1m",), ("D",)]


def test_near_repairs_of_one_series_are_one_pull() -> None:
    def gap(series: Series, first: int, last: int) -> Finding:
        return Finding(series, Kind.MISSING_DAY, MONDAY + timedelta(first), MONDAY + timedelta(last), "")

    other = replace(SHARE, symbol="TCS")
    jobs = repairs([gap(SHARE, 30, 31), gap(SHARE, 0, 2), gap(other, 0, 0), gap(SHARE, 5, 6)])
    assert [(job.keys, (job.start - MONDAY).days, (job.end - MONDAY).days) for job in jobs] == [
        ((("NSE", "SBIN"),), 0, 6),
        ((("NSE", "SBIN"),), 30, 31),
        ((("NSE", "TCS"),), 0, 0),
    ]
    assert all(job.checked() and job.mode == "all" for job in jobs)


@pytest.mark.parametrize(
    ("exchange", "symbol", "kind"),
    [
        ("NSE_INDEX", "NIFTY", InstrumentClass.INDEX),
        ("NSE", "RELIANCE", InstrumentClass.SHARE),
        ("NSE", "FORCE", InstrumentClass.SHARE),
        ("NFO", "NIFTY28MAR2420800CE", InstrumentClass.OPTION),
        ("NFO", "BANKNIFTY24APR24FUT", InstrumentClass.FUTURE),
        ("MCX", "CRUDEOILM20MAY24FUT", InstrumentClass.FUTURE),
        ("CDS", "USDINR19APR2482PE", InstrumentClass.OPTION),
    ],
)
def test_the_class_comes_from_the_name(exchange: str, symbol: str, kind: InstrumentClass) -> None:
    assert class_of(exchange, symbol) is kind


@pytest.mark.parametrize(
    ("present", "found"),
    [
        ([], [(0, 6)]),
        ([0, 1, 2, 3, 4, 5], []),
        ([1, 4], [(0, 1), (2, 2), (5, 1)]),
        ([0], [(1, 5)]),
        ([5], [(0, 5)]),
    ],
)
def test_silences_are_what_is_between(present: list[int], found: list[tuple[int, int]]) -> None:
    assert [(one.start_min, one.minutes) for one in silences(present, 6)] == found


def test_the_usual_silence_sets_the_limit() -> None:
    assert longest_usual([], InstrumentClass.SHARE) == 15
    assert longest_usual([1, 2, 300], InstrumentClass.SHARE) == 15
    assert longest_usual([40, 50, 60], InstrumentClass.SHARE) == 151


def cut(series: Series, rows: list[Row]) -> gaps.Days:
    return gaps.cut(series, Bars.of(rows))


def a_day() -> tuple[list[Row], Row]:
    """A session of minutes and its daily bar, with the volume of the auction on top."""
    rows = walk(session(MONDAY))
    highest, lowest = max(r[2] for r in rows), min(r[3] for r in rows)
    volume = int(sum(r[5] for r in rows) * 1.1)
    return rows, (daily(MONDAY), rows[0][1], highest, lowest, rows[-1][4], volume, 0)
