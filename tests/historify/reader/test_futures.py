"""The chain of futures: which contract stands for ``NIFTY-I`` on which day."""

from __future__ import annotations

from datetime import date

import pytest

from historify.reader.futures import Stretch, chain, expiry, parse

OCT, NOV, DEC = date(2026, 10, 27), date(2026, 11, 24), date(2026, 12, 29)
ALL = ["NIFTY24NOV26FUT", "NIFTY27OCT26FUT", "NIFTY29DEC26FUT"]


@pytest.mark.parametrize(
    ("symbol", "parsed"),
    [
        ("NIFTY-I", ("NIFTY", 0)),
        ("NIFTY-III", ("NIFTY", 2)),
        ("BAJAJ-AUTO-II", ("BAJAJ-AUTO", 1)),
        ("NIFTY-IV", None),
        ("NIFTY", None),
        ("-I", None),
        ("nifty-i", None),
    ],
)
def test_continuous_names(symbol, parsed):
    assert parse(symbol) == parsed


@pytest.mark.parametrize(
    ("symbol", "root", "on"),
    [
        ("NIFTY24NOV26FUT", "NIFTY", NOV),
        ("M&M24NOV26FUT", "M&M", NOV),
        ("BANKNIFTY24NOV26FUT", "NIFTY", None),
        ("NIFTY24NOV2624000CE", "NIFTY", None),
        ("NIFTY31FEB26FUT", "NIFTY", None),
        ("NIFTY50", "NIFTY", None),
    ],
)
def test_expiry_is_read_from_the_symbol(symbol, root, on):
    assert expiry(symbol, root) == on


def test_the_front_contract_rolls_the_day_after_it_expires():
    assert chain(ALL, "NIFTY", 0, "NFO", date(2026, 10, 20), date(2026, 12, 1)) == [
        Stretch("NIFTY27OCT26FUT", date(2026, 10, 20), OCT),
        Stretch("NIFTY24NOV26FUT", date(2026, 10, 28), NOV),
        Stretch("NIFTY29DEC26FUT", date(2026, 11, 25), date(2026, 12, 1)),
    ]


def test_the_next_ones_follow_it():
    assert chain(ALL, "NIFTY", 1, "NFO", date(2026, 10, 20), date(2026, 12, 1)) == [
        Stretch("NIFTY24NOV26FUT", date(2026, 10, 20), OCT),
        Stretch("NIFTY29DEC26FUT", date(2026, 10, 28), NOV),
    ]
    assert [one.symbol for one in chain(ALL, "NIFTY", 2, "NFO", OCT, NOV)] == ["NIFTY29DEC26FUT"]


def test_a_month_that_is_not_stored_stays_a_gap():
    there = [ALL[1], ALL[2]]  # no November
    assert chain(there, "NIFTY", 0, "NFO", date(2026, 10, 1), date(2026, 12, 31)) == [
        Stretch("NIFTY27OCT26FUT", date(2026, 10, 1), OCT),
        Stretch("NIFTY29DEC26FUT", date(2026, 12, 1), DEC),
    ]
    assert chain(there, "NIFTY", 1, "NFO", date(2026, 10, 1), date(2026, 12, 31)) == []


def test_commodities_need_no_contract_a_month():
    there = ["GOLD05OCT26FUT", "GOLD04DEC26FUT"]
    assert chain(there, "GOLD", 0, "MCX", date(2026, 9, 1), date(2026, 11, 30)) == [
        Stretch("GOLD05OCT26FUT", date(2026, 9, 1), date(2026, 10, 5)),
        Stretch("GOLD04DEC26FUT", date(2026, 10, 6), date(2026, 11, 30)),
    ]


def test_years_do_not_confuse_months():
    there = ["NIFTY29DEC26FUT", "NIFTY28JAN27FUT"]
    assert [one.symbol for one in chain(there, "NIFTY", 1, "NFO", DEC, DEC)] == ["NIFTY28JAN27FUT"]
    assert chain(there, "NIFTY", 0, "NFO", date(2027, 1, 4), date(2027, 1, 4)) == [
        Stretch("NIFTY28JAN27FUT", date(2027, 1, 4), date(2027, 1, 4))
    ]
