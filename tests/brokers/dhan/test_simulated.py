"""The Dhan adapter against the simulated Dhan, end to end over real sockets: what a trading day does."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import IST, SystemClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan import SPEC
from brokers.dhan.broker import BROKER
from brokers.errors import LoginRequired, OrderRejected, RateLimited
from brokers.model import (
    Action,
    FeedState,
    Instrument,
    InstrumentKey,
    Mode,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    PriceType,
    Product,
    Quote,
    Tick,
)
from brokers.secret import Secret
from brokers.sim import settings as sim
from tests.brokers.dhan.rows import Table
from tests.ports import free_ports

CLOCK = SystemClock()


def until(read: Callable[[], Any], wanted: Callable[[Any], object], seconds: float = 15.0) -> Any:
    """Ask again until the answer is the wanted one; fails with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.06)  # the simulated broker counts requests per second, as Dhan does


class Desk:
    """One instance's view of the simulated broker."""

    def __init__(self, port: int) -> None:
        credentials = {k: Secret(v) for k, v in sim.credentials("dhan", "live_path").items()}
        self.port = port
        self.context = BrokerContext(credentials, sim.endpoints(SPEC.sim_paths, port), {}, CLOCK, Table([]))
        self.session: BrokerSession = BROKER.auth(self.context).login()
        source = BROKER.instruments(self.context, lambda: self.session)
        parsed = source.parse(source.download(), CLOCK.now().astimezone(IST).date())
        self.skipped = parsed.skipped
        self.rows = parsed.rows
        self.table = Table(parsed.rows)
        self.context = BrokerContext(credentials, sim.endpoints(SPEC.sim_paths, port), {}, CLOCK, self.table)
        self.rest = BROKER.rest(self.context, lambda: self.session)

    def row(self, exchange: str, symbol: str) -> Instrument:
        found = self.table.by_key(InstrumentKey(exchange, symbol))
        assert found is not None, f"{exchange}:{symbol} is not in the simulated file"
        return found

    def future(self) -> Instrument:
        return next(r for r in self.rows if r.key.exchange == "NFO" and r.instrument_type == "FUT")

    def quotes(self, instruments: list[Instrument]) -> dict[InstrumentKey, Quote]:
        """Waits its turn: Dhan answers one quote call a second."""

        def ask() -> dict[InstrumentKey, Quote] | None:
            try:
                return self.rest.quotes(instruments)
            except RateLimited:
                return None

        found: dict[InstrumentKey, Quote] = until(ask, lambda answer: answer is not None)
        return found

    def price(self, instrument: Instrument, factor: str) -> Decimal:
        """A price near the market, on a tick."""
        ltp = Decimal(str(self.quotes([instrument])[instrument.key].ltp))
        steps = (ltp * Decimal(factor) / instrument.tick_size).to_integral_value()
        return steps * instrument.tick_size


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    home: Path = tmp_path_factory.mktemp("home")
    (port,) = free_ports(1)
    log = (home / "sim.log").open("wb")
    command = [
        sys.executable,
        "-m",
        "brokers.sim",
        "--broker",
        "dhan",
        "--port",
        str(port),
        "--home",
        str(home),
    ]
    child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert child.poll() is None, (home / "sim.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_sim/health", timeout=1).read()
                break
            except OSError:
                assert time.monotonic() < deadline, (home / "sim.log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        child.terminate()
        child.wait(10)
        log.close()


@pytest.fixture(scope="module")
def desk(port: int) -> Desk:
    return Desk(port)


def test_pin_and_totp_open_a_session_of_a_day(desk: Desk) -> None:
    assert desk.session.account == sim.account_id("dhan", "live_path")
    left = desk.session.expires_at - CLOCK.now()
    assert timedelta(hours=20) < left <= timedelta(hours=24, minutes=1)


def test_the_simulated_instrument_file_is_read_whole(desk: Desk) -> None:
    exchanges = {row.key.exchange for row in desk.rows}
    assert {"NSE", "BSE", "NFO", "NSE_INDEX", "BSE_INDEX"} <= exchanges
    assert desk.row("NSE_INDEX", "NIFTY").broker_exchange == "IDX_I"
    future = desk.future()
    assert future.name
    assert future.expiry is not None
    assert future.lot_size > 1
    assert not {"same symbol again", "short row", "unreadable number"} & set(desk.skipped)


def test_an_order_is_placed_found_by_tag_changed_and_cancelled(desk: Desk) -> None:
    share = desk.row("NSE", "SBIN")
    low, lower = desk.price(share, "0.97"), desk.price(share, "0.96")
    request = OrderRequest(share.key, Action.BUY, 10, PriceType.LIMIT, Product.MIS, low)
    assert desk.rest.find_tag("lp-limit") == []
    placed = desk.rest.place(request, share, "lp-limit", ltp=None)
    (order,) = until(
        lambda: desk.rest.find_tag("lp-limit"), lambda found: found and found[0].raw_status == "PENDING"
    )
    assert (order.order_id, order.tag, order.key) == (placed.order_id, "lp-limit", share.key)
    assert (order.status, order.price, order.quantity) == (OrderStatus.OPEN, low, 10)
    assert order.product == "MIS"
    assert abs(CLOCK.now() - order.placed_at) < timedelta(minutes=2)

    change = OrderChange(placed.order_id, 12, PriceType.LIMIT, lower, Decimal(0))
    desk.rest.modify(change, order, share)
    until(lambda: desk.rest.find_tag("lp-limit"), lambda f: (f[0].quantity, f[0].price) == (12, lower))

    desk.rest.cancel(placed.order_id)
    until(lambda: desk.rest.find_tag("lp-limit"), lambda f: f[0].status is OrderStatus.CANCELLED)
    with pytest.raises(OrderRejected):
        desk.rest.cancel(placed.order_id)


def test_a_stop_market_rests_as_trigger_pending_with_its_protective_price(desk: Desk) -> None:
    share = desk.row("NSE", "SBIN")
    trigger = desk.price(share, "0.97")
    request = OrderRequest(share.key, Action.SELL, 1, PriceType.SL_M, Product.MIS, trigger_price=trigger)
    placed = desk.rest.place(request, share, "lp-stop", ltp=None)
    assert placed.sent.price < trigger
    (order,) = until(
        lambda: desk.rest.find_tag("lp-stop"), lambda f: f and f[0].status is OrderStatus.TRIGGER_PENDING
    )
    assert (order.price_type, order.price) == (PriceType.SL, placed.sent.price)
    desk.rest.cancel(placed.order_id)


def test_a_marketable_order_fills_and_shows_in_every_book(desk: Desk) -> None:
    share = desk.row("NSE", "RELIANCE")
    request = OrderRequest(share.key, Action.BUY, 3, PriceType.LIMIT, Product.CNC, desk.price(share, "1.02"))
    placed = desk.rest.place(request, share, "lp-fill", ltp=None)
    (order,) = until(
        lambda: desk.rest.find_tag("lp-fill"), lambda f: f and f[0].status is OrderStatus.COMPLETE
    )
    assert (order.filled_quantity, order.average_price > 0) == (3, True)
    assert placed.order_id in {o.order_id for o in desk.rest.orders()}
    trades = [t for t in desk.rest.trades() if t.order_id == placed.order_id]
    assert sum(t.quantity for t in trades) == 3
    assert {t.key for t in trades} == {share.key}
    (position,) = [p for p in desk.rest.positions() if p.key == share.key]
    assert (position.quantity, position.product, position.buy_quantity) == (3, "CNC", 3)
    assert position.average_price > 0
    assert desk.rest.funds().available_cash > 0
    assert isinstance(desk.rest.holdings(), list)


def test_an_order_dhan_refuses_is_refused_with_its_words(desk: Desk) -> None:
    share = desk.row("NSE", "SBIN")
    request = OrderRequest(share.key, Action.BUY, 0, PriceType.LIMIT, Product.MIS, desk.price(share, "1"))
    with pytest.raises(OrderRejected, match="DH-90"):
        desk.rest.place(request, share, "lp-zero", ltp=None)
    assert desk.rest.find_tag("lp-zero") == []


def test_quotes_of_many_kinds_of_instruments(desk: Desk) -> None:
    asked = [desk.row("NSE", "SBIN"), desk.row("NSE_INDEX", "NIFTY"), desk.future()]
    found = desk.quotes(asked)
    assert set(found) == {row.key for row in asked}
    share = found[asked[0].key]
    assert share.low <= share.ltp <= share.high
    assert share.prev_close > 0
    assert share.bid < share.ask
    assert share.depth is not None
    assert len(share.depth.bids) == 5


@pytest.mark.parametrize(("interval", "step_s"), [("1m", 60), ("15m", 900), ("D", 86_400)])
def test_candles(desk: Desk, interval: str, step_s: int) -> None:
    today = CLOCK.now().astimezone(IST).date()
    found = desk.rest.candles(desk.row("NSE", "SBIN"), interval, today - timedelta(days=5), today)
    assert len(found) > 2
    assert all(candle.low <= candle.open <= candle.high for candle in found)
    assert all(candle.low <= candle.close <= candle.high for candle in found)
    times = [candle.opened_at_s for candle in found]
    assert times == sorted(set(times))
    assert all(at % (86_400 if interval == "D" else 60) == 0 for at in times)
    assert min(b - a for a, b in itertools.pairwise(times)) >= step_s


class Sink:
    def __init__(self) -> None:
        self.ticks: dict[str, Tick] = {}
        self.count = 0
        self.updates: list[OrderUpdate] = []
        self.states: list[tuple[FeedState, str]] = []
        self.bad: list[str] = []
        self.refused: list[InstrumentKey] = []

    def on_tick(self, tick: Tick) -> None:
        self.count += 1
        self.ticks[str(tick.key)] = tick

    def on_order(self, update: OrderUpdate) -> None:
        self.updates.append(update)

    def on_state(self, state: FeedState, reason: str) -> None:
        self.states.append((state, reason))

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad.append(reason)

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        self.refused.append(key)


async def _facts(fact: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.02)


def test_ticks_of_every_mode_and_order_updates_arrive(desk: Desk) -> None:
    share, index, future = desk.row("NSE", "SBIN"), desk.row("NSE_INDEX", "NIFTY"), desk.future()
    sink = Sink()

    async def session(failed_generation: int) -> BrokerSession:
        assert not failed_generation
        return desk.session

    async def day() -> None:
        feed = BROKER.feed(desk.context, session, sink)
        feed.want(share, Mode.LTP)
        feed.want(index, Mode.QUOTE)
        feed.want(future, Mode.DEPTH)
        task = asyncio.create_task(feed.run())
        try:
            await _facts(lambda: len(sink.ticks) == 3 and sink.ticks[str(future.key)].mode is Mode.DEPTH)
            full = sink.ticks[str(future.key)]
            assert full.depth is not None
            assert full.bid is not None
            assert full.ask is not None
            assert full.bid < full.ask
            assert full.volume is not None
            assert full.oi is not None
            assert len(full.depth().bids) == 5
            assert abs(CLOCK.time_ns() - full.received_ns) < 60_000_000_000
            assert sink.ticks[str(index.key)].ltp > 0
            before = sink.count
            await _facts(lambda: sink.count > before + 3)  # it goes on
            feed.want(share, Mode.DEPTH)
            await _facts(lambda: sink.ticks[str(share.key)].mode is Mode.DEPTH)
            assert sink.states[-1] == (FeedState.LIVE, "")

            low = await asyncio.to_thread(desk.price, share, "0.97")
            request = OrderRequest(share.key, Action.BUY, 4, PriceType.LIMIT, Product.MIS, low)
            placed = await asyncio.to_thread(lambda: desk.rest.place(request, share, "lp-push", ltp=None))
            await _facts(lambda: any(u.order.raw_status.upper() == "PENDING" for u in sink.updates))
            await asyncio.to_thread(desk.rest.cancel, placed.order_id)
            await _facts(lambda: any(u.order.status is OrderStatus.CANCELLED for u in sink.updates))
            last = sink.updates[-1].order
            assert (last.order_id, last.tag, last.key) == (placed.order_id, "lp-push", share.key)
            assert (last.quantity, last.product, last.price) == (4, "MIS", low)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(day())
    assert sink.bad == []
    assert sink.refused == []


def test_an_expired_session_is_login_required_and_a_renewal_works_again(desk: Desk) -> None:
    body = f'{{"account": "{desk.session.account}"}}'.encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{desk.port}/_sim/expire", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).read()
    with pytest.raises(LoginRequired):
        desk.rest.orders()
    desk.session = BROKER.auth(desk.context).renew(desk.session)
    assert isinstance(desk.rest.orders(), list)
