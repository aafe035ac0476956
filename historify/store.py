"""``open_store``: the market-data store of a home, whichever kind it is.

Importing this loads neither DuckDB nor pyarrow nor psycopg: an api process that only serves orders pays for
none of them. Hence ``importlib`` below.
"""

from __future__ import annotations

import importlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brokers.calendar import Calendar
from brokers.clock import Clock, SystemClock
from historify.contract import BarStore, Fence
from historify.control import Control
from historify.model import BarRequest, Bars, Batch, CatalogRow, DayState, Provenance, PutReport, Series
from historify.paths import StorePaths, is_server
from historify.postgres import open_postgres
from historify.reader import actions
from historify.reader.actions import CorporateAction
from historify.segments import manifest
from historify.segments.inbox import Inbox

if TYPE_CHECKING:
    from historify.reader.bars import Reader
    from historify.segments.migrate import Migration
    from historify.segments.writer import Writer


class SegmentStore:
    """A ``BarStore`` in files: Parquet segments under ``historify.d`` and their manifest.

    Args:
        paths: Where it is; folder and manifest are made when missing.
        calendar: Sessions that computed intervals are aligned to.

    Raises:
        UnsafeFolder: On a network drive or in a synced folder.
        StoreFull, StoreBusy, StoreDamaged, StoreError: As ``Control``.
    """

    def __init__(self, paths: StorePaths, *, calendar: Calendar, clock: Clock | None = None) -> None:
        self.paths = paths
        self.control = Control(paths.control)
        self.inbox = Inbox(paths.inbox)
        self._calendar = calendar
        self._clock = clock or SystemClock()
        self._guard = threading.Lock()
        self._made: dict[str, Any] = {}

    @property
    def writer(self) -> Writer:
        """What else a puller needs: ``put`` of many, ``drop_damaged``, ``close_years``, ``collect``."""
        made: Writer = self._part(
            "historify.segments.writer", "Writer", self.control, self.paths, self._clock
        )
        return made

    @property
    def reader(self) -> Reader:
        """DuckDB over the exact files the manifest lists, loaded at the first question."""
        made: Reader = self._part(
            "historify.reader.bars", "Reader", self.control, self.paths.root, self._calendar
        )
        return made

    def get(self, request: BarRequest) -> Bars:
        """See ``BarStore``."""
        return self.reader.get(request)

    def latest(self, keys: Sequence[tuple[str, str]], interval: str) -> Mapping[tuple[str, str], Bars]:
        """See ``BarStore``; from the hot tail where that is valid."""
        return self.reader.latest(keys, interval)

    def catalog(self, exchange: str | None = None, symbol: str | None = None) -> list[CatalogRow]:
        """See ``BarStore``; from the manifest alone."""
        with self.control.read() as connection:
            return manifest.catalog(connection, exchange, symbol)

    def coverage(self, series: Series, start: date, end: date) -> Mapping[date, DayState]:
        """See ``BarStore``; from the manifest alone."""
        with self.control.read() as connection:
            return manifest.coverage(connection, series, start, end)

    def put(
        self,
        series: Series,
        bars: Bars,
        *,
        fence: Fence,
        provenance: Provenance,
        covered: Mapping[date, DayState] | None = None,
    ) -> PutReport:
        """See ``BarStore``."""
        return self.put_many([Batch(series, bars, provenance, covered)], fence=fence)[0]

    def put_many(self, batches: Sequence[Batch], *, fence: Fence) -> list[PutReport]:
        """``put`` of many series in one transaction: all of them or none."""
        return self.writer.put(batches, fence)

    def delete(
        self, series: Series, *, fence: Fence, start: date | None = None, end: date | None = None
    ) -> int:
        """See ``BarStore``."""
        return self.writer.delete(series, fence, start, end)

    def migrate(self, fence: Fence, told: Callable[[int, int, str], None] | None = None) -> Migration | None:
        """Take over an OpenAlgo store that lies at the face's path; None when there is none.

        A puller calls it at its start, before the face is published for the first time.

        Args:
            told: Called after each series with how many of how many are done, and its name.

        Raises:
            ForeignStore, StoreBusy: See ``historify.segments.migrate``; the file is left untouched.
        """
        module = self._module("historify.segments.migrate")
        parts = (self.control, self.paths, self.writer, self._clock)
        made: Migration | None = module.Migrator(*parts).run(fence, told)
        return made

    def export(self, request: BarRequest, path: Path) -> int:
        """See ``BarStore``."""
        module = self._module("historify.portable.exporting")
        written: int = module.write(self, [request], path, module.format_of(path))
        return written

    def close(self) -> None:
        """See ``BarStore``."""
        with self._guard:
            made, self._made = self._made, {}
        reader = made.get("Reader")
        if reader is not None:
            reader.close()
        self.control.close()

    def _part(self, module: str, name: str, *arguments: Any) -> Any:
        with self._guard:
            if name not in self._made:
                self._made[name] = getattr(self._module(module), name)(*arguments)
            return self._made[name]

    @staticmethod
    def _module(name: str) -> Any:
        return importlib.import_module(name)


def open_store(
    url: str | Path,
    *,
    calendar: Calendar,
    home: Path | None = None,
    clock: Clock | None = None,
    control: Callable[[], Control] | None = None,
) -> BarStore:
    """The store behind ``HISTORIFY_DATABASE_URL``.

    Args:
        url: Path of the face (``db/historify.duckdb``; quotes and ``duckdb:///`` are tolerated) or
            ``postgresql://…``.
        calendar: ``brokers.calendar.FileCalendar()``, or ``AlwaysOpen()`` for a simulated exchange.
        home: What a relative path is relative to; None: the current folder.
        control: The home's manifest where the bars are on a server: it knows of splits, for adjusted views.

    Raises:
        UnsafeFolder, StoreFull, StoreBusy, StoreDamaged, StoreError: See ``SegmentStore``.
    """
    if is_server(str(url)):
        # the host's name: epochs count within one control.db, and a host has one home that pulls
        return open_postgres(
            str(url), calendar=calendar, writer=socket.gethostname(), actions=_splits(control)
        )
    return SegmentStore(store_paths(url, home), calendar=calendar, clock=clock)


def _splits(control: Callable[[], Control] | None) -> Callable[[str, str], list[CorporateAction]] | None:
    if control is None:
        return None

    def known(exchange: str, symbol: str) -> list[CorporateAction]:
        with control().read() as connection:
            return actions.load(connection, exchange, symbol)

    return known


def store_paths(url: str | Path, home: Path | None = None) -> StorePaths:
    """Where the files of a store are, from its setting."""
    text = str(url).strip().strip("\"'").removeprefix("duckdb:///")
    return StorePaths(((home or Path.cwd()) / text).absolute())
