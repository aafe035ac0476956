"""Plan, samples, figures: the report says what was set, as often as it claims (100 fixed seeds each)."""

from __future__ import annotations

from functools import cache

import pytest

from supervisor.compare.figures import Measure
from tests.supervisor.compare.pipeline import FAST, SLOW, Broker, run, ticks

RUNS = 100


@cache
def of_two() -> list[tuple[tuple[Measure, ...], float]]:
    found = []
    for seed in range(RUNS):
        measures, shares = run(seed, {"fast": FAST, "slow": SLOW})
        lost = shares[0].rows[1][1]
        assert lost is not None
        found.append((measures, float(lost.share.covers(SLOW.lost))))
    return found


@pytest.mark.parametrize(("at", "op"), enumerate(("place", "modify", "cancel")))
def test_each_set_delay_is_covered(at: int, op: str) -> None:
    hits = dict.fromkeys(("fast p50", "slow p50", "fast p90", "slow p90", "difference"), 0)
    for measures, _ in of_two():
        measure = measures[at]
        assert measure.name == op
        for row, broker in zip(measure.rows, (FAST, SLOW), strict=True):
            assert row.summary is not None
            assert row.summary.n == 150
            hits[f"{row.instance} p50"] += row.summary.p50.covers(broker.median_s)
            hits[f"{row.instance} p90"] += row.summary.p90.covers(broker.p90_s)
        found = measure.pairs[0].difference
        assert found is not None
        hits["difference"] += found.median.covers(0.015)
    assert min(hits.values()) >= 90, hits


def test_the_timeouts_set_are_covered() -> None:
    assert sum(hit for _, hit in of_two()) >= 90


def test_equal_brokers_show_no_significant_difference() -> None:
    quiet = 0
    for seed in range(RUNS):
        measures, _ = run(seed, {"one": Broker(30, 15), "other": Broker(30, 15)})
        quiet += "no significant difference" in measures[0].pairs[0].verdict
    assert quiet >= 90


def test_a_set_tick_lag_is_covered() -> None:
    hits = 0
    for seed in range(RUNS):
        (lead,) = ticks(seed, 0.2).leads
        assert lead.difference is not None
        hits += lead.p50.covers(0.2) and lead.difference.median.covers(0.2)
    assert hits >= 90
