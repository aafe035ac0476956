"""The tick race on seeded markets of which we know who was late by how much, and who missed what."""

from __future__ import annotations

import numpy as np
import pytest

from supervisor.compare import race

SECOND = 1_000_000_000
RUNS = 100


def market(rng: np.random.Generator, n: int) -> race.Arrivals:
    volume = np.cumsum(rng.integers(1, 100, n))
    price = 8_000_000 + 500 * np.cumsum(rng.integers(-3, 4, n))
    return race.Arrivals(volume, price, np.sort(rng.integers(0, n * SECOND // 4, n)))


def seen(
    rng: np.random.Generator,
    of: race.Arrivals,
    lag_s: float = 0.0,
    missed: float = 0.0,
    jitter_ms: float = 2.0,
) -> race.Arrivals:
    kept = rng.random(len(of)) >= missed
    delay = (lag_s * SECOND + rng.normal(0.0, jitter_ms * 1e6, kept.sum())).astype(np.int64)
    return race.Arrivals(of.volume[kept], of.price[kept], of.at_ns[kept] + delay)


def test_a_set_lag_is_covered_by_its_interval() -> None:
    hits = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        moments = market(rng, 300)
        found = race.run(
            {"dhan": {"SBIN": seen(rng, moments)}, "kotak": {"SBIN": seen(rng, moments, 0.2)}}, rng
        )
        (lead,) = found.leads
        assert lead.difference is not None
        assert lead.difference.significant
        hits += lead.p50.covers(0.2) and lead.difference.median.covers(0.2)
    assert hits >= 90


def test_equal_feeds_show_no_significant_lead() -> None:
    quiet = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        moments = market(rng, 300)
        found = race.run({name: {"SBIN": seen(rng, moments)} for name in ("dhan", "kotak")}, rng)
        assert found.leads[0].difference is not None
        quiet += not found.leads[0].difference.significant
    assert quiet >= 90


def test_who_was_first_what_was_missed_and_repeated() -> None:
    ns = np.array([0, 1, 2, 3, 4, 5, 6], dtype=np.int64) * SECOND
    volume = np.array([10, 20, 30, 30, 40, 50, 60], dtype=np.int64)
    price = np.array([5, 5, 6, 6, 6, 7, 7], dtype=np.int64) * race.PRICE_UNITS
    one = race.Arrivals(volume, price, ns)
    # misses volume 40, repeats nothing, and is earlier once
    late = np.delete(ns, [3, 4]) + np.array([1, 1, 1, -1, 1], dtype=np.int64) * 100_000_000
    other = race.Arrivals(np.delete(volume, [3, 4]), np.delete(price, [3, 4]), late)
    found = race.run({"a": {"X": one}, "b": {"X": other}}, np.random.default_rng(0))
    a, b = found.lanes
    assert (a.ticks, a.moments, a.duplicates) == (7, 6, 1)
    assert (b.ticks, b.moments, b.duplicates) == (5, 5, 0)
    assert a.first is not None
    assert b.first is not None
    assert (a.first.count, b.first.count, a.first.n) == (4, 1, 5)
    assert a.coverage is not None
    assert b.coverage is not None
    assert (a.coverage.count, b.coverage.count) == (a.coverage.n, b.coverage.n - 1)
    assert b.longest_gap_s == pytest.approx(2.8)  # from 2.1 s to 4.9 s, while "a" showed volume 40
    assert found.leads[0].matched == 5


def test_a_silent_or_missing_contract_is_no_error() -> None:
    rng = np.random.default_rng(3)
    moments = market(rng, 50)
    found = race.run({"a": {"X": moments, "Y": race.NOTHING}, "b": {}}, rng)
    assert [lane.ticks for lane in found.lanes] == [50, 0]
    assert found.leads == ()
    assert found.lanes[1].coverage is not None
    assert found.lanes[1].coverage.count == 0


def test_the_same_pair_half_an_hour_later_is_another_moment() -> None:
    first = race.Arrivals(*(np.array([v], dtype=np.int64) for v in (10, 50_000, 0)))
    late = race.Arrivals(*(np.array([v], dtype=np.int64) for v in (10, 50_000, 1800 * SECOND)))
    found = race.run({"a": {"X": first}, "b": {"X": late}}, np.random.default_rng(0))
    assert found.leads == ()


def test_three_instances_make_three_pairs() -> None:
    rng = np.random.default_rng(5)
    moments = market(rng, 200)
    views = {f"i{n}": {"X": seen(rng, moments, 0.1 * n)} for n in range(3)}
    found = race.run(views, rng)
    assert [(lead.ahead, lead.behind) for lead in found.leads] == [("i0", "i1"), ("i0", "i2"), ("i1", "i2")]
    assert found.leads[1].p50.value == pytest.approx(0.2, abs=0.005)
    assert found.lanes[0].first is not None
    assert found.lanes[0].first.share.value > 0.95


def test_numbers_no_exchange_has_are_refused_not_confused() -> None:
    odd = race.Arrivals(
        np.array([2**30, 2**31], dtype=np.int64),
        np.array([0, 2**40], dtype=np.int64),
        np.array([0, 1], dtype=np.int64),
    )
    with pytest.raises(ValueError, match="do not fit one key"):
        race.run({"a": {"X": odd}, "b": {"X": odd}}, np.random.default_rng(0))


def test_one_that_joins_late_missed_nothing_before() -> None:
    rng = np.random.default_rng(9)
    moments = market(rng, 100)
    late = race.Arrivals(moments.volume[60:], moments.price[60:], moments.at_ns[60:])
    found = race.run({"a": {"X": moments}, "b": {"X": late}}, rng)
    coverage = found.lanes[1].coverage
    assert coverage is not None
    assert (coverage.count, coverage.n) == (40, 40)


def test_a_quiet_market_is_nobodys_gap() -> None:
    at_ns = np.array([0, 1, 2, 500, 501], dtype=np.int64) * SECOND
    both = race.Arrivals(np.arange(1, 6), np.full(5, 50_000), at_ns)
    deaf = race.Arrivals(*(column[[0, 4]] for column in (both.volume, both.price, both.at_ns)))
    rng = np.random.default_rng(0)
    assert [lane.longest_gap_s for lane in race.run({"a": {"X": both}, "b": {"X": both}}, rng).lanes] == [
        0.0,
        0.0,
    ]
    assert race.run({"a": {"X": both}, "b": {"X": deaf}}, rng).lanes[1].longest_gap_s == 501.0


def test_a_volume_that_falls_back_is_sorted_in() -> None:
    # a correction of the exchange: the first arrival of each moment counts, in whatever order they came
    back = arrivals([10, 30, 20, 30], at_s=[1, 2, 3, 4])
    straight = arrivals([10, 20, 30], at_s=[1.5, 3.5, 2.5])
    found = race.run({"a": {"C": back}, "b": {"C": straight}}, np.random.default_rng(1))
    (lead,) = found.leads
    assert (lead.matched, lead.p50.value, float(lead.seconds.max())) == (3, 0.5, 0.5)
    assert [lane.moments for lane in found.lanes] == [3, 3]


def arrivals(volume: list[int], at_s: list[float]) -> race.Arrivals:
    whole = [np.array(volume), np.full(len(volume), 8_000_000), np.array(at_s) * 1e9]
    return race.Arrivals(*(column.astype(np.int64) for column in whole))
