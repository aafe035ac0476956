"""The day's extremes against what was known: which triggers nobody heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from brokers.model import Quote
from gateway.triggers.missed import Mark, Reached, mark_of, reached, sentence
from tests.gateway.triggers.bench import SBIN, oco, single

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
TODAY, BEFORE = date(2026, 11, 20), date(2026, 11, 19)
NS = int(NOON.timestamp() * 1e9)
DAY_NS = 86_400 * 10**9


def mark(low: str, high: str, day: date = TODAY) -> Mark:
    return Mark(NS, day, Decimal(high), Decimal(low))


@pytest.mark.parametrize(
    ("terms", "set_ns", "before", "now", "legs"),
    [
        (single("790"), NS, mark("795", "805"), mark("790", "805"), [(0, 790)]),
        (single("790"), NS, mark("795", "805"), mark("790.05", "805"), None),
        (single("790"), NS, mark("789", "805"), mark("780", "805"), None),
        (single("810", rises=True), NS, mark("795", "805"), mark("795", "810"), [(0, 810)]),
        (single("790"), NS, mark("795", "805", BEFORE), mark("780", "805"), [(0, 780)]),
        # yesterday's low was below it, and it was armed after that
        (single("790"), NS, mark("700", "805", BEFORE), mark("795", "805"), None),
        (single("790"), NS, mark("795", "805"), mark("780", "805", BEFORE), None),
        (single("790"), NS, None, mark("780", "805"), None),
        (single("790"), NS - DAY_NS, None, mark("780", "805"), [(0, 780)]),
        (oco(), NS, mark("795", "805"), mark("780", "830"), [(0, 780), (1, 830)]),
        (oco(), NS, mark("795", "821"), mark("780", "830"), [(0, 780)]),
    ],
)
def test_what_lies_between_two_looks_was_missed(terms, set_ns, before, now, legs) -> None:
    expected = None if legs is None else Reached(tuple((n, Decimal(price)) for n, price in legs))
    assert reached(terms, set_ns, before, now) == expected


def quote(**more) -> Quote:
    traded = int(NOON.timestamp() * 1000)
    return replace(Quote(SBIN, 800, 800, 805, 795, 799, 1, 0, last_trade_ms=traded), **more)


def test_a_quote_tells_the_extremes_of_its_session() -> None:
    made = mark_of(quote(), NOON, is_open=False)
    assert made == mark("795", "805").widened(made)
    old = quote(last_trade_ms=int(NOON.timestamp() * 1000) - 86_400_000)
    assert mark_of(old, NOON, is_open=True).day == BEFORE
    # without a trade time only an open market tells which day it is
    assert mark_of(quote(last_trade_ms=None), NOON, is_open=True).day == TODAY
    assert mark_of(quote(last_trade_ms=None), NOON, is_open=False) is None
    assert mark_of(quote(low=0), NOON, is_open=True) is None
    assert mark_of(quote(low=806), NOON, is_open=True) is None


def test_marks_widen_within_a_session_alone() -> None:
    assert mark("795", "805").widened(mark("790", "801")) == mark("790", "805")
    assert mark("795", "805", BEFORE).widened(mark("798", "801")) == mark("798", "801")


def test_the_sentence_names_trigger_extreme_time_and_deed() -> None:
    found = Reached(((0, Decimal(780)),))
    text = sentence(single("790"), found, mark("795", "805"), fired=False)
    assert text == (
        "missed: 790 (the day's low is 780) was reached while no price was heard since 2026-11-20 12:00:00 "
        "IST; not fired, still armed"
    )
    assert sentence(single("790"), found, None, fired=True).endswith("was heard; fired now")
