"""One set of claims against every broker: adapter and simulated broker over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pyotp
import pytest

from brokers.contract import MarginLeg, Rest
from brokers.errors import (
    BrokerDown,
    IpNotAllowed,
    LoginRequired,
    NotFound,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from brokers.model import (
    Action,
    FeedState,
    Instrument,
    InstrumentKey,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Placement,
    PriceType,
    Product,
    Quote,
    Tick,
)
from brokers.secret import Secret
from brokers.sim import settings as sim
from tests.contract.conftest import Bench, ist_today

# one worker, so that what one broker said can be compared with the other
pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("contract")]
T = TypeVar("T")
TAGS = itertools.count(int(time.time() * 1000) % 10**9)
ORDER_PATHS = {"dhan": "/v2/orders.*", "kotak": "/quick/order/.*"}
PLACE_PATHS = {"dhan": "/v2/orders", "kotak": "/quick/order/rule/ms/place", "zenith": "/v1/orders"}


def until(read: Callable[[], T], good: Callable[[T], bool], seconds: float = 10) -> T:
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value):
            return value
        assert time.monotonic() < end, f"still {value!r}"
        time.sleep(0.1)


def tag() -> str:
    return f"T{next(TAGS)}"


def request(instrument: Instrument, **change: Any) -> OrderRequest:
    terms: dict[str, Any] = {
        "key": instrument.key,
        "action": Action.BUY,
        "quantity": 1,
        "price_type": PriceType.LIMIT,
        "product": Product.MIS,
        **change,
    }
    return OrderRequest(**terms)


def quotes(rest: Rest, instruments: list[Instrument]) -> dict[InstrumentKey, Quote]:
    """A quote call that waits for its turn (Dhan: one a second)."""
    while True:
        try:
            return rest.quotes(instruments)
        except RateLimited as exc:
            time.sleep(min(exc.retry_after_s, 0.3))  # the adapter's advice is for one that was told off


def far(rest: Rest, instrument: Instrument, percent: int = 97) -> Decimal:
    """A price well below the market, on tick."""
    ltp = Decimal(str(quotes(rest, [instrument])[instrument.key].ltp))
    return (ltp * percent / 100 / instrument.tick_size).to_integral_value() * instrument.tick_size


def place(rest: Rest, instrument: Instrument, mark: str, **change: Any) -> Placement:
    if "price" not in change and change.get("price_type", PriceType.LIMIT) is PriceType.LIMIT:
        change["price"] = far(rest, instrument)
    return in_turn(lambda: rest.place(request(instrument, **change), instrument, mark, ltp=None))


def in_turn(write: Callable[[], T]) -> T:
    """A write, again when the broker says it comes too soon; the gateway's limiter is not under test here."""
    end = time.monotonic() + 3
    while True:
        try:
            return write()
        except RateLimited:
            if time.monotonic() > end:
                raise
            time.sleep(0.25)


def patiently(write: Callable[[], T]) -> T:
    """A write, again while the broker says that the order is still on its way, or our turn later."""
    end = time.monotonic() + 5
    while True:
        try:
            return write()
        except (OrderRejected, RateLimited):
            if time.monotonic() > end:
                raise
            time.sleep(0.25)


def cancel(rest: Rest, order_id: str) -> None:
    patiently(lambda: rest.cancel(order_id))


def in_book(rest: Rest, order_id: str) -> Order:
    return next(o for o in rest.orders() if o.order_id == order_id)


def settled(rest: Rest, order_id: str, status: OrderStatus) -> Order:
    return until(lambda: in_book(rest, order_id), lambda o: o.status is status)


@pytest.fixture
def sbin(bench: Bench) -> Instrument:
    return bench.instrument("NSE", "SBIN")


@contextmanager
def fault(bench: Bench, kind: str, **rule: Any) -> Iterator[None]:
    match = {word: rule.pop(word) for word in ("path", "method") if word in rule}
    bench.control("POST", "faults", {"kind": kind, "match": match, **rule})
    try:
        yield
    finally:
        bench.control("DELETE", "faults")


# -- login -------------------------------------------------------------------------------------------------


def test_a_login_lives_until_the_brokers_own_end_of_day(bench: Bench) -> None:
    session = bench.current()
    assert session.account == sim.account_id(bench.name, "contract")
    assert timedelta(0) < session.expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert all(isinstance(value, Secret) for value in session.secrets.values())


def test_wrong_codes_are_a_login_required(bench: Bench) -> None:
    now = pyotp.TOTP(sim.TOTP_SECRET).now()
    wrong = str((int(now) + 111_111) % 1_000_000).zfill(6)
    with pytest.raises(LoginRequired):
        bench.broker.auth(bench.context("stranger")).login(totp=wrong)


# -- instruments -------------------------------------------------------------------------------------------


def test_the_table_is_one_to_one_and_speaks_openalgo(bench: Bench) -> None:
    rows = bench.table.rows
    assert len({row.key for row in rows}) == len(rows)
    assert len({(row.broker_exchange, row.token) for row in rows}) == len(rows)
    sbin = bench.instrument("NSE", "SBIN")
    assert (sbin.lot_size, sbin.instrument_type) == (1, "EQ")
    assert sbin.tick_size in (Decimal("0.05"), Decimal("0.01"), Decimal("0.10"))
    for exchange, symbol in (("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"), ("BSE_INDEX", "SENSEX")):
        assert bench.instrument(exchange, symbol).instrument_type == "INDEX"
    options = [row for row in rows if row.key.exchange == "NFO" and row.instrument_type in ("CE", "PE")]
    assert len(options) > 100
    for row in options[:50]:
        assert row.expiry is not None
        strike = format(row.strike.normalize(), "f")
        day = row.expiry.strftime("%d%b%y").upper()
        assert row.key.symbol == f"{row.name}{day}{strike}{row.instrument_type}"
        assert row.lot_size > 1


def test_both_brokers_list_the_same_derivatives(bench: Bench) -> None:
    names = {row.key.symbol for row in bench.table.rows if row.key.exchange == "NFO"}
    lots = {row.name: row.lot_size for row in bench.table.rows if row.key.exchange == "NFO"}
    seen = SEEN.setdefault("derivatives", (bench.name, names, lots))
    assert (seen[1], seen[2]) == (names, lots)


def test_both_brokers_know_the_largest_order(bench: Bench) -> None:
    most = {row.name: row.freeze_qty for row in bench.table.rows if row.key.exchange == "NFO"}
    assert all(most.values())
    assert SEEN.setdefault("freeze", most) == most


SEEN: dict[str, Any] = {}


# -- orders ------------------------------------------------------------------------------------------------


def test_a_limit_order_from_open_to_cancelled(rest: Rest, sbin: Instrument) -> None:
    mark = tag()
    price = far(rest, sbin)
    placed = place(rest, sbin, mark, quantity=5, price=price)
    order = settled(rest, placed.order_id, OrderStatus.OPEN)
    assert (order.key, order.action, order.quantity, order.price) == (sbin.key, Action.BUY, 5, price)
    assert (order.price_type, order.product, order.filled_quantity) == (PriceType.LIMIT, "MIS", 0)
    assert [o.order_id for o in rest.find_tag(mark)] == [placed.order_id]
    change = OrderChange(placed.order_id, 7, PriceType.LIMIT, price - 1, Decimal(0))
    modified = patiently(lambda: rest.modify(change, order, sbin))
    assert modified.order_id == placed.order_id
    changed = until(lambda: in_book(rest, placed.order_id), lambda o: o.quantity == 7)
    assert changed.price == price - 1
    assert [o.order_id for o in rest.find_tag(mark)] == [placed.order_id], "the tag survives a modify"
    cancel(rest, placed.order_id)
    settled(rest, placed.order_id, OrderStatus.CANCELLED)
    with pytest.raises(OrderRejected):
        in_turn(lambda: rest.cancel(placed.order_id))


def test_a_market_order_fills_with_an_average_a_trade_and_a_position(bench: Bench, rest: Rest) -> None:
    titan = bench.instrument("NSE", "TITAN")
    ltp = quotes(rest, [titan])[titan.key].ltp
    placed = rest.place(request(titan, price_type=PriceType.MARKET, quantity=3), titan, tag(), ltp=ltp)
    order = settled(rest, placed.order_id, OrderStatus.COMPLETE)
    assert order.filled_quantity == 3
    assert float(order.average_price) == pytest.approx(ltp, rel=0.03)
    trades = [t for t in rest.trades() if t.order_id == placed.order_id]
    assert sum(t.quantity for t in trades) == 3
    assert all(t.key == titan.key for t in trades)
    position = next(p for p in rest.positions() if p.key == titan.key)
    assert (position.quantity, position.product) == (3, "MIS")
    assert float(position.average_price) == pytest.approx(float(order.average_price), abs=0.01)


def test_a_stop_waits_for_its_trigger(rest: Rest, sbin: Instrument) -> None:
    above = far(rest, sbin, 102)
    stop = request(sbin, price_type=PriceType.SL, trigger_price=above, price=above + 1)
    placed = in_turn(lambda: rest.place(stop, sbin, tag(), ltp=None))
    order = settled(rest, placed.order_id, OrderStatus.TRIGGER_PENDING)
    assert order.trigger_price == above
    cancel(rest, placed.order_id)


def test_a_stop_market_says_what_was_really_sent(rest: Rest, sbin: Instrument) -> None:
    above = far(rest, sbin, 102)
    stop = request(sbin, price_type=PriceType.SL_M, trigger_price=above)
    placed = in_turn(lambda: rest.place(stop, sbin, tag(), ltp=float(above)))
    assert placed.sent.price_type is PriceType.SL
    assert placed.sent.price > above
    assert placed.sent.price % sbin.tick_size == 0
    settled(rest, placed.order_id, OrderStatus.TRIGGER_PENDING)
    cancel(rest, placed.order_id)


def test_what_the_risk_desk_refuses_is_never_called_open(rest: Rest, sbin: Instrument) -> None:
    mark = tag()
    try:
        placed = place(rest, sbin, mark, quantity=50_000, product=Product.CNC)
    except OrderRejected:
        return
    order = settled(rest, placed.order_id, OrderStatus.REJECTED)
    assert order.rejection_reason


def test_an_order_nobody_knows(rest: Rest) -> None:
    with pytest.raises((OrderRejected, NotFound)):
        in_turn(lambda: rest.cancel("999999999999999"))
    assert rest.find_tag("NOSUCHTAG") == []


def test_funds_and_holdings(rest: Rest) -> None:
    funds = rest.funds()
    assert funds.available_cash > 0
    holdings = rest.holdings()
    assert holdings
    assert all(h.quantity > 0 and h.average_price > 0 for h in holdings)
    assert all(h.key.exchange in ("NSE", "BSE") for h in holdings)


def test_the_margin_of_new_orders_grows_with_them(rest: Rest, sbin: Instrument) -> None:
    ltp = Decimal(str(quotes(rest, [sbin])[sbin.key].ltp))
    market = MarginLeg(request(sbin, quantity=10, price_type=PriceType.MARKET), sbin, ltp)
    limit = MarginLeg(request(sbin, quantity=10, price=far(rest, sbin)), sbin)
    one, other = rest.margin([market]).total, rest.margin([limit]).total
    assert 0 < other < one
    # Kotak bands a market order by the price of the moment
    assert abs(rest.margin([market, limit]).total - (one + other)) < one / 50


# -- market data -------------------------------------------------------------------------------------------


def test_quotes_of_many_instruments_and_an_index(bench: Bench, rest: Rest) -> None:
    cash = [row for row in bench.table.rows if row.key.exchange == "NSE"][:45]
    nifty = bench.instrument("NSE_INDEX", "NIFTY")
    found = quotes(rest, [*cash, nifty])
    assert set(found) == {row.key for row in (*cash, nifty)}
    for quote in found.values():
        assert quote.low <= quote.ltp <= quote.high
        assert quote.prev_close > 0
    book = found[cash[0].key].depth
    assert book is not None
    assert len(book.bids) == len(book.asks) == 5
    assert book.bids[0].price < book.asks[0].price


def test_every_minute_once_and_the_same_at_every_broker(rest: Rest, sbin: Instrument) -> None:
    today = ist_today()
    candles = rest.candles(sbin, "1m", today - timedelta(days=3), today - timedelta(days=1))
    stamps = [c.opened_at_s for c in candles]
    assert stamps == sorted(set(stamps))
    assert len(candles) == 3 * 1440
    assert {b - a for a, b in itertools.pairwise(stamps)} == {60}
    assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in candles)
    rows = [(c.opened_at_s, c.open, c.high, c.low, c.close, c.volume) for c in candles]
    assert SEEN.setdefault("minutes", rows) == rows


def test_daily_candles_carry_their_date_at_midnight_utc(rest: Rest, sbin: Instrument) -> None:
    today = ist_today()
    candles = rest.candles(sbin, "D", today - timedelta(days=400), today - timedelta(days=1))
    days = [datetime.fromtimestamp(c.opened_at_s, UTC) for c in candles]
    assert all((d.hour, d.minute, d.second) == (0, 0, 0) for d in days)
    assert days[-1].date() == today - timedelta(days=1)
    assert len(days) == len(set(days)) == 400


# -- a broker having a bad day ------------------------------------------------------------------------------


def test_accepted_but_unanswered_is_unknown_and_found_by_its_tag(
    bench: Bench, rest: Rest, sbin: Instrument
) -> None:
    mark, price = tag(), far(rest, sbin)
    with (
        fault(bench, "drop_after", path=PLACE_PATHS[bench.name], method="POST"),
        pytest.raises(OutcomeUnknown),
    ):
        place(rest, sbin, mark, price=price)
    found = until(lambda: rest.find_tag(mark), lambda rows: len(rows) == 1)
    cancel(rest, found[0].order_id)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("drop_before", {}),
        ("status", {"code": 500}),
        ("status", {"code": 502}),
        ("garbage", {}),
        ("truncate", {}),
    ],
)
def test_unreadable_answers_to_a_write_are_unknown(
    bench: Bench, rest: Rest, sbin: Instrument, kind: str, rule: dict[str, Any]
) -> None:
    price = far(rest, sbin)
    with (
        fault(bench, kind, path=PLACE_PATHS[bench.name], method="POST", **rule),
        pytest.raises(OutcomeUnknown),
    ):
        place(rest, sbin, tag(), price=price)


def test_the_write_timeout_is_the_settings_and_what_arrives_later_is_found(
    bench: Bench, sbin: Instrument, rest: Rest
) -> None:
    hasty = bench.broker.rest(replace(bench.context(), write_timeout_s=0.5), bench.current)
    mark, price = tag(), far(rest, sbin)
    with fault(bench, "delay", path=PLACE_PATHS[bench.name], method="POST", count=1, delay_s=2.0):
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            place(hasty, sbin, mark, price=price)
        assert time.monotonic() - begun < 1.8
        assert rest.find_tag(mark) == []
        found = until(lambda: rest.find_tag(mark), lambda rows: len(rows) == 1)
    cancel(rest, found[0].order_id)


def test_too_many_requests_is_rate_limited(bench: Bench, rest: Rest, sbin: Instrument) -> None:
    price = far(rest, sbin)
    order = request(sbin, price=price)
    with fault(bench, "status", code=429, path=PLACE_PATHS[bench.name]), pytest.raises(RateLimited):
        rest.place(order, sbin, tag(), ltp=None)


def test_a_foreign_address_is_named(bench: Bench, rest: Rest, sbin: Instrument) -> None:
    price = far(rest, sbin)
    with fault(bench, "refuse_ip"), pytest.raises(IpNotAllowed):
        place(rest, sbin, tag(), price=price)


def test_an_expired_session_asks_for_a_login_and_works_after_it(
    bench: Bench, rest: Rest, sbin: Instrument
) -> None:
    price = far(rest, sbin)
    bench.control("POST", "expire", {"account": bench.current().account})
    with pytest.raises(LoginRequired):
        place(rest, sbin, tag(), price=price)
    with pytest.raises(LoginRequired):
        rest.funds()
    bench.login()
    assert rest.funds().available_cash > 0


def test_reads_survive_a_hiccup_and_name_a_dead_broker(bench: Bench, rest: Rest) -> None:
    with fault(bench, "status", code=503, count=1):
        assert rest.funds().available_cash > 0
    with fault(bench, "drop_before", path="/.*fund.*|/.*limits.*"), pytest.raises(BrokerDown):
        rest.funds()


# -- feeds -------------------------------------------------------------------------------------------------


class Sink:
    """Keeps what a feed says."""

    def __init__(self) -> None:
        self.ticks: dict[InstrumentKey, Tick] = {}
        self.count = 0
        self.updates: list[OrderUpdate] = []
        self.states: list[tuple[FeedState, str]] = []
        self.bad: list[str] = []
        self.refused: list[tuple[InstrumentKey, str]] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks[tick.key] = tick
        self.count += 1

    def on_order(self, update: OrderUpdate) -> None:
        self.updates.append(update)

    def on_state(self, state: FeedState, reason: str) -> None:
        self.states.append((state, reason))

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad.append(reason)

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        self.refused.append((key, reason))


async def feeding(
    bench: Bench, wanted: dict[Instrument, Mode], act: Callable[[Sink], Any], **options: str
) -> Sink:
    """Run a feed, then ``act`` (a coroutine function) while it runs."""
    sink = Sink()

    async def source(failed: int) -> Any:
        if bench.current().generation <= failed:
            await asyncio.to_thread(bench.login)
        return bench.current()

    feed = bench.broker.feed(bench.context(**options), source, sink)
    task = asyncio.create_task(feed.run())
    try:
        for instrument, mode in wanted.items():
            feed.want(instrument, mode)
        async with asyncio.timeout(40):
            await act(sink)
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return sink


def wanted_of(bench: Bench) -> dict[Instrument, Mode]:
    option = next(r for r in bench.table.rows if r.key.exchange == "NFO" and r.instrument_type == "CE")
    return {
        bench.instrument("NSE", "SBIN"): Mode.LTP,
        bench.instrument("NSE", "INFY"): Mode.QUOTE,
        bench.instrument("NSE", "TCS"): Mode.DEPTH,
        bench.instrument("NSE_INDEX", "NIFTY"): Mode.LTP,
        option: Mode.DEPTH,
    }


async def poll(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


FEEDS = [pytest.param({}, id="default"), pytest.param({"KOTAK_FEED": "hsm"}, id="hsm")]


@pytest.mark.parametrize("options", FEEDS)
def test_a_feed_ticks_in_every_mode(bench: Bench, rest: Rest, options: dict[str, str]) -> None:
    if options and bench.name != "kotak":
        pytest.skip("only Kotak has two feeds")
    wanted = wanted_of(bench)

    def complete(sink: Sink) -> bool:
        if len(sink.ticks) < len(wanted):
            return False
        tcs = sink.ticks[InstrumentKey("NSE", "TCS")]
        infy = sink.ticks[InstrumentKey("NSE", "INFY")]
        return tcs.depth is not None and infy.volume is not None and infy.open is not None

    sink = asyncio.run(feeding(bench, wanted, lambda s: poll(lambda: complete(s)), **options))
    assert sink.bad == []
    assert sink.refused == []
    found = quotes(rest, list(wanted))
    for instrument in wanted:
        tick = sink.ticks[instrument.key]
        assert tick.ltp == pytest.approx(found[instrument.key].ltp, rel=0.05)
        assert abs(tick.received_ns - time.time_ns()) < 60e9
    sbin = sink.ticks[InstrumentKey("NSE", "SBIN")]
    assert sbin.last_trade_ms is not None
    assert abs(sbin.last_trade_ms - time.time() * 1000) < 120_000, "trade times are true UTC"
    infy = sink.ticks[InstrumentKey("NSE", "INFY")]
    assert infy.low is not None
    assert infy.high is not None
    assert infy.low <= infy.ltp <= infy.high
    tcs = sink.ticks[InstrumentKey("NSE", "TCS")]
    assert tcs.depth is not None
    book = tcs.depth()
    assert len(book.bids) == len(book.asks) == 5
    assert book.bids[0].price < book.asks[0].price
    assert all(level.orders > 0 for level in book.bids)


@pytest.mark.parametrize("options", FEEDS)
def test_a_cut_feed_comes_back_with_every_subscription(
    bench: Bench, rest: Rest, options: dict[str, str]
) -> None:
    if options and bench.name != "kotak":
        pytest.skip("only Kotak has two feeds")
    wanted = wanted_of(bench)

    async def act(sink: Sink) -> None:
        await poll(lambda: len(sink.ticks) == len(wanted))
        sink.ticks.clear()
        await asyncio.to_thread(bench.control, "POST", "faults", {"kind": "cut"})
        await poll(lambda: any(state is FeedState.BACKOFF for state, _ in sink.states))
        sink.ticks.clear()
        await poll(lambda: len(sink.ticks) == len(wanted))

    asyncio.run(feeding(bench, wanted, act, **options))


def test_torn_and_garbage_frames_are_counted_and_the_stream_goes_on(bench: Bench, rest: Rest) -> None:
    wanted = wanted_of(bench)

    async def act(sink: Sink) -> None:
        await poll(lambda: len(sink.ticks) == len(wanted))
        for kind in ("torn_frame", "garbage_frame"):
            before = len(sink.bad)
            await asyncio.to_thread(bench.control, "POST", "faults", {"kind": kind, "count": 1})
            await poll(lambda before=before: len(sink.bad) > before)
        count = sink.count
        await poll(lambda: sink.count > count + 5)

    asyncio.run(feeding(bench, wanted, act))


def test_order_updates_are_pushed(bench: Bench, rest: Rest, sbin: Instrument) -> None:
    mark, price = tag(), far(rest, sbin)

    async def act(sink: Sink) -> None:
        await poll(lambda: sink.ticks)
        await asyncio.sleep(1.0)  # the order socket has no acknowledgement at every broker
        placed = await asyncio.to_thread(place, rest, sbin, mark, price=price)

        def states() -> set[OrderStatus]:
            return {u.order.status for u in sink.updates if u.order.order_id == placed.order_id}

        await poll(lambda: OrderStatus.OPEN in states())
        await asyncio.to_thread(cancel, rest, placed.order_id)
        await poll(lambda: OrderStatus.CANCELLED in states())

    asyncio.run(feeding(bench, {sbin: Mode.LTP}, act))


def test_a_dead_token_is_replaced_and_the_feed_lives(bench: Bench, rest: Rest, sbin: Instrument) -> None:
    async def act(sink: Sink) -> None:
        await poll(lambda: sink.ticks)
        generation = bench.current().generation
        await asyncio.to_thread(bench.control, "POST", "expire", {"account": bench.current().account})
        await asyncio.to_thread(bench.control, "POST", "faults", {"kind": "cut"})
        await poll(lambda: bench.current().generation > generation)
        sink.ticks.clear()
        await poll(lambda: sink.ticks)

    asyncio.run(feeding(bench, {sbin: Mode.LTP}, act))
