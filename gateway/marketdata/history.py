"""The market-data store as one instance sees it: opened at its first use, read without any lock.

``source=db`` answers from the store alone. ``source=auto`` asks the broker for the days the store never
asked for, or asked while they were running, and leaves what came in the inbox for the puller to keep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.errors import AlgoError, InvalidRequest
from brokers.model import Candle, InstrumentKey
from gateway.settings import Settings
from historify.days import IST_S, trading_date
from historify.jobs import plan
from historify.model import DAY, INTERVALS, MINUTE, BarRequest, Bars, DayState, Provenance, Series
from historify.ondemand import OnDemand
from historify.paths import StorePaths
from historify.reader import intervals
from historify.segments.inbox import Inbox

log = logging.getLogger(__name__)

Ask = Callable[[InstrumentKey, str, date, date], list[Candle]]
"""The broker: stored interval, first and last day."""


class NoBars(InvalidRequest):
    """The store has no bars of what was asked for."""

    code = "NO_STORED_DATA"


class History(OnDemand):
    """The store, and where it lacks days the instance's broker. Thread-safe."""

    def __init__(self, settings: Settings, calendar: Calendar, clock: Clock) -> None:
        paths = StorePaths(settings.databases.historify)
        super().__init__(settings.store.url, paths, home=settings.home, calendar=calendar, clock=clock)
        self._broker = settings.broker

    def stored(self, key: InstrumentKey, interval: str, start: date, end: date) -> Bars:
        """``source=db``: bars of the store, ascending, both days inclusive.

        Raises:
            NoBars: There are none.
            WrongInterval: The store neither keeps nor computes it.
            StoreError: The store cannot be read; that is never "no data".
        """
        bars = self.store.get(BarRequest(key.exchange, key.symbol, interval, start, end))
        if not len(bars):
            raise NoBars(self._why_none(key, interval, start, end))
        return bars

    def filled(self, key: InstrumentKey, interval: str, start: date, end: date, ask: Ask) -> Bars:
        """``source=auto``: the store's bars, and the broker's for days the store does not know.

        Raises:
            StoreError, WrongInterval: As ``stored``.
            BrokerError: The broker was needed and did not answer; what the store has can be had by itself.
        """
        series = Series(key.exchange, key.symbol, intervals.stored(interval))
        first, last = _span(interval, start, end)
        missing = self._missing(series, first, last)
        request = BarRequest(key.exchange, key.symbol, interval, start, end)
        if not missing:
            return self.store.get(request)
        fresh = Bars.of(row for chunk in missing for row in self._ask(series, key, chunk, ask).rows())
        asked = {day for chunk in missing for day in chunk.days}
        if series.interval == DAY:
            known = self.store.get(BarRequest(key.exchange, key.symbol, DAY, first, last))
            daily = _joined(known, fresh, DAY, asked)
            return _aggregated(daily, interval, self.calendar, key.exchange)
        computed = _aggregated(fresh, interval, self.calendar, key.exchange)
        return _joined(self.store.get(request), computed, MINUTE, asked)

    def _missing(self, series: Series, start: date, end: date) -> list[plan.Chunk]:
        """Ranges of days to ask for, as few as can be without asking for a day that is known."""
        covered = self.store.coverage(series, start, end)
        found: list[plan.Chunk] = []
        run: list[date] = []
        for day in plan.days(series, start, end, self.calendar, self.clock.now()):
            if covered.get(day, DayState.PARTIAL) is DayState.PARTIAL:
                run.append(day)
            elif run:
                found.append(plan.Chunk(run[0], run[-1], tuple(run)))
                run = []
        if run:
            found.append(plan.Chunk(run[0], run[-1], tuple(run)))
        return found

    def _ask(self, series: Series, key: InstrumentKey, chunk: plan.Chunk, ask: Ask) -> Bars:
        now = self.clock.now()
        candles = ask(key, series.interval, chunk.start, chunk.end)
        bars = Bars.of((c.opened_at_s, c.open, c.high, c.low, c.close, c.volume, c.oi) for c in candles)
        self._keep(series, bars, chunk, now)
        return bars

    def _keep(self, series: Series, bars: Bars, chunk: plan.Chunk, now: datetime) -> None:
        """Leave it for the puller. What cannot be kept costs another broker call some day, no answer."""
        states = plan.outcome(bars, series, chunk, self.calendar, now)
        provenance = Provenance(self._broker, int(now.timestamp()), note="asked for by source=auto")
        try:
            if not Inbox(self.paths.inbox).drop(series, bars, provenance, states):
                log.warning("the inbox of the market-data store is full: no puller has run for long")
        except AlgoError as exc:
            log.warning("%s of %s..%s not kept: %s", series, chunk.start, chunk.end, exc)

    def _why_none(self, key: InstrumentKey, interval: str, start: date, end: date) -> str:
        """What the store has instead, and how to get what it has not."""
        stored = intervals.stored(interval)
        there = [row for row in self.store.catalog(key.exchange, key.symbol) if row.series.interval == stored]
        pull = f"algo history pull --symbols {key.symbol} --exchange {key.exchange} --interval {stored}"
        if not there:
            return f"No data found for {key.symbol} on {key.exchange} ({interval}); download it first: {pull}"
        first, last = (trading_date(ts, stored).isoformat() for ts in (there[0].first_ts, there[0].last_ts))
        return (
            f"No data found for {key.symbol} on {key.exchange} ({interval}) from {start} to {end}; "
            f"the store has {first} to {last}. Download it with: {pull} --from {start} --to {end}"
        )


def offered(interval: str) -> bool:
    """Whether the store keeps or computes it."""
    return interval in INTERVALS


def _span(interval: str, start: date, end: date) -> tuple[date, date]:
    """The trading days a request needs: a week asked from its Wednesday needs its Monday."""
    stored = intervals.stored(interval)
    lo, hi = intervals.span(interval, start, end)
    return trading_date(lo, stored), trading_date(hi - 1, stored)


def _joined(known: Bars, fresh: Bars, interval: str, asked: set[date]) -> Bars:
    """Both, ascending; of a day that was just asked for, only what came now."""

    def kept() -> Iterator[Sequence[float | int]]:
        for row in known.rows():
            if trading_date(row[0], interval) not in asked:
                yield row
        yield from fresh.rows()

    return Bars.of(kept())


def _aggregated(bars: Bars, interval: str, calendar: Calendar, exchange: str) -> Bars:
    """Stored bars -> a computed interval, as the store's reader computes it."""
    if interval in (MINUTE, DAY):
        return bars
    made: dict[int, list[float | int]] = {}
    for ts, opened, high, low, close, volume, oi in bars.rows():
        label = _label(ts, interval, calendar, exchange)
        bar = made.get(label)
        if bar is None:
            made[label] = [label, opened, high, low, close, volume, oi]
            continue
        bar[2], bar[3] = max(bar[2], high), min(bar[3], low)
        bar[4], bar[5], bar[6] = close, bar[5] + volume, oi
    return Bars.of(made.values())


def _label(ts: int, interval: str, calendar: Any, exchange: str) -> int:
    """Start of the computed bar a stored one falls into."""
    if intervals.stored(interval) == DAY:
        day = trading_date(ts, DAY)
        return intervals.span(interval, day, day)[0]
    day, step = trading_date(ts, MINUTE), intervals.MINUTES[interval] * 60
    opens = intervals.openings(calendar, exchange, day.year)[day.timetuple().tm_yday - 1]
    return ts - (ts + IST_S - opens) % step
