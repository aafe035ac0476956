"""The broker's rate windows: 10,000 arrivals in virtual time, then several processes posting at once.

The real run is judged by the simulated broker's own log of arrivals against the windows it publishes.

    scripts/campaign limiter [--arrivals 10000] [--clients 4] [--seconds 30]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.fleet import Fleet
from tests.e2e.station import Station
from tests.e2e.trader import Trader
from tests.simulation import limiting

ORDER_CALL = re.compile(r"(POST|PUT|DELETE) .*(/v2/orders|/quick/order/)")
PUBLISHED = {"dhan": ((10, 1.0), (250, 60.0), (1000, 3600.0)), "kotak": ((10, 1.0),)}
DEADLINE_S = 1.0
SLACK_S = 10.0
"""A loaded machine answers late; an order held for good is what is looked for."""


@dataclass(frozen=True, slots=True)
class Figures:
    answers: dict[str, int]
    cancels: dict[str, int]
    arrivals: int
    fullest_second: int
    longest_s: float


def client(
    home: str, name: str, port: int, key: str, number: int, price: float, seconds: float
) -> list[tuple[str, str, float]]:
    """One process: three threads that place without a pause. (client id, answer, seconds) of each."""
    fleet = Fleet(Path(home))
    fleet.ports[name] = {"FLASK_PORT": port}
    trader = Trader(fleet, name, key)
    found: list[tuple[str, str, float]] = []
    ends = time.monotonic() + seconds

    def work(thread: int) -> None:
        count = 0
        while time.monotonic() < ends:
            count += 1
            name = f"p{number}-{thread}-{count}"
            began = time.monotonic()
            status, body = trader.place(name, price)
            found.append((name, str(body.get("code") or status), time.monotonic() - began))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


def run(station: Station, clients: int, seconds: float) -> Figures:
    """Saturate entries from several processes while cancels go on; raises ``AssertionError``."""
    trader = station.open()
    price = trader.price()
    placed = [trader.place(f"first-{n}", price) for n in range(4)]
    assert all(status == 200 for status, _ in placed), placed
    cancels: Counter[str] = Counter()
    with ProcessPoolExecutor(clients) as pool:
        home, port = str(station.fleet.home), station.ports["FLASK_PORT"]
        running = [
            pool.submit(client, home, station.name, port, trader.key, n, price, seconds)
            for n in range(clients)
        ]
        todo = [str(body["orderid"]) for _, body in placed]
        while todo and not all(f.done() for f in running):
            threading.Event().wait(seconds / 8)
            status, body = trader.post("cancelorder", orderid=todo.pop(), strategy="limiter")
            cancels[str(body.get("code") or status)] += 1
        answers = [one for f in running for one in f.result()]
    assert set(cancels) == {"200"}, f"a cancel found no slot while entries were saturated: {cancels}"
    counts = Counter(code for _, code, _ in answers)
    assert set(counts) <= {"200", "RATE_LIMITED"}, counts
    assert counts["RATE_LIMITED"], "the windows were never full"
    longest_s = max(spent for _, _, spent in answers)
    assert longest_s < DEADLINE_S + SLACK_S, f"an order was held for {longest_s:.1f} s"
    rows = {row["client_order_id"] for row in station.rows()}
    for name, code, _ in answers:
        assert (name in rows) == (code == "200"), f"{name} was answered {code}"
    assert station.check_rows() == counts["200"] + len(placed), "an order was lost or made from nothing"
    arrived = [one["at_s"] for one in trader.sim("GET", "arrivals") if ORDER_CALL.match(one["call"])]
    fullest = 0
    for count, window_s in PUBLISHED[station.name]:
        first = 0
        for last, at in enumerate(arrived):
            while arrived[first] <= at - window_s:
                first += 1
            inside = last - first + 1
            assert inside <= count, f"{inside} order calls within {window_s} s at the broker, {count} allowed"
            if window_s == 1.0:
                fullest = max(fullest, inside)
    return Figures(dict(counts), dict(cancels), len(arrived), fullest, longest_s)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign limiter", description=__doc__)
    parser.add_argument("--arrivals", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        f"limiter, virtual time, seed {options.seed}: {limiting.run(options.arrivals, options.seed)}",
        flush=True,
    )
    for name in PUBLISHED:
        with tempfile.TemporaryDirectory() as home:
            station = Station(Path(home), name, ORDER_DEADLINE_SECONDS=DEADLINE_S)
            try:
                found = run(station, options.clients, options.seconds)
            finally:
                station.close()
        print(f"limiter {name}, {options.clients} processes: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
