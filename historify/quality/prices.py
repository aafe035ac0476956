"""Prices that cannot be, hardly can be, or mean a split. Pure.

Spread is measured as the median absolute deviation of log returns: one wild bar does not widen it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median

from historify.days import trading_date
from historify.model import DAY, Bars, Series
from historify.quality.findings import Finding, Kind
from historify.quality.gaps import Days

LEAST_BARS = 30
"""Of fewer nothing is said about what is usual."""
DEVIATIONS = 20.0
"""An outlier is so many robust deviations away; ordinary shares reach 8 on news days."""
LEAST_JUMP = {"1m": 0.03, DAY: 0.08}
BACK = 0.5
"""A spike comes back by at least this share in the next bar; a real move does not."""
RATIOS = tuple(
    sorted(
        {Fraction(1, n) for n in (2, 3, 4, 5, 6, 10, 20)}
        | {Fraction(2, 3), Fraction(2, 5), Fraction(3, 4), Fraction(3, 5), Fraction(4, 5), Fraction(5, 6)}
        | {Fraction(n) for n in (2, 5, 10)}
    )
)
"""New price to old after the splits, bonuses and consolidations that happen."""
NEAR = 0.05
STAYS_BARS = 5
_CONSISTENT = 1.4826
"""Makes the median absolute deviation of a normal distribution its standard deviation."""


def insane(days: Days) -> Iterator[Finding]:
    """Bars no exchange prints; one finding for each day."""
    bars = days.bars
    for day, (low, high) in days.spans.items():
        wrong = [n for n in range(low, high) if not _possible(bars, n)]
        if wrong:
            n = wrong[0]
            told = (
                f"{len(wrong)} bar(s), first open {bars.open[n]:g} high {bars.high[n]:g} low {bars.low[n]:g}"
                f" close {bars.close[n]:g} volume {bars.volume[n]}"
            )
            yield Finding(days.series, Kind.INSANE, day, day, told, len(wrong))


def outliers(series: Series, bars: Bars) -> Iterator[Finding]:
    """Single bars whose close, high or low leaves its neighbours and is back in the next bar."""
    if len(bars) < LEAST_BARS:
        return
    returns = _returns(bars.close)
    limit = max(DEVIATIONS * _spread(returns), LEAST_JUMP[series.interval])
    far = math.exp(limit)
    for n in range(1, len(bars) - 1):
        before = bars.close[n - 1]
        if bars.high[n] < before * far and bars.low[n] * far > before:
            continue
        after = bars.open[n + 1]
        wild = max((bars.close[n], bars.high[n], bars.low[n]), key=lambda price: abs(_log(price, before)))
        there, back = _log(wild, before), _log(after, wild)
        if abs(there) > limit and there * back < 0 and abs(back) >= BACK * abs(there):
            day = trading_date(bars.ts[n], series.interval)
            told = f"{wild:g} between {before:g} and {after:g}"
            yield Finding(series, Kind.OUTLIER, day, day, told, 1)


def corporate_actions(series: Series, bars: Bars) -> Iterator[Finding]:
    """Jumps of daily bars by a simple ratio that stay, with the volume going the other way."""
    if series.interval != DAY or len(bars) < LEAST_BARS:
        return
    limit = max(DEVIATIONS / 2 * _spread(_returns(bars.close)), 0.15)
    for n in range(1, len(bars)):
        moved = _log(bars.open[n], bars.close[n - 1])
        ratio = _ratio(math.exp(moved)) if abs(moved) > limit else None
        if ratio is None or not _stays(bars, n):
            continue
        day = trading_date(bars.ts[n], series.interval)
        told = f"from {bars.close[n - 1]:g} to {bars.open[n]:g}, about {ratio.numerator}:{ratio.denominator}"
        fits = _volume_fits(bars, n, float(ratio))
        told += ", and the volume fits" if fits else ", the volume does not say so"
        yield Finding(series, Kind.CORPORATE_ACTION, day, day, told, 1)


def _possible(bars: Bars, n: int) -> bool:
    low, high = bars.low[n], bars.high[n]
    return (
        0 < low <= bars.open[n] <= high < math.inf
        and low <= bars.close[n] <= high
        and bars.volume[n] >= 0
        and bars.oi[n] >= 0
    )


def _log(price: float, before: float) -> float:
    return math.log(price / before) if price > 0 and before > 0 else 0.0


def _returns(prices: array[float]) -> list[float]:
    return [_log(price, before) for before, price in pairwise(prices)]


def _spread(returns: Sequence[float]) -> float:
    middle = median(returns)
    return _CONSISTENT * median(abs(one - middle) for one in returns)


def _ratio(moved: float) -> Fraction | None:
    nearest = min(RATIOS, key=lambda ratio: abs(math.log(moved / float(ratio))))
    return nearest if abs(math.log(moved / float(nearest))) <= NEAR else None


def _stays(bars: Bars, n: int) -> bool:
    """The closes after it lie nearer to the new level than to the old."""
    later = median(bars.close[n : n + STAYS_BARS])
    return abs(_log(later, bars.open[n])) < abs(_log(later, bars.close[n - 1]))


def _volume_fits(bars: Bars, n: int, ratio: float) -> bool:
    before, after = bars.volume[max(0, n - 10) : n], bars.volume[n : n + 10]
    usual, now = median(before), median(after)
    return usual > 0 and now > 0 and abs(math.log(now / usual * ratio)) < abs(math.log(now / usual))
