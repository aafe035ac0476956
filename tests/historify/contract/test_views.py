"""What is more than bars as stored: adjusted for splits, and futures one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import pytest

from historify.model import Row, Series
from historify.reader import actions
from tests.historify.contract.rig import MONDAY, Rig, a_series, bar, daily, days, minutes, request

EX_DATE = MONDAY + timedelta(days=2)


def announce(rig: Rig, series: Series, kind: str, ratio: str, on: date = EX_DATE) -> None:
    line = f"{series.exchange},{series.symbol},{on},{kind},{ratio},"
    found, errors = actions.parse(["exchange,symbol,ex_date,kind,ratio,note", line])
    assert errors == []
    with rig.control.transaction() as tx:
        actions.save(tx, found, 1)


def adjusted(rig: Rig, series: Series, interval: str, end: date = date(2025, 12, 31)) -> list[Row]:
    wanted = replace(request(series, interval, date(2025, 1, 1), end), adjusted=True)
    return list(rig.store.get(wanted).rows())


def divided(row: Row, shares: Fraction) -> Row:
    def price(value: float) -> float:
        return int(value * shares.denominator / shares.numerator * 10_000 + 0.5) / 10_000

    volume = int(row[5] * shares.numerator / shares.denominator + 0.5)
    return (row[0], price(row[1]), price(row[2]), price(row[3]), price(row[4]), volume, row[6])


@pytest.mark.parametrize(
    ("kind", "ratio", "shares"),
    [("split", "10:2", Fraction(5)), ("bonus", "1:2", Fraction(3, 2)), ("split", "1:10", Fraction(1, 10))],
)
def test_bars_before_a_split_are_divided(rig: Rig, kind: str, ratio: str, shares: Fraction) -> None:
    series = a_series("D")
    rows = days(MONDAY, 5, price=333.35)
    rig.put(series, rows)
    announce(rig, series, kind, ratio)
    assert adjusted(rig, series, "D") == [
        divided(row, shares if n < 2 else Fraction(1)) for n, row in enumerate(rows)
    ]
    assert rig.rows(series) == rows


def test_minutes_are_divided_before_they_are_summed_up(rig: Rig) -> None:
    series = a_series()
    tuesday = EX_DATE - timedelta(days=1)
    rig.put(series, minutes(tuesday, count=30, price=99.95) + minutes(EX_DATE, count=30))
    announce(rig, series, "split", "2:1")
    announce(rig, series, "bonus", "1:1", EX_DATE + timedelta(days=9))  # after the last bar: not yet
    halves = [divided(row, Fraction(2)) for row in minutes(tuesday, count=30, price=99.95)]
    first, *_ = adjusted(rig, series, "15m")
    part = halves[:15]
    highest, lowest, volume = max(r[2] for r in part), min(r[3] for r in part), sum(r[5] for r in part)
    assert first == (part[0][0], part[0][1], highest, lowest, part[14][4], volume, part[14][6])
    whole = [divided(row, Fraction(1)) for row in minutes(EX_DATE, count=30)]
    assert adjusted(rig, series, "1m") == halves + whole


def test_without_a_split_nothing_is_touched(rig: Rig) -> None:
    series = a_series("D")
    rows = days(MONDAY, 3, price=333.35)
    rig.put(series, rows)
    assert adjusted(rig, series, "D") == rows


def test_futures_follow_each_other_at_expiry(rig: Rig) -> None:
    contracts = {"CHAINED27MAR25FUT": 100.0, "CHAINED24APR25FUT": 200.0, "CHAINED29MAY25FUT": 300.0}
    span = [date(2025, 3, 24) + timedelta(days=n) for n in range(50)]
    for symbol, price in contracts.items():
        rig.put(Series("NFO", symbol, "D"), [bar(daily(day), price) for day in span if day.weekday() < 5])
    rig.put(Series("NFO", "CHAINEDX27MAR25FUT", "D"), [bar(daily(span[0]), 9.0)])
    front = rig.rows(Series("NFO", "CHAINED-I", "D"), start=span[0], end=date(2025, 4, 28))
    prices = {date(1970, 1, 1) + timedelta(days=row[0] // 86_400): row[1] for row in front}
    assert prices[date(2025, 3, 27)] == 100.0
    assert prices[date(2025, 3, 28)] == 200.0
    assert prices[date(2025, 4, 25)] == 300.0
    assert [row[0] for row in front] == sorted({row[0] for row in front})
    second = rig.rows(Series("NFO", "CHAINED-II", "W"), start=span[0], end=span[4])
    assert [(row[0], row[1], row[4]) for row in second] == [(daily(span[0]), 200.0, 300.05)]
    assert rig.rows(Series("NFO", "UNKNOWN-I", "D")) == []
