"""Where a session lies on the millisecond axis, and where an instant lies in a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from brokers.calendar import Calendar
from brokers.sim.exchange.path import STEPS

STEP_MS = 250
"""Grid of the price path: nothing changes between two steps."""
MINUTE_MS = 60_000
DAY_MS = 86_400_000
IST_MS = 19_800_000
EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_BREAK_DAYS = 30
_DERIVATIVES = {"NSE": "NFO", "BSE": "BFO"}


def to_ms(at: datetime) -> int:
    """Milliseconds since the Unix epoch, rounded down."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


@dataclass(frozen=True, slots=True)
class Grid:
    """One session of an underlying.

    Attributes:
        day: Days since 1970-01-01, IST.
        minutes: Length including the time only its derivatives trade.
        settle_minutes: Length of the underlying's own session.
        previous: Day of the session before.
    """

    day: int
    opens_ms: int
    minutes: int
    settle_minutes: int
    previous: int


@dataclass(frozen=True, slots=True)
class Place:
    """An instant within a session: its minute and the 250 ms step in it."""

    grid: Grid
    minute: int
    step: int

    @property
    def ms(self) -> int:
        return self.grid.opens_ms + self.minute * MINUTE_MS + self.step * STEP_MS


class Sessions:
    """Sessions of ``NSE`` and ``BSE`` underlyings by day, from a calendar."""

    def __init__(self, hours: Calendar) -> None:
        self._hours = hours
        self._grids: dict[tuple[str, int], Grid | None] = {}

    def grid(self, family: str, day: int) -> Grid | None:
        """The session of ``NSE`` or ``BSE`` on a day; None when closed."""
        key = (family, day)
        if key not in self._grids:
            self._grids[key] = self._make(family, day)
        return self._grids[key]

    def _make(self, family: str, day: int) -> Grid | None:
        on = EPOCH_DAY + timedelta(days=day)
        own = self._hours.session(family, on)
        if own is None:
            return None
        derivatives = self._hours.session(_DERIVATIVES[family], on) or own
        settle = (own.closes - own.opens) // timedelta(minutes=1)
        longest = (max(own.closes, derivatives.closes) - own.opens) // timedelta(minutes=1)
        return Grid(day, to_ms(own.opens), longest, settle, self._before(family, on))

    def _before(self, family: str, on: date) -> int:
        for back in range(1, _LONGEST_BREAK_DAYS):
            if self._hours.session(family, on - timedelta(days=back)) is not None:
                return (on - EPOCH_DAY).days - back
        return (on - EPOCH_DAY).days - 1

    def place(self, family: str, derivative: bool, ms: int) -> Place:
        """Where an instant lies; while closed, the last step of the session before."""
        day = (ms + IST_MS) // DAY_MS
        grid = self.grid(family, day)
        while grid is None or ms < grid.opens_ms:
            day -= 1
            grid = self.grid(family, day)
        length = grid.minutes if derivative else grid.settle_minutes
        minute, rest = divmod(ms - grid.opens_ms, MINUTE_MS)
        if minute >= length:
            return Place(grid, length - 1, STEPS - 1)
        return Place(grid, minute, rest // STEP_MS)

    def is_open(self, family: str, derivative: bool, ms: int) -> bool:
        grid = self.grid(family, (ms + IST_MS) // DAY_MS)
        if grid is None:
            return False
        length = grid.minutes if derivative else grid.settle_minutes
        return 0 <= ms - grid.opens_ms < length * MINUTE_MS
