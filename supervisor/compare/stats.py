"""Estimators of the comparison: quantiles and rates with intervals, differences with a bootstrap.

Every figure carries its n and a 95 % interval. Nothing here assumes a shape of the distribution: latencies
are skewed, censored by timeouts and bimodal on a bad day.

- Quantile: order statistics; the interval's ranks come from the binomial distribution, so it covers the true
  quantile at least as often as it says (Conover, *Practical Nonparametric Statistics*, section 3.2).
- Rate: Wilson's score interval, which is honest for 0 of 40.
- Difference: median of the pairs' differences, or difference of two medians where there are no pairs;
  percentile bootstrap. A resample's median is the order statistic of a rank that follows a beta distribution,
  so it is drawn directly instead of resampling n values each time: as quick for 100,000 orders as for ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 4000
EXACT_AT_MOST = 5000
"""Up to this n the binomial ranks are exact; beyond, the normal limit is within a rank or two of them."""
MIN_PAIRS = 6
"""Of five pairs even the widest interval of the median covers it in less than 95 of 100 cases."""
MIN_UNPAIRED = 20
"""Below this a bootstrap of two medians is too narrow, and there is nothing exact to widen it by."""
SMALL = 50
"""Below this many pairs the bootstrap is too narrow (85 of 100 at n = 7) and the exact ranks bound it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; a bound that n does not determine is None.

    ``value`` may be ``inf``: more of the sample than this quantile leaves was never answered.
    """

    value: float
    low: float | None
    high: float | None

    def covers(self, truth: float) -> bool:
        return (self.low is None or self.low <= truth) and (self.high is None or truth <= self.high)


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies of one broker, endpoint and stage.

    Attributes:
        n: Samples, unanswered ones included.
        unanswered: Samples without an answer; they count as longer than every answered one.
    """

    n: int
    unanswered: int
    p50: Estimate
    p90: Estimate
    p99: Estimate
    longest: float


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``n`` as a share between 0 and 1."""

    n: int
    count: int
    share: Estimate


@dataclass(frozen=True, slots=True)
class Difference:
    """How much longer ``b`` takes than ``a``: negative means that ``b`` is faster.

    Attributes:
        n: Pairs, or the smaller of the two samples where there are none.
        paired: The same moment was measured at both.
    """

    n: int
    paired: bool
    median: Estimate

    @property
    def significant(self) -> bool:
        """The interval does not contain zero."""
        low, high = self.median.low, self.median.high
        return low is not None and high is not None and (low > 0 or high < 0)


def quantile(ordered: Floats, q: float, confidence: float = CONFIDENCE) -> Estimate:
    """One quantile of an ascending sample, with a distribution-free interval.

    Raises:
        ValueError: The sample is empty or ``q`` is not between 0 and 1.
    """
    n = len(ordered)
    if n == 0 or not 0 < q < 1:
        raise ValueError("a quantile needs a sample and a q between 0 and 1")
    low, high = _ranks(n, q, confidence)
    return Estimate(
        value=float(ordered[max(0, math.ceil(q * n) - 1)]),
        low=float(ordered[low - 1]) if low >= 1 else None,
        high=float(ordered[high - 1]) if high <= n else None,
    )


def _ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Ranks (from 1) of the interval's ends; 0 or n + 1 where the sample is too small for an end.

    With B ~ Bin(n, q) values below the quantile, the interval misses it when B < low or B >= high.
    """
    tail = (1 - confidence) / 2
    if n > EXACT_AT_MOST:
        spread = _normal_quantile(1 - tail) * math.sqrt(n * q * (1 - q))
        return max(0, math.floor(n * q - spread)), min(n + 1, math.ceil(n * q + spread) + 1)
    k = np.arange(n + 1)
    logs = _log_choose(n) + k * math.log(q) + (n - k) * math.log1p(-q)
    below = np.cumsum(np.exp(logs))
    # largest low with P(B < low) <= tail, smallest high with P(B >= high) <= tail
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return low, high


def _log_choose(n: int) -> Floats:
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))))
    return np.asarray(logs[n] - logs - logs[::-1], dtype=np.float64)


def _normal_quantile(p: float) -> float:
    # the two confidences anybody asks for; a library for two constants is not worth its import
    known = {0.975: 1.959963984540054, 0.995: 2.5758293035489004}
    return known[round(p, 6)]


def summarize(answered: Floats, unanswered: int = 0, confidence: float = CONFIDENCE) -> Summary | None:
    """Quantiles of what was answered and what was not; None for an empty sample.

    Args:
        answered: Durations in any unit, in any order.
        unanswered: Requests that timed out: longer than anything answered, and never left out, so that a
            broker that drops its slowest answers is not flattered.
    """
    n = len(answered) + unanswered
    if n == 0:
        return None
    ordered = np.concatenate((np.sort(answered), np.full(unanswered, np.inf)))
    return Summary(
        n=n,
        unanswered=unanswered,
        p50=quantile(ordered, 0.5, confidence),
        p90=quantile(ordered, 0.9, confidence),
        p99=quantile(ordered, 0.99, confidence),
        longest=float(ordered[-1]),
    )


def rate(count: int, n: int, confidence: float = CONFIDENCE) -> Rate | None:
    """Wilson's interval of ``count`` of ``n``; None when nothing was counted."""
    if n == 0:
        return None
    z = _normal_quantile(1 - (1 - confidence) / 2)
    share = count / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Rate(n, count, Estimate(share, max(0.0, middle - half), min(1.0, middle + half)))


def paired(
    a: Floats, b: Floats, rng: np.random.Generator, confidence: float = CONFIDENCE
) -> Difference | None:
    """Median of ``b - a`` over pairs of equal index. None for fewer than ``MIN_PAIRS`` complete pairs.

    Pairs with an unanswered side (``inf`` or ``nan``) are left out here: they belong into the rate.
    """
    if len(a) != len(b):
        raise ValueError("pairs need two samples of equal length")
    whole = np.isfinite(a) & np.isfinite(b)
    return median_of(np.sort(b[whole] - a[whole]), rng, confidence)


def median_of(
    differences: Floats, rng: np.random.Generator, confidence: float = CONFIDENCE
) -> Difference | None:
    """Median of single differences, ascending and finite. None for fewer than ``MIN_PAIRS``."""
    if len(differences) < MIN_PAIRS:
        return None
    low, high = _percentiles(_resampled_medians(differences, rng), confidence)
    if len(differences) < SMALL:
        exact = quantile(differences, 0.5, confidence)
        # MIN_PAIRS is where both ends exist
        assert exact.low is not None
        assert exact.high is not None
        low, high = min(low, exact.low), max(high, exact.high)
    middle = len(differences) // 2
    value = float((differences[middle] + differences[-middle - 1]) / 2)
    return Difference(len(differences), True, Estimate(value, low, high))


def unpaired(
    a: Floats, b: Floats, rng: np.random.Generator, confidence: float = CONFIDENCE
) -> Difference | None:
    """Median of ``b`` less median of ``a``, of traffic that was not sent in pairs."""
    a, b = np.sort(a[np.isfinite(a)]), np.sort(b[np.isfinite(b)])
    if min(len(a), len(b)) < MIN_UNPAIRED:
        return None
    medians = _resampled_medians(b, rng) - _resampled_medians(a, rng)
    low, high = _percentiles(medians, confidence)
    value = float(np.median(b) - np.median(a))
    return Difference(min(len(a), len(b)), False, Estimate(value, low, high))


def _resampled_medians(ordered: Floats, rng: np.random.Generator) -> Floats:
    """Medians of ``RESAMPLES`` bootstrap samples, drawn through the rank's own distribution."""
    n = len(ordered)
    # the k-th of n uniform draws is Beta(k, n + 1 - k); of an even n one of the two middle ones, by a coin
    middle = np.full(RESAMPLES, (n + 1) / 2) if n % 2 else n / 2 + rng.integers(0, 2, RESAMPLES)
    places = rng.beta(middle, n + 1 - middle)
    return np.asarray(ordered[np.minimum((places * n).astype(np.int64), n - 1)], dtype=np.float64)


def _percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def ecdf(values: Floats, points: int = 200) -> list[tuple[float, float]]:
    """At most ``points`` steps ``(value, share at or below)`` of the empirical distribution, for a plot."""
    ordered = np.sort(values[np.isfinite(values)])
    if len(ordered) == 0:
        return []
    shares = np.unique(np.linspace(1, len(ordered), min(points, len(ordered))).astype(np.int64))
    return [(float(ordered[k - 1]), float(k / len(values))) for k in shares]
