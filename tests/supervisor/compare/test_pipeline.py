"""Plan, samples, figures: the report says what was set, as often as it claims (100 fixed seeds)."""

from __future__ import annotations

from collections import Counter

from tests.supervisor.compare.pipeline import covered, quiet

RUNS = 100


def test_each_set_figure_is_covered() -> None:
    hits = sum((covered(seed) for seed in range(RUNS)), Counter[str]())
    assert len(hits) == 3 * 5 + 2 + 1
    assert min(hits.values()) >= 90, hits


def test_equal_brokers_show_no_significant_difference() -> None:
    hits = sum((quiet(seed) for seed in range(RUNS)), Counter[str]())
    assert len(hits) == 3 + 1
    assert min(hits.values()) >= 90, hits
