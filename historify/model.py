"""Values of the market-data store. Standard library only: every process of the product imports this.

Times are epoch seconds UTC of a bar's opening; a daily bar carries its trading date at 00:00 UTC (OpenAlgo's
convention, as ``brokers.model.Candle``). Prices are rupees as the exchange printed them, unadjusted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

MINUTE = "1m"
DAY = "D"
STORED = (MINUTE, DAY)
INTRADAY = ("1m", "3m", "5m", "10m", "15m", "30m", "1h", "2h", "4h")
LONG = ("D", "W", "M", "Q", "Y")
INTERVALS = (*INTRADAY, *LONG)
"""All that ``BarStore.get`` answers: 1m and D are stored, the others computed."""

Row = tuple[int, float, float, float, float, int, int]
"""``ts, open, high, low, close, volume, oi``."""


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One instrument at one stored interval (``1m`` or ``D``): what is pulled, kept and counted."""

    exchange: str
    symbol: str
    interval: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol} {self.interval}"


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one series as columns of equal length, ascending and unique by ``ts``.

    The arrays have the buffer layout Arrow uses (``q`` int64, ``d`` float64), so a batch costs no copy on its
    way into a Parquet file. Treat them as read-only.
    """

    ts: array[int] = field(default_factory=lambda: array("q"))
    open: array[float] = field(default_factory=lambda: array("d"))
    high: array[float] = field(default_factory=lambda: array("d"))
    low: array[float] = field(default_factory=lambda: array("d"))
    close: array[float] = field(default_factory=lambda: array("d"))
    volume: array[int] = field(default_factory=lambda: array("q"))
    oi: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.ts)

    def rows(self) -> Iterator[Row]:
        """Ascending by ``ts``, in the order of ``Row``."""
        return zip(self.ts, self.open, self.high, self.low, self.close, self.volume, self.oi, strict=True)

    @classmethod
    def of(cls, rows: Iterable[Sequence[float | int]]) -> Bars:
        """From rows in any order; of two with the same ``ts`` the later one stays."""
        latest = {int(row[0]): row for row in rows}
        ordered = [latest[ts] for ts in sorted(latest)]
        if not ordered:
            return cls()
        ts, opens, highs, lows, closes, volumes, ois = zip(*ordered, strict=True)
        return cls(
            array("q", map(int, ts)),
            array("d", opens),
            array("d", highs),
            array("d", lows),
            array("d", closes),
            array("q", map(int, volumes)),
            array("q", map(int, ois)),
        )


@dataclass(frozen=True, slots=True)
class BarRequest:
    """What a reader asks for; both dates inclusive, of the exchange's trading days (IST).

    Attributes:
        interval: One of ``INTERVALS``.
        adjusted: Apply the imported splits and bonuses.
    """

    exchange: str
    symbol: str
    interval: str
    start: date
    end: date
    adjusted: bool = False


class DayState(StrEnum):
    """What is known of one trading day of one series."""

    FULL = "full"
    EMPTY = "empty"
    """Asked, and the broker had none: not a gap."""
    PARTIAL = "partial"
    """Asked while the day was still running; asked again by the next pull."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a batch came from.

    Attributes:
        source: A broker's name, ``import`` or ``migration``.
        job: Id of the download job; None for an import.
        at_s: Epoch seconds of the answer.
    """

    source: str
    at_s: int
    job: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one answer brought for one series.

    Attributes:
        covered: Days the answer was asked for, also those that had no bars.
    """

    series: Series
    bars: Bars
    provenance: Provenance
    covered: Mapping[date, DayState] | None = None


@dataclass(frozen=True, slots=True)
class PutReport:
    """What a ``put`` changed: a second identical ``put`` reports ``added=0, changed=0``."""

    rows: int
    added: int
    changed: int


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One stored series; ``first_ts``/``last_ts`` are epoch seconds of its first and last bar."""

    series: Series
    first_ts: int
    last_ts: int
    rows: int
    bytes: int
    updated_at_s: int
    source: str
