"""The store's writer, killed with SIGKILL at random moments: nothing torn, lost after its answer, or twice.

Each batch replaces every bar of a series, in two files, with bars of one price, its own number. After a kill
a series must be worth one number throughout: the last one acknowledged, or the one that was on its way.

    scripts/campaign history_kill [--kills 100] [--seed 1]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from array import array
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from historify.lease import writing
from historify.model import Bars, Batch, DayState, Provenance, Series
from historify.segments import manifest
from historify.segments.damage import verify
from historify.segments.files import read
from historify.store import SegmentStore, store_paths

SERIES = [Series("NSE", f"KILL{number}", "1m") for number in range(8)]
COUNT = 3000
FIRST = 1_735_621_200
"""2024-12-31 05:00 UTC: the bars of a series lie in the files of two years."""
DAYS = {date(2024, 12, 31): DayState.FULL, date(2025, 1, 1): DayState.FULL}
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Figures:
    kills: int
    acknowledged: int
    in_flight_kept: int
    orphans: int


def marked(number: int) -> Bars:
    price = array("d", [float(number)]) * COUNT
    ts = array("q", range(FIRST, FIRST + 60 * COUNT, 60))
    return Bars(ts, price, price, price, price, array("q", [number]) * COUNT, array("q", [0]) * COUNT)


def opened(folder: Path) -> SegmentStore:
    return SegmentStore(store_paths(folder / "historify.duckdb"), calendar=AlwaysOpen())


def write(folder: Path, number: int, told: Connection) -> None:
    """The victim: says ``(series, number)`` before and ``(-1, number)`` after each publish, until killed.

    Every fourth batch is of two series in one transaction.
    """
    store = opened(folder)
    with writing(store.control, store.paths.lock, "victim", SystemClock()) as fence:
        orphans = store.writer.collect(fence, orphans=True).orphans
        told.send(("ready", orphans))
        while True:
            number += 1
            size = 2 if number % 4 == 0 else 1
            chosen = [(number + step) % len(SERIES) for step in range(size)]
            bars, provenance = marked(number), Provenance("dhan", int(time.time()), number)
            told.send(("begun", number, chosen))
            store.put_many([Batch(SERIES[one], bars, provenance, DAYS) for one in chosen], fence=fence)
            told.send(("done", number, chosen))


def one_kill(folder: Path, number: int, wait_s: float) -> tuple[list[tuple[str, int, list[int]]], int]:
    """Let a victim work from ``number`` on and kill it; what it said, and the orphans it found."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    victim = CONTEXT.Process(target=write, args=(folder, number, theirs))
    victim.start()
    theirs.close()
    _, orphans = ours.recv()
    time.sleep(wait_s)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    said = []
    try:
        while True:
            said.append(ours.recv())
    except (EOFError, OSError):
        ours.close()
    return said, orphans


def worth(store: SegmentStore, series: Series) -> int:
    """The one number all bars of a series carry; 0 without bars. Read from the files, past any reader."""
    with store.control.read() as connection:
        listed = manifest.segments(connection, series)
        (row,) = manifest.catalog(connection, series.exchange, series.symbol) or [None]
        ingests = connection.execute(
            "SELECT max(job) FROM ingest WHERE symbol=? AND exchange=?", (series.symbol, series.exchange)
        ).fetchone()[0]
    if not listed:
        assert row is None, f"{series} is in the catalog without bars"
        return 0
    tables = [read(store.paths, one) for one in listed]
    times = [ts for table in tables for ts in table.column("ts").to_pylist()]
    assert times == list(range(FIRST, FIRST + 60 * COUNT, 60)), f"{series}: bars are missing or there twice"
    prices = {value for table in tables for value in table.column("close").to_pylist()}
    assert len(prices) == 1, f"{series} is torn: {sorted(prices)}"
    assert row is not None
    assert row.rows == COUNT
    (price,) = prices
    assert ingests == price, f"{series}: bars of batch {price}, provenance of {ingests}"
    return int(price)


def check(store: SegmentStore, acknowledged: list[int], flying: dict[int, int]) -> int:
    """All series against what was acknowledged; returns how many batches in flight had been published."""
    kept = 0
    for place, series in enumerate(SERIES):
        found = worth(store, series)
        allowed = {acknowledged[place], flying.get(place, acknowledged[place])}
        assert found in allowed, f"{series}: batch {found} is there, of {allowed}"
        kept += found != acknowledged[place]
        acknowledged[place] = found
    landed = {acknowledged[place] == number for place, number in flying.items()}
    assert len(landed) <= 1, f"a batch of two series was half published: {flying}, {acknowledged}"
    assert not list(verify(store.control, store.paths.root))
    return kept


def strays(store: SegmentStore) -> set[str]:
    with store.control.read() as connection:
        known = {
            row[0] for row in connection.execute("SELECT path FROM segment UNION SELECT path FROM trash")
        }
    there = {path.relative_to(store.paths.root).as_posix() for path in store.paths.bars.glob("*/*/*/*")}
    assert {one.path for one in listed(store)} <= there, "a file of the manifest is gone"
    return there - known


def listed(store: SegmentStore) -> list[manifest.Segment]:
    with store.control.read() as connection:
        return list(manifest.all_segments(connection))


def run(folder: Path, kills: int, seed: int, *, longest_s: float = 0.25) -> Figures:
    """Raises ``AssertionError`` at the first broken promise."""
    CONTEXT.set_forkserver_preload([__name__, "historify.segments.writer"])
    dice = random.Random(seed)
    store = opened(folder)
    acknowledged, number, done, kept, orphans = [0] * len(SERIES), 0, 0, 0, 0
    left = 0
    for _ in range(kills):
        said, found = one_kill(folder, number, dice.uniform(0, longest_s))
        assert found >= left, f"{left} stray files, {found} collected"
        orphans += found
        flying: dict[int, int] = {}
        for what, number, chosen in said:
            if what == "done":
                done += 1
                for place in chosen:
                    acknowledged[place] = number
                flying = {}
            else:
                flying = dict.fromkeys(chosen, number)
        kept += check(store, acknowledged, flying) > 0
        left = len(strays(store))
    with writing(store.control, store.paths.lock, "last", SystemClock()) as fence:
        assert store.writer.collect(fence, orphans=True).orphans == left
    assert not strays(store)
    check(store, acknowledged, {})
    store.close()
    return Figures(kills, done, kept, orphans + left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = run(Path(folder), args.kills, args.seed, longest_s=0.5)
        except AssertionError as exc:
            print(f"BROKEN: {exc}")
            return 1
    print(
        f"{figures.kills} kills: 0 torn, 0 lost of {figures.acknowledged} acknowledged batches, 0 twice; "
        f"{figures.in_flight_kept} were published before their answer; {figures.orphans} orphans collected"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
