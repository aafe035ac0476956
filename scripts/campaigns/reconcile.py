"""A start with 500 orders and 50 positions at the broker: all settled, foreign orders imported.

Half of the orders are ours and stood as "sending" when the last process died; the others were placed
elsewhere.

    scripts/campaign reconcile [--orders 500] [--positions 50]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from brokers.clock import SystemClock
from brokers.model import Action, InstrumentKey, OrderRequest, PriceType, Product, Venue
from brokers.sim import settings as sim
from brokers.sim.app import Server, serve
from brokers.sim.exchange.types import Kind, NewOrder, Side, SimOrder, Status, Type
from gateway.store import engine
from gateway.store.journal import Intent, Journal, Times
from tests.e2e.fleet import until
from tests.e2e.station import Station


@dataclass(frozen=True, slots=True)
class Figures:
    orders: int
    positions: int
    ready_s: float
    settled_s: float
    states: dict[str, int]


class Broker:
    """A simulated broker in this process, so that its books can be filled without its rate limits."""

    def __init__(self, name: str, port: int, home: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        work = serve(name, port, seed=1, state=home / "books.db")
        self.server: Server = asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def submit(self, orders: list[NewOrder]) -> list[SimOrder]:
        async def body() -> list[SimOrder]:
            return [self.server.exchange.submit(order) for order in orders]

        return asyncio.run_coroutine_threadsafe(body(), self._loop).result(120)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)


def fill(broker: Broker, account: str, orders: int, positions: int) -> list[NewOrder]:
    """Orders in the broker's books: the first ones fill and make the positions, the others rest."""
    listings = broker.server.exchange.universe.listings
    shares = [x for x in listings if x.kind is Kind.EQUITY and x.exchange == "NSE"]
    made: list[NewOrder] = []
    for number in range(orders):
        listing = shares[number % len(shares)] if number < positions else shares[number % 5]
        snapshot = broker.server.exchange.snapshot(listing)
        tick = Decimal(listing.tick_paise) / 100
        # above the offer it trades at once, 3 % below the market it rests
        far = Decimal("1.02") if number < positions else Decimal("0.97")
        price = (Decimal(snapshot.ltp_paise) / 100 * far / tick).to_integral_value() * tick
        tag = f"OURS{number:06d}ABCDEF" if number % 2 else ""
        extra = {"productType": "INTRADAY", "orderType": "LIMIT"}
        made.append(NewOrder(account, listing, Side.BUY, Type.LIMIT, "MIS", 1, price, tag=tag, extra=extra))
    broker.submit(made)
    return made


def died(home: Path, name: str, orders: list[NewOrder]) -> None:
    """Journal rows as a process leaves them that dies between the send and the answer."""
    database = engine.open(home / "db" / "sim" / f"openalgo_{name}.db", Venue.SIM)
    journal = Journal(database, SystemClock())
    for order in orders:
        if order.tag:
            key = InstrumentKey(order.listing.exchange, order.listing.symbol)
            request = OrderRequest(key, Action.BUY, 1, PriceType.LIMIT, Product.MIS, order.price)
            journal.add(Intent(request, order.tag, "died", order.tag, order.tag, False), Times())
    database.close()


def run(name: str, home: Path, orders: int, positions: int) -> Figures:
    """Raises ``AssertionError`` when a row is not as the broker has it after the start."""
    station = Station(home, name)
    broker = Broker(name, station.ports["SIM_PORT"], home)
    try:
        made = fill(broker, sim.account_id(name, name), orders, positions)
        until(
            lambda: not any(o.status is Status.TRANSIT for o in broker.server.exchange.orders()),
            60,
            "all have arrived",
        )
        died(home, name, made)
        begun = time.monotonic()
        station.start()
        station.ready()
        ready_s = time.monotonic() - begun
        until(lambda: station.settled() and len(station.rows()) >= orders, 60, "all are settled")
        settled_s = time.monotonic() - begun
        trader = station.open(broker=False)
        by_id = {row["order_id"]: row for row in station.rows()}
        true = trader.at_broker()
        assert len(true) == len(by_id) == orders
        states: dict[str, int] = {}
        for order in true:
            row = by_id[order["id"]]
            assert row["origin"] == ("ours" if order["tag"] else "foreign"), row
            said = "complete" if order["status"] == "filled" else "open"
            assert (row["state"], row["filled_quantity"]) == (said, order["filled"]), (row, order)
            states[said] = states.get(said, 0) + 1
        status, body = trader.post("positionbook")
        assert status == 200, body
        held = {p["symbol"]: int(p["quantity"]) for p in body["data"] if int(p["quantity"])}
        bought: dict[str, int] = {}
        for order in true:
            if order["filled"]:
                bought[order["symbol"]] = bought.get(order["symbol"], 0) + order["filled"]
        assert held == bought, sorted(set(held.items()) ^ set(bought.items()))
        return Figures(orders, len(held), ready_s, settled_s, states)
    finally:
        station.close()
        broker.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign reconcile", description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--positions", type=int, default=50)
    options = parser.parse_args()
    for name in ("dhan", "kotak"):
        with tempfile.TemporaryDirectory() as home:
            found = run(name, Path(home), options.orders, options.positions)
        print(
            f"reconcile {name}: {found.orders} orders, {found.positions} positions; from the start of the "
            f"process ready after {found.ready_s:.1f} s, all settled after {found.settled_s:.1f} s; "
            f"{found.states}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
