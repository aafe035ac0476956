"""How long a swap of a full instrument table takes, how much memory, and how long lookups take.

    python scripts/bench/instruments.py [ROWS]

Prints one JSON object. Times are seconds, memory is the process's peak in MB, both with the rows made first
(as a parser would hand them over).
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from brokers.clock import SystemClock
from brokers.model import Instrument, InstrumentKey, Venue
from gateway.store import engine, kv
from gateway.store.instruments import InstrumentStore
from gateway.web.lookup import Lookup

TODAY = date(2026, 11, 20)
ROOTS = 180


def options(count: int, root: str, shift: int = 0) -> Iterator[Instrument]:
    """``count`` options of one root, CE and PE over four expiries."""
    for n in range(count):
        expiry = TODAY + timedelta(days=4 + 7 * (n % 4) + shift)
        strike = Decimal(20_000 + 50 * (n // 8))
        kind = "CE" if n // 4 % 2 else "PE"
        text = expiry.strftime("%d%b%y").upper()
        yield Instrument(
            key=InstrumentKey("NFO", f"{root}{text}{strike}{kind}"),
            token=str(abs(hash((root, n, shift))) % 10**9),
            broker_exchange="NSE_FNO",
            broker_symbol=f"{root}-{expiry:%b%Y}-{strike}-{kind}",
            name=root,
            instrument_type=kind,
            lot_size=65,
            tick_size=Decimal("0.05"),
            expiry=expiry,
            strike=strike,
            freeze_qty=1755,
            display_name=f"{root} {expiry:%d %b} {strike} {'CALL' if kind == 'CE' else 'PUT'}".upper(),
        )


def table(rows: int, shift: int = 0) -> Iterator[Instrument]:
    each = rows // ROOTS
    for n in range(ROOTS):
        yield from options(each + (rows % ROOTS if n == 0 else 0), f"ROOT{n:03d}", shift)


def timed(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken), 4)


def stalls(database: engine.Database, stop: threading.Event, waits: list[float]) -> None:
    """What an order's journal commit waits for while a swap runs."""
    while not stop.is_set():
        start = time.perf_counter()
        database.write(lambda c: kv.put(c, "bench", "x"))
        waits.append(time.perf_counter() - start)
        stop.wait(0.01)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 228_000
    with tempfile.TemporaryDirectory() as folder:
        database = engine.open(Path(folder) / "bench.db", Venue.SIM)
        store = InstrumentStore(database, SystemClock())
        report: dict[str, object] = {"rows": rows}
        for name, shift in (("first", 0), ("again", 0), ("all_expired", 28)):
            parsed = list(table(rows, shift))
            waits: list[float] = []
            stop = threading.Event()
            watcher = threading.Thread(target=stalls, args=(database, stop, waits))
            watcher.start()
            start = time.perf_counter()
            done = store.swap(parsed, TODAY + timedelta(days=shift))
            report[f"swap_{name}_s"] = round(time.perf_counter() - start, 2)
            stop.set()
            watcher.join()
            report[f"swap_{name}"] = f"+{done.added} ~{done.changed} -{done.expired} ={done.total}"
            report[f"commit_wait_{name}_max_s"] = round(max(waits), 3)
            del parsed
        some = next(store.rows())
        report["search_one_s"] = timed(lambda: store.search("ROOT042"))
        report["search_two_s"] = timed(lambda: store.search("root042 20500 call"))
        report["search_none_s"] = timed(lambda: store.search("nothing like it"))
        lookup = Lookup(store)
        start = time.perf_counter()
        lookup.find("R", None, 20)
        report["typing_first_s"] = round(time.perf_counter() - start, 3)
        typed = ("R", "ROOT0", "ROOT042", "root042 20500", "root042 20500 call", "nothing like it")
        report["typing_slowest_s"] = max(
            timed(lambda text=text: lookup.find(text, None, 20)) for text in typed
        )
        report["nearest_s"] = timed(lambda: store.nearest(some.key.symbol.replace("CE", "1CE"), "NFO"))
        report["find_s"] = timed(lambda: store.find(some.display_name.lower()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report["peak_mb"] = round(peak / (1024 if sys.platform != "darwin" else 1024**2))
        report["file_mb"] = round(database.path.stat().st_size / 2**20)
        database.close()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
