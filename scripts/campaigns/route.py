"""Orders over the route ``best`` while it and the instances behind it are killed: all of them told truly.

Threads place orders in many contracts through the route; one after another the route's process, the chosen
instance's api and the other one's are killed with SIGKILL in the middle of it. Half of the callers repeat an
order without a definite answer by its own id, the others leave it. At the end every answer is held against
both journals and both exchanges.

    scripts/campaign route [--orders 300] [--kills 30] [--seed 20261121]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scripts.campaigns.kill_storm import quick_settings
from supervisor.routing import journal
from tests.e2e.books import Books
from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen
from tests.e2e.trader import NO_ANSWER, Answer, Trader

SYMBOLS = (
    *("SBIN", "RELIANCE", "TCS", "INFY", "HDFCBANK", "ICICIBANK", "ITC", "LT", "AXISBANK", "KOTAKBANK"),
    *("BHARTIARTL", "HINDUNILVR", "MARUTI", "SUNPHARMA", "TITAN", "WIPRO", "NTPC", "ONGC"),
)
HELD_BY_THE_SECOND = 6
"""Contracts with a working order at the second instance from the start, so that both are routed to."""
CALLERS = 4
TRIES = 40
SETTLE_S = 60.0
UNSURE = {"OUTCOME_UNKNOWN", "INTERNAL", "ROUTE_NOT_SENT", "NO_ROUTE", "RATE_LIMITED", "NOT_READY", "STORE"}
"""What a caller may answer by repeating the same id."""


@dataclass
class Figures:
    orders: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    stand: Counter[str] = field(default_factory=Counter)


class RouteTrader(Trader):
    """The same strategy in front of the route."""

    def __init__(self, fleet: Fleet, key: str, prices: dict[str, float]) -> None:
        super().__init__(fleet, "route", key)
        self._prices = prices

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.fleet.shared['ROUTE_PORT']}"

    def buy(self, client_order_id: str, symbol: str) -> Answer:
        return self.place(client_order_id, self._prices[symbol], symbol=symbol)


def ask_for_route(fleet: Fleet, *names: str) -> None:
    """Before the start: one address for orders to these instances."""
    for name in fleet.ports:
        path = fleet.home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + f"ROUTE={','.join(names)}\n")


def prices(trader: Trader) -> dict[str, float]:
    """3 % below the market, whole rupees: on every tick."""
    found = {}
    for symbol in SYMBOLS:
        ltp = trader.sim("GET", f"snapshot?exchange=NSE&symbol={symbol}")["ltp"]
        found[symbol] = float(round(ltp * 0.97))
    return found


class Load:
    """The callers, and what they were told."""

    def __init__(self, trader: RouteTrader, orders: int, seed: int) -> None:
        self._trader, self._seed = trader, seed
        self.total = orders
        self.told: dict[str, list[Answer]] = {}
        self.symbols: dict[str, str] = {}
        self._lock = threading.Lock()
        self._next = 0
        self.hurry = threading.Event()

    def run(self, pause_s: float) -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            for one in [pool.submit(self._caller, number, pause_s) for number in range(CALLERS)]:
                one.result()

    def _caller(self, caller: int, pause_s: float) -> None:
        dice = random.Random(f"{self._seed}-{caller}")
        while True:
            with self._lock:
                number, self._next = self._next, self._next + 1
            if number >= self.total:
                return
            name = f"route-{self._seed}-{number}"
            self.symbols[name] = symbol = dice.choice(SYMBOLS)
            answers = self.told[name] = [self._trader.buy(name, symbol)]
            for _ in range(TRIES if number % 2 else 0):
                if answers[-1][0] != NO_ANSWER and answers[-1][1].get("code") not in UNSURE:
                    break
                self.hurry.wait(0.3)
                answers.append(self._trader.buy(name, symbol))
            if not self.hurry.is_set():
                self.hurry.wait(dice.uniform(0, 2 * pause_s))


def run(fleet: Fleet, orders: int, kills: int, seed: int, pause_s: float = 0.25) -> Figures:
    """Raises ``AssertionError`` when an order is lost, doubled or told as something else.

    The fleet is up and ready, with a route over ``dhan`` and ``kotak``.
    """
    dice, seen, figures = random.Random(seed), Overseen(fleet), Figures(orders)
    traders = {name: Trader(fleet, name, fleet.key(name)) for name in ("dhan", "kotak")}
    key = fleet.ok("route", "key", "create", "--quiet").strip()
    route = RouteTrader(fleet, key, prices(traders["dhan"]))
    for number, symbol in enumerate(SYMBOLS[:HELD_BY_THE_SECOND]):
        status, body = traders["kotak"].place(f"hold-{seed}-{number}", route._prices[symbol], symbol=symbol)
        assert status == 200, body
    load = Load(route, orders, seed)
    working = threading.Thread(target=load.run, args=(pause_s,), daemon=True)
    working.start()
    for number in range(kills):
        target = ("route", "dhan.api", "route", "kotak.api")[number % 4]
        figures.kills[target] += 1
        seen.replaced(target, seen.kill(target), SETTLE_S)
        until(seen.all_ready, SETTLE_S, f"all ready\n{fleet.tails()}")
        time.sleep(dice.uniform(0.0, 4 * pause_s))
    load.hurry.set()
    working.join(120)
    assert not working.is_alive(), "a caller hangs"
    figures.answers += Counter(str(b.get("code") or s) for told in load.told.values() for s, b in told)
    for name, trader in traders.items():
        books = Books(trader)
        until(books.settled, SETTLE_S, f"{name} settles")
        books.check_truth()
    until(lambda: _open(fleet) == 0, SETTLE_S, "the route knows the end of every order")
    figures.stand += _check(load, route, traders)
    assert not seen.zombies(), f"zombies: {seen.zombies()}"
    return figures


def _open(fleet: Fleet) -> int:
    rows = decisions(fleet)
    return sum(row["state"] == "open" for row in rows)


def decisions(fleet: Fleet) -> list[dict[str, str]]:
    return journal.decisions(fleet.home / "db" / "sim" / journal.NAME, 100_000)


def _check(load: Load, route: RouteTrader, traders: dict[str, Trader]) -> Counter[str]:
    """What was told, against both journals and both exchanges."""
    journals = {name: trader.journal() for name, trader in traders.items()}
    brokers = {name: trader.at_broker() for name, trader in traders.items()}
    rows = {row["client_order_id"]: row for row in decisions(route.fleet)}
    found: Counter[str] = Counter()
    for client_id, answers in load.told.items():
        places: dict[str, int] = {}
        for name, rows_there in journals.items():
            if client_id in rows_there:
                tag = rows_there[client_id]["tag"]
                places[name] = sum(1 for order in brokers[name] if order["tag"].startswith(tag))
        stands = {name: count for name, count in places.items() if count}
        assert len(places) <= 1, f"{client_id} is in two journals: {places}"
        assert sum(stands.values()) <= 1, f"{client_id} stands twice: {stands}"
        last_status, last = answers[-1]
        for status, body in answers:
            if status == 200:
                assert stands == {body["instance"]: 1}, f"{client_id}: told placed, stands at {stands}"
        if last_status not in (NO_ANSWER, 200) and last["code"] not in ("OUTCOME_UNKNOWN", "INTERNAL"):
            alive = {n for n in stands if journals[n][client_id]["state"] not in ("rejected", "never sent")}
            assert not alive, f"{client_id}: told {last}, stands at {stands}"
        row = rows.get(client_id)
        assert row is not None or not places, f"{client_id} went to {places} without a decision"
        if row is not None:
            assert set(places) <= {row["instance"]}, f"{client_id}: decided {row}, went to {places}"
            if row["state"] == "placed":
                assert stands == {row["instance"]: 1}, f"{client_id}: {row}, {stands}"
            if row["state"] == "not sent":
                assert not places, f"{client_id}: {row}, {places}"
        found[next(iter(stands), "nowhere")] += 1
    _check_contracts(load, traders, journals)
    return found


def _check_contracts(
    load: Load, traders: dict[str, Trader], journals: dict[str, dict[str, dict[str, object]]]
) -> None:
    """Every contract of the run lives at one instance: its orders rest, so it was held from the first on."""
    homes: dict[str, set[str]] = {}
    for client_id, symbol in load.symbols.items():
        for name in traders:
            row = journals[name].get(client_id)
            if row is not None and row["state"] not in ("rejected", "never sent"):
                homes.setdefault(symbol, set()).add(name)
    split = {symbol: names for symbol, names in homes.items() if len(names) > 1}
    assert not split, f"contracts at two brokers: {split}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign route", description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        fleet.init("kotak", "dhan")
        quick_settings(fleet)
        ask_for_route(fleet, "dhan", "kotak")
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d")
            until(Overseen(fleet).all_ready, 60, "all ready")
            # about as long as the kills take
            pause_s = max(0.2, options.kills * 5.0 * CALLERS / options.orders)
            found = run(fleet, options.orders, options.kills, options.seed, pause_s)
            fleet.ok("down")
            until(lambda: not fleet.processes(), 5, "no process left")
        finally:
            fleet.destroy()
    print(f"  kills {dict(found.kills)}, answers {dict(found.answers)}, stand {dict(found.stand)}")
    print(
        f"route: {found.orders} orders through {sum(found.kills.values())} kills, 0 lost, 0 doubled, "
        f"0 misreported, 0 split contracts; seed {options.seed}, {time.monotonic() - begun:.0f} s, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
