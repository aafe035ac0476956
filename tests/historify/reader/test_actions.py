"""Splits and bonuses: the CSV, the ratios, and when one has happened."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from historify.control import Control
from historify.reader.actions import CorporateAction, Factor, factors, load, parse, save
from historify.reader.intervals import midnight


def action(kind: str, a: int, b: int, on: str = "2026-01-05") -> CorporateAction:
    return CorporateAction("NSE", "X", date.fromisoformat(on), kind, a, b)


@pytest.mark.parametrize(
    ("kind", "a", "b", "shares"),
    [
        ("split", 10, 2, Fraction(5)),
        ("split", 1, 10, Fraction(1, 10)),
        ("bonus", 1, 1, Fraction(2)),
        ("bonus", 1, 2, Fraction(3, 2)),
        ("bonus", 3, 1, Fraction(4)),
    ],
)
def test_what_one_share_became(kind, a, b, shares):
    assert action(kind, a, b).shares == shares


def test_earlier_bars_carry_every_later_action():
    first, second, future = (
        action("split", 10, 2),
        action("bonus", 1, 1, "2026-03-02"),
        action("bonus", 1, 1, "2027-01-01"),
    )
    assert factors([second, future, first], date(2026, 11, 20), 0) == [
        Factor(midnight(date(2026, 1, 5)), Fraction(10)),
        Factor(midnight(date(2026, 3, 2)), Fraction(2)),
    ]


def test_two_on_one_day_both_count():
    assert factors([action("split", 10, 2), action("bonus", 1, 1)], date(2026, 1, 5), 19_800) == [
        Factor(midnight(date(2026, 1, 5)) - 19_800, Fraction(10))
    ]


def test_a_file_is_read_whatever_the_order_of_its_columns():
    found, errors = parse(["ratio,KIND,symbol,exchange,ex_date", "1:2,Bonus,M&M,NSE,2026-01-05"])
    assert errors == []
    assert found == [CorporateAction("NSE", "M&M", date(2026, 1, 5), "bonus", 1, 2)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NSE,X,05-01-2026,split,1:2", "line 2: ex_date is '05-01-2026', expected YYYY-MM-DD"),
        ("NSE,X,2026-01-05,dividend,1:2", "line 2: kind is 'dividend', expected split or bonus"),
        ("NSE,X,2026-01-05,split,5", "line 2: ratio is '5', expected two whole numbers such as 1:2"),
        ("NSE,X,2026-01-05,split,0:5", "line 2: ratio is '0:5', expected two whole numbers such as 1:2"),
        ("NSE,X,2026-01-05,split,1.5:5", "line 2: ratio is '1.5:5', expected two whole numbers such as 1:2"),
        (",X,2026-01-05,split,1:2", "line 2: exchange and symbol must not be empty"),
        ("NSE,X", "line 2: kind is '', expected split or bonus"),
    ],
)
def test_a_bad_line_is_named_and_the_others_stay(line, said):
    found, errors = parse(["exchange,symbol,ex_date,kind,ratio", line, "NSE,Y,2026-01-05,split,10:1"])
    assert errors == [said]
    assert [one.symbol for one in found] == ["Y"]


def test_a_file_without_the_columns_is_refused():
    assert parse([]) == ([], ["line 1: no column exchange, symbol, ex_date, kind, ratio; expected "
                              "exchange,symbol,ex_date,kind,ratio"])  # fmt: skip


def test_saved_actions_come_back_by_date_and_replace_themselves(tmp_path):
    control = Control(tmp_path / "control.db")
    later, earlier = action("bonus", 1, 1, "2026-03-02"), action("split", 10, 2)
    with control.transaction() as tx:
        save(tx, [later, earlier], 1)
        save(tx, [action("split", 10, 1)], 2)
    with control.read() as connection:
        assert load(connection, "NSE", "X") == [action("split", 10, 1), later]
        assert load(connection, "BSE") == []
    control.close()
