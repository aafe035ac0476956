"""Reading goes on, and every answer is whole, while the puller publishes and a program holds the face.

The full count: ``scripts/bench/history_reads.py``.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta

from brokers.calendar import AlwaysOpen
from brokers.clock import ManualClock
from historify import lease
from historify.control import Control
from historify.face.publish import Face, State
from historify.model import BarRequest, Bars, Provenance, Series
from historify.paths import StorePaths
from historify.reader.bars import Reader
from historify.store import SegmentStore
from tests.historify.reader.stores import minutes

HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
DAYS = 25
SBIN = Series("NSE", "SBIN", "1m")
REQUEST = BarRequest("NSE", "SBIN", "1h", date(2026, 10, 1), date(2026, 10, 31))


def test_no_read_fails_and_none_sees_half_a_batch(tmp_path):
    clock = ManualClock(datetime(2026, 11, 20, 18, tzinfo=UTC))
    paths = StorePaths(tmp_path / "historify.duckdb")
    store = SegmentStore(paths, calendar=AlwaysOpen(), clock=clock)
    lock = lease.PullerLock(paths.lock)
    lock.acquire()
    fence = lease.acquire(store.control, lock, "test", clock)
    face = Face(paths, store.control, clock)
    face.publish()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(paths.face)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    holder.stdout.readline()
    reader = Reader(Control(paths.control), paths.root, AlwaysOpen())  # as another process: its own manifest
    done = threading.Event()
    seen: list[int] = []
    failures: list[str] = []

    def read() -> None:
        while not done.is_set():
            try:
                hours = reader.get(REQUEST)
                last = reader.latest([("NSE", "SBIN")], "1m").get(("NSE", "SBIN"), Bars())
            except Exception as exc:  # noqa: BLE001 - what the test is about
                failures.append(repr(exc))
                return
            if sum(hours.volume) % 600 or len(last) not in (0, 60):
                failures.append(f"half a batch: {sum(hours.volume)}, {len(last)}")
            seen.append(len(hours))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(DAYS):
        day = date(2026, 10, 1) + timedelta(days=number)
        batch = Bars.of((*row[:5], 10, 0) for row in minutes(day, "10:00", 60))
        store.put(SBIN, batch, fence=fence, provenance=Provenance("dhan", 0))
        if number % 10 == 0:
            assert face.publish().state is State.HELD
    done.set()
    for thread in threads:
        thread.join(30)
    holder.communicate("", timeout=20)
    assert failures == []
    assert len(seen) >= 2
    assert len(reader.get(REQUEST)) == DAYS
    assert face.publish().state is State.PUBLISHED
    store.close()
