"""What is known of every instance: how it stands, its feed, its times of the last hour, its last books."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from brokers.errors import AlgoError, StoreError
from supervisor.children import probe
from supervisor.compare.collect import NOTHING, stage_samples
from supervisor.compare.route import WINDOW_S
from supervisor.compare.stats import Floats
from supervisor.routing.choose import Look, Seen, seen
from supervisor.routing.journal import Journal
from supervisor.routing.link import Instances, Loopback
from supervisor.routing.model import Lost, NotSent

log = logging.getLogger(__name__)
EVERY_S = 2.0
MEDIANS_EVERY_S = 5.0
SPELT_KEPT = 5000


class Watch:
    """Looks by itself every two seconds, and at once for each decision. Thread-safe."""

    def __init__(self, names: Sequence[str], instances: Instances, link: Loopback, journal: Journal) -> None:
        self._names, self._instances, self._link, self._journal = tuple(names), instances, link, journal
        self._pool = ThreadPoolExecutor(4 * max(1, len(names)), thread_name_prefix="look")
        self._lock = threading.Lock()
        self._last: dict[str, Seen] = journal.last_seen()
        self._feeds: dict[str, bool] = {}
        self._recent: dict[str, Floats] = {}
        self._errors: dict[str, str] = {}
        self._spelt: dict[tuple[str, str], str] = {}
        self._stop = threading.Event()

    def start(self, also: Callable[[], object]) -> None:
        """``also`` runs with every look: asking for open orders."""
        threading.Thread(target=self._run, args=(also,), name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def looks(self, exchange: str = "", symbol: str = "") -> list[Look]:
        """Every instance now, in the fixed order."""
        return list(self._pool.map(lambda name: self._look(name, exchange, symbol), self._names))

    def spelt(self, exchange: str, symbol: str) -> str:
        """``EXCHANGE:SYMBOL`` in OpenAlgo's spelling, as the first instance that answers has it."""
        with self._lock:
            known = self._spelt.get((exchange, symbol))
        if known is not None:
            return known
        for name in self._names:
            try:
                standing = self._link.standing(name, exchange, symbol)
            except (NotSent, Lost):
                continue
            found = f"{exchange}:{standing['symbol']}"
            with self._lock:
                if len(self._spelt) >= SPELT_KEPT:
                    self._spelt.clear()
                self._spelt[exchange, symbol] = found
            return found
        return f"{exchange}:{symbol.upper()}"

    def silent(self) -> dict[str, str]:
        """Instances that did not answer when last looked at, and why."""
        with self._lock:
            return dict(self._errors)

    def _look(self, name: str, exchange: str, symbol: str) -> Look:
        standing: dict[str, Any] = {}
        error = ""
        try:
            standing = self._link.standing(name, exchange, symbol)
        except (NotSent, Lost) as exc:
            error = str(exc)
        books = seen(standing, datetime.now(UTC).isoformat(timespec="seconds")) if standing else None
        with self._lock:
            self._errors.pop(name, None)
            if error:
                self._errors[name] = error
            look = Look(
                name,
                standing,
                error,
                self._last.get(name),
                self._feeds.get(name, False),
                self._recent.get(name, NOTHING),
            )
        if books is not None:
            self._remember(name, books)
        return look

    def _remember(self, name: str, books: Seen) -> None:
        with self._lock:
            before = self._last.get(name)
            self._last[name] = books
            if before is not None and replace(before, at=books.at) == books:
                return
        try:
            self._journal.see(name, books)
        except StoreError as exc:
            log.error("the books of %s are not kept: %s", name, exc)

    def _run(self, also: Callable[[], object]) -> None:
        medians_at = 0.0
        while True:
            try:
                self.looks()
                feeds = dict(zip(self._names, self._pool.map(self._feed, self._names), strict=True))
                with self._lock:
                    self._feeds = feeds
                if time.monotonic() >= medians_at:
                    recent = {name: self._medians(name) for name in self._names}
                    with self._lock:
                        self._recent = recent
                    medians_at = time.monotonic() + MEDIANS_EVERY_S
                also()
            except Exception:  # (top of a thread)
                if self._stop.is_set():
                    return
                log.exception("looking at the instances failed; it is tried again")
            if self._stop.wait(EVERY_S):
                return

    def _feed(self, name: str) -> bool:
        try:
            one = self._instances.settings(name)
            url = f"http://{one.ws_host}:{one.ws_port}/health/ready"
            status, body = probe.call(url, "GET", headers={}, timeout_s=1.0)
        except (OSError, AlgoError):
            return False
        return status == 200 and isinstance(body, dict) and body.get("feed", {}).get("state") == "live"

    def _medians(self, name: str) -> Floats:
        now = time.time()
        try:
            one = self._instances.settings(name)
            return stage_samples(one, "place", int((now - WINDOW_S) * 1e9), int(now * 1e9))[0]
        except AlgoError:
            return NOTHING
