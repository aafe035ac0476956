"""What a batch must be before any store takes it. Pure.

Only what would break a store's promises is refused; whether prices make sense (high below low, jumps) is
for ``historify.quality`` to report, since the exchange may have printed it.
"""

from __future__ import annotations

import math
from itertools import islice
from operator import lt

from historify.errors import BadBatch, WrongInterval
from historify.model import DAY, STORED, Bars, Series

FIRST_TS, LAST_TS = 0, 7_258_118_400
"""1970 to 2200: what lies outside is a unit mixed up (milliseconds, microseconds)."""
STEP_S = {"1m": 60, "D": 86_400}
_KINDS = "qddddqq"


def checked(series: Series, bars: Bars) -> None:
    """A batch that may be stored; an empty one may.

    Raises:
        WrongInterval: ``series.interval`` is computed, not stored.
        BadBatch: Columns of different length or type, times not ascending or off the grid, a price that is
            no number, a negative volume, a name no store can keep.
    """
    if series.interval not in STORED:
        raise WrongInterval(
            f"{series}: only {' and '.join(STORED)} are stored, others are computed from them"
        )
    for name in (series.exchange, series.symbol):
        if not name or len(name) > 100 or not name.isprintable():
            raise BadBatch(
                f"{series.exchange!r}, {series.symbol!r}: a name has 1 to 100 printable characters"
            )
    columns = (bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.oi)
    if len({len(column) for column in columns}) != 1:
        raise BadBatch(f"{series}: columns of different length: {[len(column) for column in columns]}")
    if [column.typecode for column in columns] != list(_KINDS):
        raise BadBatch(f"{series}: times, volume and oi are int64 arrays, prices float64")
    if len(bars):
        _times(series, bars)
        _values(series, bars)


def _times(series: Series, bars: Bars) -> None:
    ts = bars.ts
    if not all(map(lt, ts, islice(ts, 1, None))):
        number = next(i for i in range(1, len(ts)) if ts[i] <= ts[i - 1])
        raise BadBatch(
            f"{series}: times must ascend without repeats; number {number + 1} ({ts[number]}) does not"
        )
    if ts[0] < FIRST_TS or ts[-1] >= LAST_TS:
        raise BadBatch(f"{series}: times are epoch seconds; {ts[0]} to {ts[-1]} are not")
    step = STEP_S[series.interval]
    if any(at % step for at in ts):
        at = next(at for at in ts if at % step)
        grid = "00:00 UTC of its trading date" if series.interval == DAY else "a whole minute"
        raise BadBatch(f"{series}: a bar opens at {grid}; {at} does not")


def _values(series: Series, bars: Bars) -> None:
    for name in ("open", "high", "low", "close"):
        column = getattr(bars, name)
        if not math.isfinite(sum(column)):
            at = next((i for i, price in enumerate(column) if not math.isfinite(price)), 0)
            raise BadBatch(f"{series}: {name} of the bar at {bars.ts[at]} is {column[at]}")
    for name in ("volume", "oi"):
        column = getattr(bars, name)
        if min(column) < 0:
            raise BadBatch(f"{series}: {name} of the bar at {bars.ts[column.index(min(column))]} is negative")
