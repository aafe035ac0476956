"""The store on PostgreSQL: a million candles in, again, a day appended, a month and a year read.

    python scripts/bench/postgres_store.py [--rows 1000000]

Starts a PostgreSQL of its own with fsync as a real one has it. Beside each read: the same rows by a bare
cursor of the driver in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psycopg

from brokers.calendar import AlwaysOpen
from historify.model import BarRequest, Bars, Provenance, Series
from historify.postgres.store import PostgresStore
from tests.historify import server as servers
from tests.historify.contract.rig import Epoch, minutes

DAYS_A_SERIES = 133
PULLED = Provenance("bench", at_s=1)


def timed(work: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    taken.sort()
    return statistics.median(taken), taken[min(len(taken) - 1, int(len(taken) * 0.99))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    servers.QUICK = ("shared_buffers=128MB", "max_wal_size=2GB")
    server = servers.start()
    try:
        _run(server, rows)
    finally:
        server.stop()


def _run(server: servers.Server, rows: int) -> None:
    print(f"load {os.getloadavg()[0]:.1f}, timescale: {servers.has_timescale()}")
    name = server.database("bench", "timescaledb" if servers.has_timescale() else None)
    url = server.url(name)
    store = PostgresStore(url, calendar=AlwaysOpen())
    first = date(2025, 1, 1)
    days = [first + timedelta(days=n) for n in range(DAYS_A_SERIES)]
    bars = Bars.of(row for day in days for row in minutes(day))
    series = [Series("NSE", f"S{n}", "1m") for n in range(max(1, rows // len(bars)))]
    for what in ("inserted", "again"):
        taken = []
        for one in series:
            begun = time.perf_counter()
            store.put(one, bars, fence=Epoch(1), provenance=PULLED)
            taken.append(time.perf_counter() - begun)
        tenth = max(1, len(taken) // 10)
        print(
            f"{len(series) * len(bars):,} {what}: {sum(taken):.1f} s; first tenth {sum(taken[:tenth]):.2f} s,"
            f" last {sum(taken[-tenth:]):.2f} s"
        )
    with psycopg.connect(url, autocommit=True) as bare:
        bare.execute("VACUUM ANALYZE historify.bars_1m")
        _reads(store, bare, series, days)
    more = iter(days[-1] + timedelta(days=n + 1) for n in range(10_000))
    p50, p99 = timed(
        lambda: store.put(series[0], Bars.of(minutes(next(more))), fence=Epoch(1), provenance=PULLED), 40
    )
    print(f"append of one day: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    store.close()


def _reads(store: PostgresStore, bare: psycopg.Connection, series: list[Series], days: list[date]) -> None:
    one = series[len(series) // 2]
    month = BarRequest(one.exchange, one.symbol, "1m", days[20], days[41])
    held = store.get(month)
    p50, p99 = timed(lambda: store.get(month), 100)
    query = (
        "SELECT ts, open, high, low, close, volume, oi FROM historify.bars_1m WHERE series_id = "
        f"(SELECT id FROM historify.series WHERE symbol = '{one.symbol}') AND ts >= {held.ts[0]}"
        f" AND ts <= {held.ts[-1]} ORDER BY ts"
    )
    ref50, ref99 = timed(lambda: bare.cursor(binary=True).execute(query).fetchall(), 100)
    print(
        f"month of 1m, {len(held)} bars: p50 {p50:.1f}, p99 {p99:.1f} ms; bare rows {ref50:.1f}, {ref99:.1f}"
    )
    whole = BarRequest(one.exchange, one.symbol, "15m", days[0], days[-1])
    p50, p99 = timed(lambda: store.get(whole), 20)
    print(f"{len(days)} days as 15m, {len(store.get(whole))} bars: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    keys = [(s.exchange, s.symbol) for s in series]
    p50, p99 = timed(lambda: store.latest(keys, "1m"), 20)
    print(f"last day of {len(keys)} series: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
