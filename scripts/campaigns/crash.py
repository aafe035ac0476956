"""kill -9 of the api process at random points under load: nothing is lost, doubled or misreported.

After every kill each order the broker saw must have a journal row; after the last one a restart settles all.
Several homes, because one account may place 950 orders an hour; two of them run at a time.

    scripts/campaign crash [--kills 300] [--seed 20261120]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.fleet import until
from tests.e2e.station import Station

PER_HOME = 50
CLIENTS = 6
SETTLE_S = 60.0


@dataclass
class Figures:
    """What one home saw."""

    kills: int = 0
    while_starting: int = 0
    orders: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    states: dict[str, int] = field(default_factory=dict)


class Load:
    """Clients that place, change and cancel until told to stop; a request that dies is asked again."""

    def __init__(self, station: Station, price: float, seed: int) -> None:
        self._station = station
        self._price = price
        self._seed = seed
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    def start(self, life: int) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._client, args=(life, number), daemon=True)
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _client(self, life: int, number: int) -> None:
        dice = random.Random(f"{self._seed} {life} {number}")
        trader = self._station.trader
        for count in range(4):
            if self._stop.is_set():
                return
            name = f"k{life}-{number}-{count}"
            status, body = trader.place(name, self._price, quantity=str(dice.randint(1, 5)))
            self.answers[str(body.get("code") or status)] += 1
            if status != 200:
                continue
            order_id = self.told[name] = str(body["orderid"])
            if dice.random() < 0.4:
                status, body = trader.post("cancelorder", orderid=order_id, strategy="crash")
                self.answers[f"cancel {body.get('code') or status}"] += 1


def run(station: Station, kills: int, seed: int) -> Figures:
    """Kill one home's api process so often; raises ``AssertionError`` when a promise is broken."""
    dice = random.Random(seed)
    figures = Figures()
    trader = station.open()
    price = trader.price()
    load = Load(station, price, seed)
    slow = {"kind": "delay", "delay_s": 0.15, "match": {"method": "POST"}, "probability": 0.3}
    trader.sim("POST", "faults", slow)
    for life in range(kills):
        if life % 5 == 4:  # in the middle of the start, recovery included
            figures.while_starting += 1
            threading.Event().wait(dice.uniform(0.2, 2.0))
        else:
            station.ready()
            load.start(life)
            threading.Event().wait(dice.uniform(0.0, 1.0))
        station.kill()
        load.stop()
        figures.kills += 1
        figures.orders = station.check_rows()
        station.start()
    trader.sim("DELETE", "faults")
    station.ready()
    until(station.settled, SETTLE_S, f"{station.name} settles after the last kill\n{station.tail()}")
    figures.states = station.check_truth()
    ids = {row["client_order_id"]: row["order_id"] for row in station.rows()}
    for name, order_id in load.told.items():
        assert ids[name] == order_id, f"{name} was answered with {order_id}, the journal has {ids[name]}"
    figures.answers = load.answers
    return figures


def piece(name: str, kills: int, seed: int) -> Figures:
    with tempfile.TemporaryDirectory() as home:
        station = Station(Path(home), name)
        try:
            found = run(station, kills, seed)
        finally:
            station.close()
    print(f"{name}: {found}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20261120)
    options = parser.parse_args()
    begun = time.monotonic()
    pieces = []
    left = options.kills
    while left > 0:
        pieces.append(min(PER_HOME, left))
        left -= PER_HOME
    names = [("dhan", "kotak")[n % 2] for n in range(len(pieces))]
    seeds = [options.seed + n for n in range(len(pieces))]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(piece, names, pieces, seeds))
    kills, orders = sum(f.kills for f in found), sum(f.orders for f in found)
    starting = sum(f.while_starting for f in found)
    print(
        f"crash: {kills} kills ({starting} while starting), {orders} orders at the brokers, each with its "
        f"row, all settled and true; seed {options.seed}, {time.monotonic() - begun:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
