"""The estimators find what was set, as often as they say, in virtual time with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from supervisor.compare import stats

RUNS = 100
AT_LEAST = 90
N = 400
TIMEOUTS = 0.01

Draw = Callable[[np.random.Generator], np.ndarray]


def fast(rng: np.random.Generator) -> np.ndarray:
    """20 ms ± 5."""
    return rng.normal(20.0, 5.0, N)


def slow(rng: np.random.Generator) -> np.ndarray:
    """35 ms ± 20, never below 1 ms."""
    return np.maximum(rng.normal(35.0, 20.0, N), 1.0)


def covered(hit: Callable[[np.random.Generator], bool]) -> int:
    return sum(hit(np.random.default_rng(seed)) for seed in range(RUNS))


NORMAL_90 = 1.2815515655446004
NORMAL_99 = 2.3263478740408408


@pytest.mark.parametrize(
    ("draw", "at", "truth"),
    [
        (fast, "p50", 20.0),
        (fast, "p90", 20.0 + 5 * NORMAL_90),
        (fast, "p99", 20.0 + 5 * NORMAL_99),
        (slow, "p50", 35.0),
        (slow, "p90", 35.0 + 20 * NORMAL_90),
        (slow, "p99", 35.0 + 20 * NORMAL_99),
    ],
)
def test_a_quantile_s_interval_covers_the_set_figure(draw: Draw, at: str, truth: float) -> None:
    def hit(rng: np.random.Generator) -> bool:
        found = stats.summarize(draw(rng))
        assert found is not None
        return bool(getattr(found, at).covers(truth))

    assert covered(hit) >= AT_LEAST


@pytest.mark.parametrize("n", [20, 367, 400, 6000])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_an_interval_is_as_wide_as_its_confidence_asks_and_no_wider(n: int, q: float) -> None:
    """Misses of either end, from the binomial distribution itself, at the ranks and one further in."""
    ordered = np.arange(1, n + 1, dtype=np.float64)
    found = stats.quantile(ordered, q)
    low, high = found.low or 0, found.high or n + 1

    def at_most(k: float) -> float:
        return sum(
            math.exp(
                math.lgamma(n + 1)
                - math.lgamma(i + 1)
                - math.lgamma(n - i + 1)
                + i * math.log(q)
                + (n - i) * math.log1p(-q)
            )
            for i in range(int(k) + 1)
        )

    slack = 0.0 if n <= stats.EXACT_AT_MOST else 0.003
    assert at_most(low - 1) <= 0.025 + slack
    assert 1 - at_most(high - 1) <= 0.025 + slack + 1e-9
    if low:
        assert at_most(low + (2 if slack else 0)) > 0.025
    assert 1 - at_most(high - 2 - (2 if slack else 0)) > 0.025


def test_a_small_sample_has_no_upper_bound_for_its_tail() -> None:
    found = stats.summarize(np.arange(100, dtype=np.float64))
    assert found is not None
    assert found.p99.high is None
    assert found.p50.high is not None
    assert stats.summarize(np.empty(0)) is None


def test_unanswered_requests_are_the_slowest_ones() -> None:
    found = stats.summarize(np.full(90, 10.0), unanswered=10)
    assert found is not None
    assert (found.n, found.unanswered, found.p50.value, found.longest) == (100, 10, 10.0, math.inf)
    assert found.p99.value == math.inf


def test_a_rate_s_interval_covers_the_set_share() -> None:
    def hit(rng: np.random.Generator) -> bool:
        found = stats.rate(int(rng.binomial(N, TIMEOUTS)), N)
        assert found is not None
        return found.share.covers(TIMEOUTS)

    assert covered(hit) >= AT_LEAST


def test_none_of_forty_is_not_never() -> None:
    found = stats.rate(0, 40)
    assert found is not None
    assert found.share.low == 0.0
    assert found.share.high == pytest.approx(0.0876, abs=1e-4)  # Wilson's, by hand: z²/(n + z²)
    assert stats.rate(0, 0) is None


def test_a_paired_difference_is_found_and_called_significant() -> None:
    def hit(rng: np.random.Generator) -> bool:
        found = stats.paired(fast(rng), slow(rng), rng)
        assert found is not None
        assert found.significant
        # both are symmetric about their centres, so the median difference is the difference of the centres
        return found.median.covers(15.0)

    assert covered(hit) >= AT_LEAST


@pytest.mark.parametrize("n", [6, 7, 20, 40, 401])
def test_equal_brokers_show_no_significant_difference(n: int) -> None:
    def quiet(rng: np.random.Generator) -> bool:
        both = rng.gamma(4.0, 5.0, (2, n))
        found = stats.paired(both[0], both[1], rng)
        assert found is not None
        assert found.paired
        return not found.significant

    assert covered(quiet) >= AT_LEAST


@pytest.mark.parametrize("n", [20, 60, 1000])
def test_equal_traffic_without_pairs_shows_none_either(n: int) -> None:
    def quiet(rng: np.random.Generator) -> bool:
        found = stats.unpaired(rng.gamma(4.0, 5.0, n), rng.gamma(4.0, 5.0, n + 3), rng)
        assert found is not None
        assert not found.paired
        return not found.significant

    assert covered(quiet) >= AT_LEAST
    assert stats.unpaired(np.arange(19.0), np.arange(40.0), np.random.default_rng(0)) is None


def test_an_unpaired_difference_covers_the_set_one() -> None:
    def hit(rng: np.random.Generator) -> bool:
        found = stats.unpaired(fast(rng), slow(rng)[:250], rng)
        assert found is not None
        assert found.n == 250
        return found.median.covers(15.0)

    assert covered(hit) >= AT_LEAST


def test_a_slow_broker_is_not_flattered_by_its_lost_answers() -> None:
    a, b = np.full(20, 10.0), np.full(20, 30.0)
    b[:5] = np.inf
    found = stats.paired(a, b, np.random.default_rng(1))
    assert found is not None
    assert (found.n, found.median.value) == (15, 20.0)
    assert stats.paired(a[:5], b[5:10], np.random.default_rng(1)) is None, "five pairs prove nothing"


@pytest.mark.parametrize("n", [100, 101])
def test_the_direct_bootstrap_is_the_plain_one(n: int) -> None:
    """Against resampling with replacement, n values each time; the values are the ranks."""
    rng = np.random.default_rng(11)
    ranks = np.arange(n, dtype=np.float64)
    plain = np.median(rng.choice(ranks, (20_000, n)), axis=1)
    found = stats.paired(np.zeros(n), ranks, rng)
    assert found is not None
    assert [found.median.low, found.median.high] == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=1.0)


def test_the_distribution_for_a_plot_ends_at_what_was_answered() -> None:
    steps = stats.ecdf(np.array([3.0, 1.0, np.inf, 2.0]))
    assert steps == [(1.0, 0.25), (2.0, 0.5), (3.0, 0.75)]
    assert len(stats.ecdf(np.arange(10_000, dtype=np.float64))) <= 200
    assert stats.ecdf(np.empty(0)) == []
