"""Whether the minutes of a day and its daily bar tell the same story. Pure.

The official close is an average of the last half hour and the daily volume holds block deals and the opening
auction, so close and volume may differ more than high and low.
"""

from __future__ import annotations

from collections.abc import Iterator

from brokers.calendar import Calendar
from historify.model import Series
from historify.quality.findings import Finding, Kind
from historify.quality.gaps import Days

RANGE, CLOSE = 0.005, 0.03
"""How far highs and lows, and closes, may lie apart, as a share of the price."""
VOLUME_MORE, VOLUME_LESS = 1.02, 0.5
"""The minutes' volume as a share of the day's."""
LEAST_FILLED = 0.9
"""Of a session's minutes that must be there; what is missing is reported as that."""


def disagreements(minutes: Days, daily: Days, calendar: Calendar) -> Iterator[Finding]:
    """Days that both have, and whose bars contradict each other."""
    series = Series(daily.series.exchange, daily.series.symbol, daily.series.interval)
    for day, (low, high) in minutes.spans.items():
        if day not in daily.spans:
            continue
        session = calendar.session(series.exchange, day)
        if session is None:
            continue
        filled = (high - low) / ((session.closes - session.opens).total_seconds() / 60)
        n = daily.spans[day][0]
        said = list(_told(minutes, low, high, daily, n, whole=filled >= LEAST_FILLED))
        if said:
            yield Finding(series, Kind.DISAGREEMENT, day, day, "; ".join(said), 1)


def _told(minutes: Days, low: int, high: int, daily: Days, n: int, *, whole: bool) -> Iterator[str]:
    part, one = minutes.bars, daily.bars
    top, bottom = max(part.high[low:high]), min(part.low[low:high])
    if top > one.high[n] * (1 + RANGE) or (whole and top < one.high[n] * (1 - RANGE)):
        yield f"high {top:g} by the minutes, {one.high[n]:g} by the day"
    if bottom < one.low[n] * (1 - RANGE) or (whole and bottom > one.low[n] * (1 + RANGE)):
        yield f"low {bottom:g} by the minutes, {one.low[n]:g} by the day"
    if whole and abs(part.close[high - 1] - one.close[n]) > CLOSE * abs(one.close[n]):
        yield f"close {part.close[high - 1]:g} by the minutes, {one.close[n]:g} by the day"
    volume = sum(part.volume[low:high])
    if one.volume[n] and (
        volume > one.volume[n] * VOLUME_MORE or (whole and volume < one.volume[n] * VOLUME_LESS)
    ):
        yield f"volume {volume} by the minutes, {one.volume[n]} by the day"
