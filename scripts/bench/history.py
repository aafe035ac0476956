"""Writing candles: the store beside a bare DuckDB connection in the same run.

One million candles of 1m in 100 batches, inserted and inserted again, of one series (eleven years) and of
forty; then the day a running year gains, 100 times. The bare connection keeps a table with a primary key, as
the peers do, and is asked for the same: insert, or replace on conflict, one commit for each batch.

    .venv/bin/python scripts/bench/history.py [--candles 1000000] [--skip-bare]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import duckdb  # noqa: E402

from brokers.calendar import AlwaysOpen  # noqa: E402
from brokers.clock import SystemClock  # noqa: E402
from historify.lease import writing  # noqa: E402
from historify.model import Bars, DayState, Provenance, Series  # noqa: E402
from historify.segments.columns import checked, with_names  # noqa: E402
from historify.store import SegmentStore, store_paths  # noqa: E402

DAY = 375
OPEN_S = 13_500
"""09:15 IST after 00:00 UTC."""
FROM = Provenance("bench", 0)
UPSERT = """
    INSERT INTO market_data
    SELECT symbol, exchange, interval, ts, open, high, low, close, volume, oi FROM batch
    ON CONFLICT (symbol, exchange, interval, timestamp) DO UPDATE SET open=excluded.open, high=excluded.high,
        low=excluded.low, close=excluded.close, volume=excluded.volume, oi=excluded.oi
"""
TABLE = """
    CREATE TABLE market_data(symbol VARCHAR, exchange VARCHAR, interval VARCHAR, timestamp BIGINT,
        open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume BIGINT, oi BIGINT,
        PRIMARY KEY(symbol, exchange, interval, timestamp))
"""
Put = Callable[[Series, Bars], None]


def walk(first: date, days: int, dice: Random) -> Bars:
    """Sessions of 375 minutes on consecutive weekdays, prices in paise steps."""
    rows = []
    price, day, left = 100_000, first, days
    while left:
        if day.weekday() < 5:
            begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + OPEN_S
            for minute in range(DAY):
                moves = [price + dice.randrange(-40, 41) for _ in range(3)]
                rows.append((begin + 60 * minute, price, max(price, *moves), min(price, *moves), moves[-1]))
                price = max(1000, moves[-1])
            left -= 1
        day += timedelta(days=1)
    ts, *prices = zip(*rows, strict=True)
    columns = [array("d", [value / 100 for value in column]) for column in prices]
    volume = array("q", [dice.randrange(100_000) for _ in ts])
    return Bars(array("q", ts), *columns, volume, array("q", [0]) * len(volume))


def cut(bars: Bars, size: int) -> Iterator[Bars]:
    for begin in range(0, len(bars), size):
        part = slice(begin, begin + size)
        yield Bars(bars.ts[part], bars.open[part], bars.high[part], bars.low[part], bars.close[part],
                   bars.volume[part], bars.oi[part])  # fmt: skip


def timed(put: Put, batches: list[tuple[Series, Bars]]) -> list[float]:
    spent = []
    for series, bars in batches:
        begun = time.perf_counter()
        put(series, bars)
        spent.append(time.perf_counter() - begun)
    return spent


def told(what: str, spent: list[float]) -> None:
    tenth = max(1, len(spent) // 10)
    first, last = (sum(part) / tenth * 1000 for part in (spent[:tenth], spent[-tenth:]))
    print(
        f"  {what:<34} {sum(spent):6.2f} s; a batch: first tenth {first:6.1f} ms, last tenth {last:6.1f} ms"
    )


def daily(what: str, put: Put, days: list[Bars], series: Series) -> None:
    spent = sorted(timed(put, [(series, one) for one in days]))
    p99 = spent[int(len(spent) * 0.99)]
    print(f"  {what:<34} p50 {median(spent) * 1000:5.1f} ms, p99 {p99 * 1000:5.1f} ms")


def store_put(store: SegmentStore, fence: object) -> Put:
    def put(series: Series, bars: Bars) -> None:
        first, last = (date(1970, 1, 1) + timedelta(days=ts // 86_400) for ts in (bars.ts[0], bars.ts[-1]))
        days = {first + timedelta(days=n): DayState.FULL for n in range((last - first).days + 1)}
        store.put(series, bars, fence=fence, provenance=FROM, covered=days)  # type: ignore[arg-type]

    return put


def bare_put(connection: duckdb.DuckDBPyConnection) -> Put:
    def put(series: Series, bars: Bars) -> None:
        connection.register("batch", with_names(series, checked(series, bars)))
        connection.execute(UPSERT)

    return put


def measure(name: str, put: Put, loads: dict[str, list[tuple[Series, Bars]]], days: list[Bars]) -> None:
    print(name)
    for what, batches in loads.items():
        told(f"{what}, inserted", timed(put, batches))
        told(f"{what}, inserted again", timed(put, batches))
        moved = [(s, Bars(b.ts, b.open, b.high, b.low, b.close, b.oi, b.volume)) for s, b in batches]
        told(f"{what}, other volumes", timed(put, moved))
    daily("a day appended", put, days, Series("NSE", "ONE", "1m"))
    daily("a day appended again", put, days, Series("NSE", "ONE", "1m"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--candles", type=int, default=1_000_000)
    parser.add_argument("--skip-bare", action="store_true")
    args = parser.parse_args()
    dice = Random(1)
    today = datetime.now(UTC).date()
    span = args.candles // DAY + 1
    long = walk(date(today.year, 1, 1) - timedelta(days=span * 7 // 5 + 7), span, dice)
    one = [(Series("NSE", "ONE", "1m"), part) for part in cut(long, args.candles // 100)]
    pieces = list(cut(long, args.candles // 40))[:40]
    forty = [
        (Series("NSE", f"S{n}", "1m"), part)
        for n, piece in enumerate(pieces)
        for part in cut(piece, max(1, len(piece) * 2 // 5))
    ]
    days = list(cut(walk(date(today.year, 1, 2), 100, dice), DAY))
    loads = {"one series": one, "forty series": forty}
    with tempfile.TemporaryDirectory() as folder:
        store = SegmentStore(store_paths(Path(folder) / "historify.duckdb"), calendar=AlwaysOpen())
        with writing(store.control, store.paths.lock, "bench", SystemClock()) as fence:
            measure(f"store: {len(long):,} candles", store_put(store, fence), loads, days)
        store.close()
    if args.skip_bare:
        return
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/bare.duckdb") as connection:
        connection.execute(TABLE)
        measure("bare DuckDB connection", bare_put(connection), loads, days)


if __name__ == "__main__":
    main()
