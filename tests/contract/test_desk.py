"""The desk in front of every broker: orders that follow each other faster than the exchange answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from brokers import registry
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.model import (
    Action,
    Instrument,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
    Venue,
)
from brokers.sim.app import Server, serve
from gateway.settings import TradingRules
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from tests.contract.conftest import Bench, ist_today

pytestmark = pytest.mark.timeout(60)
TRANSIT_S = 1.5
"""How long the simulated exchange takes to answer to an order here; its own 5 ms would often be over."""
RULES = TradingRules(
    order_deadline_s=15.0, broker_timeout_s=3.0, reconcile_positions_s=3600, reconcile_orders_s=3600
)


@dataclass
class Station:
    """One desk in front of one slow exchange."""

    desk: OrderDesk
    journal: Journal
    sbin: Instrument
    price: Decimal

    def place(self) -> str:
        request = OrderRequest(self.sbin.key, Action.BUY, 2, PriceType.LIMIT, Product.MIS, self.price)
        answer = self.desk.place(request, received_ns=time.time_ns())
        assert answer.ok, answer
        return answer.order_id

    def kinds(self, order_id: str) -> list[str]:
        row = self.journal.by_order_id(order_id)
        assert row is not None
        return [event["kind"] for event in self.journal.events(row.id)]

    def shown(self, order_id: str) -> Order:
        found = self.desk.order(order_id)
        assert found is not None
        return found


class Thread:
    """A simulated broker on a loop of its own, in this process, so that its exchange can be slowed down."""

    def __init__(self, broker: str, home: Path) -> None:
        self._broker, self._home = broker, home
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self) -> Server:
        work = serve(self._broker, 0, seed=1, universe="small", hours="always", state=self._home / "sim.db")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self, server: Server) -> None:
        asyncio.run_coroutine_threadsafe(server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture(params=registry.names())
def station(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Station]:
    name = str(request.param)
    thread = Thread(name, tmp_path)
    server = thread.start()
    bench = Bench(name, registry.open_broker(name), server.base_url)
    bench.login()
    source = bench.broker.instruments(bench.context(), bench.current)
    rows = source.parse(source.download(), ist_today()).rows
    bench.table.__init__(rows)  # type: ignore[misc]
    clock = SystemClock()
    database = engine.open(tmp_path / "desk.db", Venue.SIM)
    instruments = InstrumentStore(database, clock)
    instruments.swap(rows, ist_today())
    journal = Journal(database, clock)
    rest = bench.rest()
    desk = OrderDesk(
        DeskParts(
            rest=rest,
            instruments=instruments,
            journal=journal,
            limiter=Limiter(bench.broker.spec, clock),
            calendar=AlwaysOpen(),
            clock=clock,
            rules=RULES,
            capabilities=bench.broker.spec.capabilities,
        )
    )
    desk.start()
    try:
        sbin = bench.instrument("NSE", "SBIN")
        ltp = Decimal(str(rest.quotes([sbin])[sbin.key].ltp))
        price = (ltp * 97 / 100 / sbin.tick_size).to_integral_value() * sbin.tick_size
        server.exchange.accept_delay_s = TRANSIT_S
        yield Station(desk, journal, sbin, price)
    finally:
        desk.stop()
        database.close()
        thread.stop(server)


def test_placed_and_cancelled_at_once_ends_cancelled(station: Station) -> None:
    order_id = station.place()
    answer = station.desk.cancel(order_id, received_ns=time.time_ns())
    assert answer.ok, answer
    assert station.shown(order_id).status is OrderStatus.CANCELLED
    assert station.kinds(order_id)[-4:] == ["cancel", "cancel refused", "cancel again", "cancel taken"]


def test_placed_and_modified_at_once_has_the_new_terms(station: Station) -> None:
    order_id = station.place()
    change = OrderChange(order_id, 3, PriceType.LIMIT, station.price - 1, Decimal(0))
    assert station.desk.modify(change, received_ns=time.time_ns()).ok
    shown = station.shown(order_id)
    assert (shown.quantity, shown.price) == (3, station.price - 1)
    assert "modify refused" in station.kinds(order_id)
    assert station.desk.cancel(order_id, received_ns=time.time_ns()).ok


def test_everything_placed_at_once_is_cancelled_at_once(station: Station) -> None:
    ids = {station.place() for _ in range(3)}
    report = station.desk.cancel_all("")
    assert (set(report.cancelled), report.failed) == (ids, ())
    assert {station.shown(order_id).status for order_id in ids} == {OrderStatus.CANCELLED}
