#!/usr/bin/env python3
"""What stage times cost an order, and how fast a day of them is summarised.

    python scripts/bench/compare.py [--orders 100000] [--rows told,written,day,report]

Rows, each in this process and a temporary folder:

  told     nanoseconds the order's own thread pays for one write and one update (queue only)
  written  microseconds of CPU the writing thread pays for an order with its three updates
  day      seconds until a day of two instances is summarised: samples read from both files, every stage with
           intervals, the paired difference of their round trips, the daily figures and merged histograms;
           beside it the tick race of ``--ticks`` ticks, which shares the ten seconds of ``algo compare``
  report   the same as ``algo compare`` does it: both databases and the kept ticks of the day from disk to two
           finished HTML pages; wall and CPU seconds, and the most memory meanwhile

One JSON line per row.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import load
import numpy as np
import rig as rigs

sys.path.insert(0, str(rigs.ROOT))

from brokers.clock import SystemClock
from brokers.model import OrderStatus, Venue
from gateway.latency import passive, reader, recorder
from gateway.latency.model import STAGES, day_of
from gateway.latency.recorder import Recorder
from gateway.latency.tables import METADATA
from gateway.store import engine
from gateway.store.journal import Times
from gateway.trading.stages import Heard, Written, offset_ns
from gateway.trading.writes import Done
from supervisor.compare import collect, page, passing, race, stats, ticks

MS = 1_000_000
UPDATES = (OrderStatus.OPEN, OrderStatus.OPEN, OrderStatus.COMPLETE)
CHUNK = 1000


def report(row: str, **figures: Any) -> None:
    print(json.dumps({"row": row, **figures, "load_1m": load.machine()["load_1m"]}), flush=True)


def open_recorder(path: Path) -> Recorder:
    database = engine.open(path, Venue.SIM, metadata=METADATA, durable=False)
    return Recorder(database, SystemClock(), broker="dhan", keep_days=30)


def written(number: int, at_ns: int, offset: int, dice: random.Random, broker_ms: float) -> Written:
    ack = 4.0 + dice.lognormvariate(0, 0.4) * broker_ms
    stamps = [at_ns + int(ms * MS) for ms in (0.6, 2.0, 2.2, ack, ack + 0.8)]
    times = Times(at_ns, stamps[0], stamps[1], stamps[2], stamps[3], stamps[4])
    given = ("NSE", "SBIN", "MARKET", "compare", f"p{number}")
    return Written("place", number, f"B{number}", *given, times, Done(None), "", offset, offset)


def heard(number: int, at_ns: int, offset: int) -> list[Heard]:
    return [
        Heard(number, f"B{number}", status, True, at_ns + (40 + 10 * i) * MS, offset)
        for i, status in enumerate(UPDATES)
    ]


def fill(path: Path, orders: int, broker_ms: float, seed: int) -> float:
    """A day of orders through a recorder; CPU seconds of the writing side."""
    dice, keeper = random.Random(seed), open_recorder(path)
    offset = offset_ns(SystemClock())
    begin_ns = int(datetime.fromisoformat(day_of(time.time_ns())).replace(tzinfo=UTC).timestamp()) * 10**9
    step_ns = 6 * 3600 * 10**9 // orders
    spent = 0.0
    for first in range(0, orders, CHUNK):
        for number in range(first + 1, min(first + CHUNK, orders) + 1):
            at_ns = begin_ns + number * step_ns
            keeper.wrote(written(number, at_ns, offset, dice, broker_ms))
            for update in heard(number, at_ns, offset):
                keeper.heard(update)
        began = time.process_time()
        keeper.flush()
        spent += time.process_time() - began
    keeper.stop()
    return spent


def told(folder: Path, orders: int) -> None:
    keeper = open_recorder(folder / "told.db")
    recorder.MOST_WAITING = orders * 4
    dice, offset, now_ns = random.Random(1), offset_ns(SystemClock()), time.time_ns()
    made = [written(n, now_ns, offset, dice, 20.0) for n in range(orders)]
    updates = [heard(n, now_ns, offset) for n in range(orders)]
    began = time.perf_counter_ns()
    for one, news in zip(made, updates, strict=True):
        keeper.wrote(one)
        for update in news:
            keeper.heard(update)
    took = time.perf_counter_ns() - began
    clock = SystemClock()
    began = time.perf_counter_ns()
    for n in range(orders):
        offset_ns(clock)
        written(n, now_ns, offset, dice, 20.0)
        heard(n, now_ns, offset)
        offset_ns(clock)
    made_ns = time.perf_counter_ns() - began
    keeper.database.close()
    report("told", orders=orders, queue_ns=took // orders, values_at_most_ns=made_ns // orders)


def day(paths: dict[str, Path], count: int) -> None:
    rng, began = np.random.default_rng(7), time.perf_counter()
    trips: dict[str, dict[str, float]] = {}
    read_s = 0.0
    stages = 0
    for name, path in paths.items():
        at = time.perf_counter()
        found = reader.samples(path, 0, 2**62).columns
        read_s += time.perf_counter() - at
        took = {n: np.array(c, dtype=np.float64) for n, c in found.items() if n.endswith("_ns")}
        took[""] = np.zeros(len(found["id"]))
        for begin, end in STAGES.values():
            values = took[end] - took[begin]
            stages += stats.summarize(values[np.isfinite(values)]) is not None
        trips[name] = dict(zip(found["probe"], took["acknowledged_ns"] - took["sent_ns"], strict=True))
        passive.comparison(path, "2000-01-01", "2100-01-01")
    a, b = trips.values()
    both = [probe for probe in a if probe in b]
    difference = stats.paired(np.array([a[p] for p in both]), np.array([b[p] for p in both]), rng)
    orders_s = time.perf_counter() - began
    began = time.perf_counter()
    if count:
        race.run(made_ticks(count, rng), rng)
    report(
        "day",
        orders=[len(one) for one in trips.values()],
        stages=stages,
        pairs=difference.n if difference else 0,
        read_s=round(read_s, 2),
        orders_s=round(orders_s, 2),
        ticks=count,
        race_s=round(time.perf_counter() - began, 2),
    )


def whole(folder: Path, paths: dict[str, Path], count: int) -> None:
    text = day_of(time.time_ns())
    ticks.save(folder / "ticks", text, made_ticks(count or 200, np.random.default_rng(7)))
    fleet: list[Any] = [
        SimpleNamespace(name=name, broker=name, venue=Venue.SIM, databases=SimpleNamespace(latency=path))
        for name, path in paths.items()
    ]
    fresh_peak()
    began, spent = time.perf_counter(), time.process_time()
    days = {}
    for one in fleet:
        samples = {name: collect.stage_samples(one, name, 0, 2**62) for name in collect.STAGE_OF}
        figures = passive.comparison(one.databases.latency, text, text)
        days[one.name] = collect.Day(samples, figures)
    pages = [page.document(passing.summarise(days, fleet, text))]
    orders_s, orders_cpu_s = time.perf_counter() - began, time.process_time() - spent
    began, spent = time.perf_counter(), time.process_time()
    kept = ticks.Kept(folder / "ticks", text)
    found = race.run_each(kept.names, kept.each(), np.random.default_rng(ticks.SEED))
    pages.append(page.document(ticks.report_of(found, kept.contracts, fleet, text, {})))
    ticks_s, ticks_cpu_s = time.perf_counter() - began, time.process_time() - spent
    report(
        "report",
        ticks=sum(lane.ticks for lane in found.lanes),
        orders_s=round(orders_s, 2),
        orders_cpu_s=round(orders_cpu_s, 2),
        ticks_s=round(ticks_s, 2),
        ticks_cpu_s=round(ticks_cpu_s, 2),
        whole_s=round(orders_s + ticks_s, 2),
        whole_cpu_s=round(orders_cpu_s + ticks_cpu_s, 2),
        peak_rss_mb=peak_mb(),
        page_kb=[round(len(one) / 1000) for one in pages],
        ticks_file_mb=round(sum(p.stat().st_size for p in (folder / "ticks").rglob("*.npz")) / 1e6),
    )


def fresh_peak() -> None:
    """Forget the peak so far: what made the data is not what summarises it."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> int:
    """Most memory in use since ``fresh_peak``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1000


def made_ticks(count: int, rng: np.random.Generator) -> dict[str, dict[str, race.Arrivals]]:
    """``count`` in all: two instances, 100 contracts, a tenth of the moments missed by each."""
    contracts, each = 100, count // 200
    found: dict[str, dict[str, race.Arrivals]] = {"a": {}, "b": {}}
    for number in range(contracts):
        volume = np.cumsum(rng.integers(1, 50, each * 10 // 9))
        price = 8_000_000 + np.cumsum(rng.integers(-500, 501, len(volume)))
        at_ns = np.sort(rng.integers(0, 22_500 * 10**9, len(volume)))
        for name, lag_ns in (("a", 2 * MS), ("b", 5 * MS)):
            seen = np.sort(rng.choice(len(volume), min(each, len(volume)), replace=False))
            late = at_ns[seen] + rng.integers(0, lag_ns, len(seen))
            found[name][f"C{number}"] = race.Arrivals(volume[seen], price[seen], late)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=0, help="20000000 for a whole day")
    parser.add_argument("--rows", default="told,written,day,report")
    args = parser.parse_args()
    rows = args.rows.split(",")
    with tempfile.TemporaryDirectory(prefix="algo-compare-") as name:
        folder = Path(name)
        if "told" in rows:
            told(folder, 20_000)
        paths = {broker: folder / f"{broker}.db" for broker in ("a", "b")}
        spent = [
            fill(path, args.orders, ms, n)
            for n, (path, ms) in enumerate(zip(paths.values(), (20, 35), strict=True))
        ]
        if "written" in rows:
            report(
                "written",
                cpu_us_per_order=round(sum(spent) / args.orders / 2 * 1e6, 1),
                bytes_per_order=round(paths["a"].stat().st_size / args.orders),
            )
        if "day" in rows:
            day(paths, args.ticks)
        if "report" in rows:
            whole(folder, paths, args.ticks)


if __name__ == "__main__":
    main()
