"""Times as files write them -> epoch seconds UTC of a bar's opening. Pure.

Three styles, as OpenAlgo's import takes them: ``timestamp`` (epoch seconds or milliseconds), ``date`` with
``time``, ``datetime`` (ISO). A time without an offset is of the zone the caller states, IST unless said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.days import DAY_S
from historify.model import DAY

EARLIEST_S = 315_532_800
"""1980-01-01: older than any electronic market of India; a smaller number is in a wrong unit."""
_UNITS = ((10**11, 1), (10**14, 1_000), (10**17, 1_000_000), (10**20, 1_000_000_000))
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_COMPACT = re.compile(r"\d{8}")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (a naive day is counted from it)


class BadStamp(ValueError):
    """A time that cannot be read; says what was expected."""


def zone_of(name: str) -> tzinfo:
    """``Asia/Kolkata``, ``UTC``, ``+05:30``. Raises ``InvalidRequest``."""
    if name in ("Asia/Kolkata", "Asia/Calcutta", "IST"):
        return IST
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        if re.fullmatch(r"[+-]\d{2}:\d{2}", name):
            found = datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo
            assert found is not None
            return found
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InvalidRequest(
            f"zone '{name}' is unknown; expected a name such as Asia/Kolkata or UTC, or +05:30",
            fields={"zone": ["Not a time zone."]},
        ) from exc


class Stamps:
    """Reads times of one file. Remembers dates and times of day it has seen: they repeat.

    Args:
        zone: Of times without an offset.
        interval: ``D`` puts a bar on its trading date at 00:00 UTC.
    """

    def __init__(self, zone: tzinfo, interval: str) -> None:
        self._zone = zone
        self._daily = interval == DAY
        now = datetime(2000, 1, 1, tzinfo=zone).utcoffset()
        # India has not changed its clocks since 1945
        fixed = zone is IST or not isinstance(zone, ZoneInfo)
        self._offset_s = int(now.total_seconds()) if fixed and now is not None else None
        self._days: dict[str, int] = {}
        self._clocks: dict[str, int] = {}

    def one(self, value: Any, clock: Any = None) -> int:
        """One bar's opening. ``clock``: the time of day where it stands in a column of its own.

        Raises:
            BadStamp: Says what is wrong.
        """
        seconds = self._seconds(value, clock)
        if seconds < EARLIEST_S:
            raise BadStamp(f"'{value}' is before 1980; an epoch counts seconds or milliseconds since 1970")
        if not self._daily:
            if seconds % 60:
                raise BadStamp(
                    f"'{_shown(value, clock)}' is not a full minute; a bar carries its opening time"
                )
            return seconds
        return self._trading_day(seconds)

    def many(self, values: Sequence[Any], clocks: Sequence[Any] | None = None) -> Sequence[int]:
        """As ``one`` for whole columns. Raises ``ValueError`` for the first bad one, without saying which."""
        if self._offset_s is not None and isinstance(values[0], str):
            if clocks is None and len(values[0]) in (16, 19) and values[0][10] in " T":
                values, clocks = [value[:10] for value in values], [value[11:] for value in values]
            if clocks is not None and isinstance(clocks[0], str):
                return self._paired(values, clocks)
        if clocks is None:
            return [self.one(value) for value in values]
        return [self.one(value, clock) for value, clock in zip(values, clocks, strict=True)]

    def _paired(self, values: Sequence[str], clocks: Sequence[str]) -> Sequence[int]:
        """Two look-ups for each row. Raises ``BadStamp``."""
        days = {value: self._day(value.strip()) for value in set(values)}
        times = {clock: self._clock(clock) for clock in set(clocks)}
        if min(days.values()) < EARLIEST_S + DAY_S or (
            not self._daily and any(t % 60 for t in times.values())
        ):
            raise BadStamp("one of them")
        offset = self._offset_s or 0
        found = [days[value] + times[clock] - offset for value, clock in zip(values, clocks, strict=True)]
        return [self._trading_day(seconds) for seconds in found] if self._daily else found

    def _seconds(self, value: Any, clock: Any) -> int:
        if isinstance(value, str):
            value = value.strip()
            if clock is None and _NUMBER.fullmatch(value) and not _COMPACT.fullmatch(value):
                return _epoch(float(value) if "." in value else int(value))
            if clock is None and len(value) > 10:
                return self._text(value)
            return self._at(self._day(value), 0 if clock is None else self._clock(clock))
        if isinstance(value, datetime):
            return self._moment(value)
        if isinstance(value, date):
            day_s = (value.toordinal() - _EPOCH.toordinal()) * DAY_S
            return self._at(day_s, 0 if clock is None else self._clock(clock))
        if isinstance(value, int | float) and not isinstance(value, bool):
            if 19800101 <= value <= 29991231:
                return self._at(self._day(str(int(value))), 0 if clock is None else self._clock(clock))
            return _epoch(value)
        raise BadStamp("there is no time")

    def _text(self, value: str) -> int:
        head, tail = value[:10], value[11:]
        if value[10] in " T" and (_CLOCK.fullmatch(tail) or tail in self._clocks):
            return self._at(self._day(head), self._clock(tail))
        try:
            return self._moment(datetime.fromisoformat(value))
        except ValueError as exc:
            day, _, rest = value.partition(" ")
            if _CLOCK.fullmatch(rest):
                return self._at(self._day(day), self._clock(rest))
            raise BadStamp(
                f"'{value[:40]}' is no time; expected epoch seconds, YYYY-MM-DD HH:MM or DD-MM-YYYY HH:MM"
            ) from exc

    def _moment(self, at: datetime) -> int:
        if at.tzinfo is None:
            apart = at - _EPOCH
            return self._at(apart.days * DAY_S, apart.seconds)
        return int(at.timestamp())

    def _at(self, day_s: int, clock_s: int) -> int:
        """A day and the seconds after its midnight, both of the stated zone."""
        if self._offset_s is not None:
            return day_s + clock_s - self._offset_s
        local = _EPOCH + timedelta(seconds=day_s + clock_s)
        return int(local.replace(tzinfo=self._zone).timestamp())

    def _day(self, text: str) -> int:
        """Seconds from 1970-01-01 to a date, as if both were UTC."""
        found = self._days.get(text)
        if found is None:
            if len(self._days) > 50_000:
                self._days.clear()
            found = self._days[text] = (_day_of(text) - _EPOCH).days * DAY_S
        return found

    def _clock(self, value: Any) -> int:
        if isinstance(value, time):
            return value.hour * 3600 + value.minute * 60 + value.second
        if isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:04d}" if value < 10_000 else f"{value:06d}"
        if not isinstance(value, str):
            raise BadStamp("there is no time of day")
        found = self._clocks.get(value)
        if found is None:
            if len(self._clocks) > 90_000:
                self._clocks.clear()
            found = self._clocks[value] = _clock_of(value.strip())
        return found

    def _trading_day(self, seconds: int) -> int:
        """00:00 UTC of the trading date; a bar at 00:00 of the stated zone and one at 00:00 UTC are equal."""
        if seconds % DAY_S == 0:
            return seconds
        if self._offset_s is not None:
            return (seconds + self._offset_s) // DAY_S * DAY_S
        local = datetime.fromtimestamp(seconds, self._zone)
        return (local.replace(tzinfo=None) - _EPOCH).days * DAY_S


def _epoch(number: float) -> int:
    for limit, unit in _UNITS:
        if abs(number) < limit:
            return int(number // unit)
    raise BadStamp(f"{number} is no epoch")


def _day_of(text: str) -> datetime:
    try:
        if match := _DAY_FIRST.fullmatch(text):
            return datetime(int(match[3]), int(match[2]), int(match[1]))  # noqa: DTZ001 (zone stated apart)
        if _COMPACT.fullmatch(text) or len(text) == 10:
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise BadStamp(f"'{text[:40]}' is no date; expected YYYY-MM-DD or DD-MM-YYYY")


def _clock_of(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match:
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    elif text.isdigit() and len(text) in (4, 6):
        hour, minute, second = int(text[:2]), int(text[2:4]), int(text[4:] or 0)
    else:
        hour = minute = second = -1
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise BadStamp(f"'{text[:40]}' is no time of day; expected HH:MM or HH:MM:SS")
    return hour * 3600 + minute * 60 + second


def _shown(value: Any, clock: Any) -> str:
    return f"{value}" if clock is None else f"{value} {clock}"
