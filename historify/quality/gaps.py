"""Days and parts of sessions that are not there. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from brokers.calendar import Calendar, Session
from brokers.clock import IST
from historify.days import DAY_S, day_bounds, trading_date
from historify.model import DAY, MINUTE, Bars, DayState, Series
from historify.quality.findings import Finding, Kind
from historify.quality.habits import DAILY_EVERY_DAY, class_of, longest_usual, silences


@dataclass(frozen=True, slots=True)
class Days:
    """The bars of one series cut into trading days: ``spans[day]`` is ``[low, high)`` in its columns."""

    series: Series
    bars: Bars
    spans: Mapping[date, tuple[int, int]]


def cut(series: Series, bars: Bars) -> Days:
    spans: dict[date, tuple[int, int]] = {}
    low = 0
    while low < len(bars):
        day = trading_date(bars.ts[low], series.interval)
        high = bisect_left(bars.ts, day_bounds(series.interval, day, day)[1], low)
        spans[day] = (low, high)
        low = high
    return Days(series, bars, spans)


def missing_days(
    days: Days,
    calendar: Calendar,
    coverage: Mapping[date, DayState],
    first: date,
    last: date,
    *,
    newest: date | None = None,
    traded: frozenset[date] | None = None,
) -> Iterator[Finding]:
    """Trading days from first to last without bars, and days pulled before they were over.

    A day that was asked and had none is no gap. Days in a row make one finding.

    Args:
        newest: The day that may still be running.
        traded: Days on which some series of the exchange has bars. Where the calendar's list of holidays
            does not reach, a weekday nobody has bars of was one. None: trust the calendar.
    """
    series = days.series
    every_day = class_of(series.exchange, series.symbol) in DAILY_EVERY_DAY
    gone: list[date] = []
    unfinished: list[date] = []
    for day in _dates(first, last):
        if calendar.session(series.exchange, day) is None:
            continue
        state = coverage.get(day)
        if day in days.spans:
            if state is DayState.PARTIAL and day != newest:
                unfinished.append(day)
            continue
        if state is DayState.EMPTY or (traded is not None and day not in traded):
            continue
        if state is DayState.FULL and not every_day:
            continue
        gone.append(day)
    for kind, found in ((Kind.MISSING_DAY, gone), (Kind.UNFINISHED_DAY, unfinished)):
        for start, end, count in _runs(found, series.exchange, calendar):
            what = "no bars" if kind is Kind.MISSING_DAY else "pulled while it was running"
            yield Finding(series, kind, start, end, f"{count} trading day(s): {what}", count)


def missing_parts(days: Days, calendar: Calendar, *, running: date | None = None) -> Iterator[Finding]:
    """Stretches of sessions without minute bars, by the instrument's class and its own habits.

    Args:
        running: The day that was not over when it was pulled: what comes after its last bar is not missing.
    """
    series = days.series
    if series.interval != MINUTE:
        return
    found = {}
    for day, (low, high) in days.spans.items():
        session = calendar.session(series.exchange, day)
        if session is not None:
            minutes, length = _minutes(days.bars.ts, low, high, session)
            known = minutes[-1] + 1 if day == running and minutes else length
            found[day] = (session, silences(minutes, known))
    longest = [max((one.minutes for one in quiet), default=0) for _, quiet in found.values()]
    limit = longest_usual(longest, class_of(series.exchange, series.symbol))
    for day, (session, quiet) in found.items():
        long = [one for one in quiet if one.minutes >= limit]
        if long:
            gone = sum(one.minutes for one in long)
            told = ", ".join(
                f"{_clock(session, one.start_min)}-{_clock(session, one.start_min + one.minutes)}"
                for one in long[:5]
            )
            yield Finding(series, Kind.MISSING_PART, day, day, f"{gone} minutes without a bar: {told}", gone)


def off_session(days: Days, calendar: Calendar) -> Iterator[Finding]:
    """Bars on a day the calendar calls closed, and minute bars before the open or after the close."""
    series = days.series
    for day, (low, high) in days.spans.items():
        session = calendar.session(series.exchange, day)
        if session is None:
            yield Finding(series, Kind.OFF_SESSION, day, day, "the calendar has no session", high - low)
        elif series.interval != DAY:
            opens, closes = int(session.opens.timestamp()), int(session.closes.timestamp())
            outside = high - low - _inside(days.bars.ts, low, high, opens, closes)
            if outside:
                hours = f"{session.opens:%H:%M}-{session.closes:%H:%M}"
                yield Finding(series, Kind.OFF_SESSION, day, day, f"{outside} bars outside {hours}", outside)


def repeated_days(days: Days) -> Iterator[Finding]:
    """Days whose bars equal those of the day before: yesterday's, answered under today's date."""
    series, bars = days.series, days.bars
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    before: tuple[int, int] | None = None
    for day, (low, high) in days.spans.items():
        if before is not None and high - low == before[1] - before[0] >= MOST_ALIKE:
            alike = all(column[low:high] == column[before[0] : before[1]] for column in columns)
            if alike and any(bars.volume[low:high]):
                told = f"its {high - low} bars equal the day before"
                yield Finding(series, Kind.REPEATED_DAY, day, day, told, high - low)
        before = (low, high)


MOST_ALIKE = 10
"""So many bars in a row are never alike by chance."""


def _minutes(ts: array[int], low: int, high: int, session: Session) -> tuple[list[int], int]:
    opens = int(session.opens.timestamp())
    length = int((session.closes - session.opens).total_seconds()) // 60
    return [minute for at in ts[low:high] if 0 <= (minute := (at - opens) // 60) < length], length


def _inside(ts: array[int], low: int, high: int, opens: int, closes: int) -> int:
    return bisect_left(ts, closes, low, high) - bisect_left(ts, opens, low, high)


def _dates(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _runs(found: Sequence[date], exchange: str, calendar: Calendar) -> Iterator[tuple[date, date, int]]:
    """Days in a row, closed ones between them left out of the count."""
    run: list[date] = []
    for day in found:
        if run and any(
            calendar.session(exchange, between) for between in _dates(run[-1] + timedelta(days=1), day - _DAY)
        ):
            yield run[0], run[-1], len(run)
            run = []
        run.append(day)
    if run:
        yield run[0], run[-1], len(run)


_DAY = timedelta(seconds=DAY_S)


def _clock(session: Session, minute: int) -> str:
    at: datetime = session.opens.astimezone(IST) + timedelta(minutes=minute)
    return f"{at:%H:%M}"
