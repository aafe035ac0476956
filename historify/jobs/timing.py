"""When a schedule is due. Pure: the time is handed in.

Due times lie on a fixed raster (the day's ``at``, or the window's start plus a multiple of ``every_s``), so
that every process computes the same ones and a run is known by its due time.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import Exchange
from historify.jobs.model import Schedule
from historify.model import STORED

SHORTEST_S = 60
LOOK_AHEAD_DAYS = 15
LONGEST_LOOKBACK = 365


def check(spec: Schedule) -> None:
    """Raises ``InvalidRequest`` naming every bad field."""
    wrong: dict[str, object] = {}
    if bool(spec.watchlist) == bool(spec.keys):
        wrong["watchlist"] = ["Either a watchlist or symbols."]
    if bool(spec.every_s) == bool(spec.at):
        wrong["at"] = ["Either a time of day (HH:MM) or an interval."]
    if spec.every_s and not SHORTEST_S <= spec.every_s <= 86_400:
        wrong["every"] = ["Between one minute and 24 hours."]
    if spec.at and _clock(spec.at) is None:
        wrong["at"] = [f"{spec.at} is not HH:MM."]
    if spec.window is not None:
        first, last = map(_clock, spec.window)
        if first is None or last is None or first >= last:
            wrong["window"] = ["Two times HH:MM, the first one before the second."]
    if not spec.days or any(day not in range(7) for day in spec.days):
        wrong["days"] = ["Weekdays 0 (Monday) to 6."]
    if not 0 <= spec.lookback_days <= LONGEST_LOOKBACK:
        wrong["lookback_days"] = [f"Between 0 and {LONGEST_LOOKBACK}."]
    if not spec.intervals or any(each not in STORED for each in spec.intervals):
        wrong["intervals"] = [f"Some of {', '.join(STORED)}."]
    if spec.exchange not in set(Exchange):
        wrong["exchange"] = [f"One of {', '.join(Exchange)}."]
    if wrong:
        raise InvalidRequest(f"schedule {spec.name}: wrong {', '.join(wrong)}", fields=wrong)


def due(spec: Schedule, now: datetime, calendar: Calendar) -> datetime | None:
    """The newest due time of today that has come, None when there was none yet.

    A process that was down misses earlier due times for good: one pull catches up with all of them, since
    it looks at what is missing.
    """
    today = now.astimezone(IST).date()
    past = [at for at in _times(spec, today, calendar) if at <= now]
    return past[-1] if past and spec.enabled else None


def upcoming(spec: Schedule, now: datetime, calendar: Calendar) -> datetime | None:
    """The next due time, None when there is none within two weeks or the schedule is off."""
    if not spec.enabled:
        return None
    today = now.astimezone(IST).date()
    for ahead in range(LOOK_AHEAD_DAYS):
        for at in _times(spec, today + timedelta(days=ahead), calendar):
            if at > now:
                return at
    return None


def _times(spec: Schedule, on: date, calendar: Calendar) -> list[datetime]:
    if on.weekday() not in spec.days:
        return []
    session = calendar.session(spec.exchange, on) if spec.market else None
    if spec.market and session is None:
        return []
    if spec.at:
        return [datetime.combine(on, _clock(spec.at) or time(0), IST)]
    opens = datetime.combine(on, time(0), IST)
    closes = opens + timedelta(days=1)
    if session is not None:
        opens, closes = session.opens, session.closes
    if spec.window is not None:
        first, last = map(_clock, spec.window)
        opens = max(opens, datetime.combine(on, first or time(0), IST))
        closes = min(closes, datetime.combine(on, last or time(0), IST))
    found = []
    while opens < closes:
        found.append(opens)
        opens += timedelta(seconds=spec.every_s)
    return found


def _clock(text: str) -> time | None:
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day
    except ValueError:
        return None
