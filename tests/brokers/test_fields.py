"""Reading rows with a broker's own words for nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.errors import WireError
from brokers.fields import Fields

PLAIN = Fields(frozenset({"", "NA", "0"}))
COMMAS = Fields(frozenset({"", "--"}), commas=True)


def test_words_for_nothing_are_nothing_with_blanks_around_them_too() -> None:
    assert [PLAIN.text(value) for value in (None, "", " NA ", 0, "0", " x ")] == ["", "", "", "", "", "x"]
    assert COMMAS.text("NA") == "NA"


def test_the_first_field_that_holds_something() -> None:
    row = {"a": "NA", "b": " two ", "c": "three"}
    assert PLAIN.field(row, "missing", "a", "b", "c") == "two"
    assert PLAIN.field(row, "missing", "a") == ""


@pytest.mark.parametrize(
    ("value", "number"), [(2845.55, "2845.55"), ("1e3", "1000"), (None, "0"), ("NA", "0"), (7, "7")]
)
def test_money_is_exact_by_its_shortest_text(value: object, number: str) -> None:
    assert PLAIN.money(value) == Decimal(number)


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "x", [], "1,5"])
def test_what_is_no_number_is_an_error_that_shows_it(value: object) -> None:
    with pytest.raises(WireError, match="expected a number, got"):
        PLAIN.money(value)


def test_thousands_separators_count_only_where_the_broker_writes_them() -> None:
    assert COMMAS.money("1,23,456.50") == Decimal("123456.50")
    assert COMMAS.count("1,200.0") == 1200
