"""CSV and Parquet into the store, streamed: first every row is looked at, then all is written or nothing.

A file of ten years of minutes costs the memory of one batch. A file that is imported twice changes nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.contract import BarStore, Fence
from historify.days import DAY_S
from historify.errors import WrongInterval
from historify.model import DAY, MINUTE, STORED, Bars, DayState, Provenance, Series
from historify.portable.columns import Key, Layout, Parsed, Reader, RowError, interval_of
from historify.portable.report import MOST_ERRORS, ImportReport, SeriesReport
from historify.portable.sources import Source, opened
from historify.portable.stamps import Stamps, zone_of

SOURCE = "import"
BATCH_ROWS = 250_000
"""Rows kept before they are written: 14 MB, and rarely less than a year of one symbol."""
EDGE_S = 300
"""A day of minutes counts as whole when its first and last bar are this close to the session's ends."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the file itself does not say.

    Attributes:
        exchange, symbol, interval: Of every row; empty ones must be columns of the file.
        zone: Of times without an offset.
        skip_bad: Import the good rows of a file with bad ones; else one bad row refuses the whole file.
    """

    exchange: str = ""
    symbol: str = ""
    interval: str = ""
    zone: str = "Asia/Kolkata"
    skip_bad: bool = False


class ImportRefused(InvalidRequest):
    """The file has bad rows; nothing was imported. ``report`` lists them."""

    code = "IMPORT_REFUSED"

    def __init__(self, report: ImportReport) -> None:
        first = report.errors[0]
        super().__init__(
            f"{report.file}: {report.bad} of {report.rows} rows cannot be imported; the first: {first}. "
            "Nothing was imported; mend the file, or skip bad rows"
        )
        self.report = report
        self.fields = {"report": report.plain()}


@dataclass(slots=True)
class _Seen:
    """One series while a file is read."""

    rows: int = 0
    first_ts: int = 2**62
    last_ts: int = 0
    added: int = 0
    changed: int = 0


@dataclass(slots=True)
class _Batch:
    """Rows of one series that wait to be written."""

    ts: array[int] = field(default_factory=lambda: array("q"))
    values: tuple[array[float] | array[int], ...] = field(
        default_factory=lambda: (array("d"), array("d"), array("d"), array("d"), array("q"), array("q"))
    )

    def bars(self) -> Bars:
        """Ascending and unique: of two with the same time the later row stays."""
        ts = self.ts
        if all(before < after for before, after in pairwise(ts)):
            return Bars(ts, *self.values)  # type: ignore[arg-type]  # a list of both kinds of array, in the order of Bars
        return Bars.of(zip(ts, *self.values, strict=True))


def check(path: Path, options: ImportOptions, *, now_s: int, name: str = "") -> ImportReport:
    """A dry run: what the file holds, and every row that is wrong. Writes nothing.

    Args:
        name: What to call the file in messages, when it was uploaded.

    Raises:
        InvalidRequest: It cannot be read at all, or lacks columns.
        WrongInterval: ``options.interval`` is not a stored one.
    """
    with opened(path) as source:
        tally = _Tally(source, path, options, name)
        for parsed in tally.parsed(now_s):
            tally.count(parsed)
        return tally.report()


def run(
    store: BarStore,
    path: Path,
    options: ImportOptions,
    *,
    fence: Fence,
    calendar: Calendar,
    now_s: int,
    name: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> ImportReport:
    """Look at every row, then write them all.

    Args:
        progress: Told rows written and rows in all after each batch; what it raises ends the import (rows
            written until then stay, and the same import again completes it).

    Raises:
        ImportRefused: Rows are bad and ``options.skip_bad`` is not set; nothing was written.
        InvalidRequest, WrongInterval: As ``check``.
        StoreError: The store's own; batches before it are kept.
    """
    checked = check(path, options, now_s=now_s, name=name)
    if checked.bad and not options.skip_bad:
        raise ImportRefused(checked)
    with opened(path) as source:
        tally = _Tally(source, path, options, name)
        writer = _Writer(store, fence, calendar, now_s, checked.file, tally.seen)
        for parsed in tally.parsed(now_s):
            tally.count(parsed)
            writer.take(parsed)
            if writer.waiting >= BATCH_ROWS:
                writer.flush()
                progress(writer.written, checked.rows)
        writer.flush()
        progress(writer.written, checked.rows)
        return replace(tally.report(), imported=True)


class _Tally:
    """Reads a file and counts what is in it."""

    def __init__(self, source: Source, path: Path, options: ImportOptions, name: str) -> None:
        self._source = source
        self._options = checked_options(options, source.layout)
        self._file = name or path.name
        self._rows = 0
        self._bad = 0
        self._errors: list[RowError] = []
        self.seen: dict[Key, _Seen] = {}

    def parsed(self, now_s: int) -> Iterator[Parsed]:
        options = self._options
        zone = zone_of(options.zone)
        reader = Reader(
            self._source.layout,
            {interval: Stamps(zone, interval) for interval in STORED},
            exchange=options.exchange,
            symbol=options.symbol,
            interval=options.interval,
            latest_s=now_s + DAY_S,
        )
        for block in self._source.blocks():
            self._rows += len(block)
            yield reader.parse(block)

    def count(self, parsed: Parsed) -> None:
        self._bad += parsed.bad
        self._errors += parsed.errors[: MOST_ERRORS - len(self._errors)]
        if len(parsed.keys) == 1 and parsed.ts:
            self._add(parsed.keys[0], len(parsed.ts), min(parsed.ts), max(parsed.ts))
            return
        for key, ts in zip(parsed.keys, parsed.ts, strict=True):
            self._add(key, 1, ts, ts)

    def _add(self, key: Key, rows: int, first_ts: int, last_ts: int) -> None:
        one = self.seen.setdefault(key, _Seen())
        one.rows += rows
        one.first_ts, one.last_ts = min(one.first_ts, first_ts), max(one.last_ts, last_ts)

    def report(self) -> ImportReport:
        """Raises ``InvalidRequest`` for a file without a single row."""
        if not self._rows:
            raise InvalidRequest(f"{self._file} has a header and no rows")
        return ImportReport(
            file=self._file,
            kind=self._source.kind,
            style=str(self._source.layout.style),
            zone=self._options.zone,
            rows=self._rows,
            bad=self._bad,
            errors=tuple(self._errors),
            series=tuple(
                SeriesReport(Series(*key), one.rows, one.first_ts, one.last_ts, one.added, one.changed)
                for key, one in sorted(self.seen.items())
            ),
        )


class _Writer:
    """Collects rows by series and puts them into the store."""

    def __init__(
        self,
        store: BarStore,
        fence: Fence,
        calendar: Calendar,
        now_s: int,
        file: str,
        seen: Mapping[Key, _Seen],
    ) -> None:
        self._store = store
        self._fence = fence
        self._calendar = calendar
        self._provenance = Provenance(SOURCE, now_s, note=file)
        self._seen = seen
        self._batches: dict[Key, _Batch] = {}
        self.waiting = 0
        self.written = 0

    def take(self, parsed: Parsed) -> None:
        self.waiting += len(parsed.ts)
        if len(parsed.keys) == 1:
            batch = self._batches.setdefault(parsed.keys[0], _Batch())
            batch.ts.extend(parsed.ts)
            for column, more in zip(batch.values, parsed.values, strict=True):
                column.extend(more)  # type: ignore[arg-type]  # column by column of one kind
            return
        for key, ts, *row in zip(parsed.keys, parsed.ts, *parsed.values, strict=True):
            batch = self._batches.setdefault(key, _Batch())
            batch.ts.append(ts)
            for column, value in zip(batch.values, row, strict=True):
                column.append(value)

    def flush(self) -> None:
        for key, batch in sorted(self._batches.items()):
            series, bars = Series(*key), batch.bars()
            done = self._store.put(
                series,
                bars,
                fence=self._fence,
                provenance=self._provenance,
                covered=whole_days(series, bars, self._calendar),
            )
            self._seen[key].added += done.added
            self._seen[key].changed += done.changed
        self._batches.clear()
        self.written += self.waiting
        self.waiting = 0


def whole_days(series: Series, bars: Bars, calendar: Calendar) -> dict[date, DayState]:
    """Days a file holds in full, which a pull need not ask for.

    That is a daily bar, or minutes from the session's opening to its close. A day the file holds a part of
    stays a gap.
    """
    if series.interval == DAY:
        return {datetime.fromtimestamp(ts, UTC).date(): DayState.FULL for ts in bars.ts}
    spans: dict[date, tuple[int, int]] = {}
    day, until = date.min, 0
    for ts in bars.ts:
        if ts >= until:
            day = datetime.fromtimestamp(ts, IST).date()
            until = int(datetime(day.year, day.month, day.day, tzinfo=IST).timestamp()) + DAY_S
            spans[day] = (ts, ts)
        else:
            spans[day] = (spans[day][0], ts)
    found = {}
    for day, (first, last) in spans.items():
        session = calendar.session(series.exchange, day)
        if session is None:
            continue
        late = first - session.opens.timestamp()
        early = session.closes.timestamp() - 60 - last
        if late <= EDGE_S and early <= EDGE_S:
            found[day] = DayState.FULL
    return found


def checked_options(options: ImportOptions, layout: Layout) -> ImportOptions:
    """With our words for exchange and interval.

    Raises:
        InvalidRequest: Neither the options nor the file say what is needed.
        WrongInterval: Only 1m and D are stored.
    """
    missing: Sequence[str] = [
        name
        for name in ("exchange", "symbol", "interval")
        if not getattr(options, name) and name not in layout.places
    ]
    if missing:
        raise InvalidRequest(
            f"the file has no column {', '.join(missing)}: say it beside the file",
            fields={name: ["Neither given nor a column of the file."] for name in missing},
        )
    interval = interval_of(options.interval) if options.interval else ""
    if interval is None:
        raise WrongInterval(
            f"interval {options.interval} is not kept: {MINUTE} and {DAY} are, all others are computed"
        )
    return replace(options, exchange=options.exchange.strip().upper(), interval=interval)
