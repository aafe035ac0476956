"""``BarStore`` on PostgreSQL."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from brokers.calendar import Calendar
from historify.contract import Fence
from historify.errors import WrongInterval
from historify.model import (
    MINUTE,
    STORED,
    BarRequest,
    Bars,
    CatalogRow,
    DayState,
    Provenance,
    PutReport,
    Series,
)
from historify.portable import exporting
from historify.postgres import fence as fences
from historify.postgres import reading, schema, writing
from historify.postgres.address import parse
from historify.postgres.pool import Pool


class PostgresStore:
    """Candles in the tables of one schema. Thread-safe; open it in the process that uses it.

    Args:
        url: See ``historify.postgres.address``.
        writer: Names the home whose lease numbers the epochs.
        actions: Splits and bonuses for adjusted views; None refuses those.

    Raises:
        SettingsError: The URL cannot be read.
        StoreError: The schema is another program's, or a newer version's.
        StoreBusy: The server cannot be reached.
    """

    def __init__(
        self, url: str, *, calendar: Calendar, writer: str = "", actions: reading.Actions | None = None
    ) -> None:
        self.address = parse(url)
        self._calendar = calendar
        self._writer = writer
        self._actions = actions
        self.pool = Pool(self.address)
        self._months: frozenset[date] = frozenset()
        self._guard = threading.Lock()
        self._retain_at_s = 0.0
        with contextlib.ExitStack() as undo:
            undo.callback(self.pool.close)
            self._layout = self.pool.run("opening the store", lambda c: schema.prepare(c, self.address))
            undo.pop_all()

    @property
    def layout(self) -> str:
        """``timescale`` or ``partitions``."""
        return self._layout

    def get(self, request: BarRequest) -> Bars:
        doing = f"reading {request.exchange}:{request.symbol} {request.interval}"
        return self.pool.run(doing, lambda c: reading.bars(c, request, self._calendar, self._actions))

    def latest(self, keys: Sequence[tuple[str, str]], interval: str) -> Mapping[tuple[str, str], Bars]:
        _stored(interval)
        doing = f"reading the last day of {len(keys)} instruments"
        return self.pool.run(doing, lambda c: reading.latest(c, keys, interval))

    def catalog(self, exchange: str | None = None, symbol: str | None = None) -> list[CatalogRow]:
        return self.pool.run("reading the catalog", lambda c: reading.catalog(c, exchange, symbol))

    def coverage(self, series: Series, start: date, end: date) -> Mapping[date, DayState]:
        doing = f"reading the coverage of {series}"
        return self.pool.run(doing, lambda c: reading.coverage(c, series, start, end))

    def put(
        self,
        series: Series,
        bars: Bars,
        *,
        fence: Fence,
        provenance: Provenance,
        covered: Mapping[date, DayState] | None = None,
    ) -> PutReport:
        _stored(series.interval)
        # pyarrow is for processes that write: those that only read never load it
        importlib.import_module("historify.segments.columns").checked(series, bars)
        doing = f"writing {series}"
        if len(bars) and series.interval == MINUTE and self._layout == schema.PARTITIONS:
            self._make_months(doing, bars)
        report = self.pool.run(
            doing,
            lambda c: writing.put(c, series, bars, self._writer, fence.epoch, provenance, covered or {}),
        )
        if self.address.retain_days is not None and time.time() >= self._retain_at_s:
            self._retain_at_s = time.time() + 86_400
            self.retain()
        return report

    def delete(
        self, series: Series, *, fence: Fence, start: date | None = None, end: date | None = None
    ) -> int:
        _stored(series.interval)
        doing = f"deleting from {series}"
        return self.pool.run(
            doing, lambda c: writing.delete(c, series, self._writer, fence.epoch, start, end)
        )

    def export(self, request: BarRequest, path: Path) -> int:
        return exporting.write(self, [request], path, exporting.format_of(path))

    def admit(self, fence: Fence) -> None:
        """Shut out writers of older epochs from this moment; a puller calls it when it has taken the lease.

        Raises:
            LeaseLost: A later epoch was admitted, or another home writes.
        """
        self.pool.run("taking over", lambda c: fences.take(c, self._writer, fence.epoch))

    def retain(self) -> list[str]:
        """Drop the months past ``retain_days``; answers the tables dropped.

        ``put`` calls it once a day; TimescaleDB does it by itself.
        """
        days = self.address.retain_days
        if days is None or self._layout != schema.PARTITIONS:
            return []
        before = writing.days_ago(days, time.time())
        with self._guard:
            self._months = frozenset()
        return self.pool.run("dropping old months", lambda c: writing.retain(c, before))

    def close(self) -> None:
        self.pool.close()

    def _make_months(self, doing: str, bars: Bars) -> None:
        missing = [month for month in writing.months(bars) if month not in self._months]
        if missing:
            self.pool.run(doing, lambda c: schema.ensure_months(c, missing))
            with self._guard:
                self._months |= set(missing)


def _stored(interval: str) -> None:
    if interval not in STORED:
        raise WrongInterval(f"interval {interval!r}: only {' and '.join(STORED)} are stored")
