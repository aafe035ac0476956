"""What a person meant by a symbol that does not exist."""

from __future__ import annotations

from datetime import date
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.similar import Contract, closest, distance, parse


@pytest.mark.parametrize(
    ("text", "contract"),
    [
        ("NIFTY24NOV2624000CE", Contract("NIFTY", 24, 11, 2026, 24000.0, "CE")),
        ("VEDL25APR24292.5PE", Contract("VEDL", 25, 4, 2024, 292.5, "PE")),
        ("BANKNIFTY24APR24FUT", Contract("BANKNIFTY", 24, 4, 2024, None, "FUT")),
        ("726GS203325APR24FUT", Contract("726GS2033", 25, 4, 2024, None, "FUT")),
        ("M&M24NOV263000CE", Contract("M&M", 24, 11, 2026, 3000.0, "CE")),
        ("ICICIGI28OCT1860CALL", Contract("ICICIGI", 28, 10, None, 1860.0, "CE")),
        ("NIFTYOCTFUT", Contract("NIFTY", None, 10, None, None, "FUT")),
        ("NIFTY", Contract("NIFTY")),
        ("BAJAJ-AUTO5", Contract("BAJAJ-AUTO")),
    ],
)
def test_a_text_is_read_as_terms(text, contract):
    assert parse(text) == contract


def test_the_right_type_beats_the_right_day_and_that_the_right_strike():
    wanted = parse("NIFTY24NOV2624010CE")
    best_first = [
        distance(wanted, date(2026, 11, 24), 24000, "CE"),
        distance(wanted, date(2026, 11, 24), 24050, "CE"),
        distance(wanted, date(2026, 12, 29), 24010, "CE"),
        distance(wanted, date(2026, 11, 24), 24010, "PE"),
    ]
    assert best_first == sorted(best_first)
    assert len(set(best_first)) == 4


def test_a_text_without_a_year_means_the_day_of_any_year():
    wanted = parse("ICICIGI28OCT1860CALL")
    assert distance(wanted, date(2027, 10, 28), 1860, "CE") == (0, 0, 0.0)


@given(st.text("ABC", max_size=6), st.lists(st.text("ABC", max_size=6), unique=True, max_size=30))
def test_the_shortcuts_of_closest_change_nothing(wanted, candidates):
    def ratio(candidate):
        return SequenceMatcher(None, candidate, wanted, autojunk=False).ratio()

    best = closest(wanted, candidates, 3)
    everything = sorted((ratio(c) for c in candidates), reverse=True)[:3]
    assert [ratio(c) for c in best] == everything
