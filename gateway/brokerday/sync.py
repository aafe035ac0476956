"""Keeps the instrument table fresh: at start when it is missing or stale, then before each open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping

from brokers.calendar import AlwaysOpen, Calendar
from brokers.clock import IST, Clock
from brokers.contract import InstrumentSource
from brokers.errors import AlgoError
from gateway.brokerday import refresh
from gateway.store.instruments import InstrumentStore, SyncReport

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0


class InstrumentKeeper:
    """Downloads, parses and swaps, one at a time.

    Args:
        logged_in: Whether the broker session is valid; some brokers hand out the file only then.
        calendar, exchanges: Days on which one of them trades need a fresh table; the others do not.
    """

    def __init__(
        self,
        source: InstrumentSource,
        store: InstrumentStore,
        clock: Clock,
        logged_in: Callable[[], bool],
        *,
        calendar: Calendar | None = None,
        exchanges: Collection[str] = ("NSE",),
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._logged_in = logged_in
        self._calendar = calendar or AlwaysOpen()
        self._exchanges = exchanges
        self._one = threading.Lock()
        self._finished = 0
        self._waiting = 0
        self.looks = 0
        self._last: tuple[SyncReport, Mapping[str, int]] | None = None
        self._error = ""
        self._busy = False
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="instruments", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    @property
    def state(self) -> str:
        """``syncing``, ``failed`` (the newest try), ``ok`` or ``none``."""
        if self._busy:
            return "syncing"
        if self._error:
            return "failed"
        return "ok" if self._store.synced_at() else "none"

    @property
    def error(self) -> str:
        return self._error

    def is_stale(self) -> bool:
        return refresh.is_stale(
            self._store.synced_at(), self._store.count(), self._calendar, self._exchanges, self._clock.now()
        )

    def sync(self, files: Mapping[str, bytes] | None = None) -> tuple[SyncReport, Mapping[str, int]]:
        """Now, in this thread. Whoever waited for a running download gets its report.

        Args:
            files: The broker's files, already at hand; None downloads them.

        Returns:
            The counts, and what was left out of the broker's file and why.

        Raises:
            BrokerDown, LoginRequired: The file could not be had.
            WireError: It is not what it should be; the old table stays.
        """
        finished_before = self._finished
        self._waiting += 1
        with self._one:
            self._waiting -= 1
            if files is None and self._finished != finished_before and self._last is not None:
                return self._last
            self._busy = True
            try:
                self._last = self._load(files)
            except AlgoError as exc:
                self._error = str(exc)
                raise
            else:
                self._error = ""
                self._finished += 1
                return self._last
            finally:
                self._busy = False

    def _load(self, files: Mapping[str, bytes] | None) -> tuple[SyncReport, Mapping[str, int]]:
        today = self._clock.now().astimezone(IST).date()
        began = self._clock.monotonic()
        parsed = self._source.parse(self._source.download() if files is None else files, today)
        report = self._store.swap(parsed.rows, today)
        log.info(
            "instruments loaded",
            extra={
                "added": report.added,
                "changed": report.changed,
                "expired": report.expired,
                "total": report.total,
                "skipped": dict(parsed.skipped),
                "seconds": round(self._clock.monotonic() - began, 2),
            },
        )
        return report, parsed.skipped

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopping:
            wait_s = LOOK_EVERY_S
            self.looks += 1
            try:
                if self.is_stale():
                    if self._logged_in():
                        self.sync()
                        retry_s = FIRST_RETRY_S
                    else:
                        wait_s = 0.2
            except AlgoError as exc:
                log.warning("instruments not loaded: %s; next try in %.0f s", exc, retry_s)
                wait_s, retry_s = retry_s, min(LONGEST_RETRY_S, retry_s * 2)
            except Exception as exc:
                # top of the thread: a file nobody can read today may be a good one tomorrow
                log.exception("instruments not loaded; next try in %.0f s", retry_s)
                self._error = f"{type(exc).__name__} while loading; see the log"
                wait_s, retry_s = retry_s, min(LONGEST_RETRY_S, retry_s * 2)
            self._wake.wait(wait_s)
            self._wake.clear()
