"""Every check over a store, series by series and a year at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date

from brokers.calendar import Calendar, FileCalendar
from historify.contract import BarStore
from historify.days import trading_date
from historify.errors import StoreDamaged
from historify.model import DAY, MINUTE, BarRequest, Bars, CatalogRow, DayState, Series
from historify.quality import agreement, gaps, prices
from historify.quality.findings import Finding, Kind, Report


def verify(
    store: BarStore,
    calendar: Calendar,
    *,
    wanted: Callable[[Series], bool] = lambda _: True,
    start: date | None = None,
    end: date | None = None,
    on_series: Callable[[Series, int, int], None] = lambda *_: None,
) -> Report:
    """Look at every stored series between its first and last bar.

    Memory stays at one year of one instrument. Reading only: no lock, no puller needed.

    Args:
        wanted: Which series.
        start, end: Trading days, both inclusive; None: from the first, to the last bar.
        on_series: Called before each with its number and how many there are, for a progress bar.

    Raises:
        StoreBusy, StoreError: The store cannot be read at all; a damaged series is a finding.
    """
    rows = [row for row in store.catalog() if wanted(row.series)]
    traded = _Traded(store, calendar, rows)
    findings: list[Finding] = []
    bars = 0
    for number, row in enumerate(rows):
        on_series(row.series, number, len(rows))
        first, last = _range(row, start, end)
        beside = row.series.interval == DAY and any(other.series == _other(row.series) for other in rows)
        one = _One(store, calendar, row.series, trading_date(row.last_ts, row.series.interval), traded)
        # minutes a year at a time; twenty years of days are 5,000 bars, and a split may fall on New Year
        for low, high in _years(first, last) if row.series.interval == MINUTE else [(first, last)]:
            bars += one.look(low, high, minutes_too=beside)
        findings += one.found
    order = sorted(findings, key=lambda one: (one.series, one.first, one.kind))
    return Report(len(rows), bars, tuple(order))


class _One:
    """The checks of one series."""

    def __init__(
        self, store: BarStore, calendar: Calendar, series: Series, newest: date, traded: _Traded
    ) -> None:
        self.found: list[Finding] = []
        self._store = store
        self._calendar = calendar
        self._series = series
        self._newest = newest
        self._traded = traded

    def look(self, first: date, last: date, *, minutes_too: bool) -> int:
        """How many bars there are; what is wrong with them joins ``found``."""
        series, calendar = self._series, self._calendar
        try:
            bars = _bars(self._store, series, first, last)
        except StoreDamaged as exc:
            self.found.append(Finding(series, Kind.DAMAGED, first, last, str(exc)))
            return 0
        days = gaps.cut(series, bars)
        running: date | None = None
        for low, high in _years(first, last):
            covered = self._store.coverage(series, low, high)
            if covered.get(self._newest) is DayState.PARTIAL:
                running = self._newest
            known = self._traded.of(series.exchange, low, high)
            self.found += gaps.missing_days(
                days, calendar, covered, low, high, newest=self._newest, traded=known
            )
            if minutes_too:
                self._compare(days, low, high)
        self.found += gaps.missing_parts(days, calendar, running=running)
        self.found += gaps.off_session(days, calendar)
        self.found += gaps.repeated_days(days)
        self.found += prices.insane(days)
        self.found += prices.outliers(series, bars)
        self.found += prices.corporate_actions(series, bars)
        return len(bars)

    def _compare(self, daily: gaps.Days, first: date, last: date) -> None:
        try:
            minutes = _bars(self._store, _other(self._series), first, last)
        except StoreDamaged:
            return  # the minutes' own turn reports it
        self.found += agreement.disagreements(gaps.cut(_other(self._series), minutes), daily, self._calendar)


class _Traded:
    """Days on which an exchange was open, by the bars of its fullest daily series.

    Only asked where the calendar's list of holidays does not reach.
    """

    def __init__(self, store: BarStore, calendar: Calendar, rows: Sequence[CatalogRow]) -> None:
        self._store = store
        self._years = _listed_years(calendar)
        self._rows = rows
        self._kept: dict[tuple[str, date, date], frozenset[date]] = {}

    def of(self, exchange: str, first: date, last: date) -> frozenset[date] | None:
        """None where the calendar can be trusted."""
        if self._years is None or first.year in self._years:
            return None
        key = (exchange, first, last)
        if key not in self._kept:
            self._kept[key] = frozenset(self._days(exchange, first, last))
        return self._kept[key]

    def _days(self, exchange: str, first: date, last: date) -> Iterator[date]:
        mine = [row for row in self._rows if row.series.exchange == exchange]
        daily = [row for row in mine if row.series.interval == DAY] or mine
        for row in sorted(daily, key=lambda row: -row.rows)[:10]:
            try:
                bars = _bars(self._store, row.series, first, last)
            except StoreDamaged:
                continue
            yield from {trading_date(ts, row.series.interval) for ts in bars.ts}


def _listed_years(calendar: Calendar) -> frozenset[int] | None:
    """Years whose holidays the calendar lists; None when it has none by nature."""
    return frozenset(day.on.year for day in calendar.days()) if isinstance(calendar, FileCalendar) else None


def _bars(store: BarStore, series: Series, first: date, last: date) -> Bars:
    return store.get(BarRequest(series.exchange, series.symbol, series.interval, first, last))


def _range(row: CatalogRow, start: date | None, end: date | None) -> tuple[date, date]:
    first, last = (trading_date(ts, row.series.interval) for ts in (row.first_ts, row.last_ts))
    return max(first, start or first), min(last, end or last)


def _years(first: date, last: date) -> list[tuple[date, date]]:
    return [
        (max(first, date(year, 1, 1)), min(last, date(year, 12, 31)))
        for year in range(first.year, last.year + 1)
    ]


def _other(series: Series) -> Series:
    return Series(series.exchange, series.symbol, MINUTE if series.interval == DAY else DAY)


def only(exchange: str | None, symbols: Iterable[str] | None) -> Callable[[Series], bool]:
    """Which series a command names; None: all."""
    names = None if symbols is None else frozenset(symbols)
    return lambda series: (
        (exchange is None or series.exchange == exchange) and (names is None or series.symbol in names)
    )
