"""Which column of a file means what, and a block of its rows as bars. Pure.

Header names count in any case, with or without ``<>``; what is not known is ignored.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from brokers.errors import InvalidRequest
from brokers.model import Exchange
from historify.model import STORED
from historify.portable.stamps import BadStamp, Stamps

NAMES: Mapping[str, str] = {
    **dict.fromkeys(("timestamp", "epoch", "unix", "ts"), "timestamp"),
    **dict.fromkeys(("datetime", "date_time", "date time"), "datetime"),
    "date": "date",
    "time": "time",
    **dict.fromkeys(("open", "o"), "open"),
    **dict.fromkeys(("high", "h"), "high"),
    **dict.fromkeys(("low", "l"), "low"),
    **dict.fromkeys(("close", "c"), "close"),
    **dict.fromkeys(("volume", "vol", "v"), "volume"),
    **dict.fromkeys(("oi", "open_interest", "openinterest", "open interest"), "oi"),
    **dict.fromkeys(("symbol", "ticker"), "symbol"),
    "exchange": "exchange",
    **dict.fromkeys(("interval", "timeframe"), "interval"),
}
INTERVALS: Mapping[str, str] = {
    **dict.fromkeys(("1m", "1min", "minute", "1minute"), "1m"),
    **dict.fromkeys(("d", "1d", "day", "daily"), "D"),
}
PRICES = ("open", "high", "low", "close")
COUNTS = ("volume", "oi")
EXCHANGES = frozenset(str(exchange) for exchange in Exchange)


class Style(StrEnum):
    """How a file writes its times."""

    TIMESTAMP = "timestamp"
    DATE_TIME = "date+time"
    DATETIME = "datetime"
    DATE = "date"


Key = tuple[str, str, str]
"""``exchange, symbol, interval`` of a row."""
Columns: TypeAlias = "tuple[array[float], array[float], array[float], array[float], array[int], array[int]]"
"""``open, high, low, close, volume, oi``."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One bad value. ``line`` counts from 1 with the header (Parquet: the row's number from 1)."""

    line: int
    column: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.why}"


@dataclass(frozen=True, slots=True)
class Layout:
    """``places``: our name of a column -> its number in the file."""

    style: Style
    places: Mapping[str, int]


def layout_of(header: Sequence[str]) -> Layout:
    """Raises ``InvalidRequest`` naming what is missing or stands twice."""
    places: dict[str, int] = {}
    for number, name in enumerate(header):
        ours = NAMES.get(name.strip().strip("<>").strip().lower())
        if ours is None:
            continue
        if ours in places:
            raise InvalidRequest(
                f"two columns mean {ours}: '{header[places[ours]]}' and '{name}'; leave one out",
                fields={ours: ["Two columns mean this."]},
            )
        places[ours] = number
    missing = [name for name in PRICES if name not in places]
    style = _style(places)
    if style is None:
        missing.insert(0, "timestamp, datetime, or date (with time)")
    if missing or style is None:
        shown = ", ".join(header[:12])[:200]
        raise InvalidRequest(
            f"columns missing: {'; '.join(missing)}. The file has: {shown}",
            fields={name: ["This column is missing."] for name in missing},
        )
    return Layout(style, places)


def _style(places: Mapping[str, int]) -> Style | None:
    if "timestamp" in places:
        return Style.TIMESTAMP
    if "datetime" in places:
        return Style.DATETIME
    if "date" in places:
        return Style.DATE_TIME if "time" in places else Style.DATE
    return None


def interval_of(text: str) -> str | None:
    """``1m`` or ``D`` for what people write; None for any other."""
    return text if text in STORED else INTERVALS.get(text.strip().lower())


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file as columns by our names, equally long. ``wrong``: why none can be read."""

    first_line: int
    columns: Mapping[str, Sequence[Any]]
    wrong: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True, slots=True)
class Parsed:
    """The good rows of a block, in the file's order; ``keys``: of each row, or of all rows when it is one."""

    ts: Sequence[int]
    values: Columns
    keys: Sequence[Key]
    errors: Sequence[RowError]
    bad: int


class Reader:
    """Turns blocks into bars.

    Args:
        stamps: By interval.
        exchange, symbol, interval: Of every row; an empty one stands in a column.
        latest_s: A bar that opens later is refused: nobody knows the future.
    """

    def __init__(
        self,
        layout: Layout,
        stamps: Mapping[str, Stamps],
        *,
        exchange: str,
        symbol: str,
        interval: str,
        latest_s: int,
    ) -> None:
        self._style = layout.style
        self._stamps = stamps
        self._given = (exchange, symbol, interval)
        self._latest_s = latest_s
        self._checked: dict[Key, RowError | None] = {}

    def parse(self, block: Block) -> Parsed:
        """All rows at once where all are good; else one by one, to say which is not."""
        if block.wrong:
            errors = [RowError(block.first_line, "row", block.wrong)]
            return Parsed((), _empty(), (), errors, len(block))
        key = self._common(block)
        if key is not None and self._check(key) is None:
            try:
                return self._fast(block, key)
            except (ValueError, TypeError, OverflowError):
                pass
        return self._slow(block)

    def _common(self, block: Block) -> Key | None:
        """The series all rows are of, None when they are of several."""
        for given, name in zip(self._given, _KEY, strict=True):
            if not given and len(set(block.columns[name])) > 1:
                return None
        return self._key(block.columns, 0)

    def _fast(self, block: Block, key: Key) -> Parsed:
        """Raises ``ValueError`` when any row is bad."""
        columns, length = block.columns, len(block)
        first, clocks = self._times(columns)
        ts = self._stamps[key[2]].many(first, clocks)
        opens, highs, lows, closes = (array("d", map(float, columns[name])) for name in PRICES)
        volumes, ois = (
            _counts(columns[name]) if name in columns else array("q", bytes(8 * length)) for name in COUNTS
        )
        if max(ts) > self._latest_s or min(volumes) < 0 or min(ois) < 0:
            raise ValueError
        for low, open_, close, high in zip(lows, opens, closes, highs, strict=True):
            if not (0 < low <= open_ <= high and low <= close <= high < math.inf):
                raise ValueError
        return Parsed(ts, (opens, highs, lows, closes, volumes, ois), (key,), (), 0)

    def _slow(self, block: Block) -> Parsed:
        columns = block.columns
        first, clocks = self._times(columns)
        ts: list[int] = []
        keys: list[Key] = []
        values = _empty()
        errors: list[RowError] = []
        bad = 0
        for number in range(len(block)):
            line = block.first_line + number
            key = self._key(columns, number)
            found: list[RowError] = []
            wrong = self._check(key)
            if wrong is not None:
                found.append(RowError(line, wrong.column, wrong.why))
            at = self._stamp(line, key[2], first[number], None if clocks is None else clocks[number], found)
            prices = [_price(line, name, columns[name][number], found) for name in PRICES]
            counts = [
                _count(line, name, columns[name][number], found) if name in columns else 0 for name in COUNTS
            ]
            if not found:
                _sane(line, prices, found)
            if found:
                bad += 1
                errors += found
                continue
            ts.append(at)
            keys.append(key)
            for price, value in zip(values[:4], prices, strict=True):
                price.append(value)
            for count, number_of in zip(values[4:], counts, strict=True):
                count.append(number_of)
        return Parsed(ts, values, keys, errors, bad)

    def _times(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Sequence[Any], Sequence[Any] | None]:
        if self._style is Style.TIMESTAMP:
            return columns["timestamp"], None
        if self._style is Style.DATETIME:
            return columns["datetime"], None
        return columns["date"], columns.get("time")

    def _stamp(self, line: int, interval: str, value: Any, clock: Any, found: list[RowError]) -> int:
        column = {Style.TIMESTAMP: "timestamp", Style.DATETIME: "datetime"}.get(self._style, "date")
        try:
            at = self._stamps.get(interval, self._stamps["1m"]).one(value, clock)
        except (BadStamp, ValueError, OverflowError) as exc:
            why = str(exc) if isinstance(exc, BadStamp) else f"'{str(value)[:40]}' is no time"
            found.append(RowError(line, column, why))
            return 0
        if at > self._latest_s:
            found.append(RowError(line, column, f"'{str(value)[:40]}' lies in the future"))
        return at

    def _key(self, columns: Mapping[str, Sequence[Any]], number: int) -> Key:
        given = [
            given or str(columns[name][number] or "").strip()
            for given, name in zip(self._given, _KEY, strict=True)
        ]
        return given[0].upper(), given[1], interval_of(given[2]) or given[2]

    def _check(self, key: Key) -> RowError | None:
        """What is wrong with a series' name; remembered, since millions of rows have the same."""
        if key not in self._checked:
            self._checked[key] = _wrong(key)
            if len(self._checked) > 100_000:
                self._checked = {key: self._checked[key]}
        return self._checked[key]


_KEY = ("exchange", "symbol", "interval")


def _empty() -> Columns:
    return (array("d"), array("d"), array("d"), array("d"), array("q"), array("q"))


def _wrong(key: Key) -> RowError | None:
    exchange, symbol, interval = key
    if exchange not in EXCHANGES:
        return RowError(0, "exchange", f"'{exchange[:20]}' is not an exchange")
    if not symbol or len(symbol) > 100 or not symbol.isprintable():
        return RowError(0, "symbol", "a symbol has 1 to 100 printable characters")
    if interval not in STORED:
        what = f"'{interval[:20]}' is not kept: 1m and D are, all others are computed from them"
        return RowError(0, "interval", what)
    return None


def _price(line: int, name: str, value: Any, found: list[RowError]) -> float:
    try:
        price = float(value)
    except (ValueError, TypeError):
        found.append(RowError(line, name, _not_a(value, "number")))
        return 0.0
    if not 0 < price < math.inf:
        found.append(RowError(line, name, f"{str(value)[:40]} is not a price above 0"))
    return price


def _counts(column: Sequence[Any]) -> array[int]:
    """Raises ``ValueError`` when any is not a whole number."""
    if isinstance(column[0], str | int):
        try:
            return array("q", map(int, column))
        except (ValueError, TypeError):
            pass  # "12.0" and empty ones
    floats = [0.0 if value is None or value == "" else float(value) for value in column]
    if not all(map(float.is_integer, floats)):
        raise ValueError
    return array("q", map(int, floats))


def _count(line: int, name: str, value: Any, found: list[RowError]) -> int:
    if value is None or value == "":
        return 0
    try:
        number = float(value)
        if number.is_integer() and 0 <= number < 2**62:
            return int(number)
        found.append(RowError(line, name, f"{str(value)[:40]} is not a whole number of 0 or more"))
    except (ValueError, TypeError, OverflowError):
        found.append(RowError(line, name, _not_a(value, "number")))
    return 0


def _sane(line: int, prices: Sequence[float], found: list[RowError]) -> None:
    open_, high, low, close = prices
    if high < max(open_, close, low):
        found.append(RowError(line, "high", f"{high:g} is below open, low or close"))
    if low > min(open_, close):
        found.append(RowError(line, "low", f"{low:g} is above open or close"))


def _not_a(value: Any, what: str) -> str:
    return f"'{str(value)[:40]}' is not a {what}" if value not in (None, "") else "empty"
