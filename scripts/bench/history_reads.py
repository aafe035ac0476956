"""Reads of a large market-data store beside a bare DuckDB connection, while it is written.

A store of 500 symbols and 250 trading days of 1m (47 M bars) plus the running month is generated with the
product's own file writer and packed into one DuckDB file. Then readers ask the store and, in turn, a bare
DuckDB connection on the packed file the same questions, while another process appends days and publishes the
face, and a third holds the face open to write.

    .venv/bin/python scripts/bench/history_reads.py [--symbols N] [--days N] [--reads N] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from brokers.calendar import FileCalendar  # noqa: E402
from brokers.clock import SystemClock  # noqa: E402
from brokers.errors import AlgoError  # noqa: E402
from historify import lease, tail  # noqa: E402
from historify.control import Control  # noqa: E402
from historify.days import day_bounds, day_start  # noqa: E402
from historify.face.pack import pack  # noqa: E402
from historify.face.publish import Face  # noqa: E402
from historify.model import BarRequest, Bars, Provenance, Series  # noqa: E402
from historify.paths import StorePaths  # noqa: E402
from historify.reader.bars import Reader  # noqa: E402
from historify.segments import columns, manifest  # noqa: E402
from historify.segments.files import Files  # noqa: E402
from historify.store import SegmentStore  # noqa: E402

SEED = 6
MINUTES = 375
OPEN_S = 33_300
EPOCH = date(1970, 1, 1)
PROMISES = {
    "month of 1m": (10, 40),
    "year as 15m": (25, 60),
    "last day of all": (450, None),
    "hot last day": (100, None),
}


def name(number: int) -> str:
    return f"SYM{number:04}"


def trading_days(year: int, count: int, calendar: FileCalendar, until: date) -> list[date]:
    days = (date(year, 1, 1) + timedelta(days=n) for n in range(365))
    return [day for day in days if day <= until and calendar.session("NSE", day)][:count]


def stamps(days: list[date]) -> list[int]:
    return [(d - EPOCH).days * 86_400 - 19_800 + OPEN_S + 60 * m for d in days for m in range(MINUTES)]


def table(days: list[date], chance: random.Random) -> pa.Table:
    """A random walk in paise."""
    paise, rows = 250_000, []
    for ts in stamps(days):
        start = paise
        paise = max(paise + chance.randint(-150, 150), 1_000)
        high, low = max(start, paise) + chance.randint(0, 60), min(start, paise) - chance.randint(0, 60)
        rows.append((ts, start, high, low, paise, chance.randint(1, 90_000), chance.randint(1, 90_000)))
    ts, *prices, volume, oi = zip(*rows, strict=True)
    return pa.table(
        [pa.array(ts, pa.int64()), *(pc.divide(pa.array(p, pa.float64()), 100.0) for p in prices),
         pa.array(volume, pa.int64()), pa.array(oi, pa.int64())], schema=columns.VALUES
    )  # fmt: skip


def generate(paths: StorePaths, symbols: int, days: int) -> None:
    """Year files of 2025 and month files of November 2026; the first 20 symbols have all months of 2026."""
    chance, calendar = random.Random(SEED), FileCalendar()
    year = trading_days(2025, days, calendar, date(2025, 12, 31))
    running = trading_days(2026, 365, calendar, date(2026, 11, 19))
    years = [table(year, chance) for _ in range(4)]
    months = {m: table([d for d in running if d.month == m], chance) for m in range(1, 12)}
    control, files = Control(paths.control), Files(paths)
    began = time.monotonic()
    for number in range(symbols):
        series = Series("NSE", name(number), "1m")
        shift = [pc.round(pc.add(years[number % 4].column(c), float(number)), 2) for c in range(1, 5)]
        moved = pa.table(
            [years[number % 4].column(0), *shift, *years[number % 4].columns[5:]], schema=columns.VALUES
        )
        made = [files.write(series, "2025", moved, 1)]
        made += [
            files.write(series, f"2026-{m:02}", part, 1)
            for m, part in months.items()
            if m == 11 or number < 20
        ]
        with control.transaction(durable=False) as tx:
            at = manifest.next_publish(tx)
            for one in made:
                manifest.add(tx, one, at, time.time())
            manifest.recount(tx, series, time.time(), "bench")
            last = columns.bars_from(months[11], day_start(made[-1].hi, "1m"))
            tail.keep(tx, series, made[-1].path, last)
    rows = symbols * (len(years[0]) + len(months[11]))
    print(f"generated {rows / 1e6:.1f} M bars in {time.monotonic() - began:.0f} s", flush=True)
    control.close()


def write(paths: StorePaths, symbols: int) -> None:
    """Append a day to one symbol after the other, three a second; publish the face when it can be."""
    store = SegmentStore(paths, calendar=FileCalendar())
    lock = lease.PullerLock(paths.lock)
    lock.acquire()
    fence = lease.acquire(store.control, lock, "bench", SystemClock(), force=True)
    face = Face(paths, store.control, SystemClock())
    chance, turn, states = random.Random(SEED), 0, defaultdict[str, int](int)
    day = table([date(2026, 11, 20)], chance)
    bars = columns.bars_from(day, 0)
    while not paths.root.joinpath("stop").exists():
        began = time.monotonic()
        store.put(
            Series("NSE", name(turn % symbols), "1m"),
            bars,
            fence=fence,
            provenance=Provenance("bench", int(time.time())),
        )
        turn += 1
        if turn % 15 == 0:
            states[str(face.publish().state)] += 1
            fence.renew()
        time.sleep(max(0.0, 1 / 3 - (time.monotonic() - began)))
    print(json.dumps({"puts": turn, "face": states}))


def questions(symbols: int, days: int, chance: random.Random) -> Iterator[tuple[str, BarRequest]]:
    """Nine months of 1m to three years as 15m."""
    while True:
        symbol = name(chance.randrange(symbols))
        if chance.random() < 0.75:
            if chance.random() < 0.5:
                yield "month of 1m", BarRequest("NSE", symbol, "1m", date(2026, 11, 1), date(2026, 11, 30))
            else:
                first = date(2025, chance.randint(1, max(1, days // 23)), 1)
                yield "month of 1m", BarRequest("NSE", symbol, "1m", first, first + timedelta(days=29))
        else:
            yield "year as 15m", BarRequest("NSE", symbol, "15m", date(2025, 1, 1), date(2025, 12, 31))


def bare(connection: duckdb.DuckDBPyConnection, request: BarRequest) -> int:
    """The same answer from one table, as columns."""
    lo, hi = day_bounds("1m", request.start, request.end)
    where = (
        "FROM market_data WHERE symbol = ? AND exchange = ? AND interval = '1m' "
        "AND timestamp >= ? AND timestamp < ?"
    )
    sql = f"SELECT timestamp, open, high, low, close, volume, oi {where}"
    if request.interval == "15m":
        sql = (
            "SELECT timestamp - (timestamp + 19800 - 33300) % 900 AS bar, arg_min(open, timestamp), "
            "max(high), min(low), arg_max(close, timestamp), sum(volume), arg_max(oi, timestamp) "
            f"{where} GROUP BY bar ORDER BY bar"
        )
    found = connection.execute(sql, [request.symbol, request.exchange, lo, hi]).fetchnumpy()
    return len(next(iter(found.values())))


def read(paths: StorePaths, packed: Path, symbols: int, days: int, reads: int, seed: int) -> None:
    """Ask ``reads`` questions; every tenth also of the bare connection, the last days of all every 200."""
    reader = Reader(Control(paths.control), paths.root, FileCalendar())
    connection = duckdb.connect(str(packed), read_only=True, config={"threads": 2})
    everybody = [("NSE", name(n)) for n in range(symbols)]
    chance, taken, failed = random.Random(seed), defaultdict[str, list[float]](list), []

    def timed(what: str, ask: Callable[[], int], least: int) -> None:
        began = time.perf_counter()
        try:
            count = ask()
            if count < least:
                failed.append(f"{what}: {count} bars")
        except AlgoError as exc:
            failed.append(f"{what}: {exc}")
        taken[what].append((time.perf_counter() - began) * 1e3)

    source = questions(symbols, days, chance)
    for number in range(reads):
        what, request = next(source)
        timed(what, lambda request=request: len(reader.get(request)), 1)  # type: ignore[misc]
        if number % 10 == 0:
            timed(f"bare {what}", lambda request=request: bare(connection, request), 1)  # type: ignore[misc]
        if number % 200 == 0:
            timed("hot last day", lambda: len(reader.latest(everybody, "1m")), symbols)
            timed("last day of all", lambda: len(cold(reader, everybody)), symbols)
            timed("bare last day of all", lambda: last_day(connection), 1)
            request = BarRequest(
                "NSE", name(chance.randrange(20)), "15m", date(2026, 1, 1), date(2026, 11, 30)
            )
            timed("running year as 15m (11 files)", lambda request=request: len(reader.get(request)), 1)  # type: ignore[misc]
    print(json.dumps({"taken": taken, "failed": failed}))


def cold(reader: Reader, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Bars]:
    """``latest`` as if there were no hot tail."""
    real, tail.read = tail.read, lambda *_: {}
    try:
        return dict(reader.latest(keys, "1m"))
    finally:
        tail.read = real


def last_day(connection: duckdb.DuckDBPyConnection) -> int:
    lo, hi = day_bounds("1m", date(2026, 11, 19), date(2026, 11, 19))
    sql = "SELECT * FROM market_data WHERE interval = '1m' AND timestamp >= ? AND timestamp < ?"
    return len(connection.execute(sql, [lo, hi]).fetchnumpy()["timestamp"])


HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def child(*arguments: object, **more: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True, stdin=more.get("stdin")
    )


def campaign(folder: Path, symbols: int, days: int, reads: int, readers: int) -> int:
    paths, packed = StorePaths(folder / "historify.duckdb"), folder / "packed.duckdb"
    if not paths.control.exists():
        generate(paths, symbols, days)
    control = Control(paths.control)
    if not packed.exists():
        began = time.monotonic()
        done = pack(control, paths, packed)
        print(
            f"packed {done.rows / 1e6:.1f} M bars, {done.bytes / 1e6:.0f} MB, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    paths.root.joinpath("stop").unlink(missing_ok=True)
    began = time.monotonic()
    Face(paths, control, SystemClock()).publish(force=True)
    print(
        f"face: {paths.face.stat().st_size / 1e3:.0f} kB, {(time.monotonic() - began) * 1e3:.0f} ms",
        flush=True,
    )
    control.close()
    holder = child("-c", HOLD, paths.face, stdin=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    writer = child(__file__, "--write", folder, "--symbols", symbols)
    workers = [
        child(
            __file__,
            "--read",
            folder,
            "--symbols",
            symbols,
            "--days",
            days,
            "--reads",
            reads // readers,
            "--seed",
            SEED + n,
        )
        for n in range(readers)
    ]
    taken: defaultdict[str, list[float]] = defaultdict(list)
    failed: list[str] = []
    for worker in workers:
        answer = json.loads(worker.communicate()[0])
        failed += answer["failed"]
        for what, times in answer["taken"].items():
            taken[what] += times
    paths.root.joinpath("stop").touch()
    print(f"writer: {writer.communicate()[0].strip()}")
    holder.stdin.close()
    holder.wait()
    for what, times in sorted(taken.items()):
        times.sort()
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        promise = PROMISES.get(what)
        print(
            f"{what:32} {len(times):6}  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms"
            + (f"  promised {promise}" if promise else "")
        )
    print(f"{len(failed)} of {sum(map(len, taken.values()))} failed", *failed[:5], sep="\n")
    return bool(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--days", type=int, default=250)
    parser.add_argument("--reads", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--keep", type=Path, help="use and keep this folder")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(StorePaths(given.write / "historify.duckdb"), given.symbols)
        return 0
    if given.read:
        paths = StorePaths(given.read / "historify.duckdb")
        read(paths, given.read / "packed.duckdb", given.symbols, given.days, given.reads, given.seed)
        return 0
    print(f"seed {SEED}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        return campaign(given.keep, given.symbols, given.days, given.reads, given.readers)
    with tempfile.TemporaryDirectory(prefix="algo-bench-") as folder:
        return campaign(Path(folder), given.symbols, given.days, given.reads, given.readers)


if __name__ == "__main__":
    sys.exit(main())
