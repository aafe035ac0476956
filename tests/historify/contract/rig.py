"""One open store of each kind, with the lease that lets a test write it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from brokers.calendar import Calendar, FileCalendar
from brokers.clock import IST
from historify.contract import BarStore
from historify.control import Control
from historify.model import BarRequest, Bars, DayState, Provenance, PutReport, Row, Series

MONDAY = date(2025, 3, 3)
"""An ordinary trading day of the tests' calendar."""
SUNDAY_EVENING = date(2025, 3, 9)
"""A special session, 18:00 to 19:00, on a Sunday."""
SHORT_DAY = date(2025, 3, 12)
"""Opens at 10:07 instead of 09:15."""
HOLIDAY = date(2025, 3, 14)
"""NSE is closed; MCX opens in the evening only."""
_PULLED = Provenance("dhan", at_s=1_760_000_000, job=7)
_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A fence as the contract wants it."""

    epoch: int


@dataclass(slots=True)
class Rig:
    """``open``: another handle on the same store, as another process would have it."""

    store: BarStore
    calendar: Calendar
    open: Callable[[], BarStore]
    control: Control
    """Of the home: what knows of splits, wherever the bars are."""
    _take: Callable[[], int]
    fence: Epoch = field(default_factory=lambda: Epoch(0))

    def take(self) -> Epoch:
        """A new holder of the lease; answers the fence of the old one."""
        old, self.fence = self.fence, Epoch(self._take())
        return old

    def put(
        self,
        series: Series,
        bars: Bars | Sequence[Row],
        *,
        covered: dict[date, DayState] | None = None,
        provenance: Provenance = _PULLED,
    ) -> PutReport:
        batch = bars if isinstance(bars, Bars) else Bars.of(bars)
        return self.store.put(series, batch, fence=self.fence, provenance=provenance, covered=covered)

    def rows(
        self,
        series: Series,
        interval: str | None = None,
        start: date = date(2020, 1, 1),
        end: date = date(2030, 12, 31),
    ) -> list[Row]:
        request = BarRequest(series.exchange, series.symbol, interval or series.interval, start, end)
        return list(self.store.get(request).rows())


def a_series(interval: str = "1m", exchange: str = "NSE") -> Series:
    """A series no other test writes."""
    return Series(exchange, f"SYM{next(_names)}", interval)


def at(day: date, hour: int, minute: int) -> int:
    """Epoch seconds of an IST wall time."""
    return int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=IST).timestamp())


def daily(day: date) -> int:
    """``ts`` of a daily bar."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def bar(ts: int, price: float = 100.0, volume: int = 10, oi: int = 0) -> Row:
    """A bar whose four prices differ, so that no two can be mistaken for each other."""
    return (ts, price, price + 2.5, price - 1.25, price + 0.05, volume, oi)


def minutes(day: date, hour: int = 9, minute: int = 15, count: int = 375, price: float = 100.0) -> list[Row]:
    first = at(day, hour, minute)
    return [bar(first + 60 * n, price + n * 0.35, 10 + n, 1000 - n) for n in range(count)]


def days(first: date, count: int, price: float = 100.0) -> list[Row]:
    """Daily bars of the weekdays from a date."""
    all_days = (first + timedelta(days=n) for n in range(count))
    return [bar(daily(day), price + n, 100 + n) for n, day in enumerate(all_days) if day.weekday() < 5]


def request(series: Series, interval: str, start: date, end: date) -> BarRequest:
    return BarRequest(series.exchange, series.symbol, interval, start, end)


def calendar(folder: Path) -> FileCalendar:
    """NSE and MCX with one of each kind of special day."""
    path = folder / "calendar.json"
    path.write_text(
        json.dumps(
            {
                "dated": "2025-03-01",
                "hours": {"NSE": ["09:15", "15:30"], "MCX": ["09:00", "23:55"]},
                "days": [
                    {"date": str(SUNDAY_EVENING), "open": {"NSE": ["18:00", "19:00"]}},
                    {"date": str(SHORT_DAY), "open": {"NSE": ["10:07", "13:00"]}},
                    {"date": str(HOLIDAY), "closed": ["NSE", "MCX"], "open": {"MCX": ["17:00", "23:55"]}},
                ],
            }
        )
    )
    return FileCalendar(path)


def closing(store: BarStore) -> Iterator[BarStore]:
    try:
        yield store
    finally:
        store.close()
