"""Which broker calls a series still needs. Pure: the time, the calendar and what is covered are handed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.errors import NotSupported
from historify.days import trading_date
from historify.jobs.model import Mode
from historify.model import DAY, Bars, DayState, Series

SETTLE_S = 900.0
"""After the session's close a broker may still correct its bars; until then the day counts as running."""
MOST_BARS = 60_000
"""Of one call: an answer stays some 5 MB, and its making within the broker's and our patience."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one broker's history offers.

    Attributes:
        chunk_days: Interval -> most calendar days of one call; an interval that is missing is not offered.
        years: Interval -> how far back; missing: to the beginning.
        exchanges: Those with history.
        oi: Bars carry open interest.
    """

    broker: str
    chunk_days: Mapping[str, int]
    exchanges: frozenset[str]
    years: Mapping[str, int] = field(default_factory=dict)
    oi: bool = False

    def check(self, series: Series) -> None:
        """Raises ``NotSupported`` with what this broker has."""
        if series.interval not in self.chunk_days:
            raise NotSupported(f"{self.broker} has no {series.interval} history")
        if series.exchange not in self.exchanges:
            there = ", ".join(sorted(self.exchanges))
            raise NotSupported(f"{self.broker} has no history of {series.exchange}; it has {there}")

    def oldest(self, interval: str, today: date) -> date:
        """The first day that can be asked for."""
        years = self.years.get(interval)
        if years is None:
            return date.min
        try:
            return today.replace(year=today.year - years) + timedelta(days=1)
        except ValueError:  # 29 February
            return date(today.year - years, 3, 1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One broker call. ``days``: the trading days it is made for, first and last among them."""

    start: date
    end: date
    days: tuple[date, ...]


def days(series: Series, start: date, end: date, calendar: Calendar, now: datetime) -> Iterator[date]:
    """Trading days of [start, end] that have begun."""
    day = start
    last = min(end, now.astimezone(IST).date())
    while day <= last:
        session = calendar.session(series.exchange, day)
        if session is not None and session.opens <= now:
            yield day
        day += timedelta(days=1)


def is_running(exchange: str, day: date, calendar: Calendar, now: datetime) -> bool:
    """Whether bars of that day may still come or change."""
    session = calendar.session(exchange, day)
    return session is not None and now < session.closes + timedelta(seconds=SETTLE_S)


def chunks(
    series: Series,
    start: date,
    end: date,
    *,
    covered: Mapping[date, DayState],
    limits: Limits,
    calendar: Calendar,
    now: datetime,
    mode: Mode = Mode.MISSING,
) -> list[Chunk]:
    """The fewest calls that bring every needed day, oldest first; empty when nothing is missing.

    A day is needed when it was never asked for, or was still running when it was; a day that was asked for
    and had no bars is not. ``Mode.ALL`` needs every trading day.

    Raises:
        NotSupported: The broker does not have this interval or exchange.
    """
    limits.check(series)
    first = max(start, limits.oldest(series.interval, now.astimezone(IST).date()))
    needed = [
        day
        for day in days(series, first, end, calendar, now)
        if mode is Mode.ALL or covered.get(day, DayState.PARTIAL) is DayState.PARTIAL
    ]
    return list(_packed(needed, _reach(series, needed, limits, calendar)))


def _reach(series: Series, needed: Sequence[date], limits: Limits, calendar: Calendar) -> int:
    """Calendar days of one call."""
    most = limits.chunk_days[series.interval]
    session = calendar.session(series.exchange, needed[0]) if needed else None
    if series.interval == DAY or session is None:
        return most
    minutes = (session.closes - session.opens).total_seconds() / 60
    return max(1, min(most, int(MOST_BARS // minutes)))


def _packed(needed: Sequence[date], most_days: int) -> Iterator[Chunk]:
    """Each call starts at the first day still needed and takes all it can reach: no plan has fewer."""
    at = 0
    while at < len(needed):
        reach = needed[at].toordinal() + most_days - 1
        end = at
        while end + 1 < len(needed) and needed[end + 1].toordinal() <= reach:
            end += 1
        yield Chunk(needed[at], needed[end], tuple(needed[at : end + 1]))
        at = end + 1


def kept(
    bars: Bars, series: Series, chunk: Chunk, covered: Mapping[date, DayState], mode: Mode = Mode.MISSING
) -> Bars:
    """The bars of an answer that are wanted.

    Those of days already settled stay as they are stored, so that filling a gap from another broker does not
    rewrite its surroundings.
    """
    if mode is Mode.ALL:
        return bars
    wanted = set(chunk.days)
    settled = {day for day, state in covered.items() if state is not DayState.PARTIAL and day not in wanted}
    if not any(chunk.start <= day <= chunk.end for day in settled):
        return bars
    return Bars.of(row for row in bars.rows() if trading_date(row[0], series.interval) not in settled)


def outcome(
    bars: Bars, series: Series, chunk: Chunk, calendar: Calendar, now: datetime
) -> dict[date, DayState]:
    """What is known of each day of a chunk after its answer, asked for at ``now``.

    Days outside the calendar that had bars nevertheless (a special session it does not list) count as well.
    """
    had = {trading_date(ts, series.interval) for ts in bars.ts}
    found: dict[date, DayState] = {}
    for day in sorted({*chunk.days, *had}):
        if not chunk.start <= day <= chunk.end:
            continue
        if is_running(series.exchange, day, calendar, now):
            found[day] = DayState.PARTIAL
        else:
            found[day] = DayState.FULL if day in had else DayState.EMPTY
    return found
