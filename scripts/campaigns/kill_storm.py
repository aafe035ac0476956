"""Random kills of everything that runs, under orders and ticks: it comes back, and the books are true.

Two instances trade and tick while one process after another is killed with SIGKILL: simulated broker, api,
feed, the market-data store's, supervisor. Each must be back within 5 s (p95); no order may be lost or
doubled, no zombie and no port remain.

    scripts/campaign kill_storm [--kills 200] [--gap 16 | --minutes 60] [--seed 20261120]
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.running import ensure_supervisor
from tests.e2e.books import Books
from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen
from tests.e2e.station import FAST
from tests.e2e.trader import NO_ANSWER, Trader

BACK_MOST_S = 5.0
SETTLE_S = 60.0
HEALED_S = 2.0
"""Between a kill and its process' return, about."""
GIVE_UP_S = 60.0
SUPERVISOR = "supervisor"
SYMBOLS = "SBIN,RELIANCE,INFY,TCS,NSE_INDEX:NIFTY"
ORDERS_MOST = 750
"""An account may place 950 an hour."""


@dataclass
class Figures:
    """Seconds each kill took to be healed, by what was killed."""

    back: dict[str, list[float]] = field(default_factory=dict)
    orders: dict[str, dict[str, int]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def all(self) -> list[float]:
        return [one for found in self.back.values() for one in found]

    def p95(self) -> float:
        found = sorted(self.all)
        return found[min(len(found) - 1, int(0.95 * len(found)))]


class Orders:
    """Places a resting order every so often; one that gets no answer is asked for again by its own id."""

    def __init__(self, trader: Trader, price: float, every_s: float) -> None:
        self._trader = trader
        self._price = price
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a request hangs"

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            name, number = f"storm-{number}", number + 1
            for _ in range(20):
                status, body = self._trader.place(name, self._price)
                self.answers[str(body.get("code") or status)] += 1
                if status == 200:
                    self.told[name] = str(body["orderid"])
                if status != NO_ANSWER or self._stop.wait(0.3):
                    break
            self._stop.wait(self._every_s)


def run(fleet: Fleet, kills: int, seed: int, gap_s: float, order_every_s: float = 0.5) -> Figures:
    """Kill so often; raises ``AssertionError`` when anything but the time to be back is not as promised.

    The fleet is up and ready. Rounds of all targets in random order, so that none is killed twice in a row.
    """
    dice, seen, figures = random.Random(seed), Overseen(fleet), Figures()
    traders = {name: Trader(fleet, name, fleet.key(name)) for name in sorted(fleet.ports)}
    load = {name: Orders(one, one.price(), order_every_s) for name, one in traders.items()}
    targets: list[str] = []
    try:
        for _ in range(kills):
            targets = targets or dice.sample(keys := [*seen.pids(), SUPERVISOR], len(keys))
            target = targets.pop()
            figures.back.setdefault(target, []).append(_kill(seen, target))
            until(seen.all_ready, GIVE_UP_S, f"all ready\n{fleet.tails()}")
            time.sleep(dice.uniform(0.0, 2.0 * gap_s))
    finally:
        for one in load.values():
            one.stop()
    for name, trader in traders.items():
        books = Books(trader)
        until(books.settled, SETTLE_S, f"{name} settles")
        figures.orders[name] = books.check_truth()
        ids = {row["client_order_id"]: row["order_id"] for row in books.rows()}
        for client_id, order_id in load[name].told.items():
            assert ids[client_id] == order_id, f"{client_id}: told {order_id}, journal {ids[client_id]}"
        figures.answers += load[name].answers
    assert not seen.zombies(), f"zombies: {seen.zombies()}"
    doubled = {name: count for name, count in seen.copies().items() if count > 1}
    assert not doubled, f"second copies: {doubled}"
    return figures


def _kill(seen: Overseen, target: str) -> float:
    begun = time.monotonic()
    if target != SUPERVISOR:
        return seen.replaced(target, seen.kill(target), GIVE_UP_S)
    pids = seen.pids()
    seen.kill_supervisor()
    ensure_supervisor(seen.folder)
    until(seen.all_ready, GIVE_UP_S, "all adopted")
    took_s = time.monotonic() - begun
    assert seen.pids() == pids, "a child was started again"
    return took_s


def leaked_ports(fleet: Fleet) -> list[int]:
    """Ports of a stopped fleet that cannot be bound."""
    found = []
    for port in (port for ports in fleet.ports.values() for port in ports.values()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                found.append(port)
    return found


def quick_settings(fleet: Fleet) -> None:
    """Before the start: request limits that do not count in a storm, a broker that is given up soon."""
    for name in fleet.ports:
        path = fleet.home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + "".join(f"{k}={v}\n" for k, v in FAST.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign kill_storm", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--gap", type=float, default=16.0, help="seconds between two kills, on average")
    parser.add_argument("--minutes", type=float, help="how long all kills take, instead of --gap")
    parser.add_argument("--seed", type=int, default=20261120)
    options = parser.parse_args()
    if options.minutes:
        options.gap = max(0.0, options.minutes * 60 / options.kills - HEALED_S)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        fleet.init("kotak", "dhan")
        quick_settings(fleet)
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d", "--symbols", SYMBOLS)
            every_s = max(0.5, options.kills * (options.gap + HEALED_S) / ORDERS_MOST)
            found = run(fleet, options.kills, options.seed, options.gap, every_s)
            fleet.ok("down")
            until(lambda: not fleet.processes(), 5, "no process left")
            assert not leaked_ports(fleet), leaked_ports(fleet)
        finally:
            fleet.destroy()
    for target, took in sorted(found.back.items()):
        middle_s, worst_s = statistics.median(took), max(took)
        print(f"  {target:12} {len(took):3} kills, back in {middle_s:.2f} s, worst {worst_s:.2f} s")
    print(f"  orders {found.orders}, answers {dict(found.answers)}")
    took_s = time.monotonic() - begun
    print(
        f"kill_storm: {options.kills} kills, p95 {found.p95():.2f} s, worst {max(found.all):.2f} s; "
        f"0 orders lost or doubled, 0 zombies, 0 leaked ports; seed {options.seed}, {took_s:.0f} s, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return 1 if found.p95() > BACK_MOST_S else 0


if __name__ == "__main__":
    sys.exit(main())
