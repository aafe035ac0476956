"""The adapter against the simulated Kotak: a server this folder did not write, over real sockets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3

from brokers.clock import IST, SystemClock
from brokers.contract import BrokerContext, BrokerSession, Rest
from brokers.errors import IpNotAllowed, LoginRequired, OrderRejected, OutcomeUnknown, RateLimited
from brokers.feedloop import LoopRules
from brokers.kotak import SPEC
from brokers.kotak.auth import KotakAuth
from brokers.kotak.feed import FeedRules, KotakFeed
from brokers.kotak.instruments import KotakInstruments
from brokers.kotak.rest import KotakRest
from brokers.model import (
    Action,
    FeedState,
    Instrument,
    InstrumentKey,
    Mode,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
)
from brokers.model import OrderChange as Change
from brokers.secret import Secret
from brokers.sim import settings as sim
from brokers.transport import Transport
from tests.brokers.kotak.feeds import Sink, until
from tests.brokers.kotak.rows import Table
from tests.ports import free_ports

pytestmark = pytest.mark.e2e
HTTP = urllib3.PoolManager()


@dataclass
class Sim:
    port: int

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        reply = HTTP.request(
            method, f"http://127.0.0.1:{self.port}{path}", json=body, retries=False, timeout=5
        )
        return json.loads(reply.data) if reply.data else None

    def fault(self, **rule: Any) -> None:
        self.call("POST", "/_sim/faults", rule)

    def heal(self) -> None:
        self.call("DELETE", "/_sim/faults")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    home: Path = tmp_path_factory.mktemp("kotak")
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "brokers.sim",
        "--broker",
        "kotak",
        "--port",
        str(port),
        "--home",
        str(home),
    ]
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: healthy(port) or child.poll() is not None, "the simulated broker")
        assert child.poll() is None, (home / "log").read_text()
        yield Sim(port)
    finally:
        child.terminate()
        child.wait(10)


def healthy(port: int) -> bool:
    try:
        return (
            HTTP.request("GET", f"http://127.0.0.1:{port}/_sim/health", retries=False, timeout=1).status
            == 200
        )
    except urllib3.exceptions.HTTPError:
        return False


def eventually(what: Callable[[], Any], why: str, timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited in vain for {why}"
        time.sleep(0.02)
    return found


class InTurn:
    """A ``Rest`` that waits when the broker says it comes too soon; the gateway's limiter is not here."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._rest, name)

        def patient(*words: Any, **terms: Any) -> Any:
            deadline = time.monotonic() + 5
            while True:
                try:
                    return call(*words, **terms)
                except RateLimited:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.25)

        return patient


@dataclass
class Desk:
    """One account logged in: everything a test needs."""

    sim: Sim
    context: BrokerContext
    session: BrokerSession
    rest: Rest
    share: Instrument
    option: Instrument
    index: Instrument

    def price(self, factor: str) -> Decimal:
        ltp = Decimal(str(self.rest.quotes([self.share])[self.share.key].ltp))
        tick = self.share.tick_size
        return (ltp * Decimal(factor) / tick).to_integral_value() * tick

    def order(self, kind: PriceType, action: Action = Action.BUY, **terms: Decimal) -> OrderRequest:
        return OrderRequest(self.share.key, action, 1, kind, Product.MIS, **terms)

    def status(self, tag: str) -> OrderStatus:
        (order,) = self.rest.find_tag(tag)
        return order.status

    def rests(self, tag: str) -> bool:
        """At the exchange, no longer on the way there: only then can it be changed."""
        return [order.raw_status for order in self.rest.find_tag(tag)] == ["open"]


def login(
    sim_: Sim, account: str, family: str = "current", lookup: Table | None = None
) -> tuple[BrokerContext, BrokerSession]:
    context = BrokerContext(
        credentials={k: Secret(v) for k, v in sim.credentials("kotak", account).items()},
        endpoints=sim.endpoints(SPEC.sim_paths, sim_.port),
        options={**SPEC.options, "KOTAK_PATHS": family},
        clock=SystemClock(),
        instruments=lookup or Table(),
    )
    return context, KotakAuth(context, Transport()).login()


@pytest.fixture(scope="module", params=["current", "apim"])
def desk(simulated: Sim, request: pytest.FixtureRequest) -> Desk:
    context, session = login(simulated, request.param, request.param)
    source = KotakInstruments(context, lambda: session, Transport())
    parsed = source.parse(source.download(), datetime.now(IST).date())
    rows = {i.key: i for i in parsed.rows}
    context = replace(context, instruments=Table(parsed.rows))
    return Desk(
        simulated,
        context,
        session,
        cast(Rest, InTurn(KotakRest(context, lambda: session, Transport(read_timeout_s=5)))),
        share=rows[InstrumentKey("NSE", "RELIANCE")],
        option=next(i for i in parsed.rows if i.instrument_type == "CE" and not i.expired),
        index=rows[InstrumentKey("NSE_INDEX", "NIFTY")],
    )


def test_a_session_ends_at_the_next_indian_midnight(desk: Desk) -> None:
    ends = desk.session.expires_at.astimezone(IST)
    assert (ends.hour, ends.minute) == (0, 0)
    assert timedelta(0) < desk.session.expires_at - desk.session.issued_at <= timedelta(days=1)


def test_the_master_resolves_what_reports_name(desk: Desk) -> None:
    for holding in desk.rest.holdings():
        assert desk.context.instruments.by_key(holding.key), holding.key
    assert desk.option.lot_size > 1
    assert desk.option.display_name.endswith("CALL")


def test_place_find_change_cancel(desk: Desk) -> None:
    placed = desk.rest.place(
        desk.order(PriceType.LIMIT, price=desk.price("0.97")), desk.share, "e2elim", ltp=None
    )
    eventually(lambda: desk.rests("e2elim"), "an open order")
    (order,) = desk.rest.find_tag("e2elim")
    assert (order.order_id, order.key, order.quantity) == (placed.order_id, desk.share.key, 1)
    change = Change(order.order_id, 2, PriceType.LIMIT, desk.price("0.96"), Decimal(0))
    desk.rest.modify(change, order, desk.share)
    eventually(lambda: desk.rest.find_tag("e2elim")[0].quantity == 2 and desk.rests("e2elim"), "the change")
    desk.rest.cancel(order.order_id)
    eventually(lambda: desk.status("e2elim") is OrderStatus.CANCELLED, "the cancel")
    with pytest.raises(OrderRejected) as caught:
        desk.rest.cancel(order.order_id)
    assert caught.value.code == "ORDER_NOT_OPEN"


def test_a_market_order_fills_and_shows_in_every_book(desk: Desk) -> None:
    placed = desk.rest.place(desk.order(PriceType.MARKET), desk.share, "e2emkt", ltp=None)
    eventually(lambda: desk.status("e2emkt") is OrderStatus.COMPLETE, "the fill")
    trade = next(t for t in desk.rest.trades() if t.order_id == placed.order_id)
    assert (trade.key, trade.quantity) == (desk.share.key, 1)
    position = next(p for p in desk.rest.positions() if p.key == desk.share.key)
    assert position.quantity >= 1
    assert position.average_price > 0
    assert desk.rest.funds().utilised_debits > 0


def test_an_sl_m_rests_as_sl_because_kotak_refuses_it(desk: Desk) -> None:
    request = desk.order(PriceType.SL_M, Action.SELL, trigger_price=desk.price("0.97"))
    placed = desk.rest.place(request, desk.share, "e2eslm", ltp=None)
    eventually(lambda: desk.status("e2eslm") is OrderStatus.TRIGGER_PENDING, "a resting stop")
    (order,) = desk.rest.find_tag("e2eslm")
    assert (order.price_type, order.price) == (PriceType.SL, placed.sent.price)
    desk.rest.cancel(placed.order_id)


def test_an_order_whose_answer_was_lost_is_found_by_its_tag(desk: Desk) -> None:
    desk.sim.fault(kind="drop_after", match={"path": "order/rule/ms/place"}, count=1)
    with pytest.raises(OutcomeUnknown):
        desk.rest.place(
            desk.order(PriceType.LIMIT, price=desk.price("0.97")), desk.share, "e2elost", ltp=None
        )
    desk.sim.heal()
    eventually(lambda: desk.rests("e2elost"), "the order")
    (order,) = desk.rest.find_tag("e2elost")
    desk.rest.cancel(order.order_id)
    orders = desk.sim.call("GET", "/_sim/orders")
    seen = orders["orders"] if isinstance(orders, dict) else orders
    ours = [o for o in seen if o["tag"].startswith("e2elost") and o["account"] == desk.session.account]
    assert len(ours) == 1


def test_quotes_and_candles(desk: Desk) -> None:
    quotes = desk.rest.quotes([desk.share, desk.option, desk.index])
    assert set(quotes) == {desk.share.key, desk.option.key, desk.index.key}
    assert quotes[desk.share.key].bid <= quotes[desk.share.key].ask
    assert quotes[desk.option.key].oi > 0
    today = datetime.now(IST).date()
    for instrument in (desk.share, desk.index):
        bars = desk.rest.candles(instrument, "D", today - timedelta(days=10), today)
        assert len(bars) >= 5
        assert all(bar.opened_at_s % 86400 == 0 and bar.low <= bar.open <= bar.high for bar in bars)
    minutes = desk.rest.candles(desk.share, "1m", today - timedelta(days=40), today)
    assert [b.opened_at_s for b in minutes] == sorted({b.opened_at_s for b in minutes})
    assert minutes[0].opened_at_s % 60 == 0


def test_an_address_not_listed_may_read_but_not_trade(desk: Desk) -> None:
    desk.sim.fault(kind="refuse_ip", match={"account": desk.session.account})
    try:
        with pytest.raises(IpNotAllowed):
            desk.rest.place(desk.order(PriceType.MARKET), desk.share, "e2eip", ltp=None)
        assert desk.rest.find_tag("e2eip") == []
    finally:
        desk.sim.heal()


def test_a_wrong_mpin_is_a_login_problem(simulated: Sim, desk: Desk) -> None:
    wrong = replace(desk.context, credentials={**desk.context.credentials, "KOTAK_MPIN": Secret("000000")})
    with pytest.raises(LoginRequired):
        KotakAuth(wrong, Transport()).login()


# --- feeds -------------------------------------------------------------------------------------------------

RULES = FeedRules(loop=LoopRules(backoff_first_s=0.05, backoff_most_s=0.2))


@pytest.mark.parametrize("kind", ["sfeed", "hsm"])
def test_ticks_and_order_updates(desk: Desk, kind: str) -> None:
    async def scene() -> None:
        sink = Sink()

        async def newest(failed: int) -> BrokerSession:
            return desk.session

        context = replace(desk.context, options={**desk.context.options, "KOTAK_FEED": kind})
        feed = KotakFeed(context, newest, sink, rules=RULES)
        wants = {desk.share: Mode.QUOTE, desk.option: Mode.DEPTH, desk.index: Mode.LTP}
        for instrument, mode in wants.items():
            feed.want(instrument, mode)
        running = asyncio.create_task(feed.run())
        try:
            await until(lambda: {t.key for t in sink.ticks} == {i.key for i in wants}, "a tick of each", 20)
            await until(lambda: (t := sink.last(desk.option.key)) and t.mode is Mode.DEPTH, "depth", 20)
            share, option = sink.last(desk.share.key), sink.last(desk.option.key)
            assert share is not None
            assert share.volume is not None
            assert share.prev_close is not None
            assert option is not None
            assert option.depth is not None
            assert len(option.depth().bids) == 5
            assert option.oi
            # prices of the feed and of the quotes call are one market
            quote = (await asyncio.to_thread(desk.rest.quotes, [desk.share]))[desk.share.key]
            assert share.prev_close == quote.prev_close
            tag = f"e2e{kind}"
            await asyncio.to_thread(desk.rest.place, desk.order(PriceType.MARKET), desk.share, tag, ltp=None)
            await until(
                lambda: any(
                    u.order.tag == tag and u.trade_price and u.order.status.is_final for u in sink.orders
                ),
                "the fill on the order feed",
                20,
            )
            desk.sim.fault(kind="cut", match={"socket": "hsm" if kind == "hsm" else "apifeed"}, count=1)
            await until(lambda: feed.counters.reconnects >= 1, "the cut", 20)
            seen = len(sink.ticks)
            await until(
                lambda: {t.key for t in sink.ticks[seen:]} == {i.key for i in wants}, "ticks again", 20
            )
            assert sink.bad == []
        finally:
            desk.sim.heal()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())


def test_a_silent_sfeed_gives_way_to_hsm(desk: Desk) -> None:
    async def scene() -> None:
        sink = Sink()

        async def newest(failed: int) -> BrokerSession:
            return desk.session

        feed = KotakFeed(
            desk.context, newest, sink, rules=replace(RULES, switch_after_s=3.0, login_timeout_s=1.0)
        )
        feed.want(desk.share, Mode.QUOTE)
        running = asyncio.create_task(feed.run())
        try:
            await until(lambda: sink.ticks and feed.kind == "sfeed", "sfeed", 20)
            # one name covers both market feeds of the simulator: silent until the change, then healed
            desk.sim.fault(kind="silence", match={"socket": "feed"})
            await until(lambda: feed.kind == "hsm", "the change to hsm", 20)
            desk.sim.heal()
            seen = len(sink.ticks)
            await until(lambda: len(sink.ticks) > seen, "ticks of hsm", 20)
            assert any("changed from sfeed because" in reason for _, reason in sink.states)
        finally:
            desk.sim.heal()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())


def test_an_ended_session_is_replaced_and_the_feed_goes_on(simulated: Sim) -> None:
    async def scene() -> None:
        context, first = await asyncio.to_thread(login, simulated, "renewed")
        sessions = [first.with_generation(1)]
        sink = Sink()

        async def newest(failed: int) -> BrokerSession:
            if failed >= sessions[-1].generation:
                _, fresh = await asyncio.to_thread(login, simulated, "renewed")
                sessions.append(fresh.with_generation(failed + 1))
            return sessions[-1]

        source = KotakInstruments(context, lambda: first, Transport())
        files = await asyncio.to_thread(source.download)
        rows = {i.key: i for i in source.parse(files, datetime.now(IST).date()).rows}
        rest = KotakRest(context, lambda: sessions[-1], Transport())
        feed = KotakFeed(context, newest, sink, rules=RULES)
        feed.want(rows[InstrumentKey("NSE", "RELIANCE")], Mode.QUOTE)
        running = asyncio.create_task(feed.run())
        try:
            await until(lambda: sink.ticks, "ticks", 20)
            await asyncio.to_thread(simulated.call, "POST", "/_sim/expire", {"account": first.account})
            with pytest.raises(LoginRequired):
                await asyncio.to_thread(KotakRest(context, lambda: first, Transport()).orders)
            await until(lambda: len(sessions) >= 2, "a new session", 20)
            seen = len(sink.ticks)
            await until(lambda: len(sink.ticks) > seen, "ticks with the new session", 20)
            assert await asyncio.to_thread(rest.orders) == []
            assert FeedState.BACKOFF in [state for state, _ in sink.states]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
