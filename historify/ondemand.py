"""A market-data store with its control file, opened at first use: by an instance's api, by a command."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path

from brokers.calendar import Calendar
from brokers.clock import Clock
from historify.contract import BarStore
from historify.control import Control
from historify.jobs.queue import Queue
from historify.jobs.schedule import Schedules
from historify.jobs.watchlist import Watchlists
from historify.paths import StorePaths, is_server
from historify.portable.tasks import Tasks
from historify.portable.whose import check_face


class OnDemand:
    """Thread-safe. Nothing is opened, made or imported for it before it is asked.

    Args:
        url: Path of the face, or of a PostgreSQL server.
        paths: Of the face; with the bars on a server, jobs lie beside it all the same.
        calendar: Of the exchanges.
    """

    def __init__(self, url: str, paths: StorePaths, *, home: Path, calendar: Calendar, clock: Clock) -> None:
        self.paths = paths
        self.calendar = calendar
        self.clock = clock
        self._url = url
        self._home = home
        self._guard = threading.RLock()
        self._store: BarStore | None = None
        self._control: Control | None = None

    @property
    def used(self) -> bool:
        """Whether anything of it is open."""
        return self._store is not None or self._control is not None

    @property
    def store(self) -> BarStore:
        """Raises ``historify.errors.StoreError`` when it cannot be opened; the next call tries again."""
        with self._guard:
            if self._store is None:
                if not is_server(self._url):
                    check_face(self.paths, self.control)
                # loaded here: it brings DuckDB, which most commands and a trading api never need
                module = importlib.import_module("historify.store")
                self._store = module.open_store(
                    self._url,
                    calendar=self.calendar,
                    home=self._home,
                    clock=self.clock,
                    control=lambda: self.control,
                )
            return self._store

    @property
    def control(self) -> Control:
        """Jobs, watchlists, schedules, the lease; in ``historify.d`` also with the bars on a server."""
        with self._guard:
            if self._control is None:
                self._control = Control(self.paths.control)
            return self._control

    @property
    def queue(self) -> Queue:
        """What is to be pulled."""
        return Queue(self.control, self.clock)

    @property
    def watchlists(self) -> Watchlists:
        """Symbols kept up to date."""
        return Watchlists(self.control, self.clock)

    @property
    def schedules(self) -> Schedules:
        """When jobs are made by themselves."""
        return Schedules(self.control, self.clock, self.calendar)

    @property
    def tasks(self) -> Tasks:
        """Imports, deletions and repairs, carried out by whoever holds the store's lock."""
        return Tasks(self.control, self.clock)

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        with self._guard:
            store, self._store = self._store, None
            control, self._control = self._control, None
        for each in (store, control):
            if each is not None:
                each.close()
