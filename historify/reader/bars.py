"""``Reader``: bars of the segments. Needs no lock and no puller, and writes nothing."""

from __future__ import annotations

import importlib
import threading
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from brokers.calendar import Calendar
from brokers.errors import InvalidRequest
from historify import tail
from historify.control import Control
from historify.days import day_start, shift_s, trading_date
from historify.errors import QueryLimit, StoreDamaged, WrongInterval
from historify.model import STORED, BarRequest, Bars, Series
from historify.reader import actions, futures, intervals, query
from historify.reader.failure import ReadFailed
from historify.reader.limits import Limits
from historify.segments import damage, manifest
from historify.segments.manifest import Segment

if TYPE_CHECKING:
    from historify.reader.engine import Engine

KINDS = "qddddqq"
REMEMBERED = 20_000
"""Files whose content was checked; beyond it all are checked anew."""

T = TypeVar("T")


class _Unreadable(Exception):
    """Files of one query do not give their bars: gone since the manifest was read, or damaged."""

    def __init__(self, segments: Sequence[Segment], said: str) -> None:
        super().__init__(said)
        self.segments = segments


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bars with ``lo <= ts < hi`` of some segments of one series."""

    segments: tuple[Segment, ...]
    lo: int
    hi: int


class Reader:
    """Bars as ``BarStore.get`` and ``latest`` promise them. Thread-safe.

    DuckDB is imported and made at the first question that needs it: an api process nobody asks for history
    keeps its 50 MB and a tenth of a second of its start. Hence ``importlib``.

    Args:
        control: The store's manifest.
        root: ``historify.d``, which the manifest's paths are relative to.
        calendar: Gives the session opens that intraday bars are aligned to.
    """

    def __init__(
        self, control: Control, root: Path, calendar: Calendar, *, limits: Limits | None = None
    ) -> None:
        self._control = control
        self._root = root.absolute()
        self._calendar = calendar
        self._limits = limits or Limits()
        self._guard = threading.Lock()
        self._made: Engine | None = None
        self._checked: set[str] = set()

    def get(self, request: BarRequest) -> Bars:
        """Bars of one instrument, ascending.

        ``NIFTY-I`` (``-II``, ``-III``) is the chain of the stored futures of ``NIFTY``, unless there are bars
        of that very name. A bar longer than a day is whole at its start and ends with ``request.end`` at the
        latest. ``adjusted`` does nothing to instruments without imported splits or bonuses.

        Raises:
            WrongInterval: None the store keeps or computes.
            InvalidRequest: The dates are reversed.
            StoreDamaged: A segment is missing or not what was published; the message names series and range.
            QueryLimit: It takes more time or memory than ``Limits`` allow.
        """
        intervals.stored(request.interval)
        if request.end < request.start:
            raise InvalidRequest(f"the range ends ({request.end}) before it starts ({request.start})")
        return self._twice(lambda: self._get(request))

    def latest(self, keys: Sequence[tuple[str, str]], interval: str) -> Mapping[tuple[str, str], Bars]:
        """The last stored day of each ``(exchange, symbol)``; keys without bars are left out.

        Raises:
            WrongInterval: Not ``1m`` or ``D``.
            StoreDamaged, QueryLimit: As ``get``.
        """
        if interval not in STORED:
            raise WrongInterval(f"interval {interval!r}: the last day is kept of {' and '.join(STORED)}")
        return self._twice(lambda: self._latest(keys, interval))

    def close(self) -> None:
        """Free DuckDB's memory; a later question makes it anew."""
        with self._guard:
            made, self._made = self._made, None
        if made:
            made.close()

    def _get(self, request: BarRequest) -> Bars:
        base = intervals.stored(request.interval)
        lo, hi = intervals.span(request.interval, request.start, request.end)
        factors: list[actions.Factor] = []
        with self._control.read() as connection:
            series = Series(request.exchange, request.symbol, base)
            found = manifest.segments(connection, series, lo, hi)
            pieces = [_Piece(tuple(found), lo, hi)]
            if not found and (chained := futures.parse(request.symbol)):
                pieces = self._chain(connection, request, chained, (lo, hi))
            if request.adjusted:
                factors = _factors(connection, series)
        pieces = [piece for piece in pieces if piece.segments]
        if not pieces:
            return Bars()
        segments = [one for piece in pieces for one in piece.segments]
        self._check(segments)
        first = trading_date(max(segments[0].lo, pieces[0].lo), base)
        last = trading_date(min(segments[-1].hi, hi - 1), base)
        bucket = intervals.bucket(request.interval, self._calendar, request.exchange, first, last)
        parts = [query.Part(self._paths(piece.segments), piece.lo, piece.hi) for piece in pieces]
        return Bars(*self._columns(query.bars(parts, bucket, factors), KINDS, segments))

    def _chain(
        self, connection: Any, request: BarRequest, chained: tuple[str, int], span: tuple[int, int]
    ) -> list[_Piece]:
        base = intervals.stored(request.interval)
        first, last = (trading_date(ts, base) for ts in (span[0], span[1] - 1))
        names = [
            row[0]
            for row in connection.execute(
                "SELECT symbol FROM series WHERE exchange = ? AND interval = ? AND symbol GLOB ?",
                (request.exchange, base, f"{chained[0]}[0-9]*FUT"),
            )
        ]
        pieces = []
        for stretch in futures.chain(names, *chained, request.exchange, first, last):
            lo, hi = intervals.span(base, stretch.first, stretch.last)
            series = Series(request.exchange, stretch.symbol, base)
            pieces.append(_Piece(tuple(manifest.segments(connection, series, lo, hi)), lo, hi))
        return pieces

    def _latest(self, keys: Sequence[tuple[str, str]], interval: str) -> dict[tuple[str, str], Bars]:
        with self._control.read() as connection:
            found = tail.read(connection, keys, interval)
            missing = [key for key in keys if key not in found]
            ends = manifest.last_segments(connection, interval) if missing else {}
        by_day: defaultdict[int, list[Segment]] = defaultdict(list)
        for key in missing:
            if key in ends:
                by_day[day_start(ends[key].hi, interval)].append(ends[key])
        for start, segments in by_day.items():
            found.update(self._last_days(segments, start))
        return found

    def _last_days(self, segments: Sequence[Segment], start: int) -> dict[tuple[str, str], Bars]:
        self._check(
            segments, content=False
        )  # 500 files: a checksum of each would take longer than the answer
        *columns, file = self._columns(query.since(self._paths(segments), start), KINDS + "q", segments)
        cuts = [bisect_left(file, number) for number in range(len(segments) + 1)]
        if any(low == high for low, high in pairwise(cuts)):
            raise _Unreadable(segments, "a file holds no bar of the day the manifest gives for its last one")
        return {
            (one.series.exchange, one.series.symbol): Bars(*(c[cuts[n] : cuts[n + 1]] for c in columns))
            for n, one in enumerate(segments)
        }

    def _columns(self, sql: str, kinds: str, segments: Sequence[Segment]) -> list[array[Any]]:
        try:
            return self._engine().columns(sql, kinds)
        except ReadFailed as exc:
            raise _Unreadable(segments, str(exc)) from exc

    def _engine(self) -> Engine:
        with self._guard:
            if self._made is None:
                module = importlib.import_module("historify.reader.engine")
                self._made = module.Engine(self._limits)
            return self._made

    def _paths(self, segments: Sequence[Segment]) -> tuple[str, ...]:
        return tuple(str(one.file(self._root)) for one in segments)

    def _check(self, segments: Sequence[Segment], *, content: bool = True) -> None:
        """Each file's size at every question, its checksum once in the life of this process."""
        for one in segments:
            found = damage.quick(self._root, one)
            if found:
                raise _Unreadable([one], found.reason)
            if content and one.path not in self._checked:
                try:
                    damage.whole(self._root, one)
                except StoreDamaged as exc:
                    raise _Unreadable([one], str(exc)) from exc
                if len(self._checked) >= REMEMBERED:
                    self._checked.clear()
                self._checked.add(one.path)

    def _twice(self, read: Callable[[], T]) -> T:
        """Ask the manifest once more before calling anything damaged: files are merged and then deleted."""
        try:
            return read()
        except _Unreadable:
            pass
        try:
            return read()
        except _Unreadable as exc:
            for one in exc.segments:  # raises for the one at fault
                damage.whole(self._root, one)
            raise QueryLimit(
                f"{exc.segments[0].series}: the files are whole, but this range could not be read within "
                f"{self._limits.memory} ({exc})"
            ) from exc


def _factors(connection: Any, series: Series) -> list[actions.Factor]:
    known = actions.load(connection, series.exchange, series.symbol)
    if not known:
        return []
    last = max(
        trading_date(row.last_ts, row.series.interval)
        for row in manifest.catalog(connection, series.exchange, series.symbol)
    )
    return actions.factors(known, last, shift_s(series.interval))
