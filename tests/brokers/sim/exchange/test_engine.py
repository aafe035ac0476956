"""Claims about matching, stops, time and days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST
from brokers.sim.exchange.session import STEP_MS, to_ms
from brokers.sim.exchange.types import Refusal, Status, Type, rupees
from tests.brokers.sim.exchange.world import BUY, NOON, SELL, World

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def world():
    return World()


def change(world, order, **terms):
    now = order.new
    full = {"type": now.type, "quantity": now.quantity, "price": now.price, "trigger": now.trigger} | terms
    return world.exchange.modify(now.account, order.order_id, **full)


# --- arriving


def test_an_order_is_in_transit_until_the_exchange_has_taken_it(world):
    order = world.exchange.submit(world.new())
    assert (order.status, order.exchange_order_id, order.accepted_at) == (Status.TRANSIT, "", None)
    world.wait(0.004)
    assert order.status is Status.TRANSIT
    world.wait(0.001)
    assert order.status is Status.FILLED
    assert order.accepted_at == NOON + timedelta(milliseconds=5)
    assert order.exchange_order_id


def test_a_market_order_takes_the_levels_from_the_best_one_on(world):
    book = world.exchange.snapshot(world.listing()).asks
    wanted = book[0].quantity + book[1].quantity + 1
    order = world.place(quantity=wanted)
    taken = [(t.quantity, t.price) for t in order.trades]
    assert taken == [
        (book[0].quantity, rupees(book[0].price_paise)),
        (book[1].quantity, rupees(book[1].price_paise)),
        (1, rupees(book[2].price_paise)),
    ]
    assert order.average == (sum(q * p for q, p in taken) / wanted).quantize(Decimal("0.0001"))


def test_what_one_took_another_cannot_take_again(world):
    best = world.exchange.snapshot(world.listing()).asks[0]
    words = {"type": Type.LIMIT, "price": rupees(best.price_paise), "validity": "IOC"}
    first = world.exchange.submit(world.new(quantity=best.quantity, **words))
    second = world.exchange.submit(world.new(quantity=1, account="B", **words))
    world.wait(0.01)
    assert (first.status, second.status) == (Status.FILLED, Status.CANCELLED)
    assert second.reason.startswith("IOC")


def test_an_ioc_keeps_what_it_got_and_gives_up_the_rest(world):
    best = world.exchange.snapshot(world.listing()).asks[0]
    price = rupees(best.price_paise)
    order = world.place(quantity=best.quantity + 50, type=Type.LIMIT, price=price, validity="IOC")
    assert (order.status, order.filled) == (Status.CANCELLED, best.quantity)
    world.wait(60)
    assert order.filled == best.quantity


def test_a_market_order_larger_than_the_book_goes_on_with_the_next_books(world):
    far = min(
        (x for x in world.universe.listings if x.root == "NIFTY" and x.kind.value == "PE"),
        key=lambda x: (x.expiry, x.strike_paise),
    )
    depth = sum(level.quantity for level in world.exchange.snapshot(far).asks)
    orders = [
        world.exchange.submit(world.new(quantity=1755, listing=far, product="NRML", account=name))
        for name in "ABCDE"
    ]
    world.wait(0.01)
    assert depth < sum(o.new.quantity for o in orders)
    assert sum(o.filled for o in orders) == depth
    assert orders[-1].status is Status.OPEN
    world.wait_for(orders[-1], Status.FILLED)
    assert all(o.filled == 1755 for o in orders)


# --- users against each other: BSE's books are thin enough for one account to take whole


@pytest.fixture
def thin(world):
    return world.listing("SBIN", "BSE")


def above(world, listing, by):
    return rupees(world.exchange.snapshot(listing).asks[0].price_paise) + by


def test_two_users_trade_with_each_other_at_the_resting_price(world, thin):
    price = above(world, thin, 5)
    words = {"listing": thin, "type": Type.LIMIT}
    resting = world.place(side=SELL, price=price, quantity=70, account="B", **words)
    assert resting.status is Status.OPEN
    before = world.exchange.snapshot(thin).volume
    buyer = world.place(price=price + 1, quantity=2_000, account="A", validity="IOC", **words)
    # the synthetic levels are cheaper and go first, but end far below the user's price
    assert (resting.status, resting.filled) == (Status.FILLED, 70)
    assert [t.quantity for t in buyer.trades if t.price == price] == [70]
    assert [t.price for t in buyer.trades] == sorted(t.price for t in buyer.trades)
    assert resting.trades[0].price == price
    assert world.exchange.snapshot(thin).volume - before >= 70 + buyer.filled


def test_at_one_price_a_user_comes_before_the_synthetic_level(world, thin):
    words = {"listing": thin, "type": Type.LIMIT, "price": above(world, thin, 0)}
    resting = world.place(side=SELL, quantity=7, account="B", **words)
    assert resting.status is Status.OPEN
    buyer = world.place(quantity=5, account="A", **words)
    assert (buyer.filled, resting.filled) == (5, 5)


def test_better_price_first_then_earlier_order(world, thin):
    touch = above(world, thin, 0)
    words = {"listing": thin, "type": Type.LIMIT}
    first = world.place(side=SELL, price=touch + 3, quantity=10, account="B", **words)
    second = world.place(side=SELL, price=touch + 3, quantity=10, account="C", **words)
    third = world.place(side=SELL, price=touch + 2, quantity=10, account="D", **words)
    synthetic = sum(x.quantity for x in world.exchange.snapshot(thin).asks)
    buyer = world.place(price=touch + 3, quantity=synthetic + 15, account="A", validity="IOC", **words)
    assert [x.filled for x in (third, first, second)] == [10, 5, 0]
    assert [t.price for t in buyer.trades[-2:]] == [touch + 2, touch + 3]


def test_nobody_trades_with_himself(world, thin):
    words = {"listing": thin, "type": Type.LIMIT, "price": above(world, thin, 5)}
    resting = world.place(side=SELL, quantity=10, **words)
    buyer = world.place(side=BUY, quantity=2_000, validity="IOC", **words)
    assert buyer.filled > 0
    assert resting.filled == 0


# --- resting


def test_a_resting_limit_fills_at_its_price_when_the_path_comes_to_it(world):
    limit = world.ltp() - 2
    order = world.place(type=Type.LIMIT, price=limit, quantity=10)
    assert order.status is Status.OPEN
    world.wait_for(order, Status.FILLED, within_s=40_000)
    assert {t.price for t in order.trades} == {limit}
    touched = order.trades[0].at
    assert world.prices.ltp(world.listing(), touched) <= int(limit * 100)
    # and not a step before: no trade since acceptance was at or below the limit
    first, last = to_ms(order.accepted_at) // STEP_MS + 1, to_ms(touched) // STEP_MS
    earlier = [world.prices.trade_at(world.listing(), n) for n in range(first, last)]
    assert all(t is None or t[0] > int(limit * 100) for t in earlier)


def test_a_step_fills_no_more_than_it_traded_in_order_of_arrival(world):
    limit = world.ltp() - 2
    first = world.place(type=Type.LIMIT, price=limit, quantity=900, account="A")
    second = world.place(type=Type.LIMIT, price=limit, quantity=900, account="B")
    world.wait_for(second, Status.FILLED, within_s=40_000)
    by_step = {}
    for order in (first, second):
        for trade in order.trades:
            by_step[trade.at] = by_step.get(trade.at, 0) + trade.quantity
    for at, quantity in by_step.items():
        assert quantity <= world.prices.trade_at(world.listing(), to_ms(at) // STEP_MS)[1]
    assert len(by_step) > 1
    assert max(t.at for t in first.trades) <= min(t.at for t in second.trades)
    seen = [o.status for o, t in world.heard if o.order_id == first.order_id]
    assert seen[:2] == [Status.TRANSIT, Status.OPEN]
    assert seen[-1] is Status.FILLED
    assert set(seen[2:-1]) <= {Status.PARTIAL}


@pytest.mark.parametrize(
    ("terms", "keeps"),
    [({"quantity": 400}, True), ({"quantity": 600}, False), ({"price": None}, False)],
    ids=["smaller", "larger", "repriced"],
)
def test_only_a_smaller_quantity_keeps_the_place_in_the_queue(world, terms, keeps):
    limit = world.ltp() - 2
    first = world.place(type=Type.LIMIT, price=limit, quantity=500, account="A")
    second = world.place(type=Type.LIMIT, price=limit, quantity=500, account="B")
    if "price" in terms:
        change(world, first, price=limit - 1)
        terms = {"price": limit}
    change(world, first, **terms)
    world.wait_for(first if not keeps else second, Status.FILLED, within_s=40_000)
    ahead, behind = (first, second) if keeps else (second, first)
    assert max(t.at for t in ahead.trades) <= min(t.at for t in behind.trades)
    assert ahead.trades[0].at <= behind.trades[0].at
    assert first.modifications >= 1


def test_one_long_step_and_many_short_ones_give_the_same_books():
    def play(step_s):
        world = World()
        orders = [
            world.exchange.submit(world.new(side, 400, Type.LIMIT, world.ltp() + offset, account=account))
            for side, offset, account in ((BUY, -1, "A"), (SELL, 1, "B"), (BUY, -2, "B"), (SELL, 3, "A"))
        ]
        orders.append(world.exchange.submit(world.new(SELL, 50, Type.STOP_MARKET, trigger=world.ltp() - 1)))
        for _ in range(int(300 / step_s)):
            world.wait(step_s)
        return [(o.status, [(t.at, t.quantity, t.price) for t in o.trades]) for o in orders]

    assert play(300) == play(0.25) == play(7.5)


def test_an_order_sees_nothing_of_the_market_before_it_was_accepted():
    def play(early_step):
        world = World()
        low = min(bar.low_paise for bar in world.prices.candles(world.listing(), NOON, LATER, "1m"))
        order_at = LATER
        world.clock.set(order_at)
        if early_step:
            world.exchange.step(order_at)
        order = world.exchange.submit(world.new(quantity=10, type=Type.LIMIT, price=rupees(low)))
        world.wait(60)
        return order.status, [(t.at, t.price) for t in order.trades]

    assert play(True) == play(False)


# --- changing


def test_a_change_to_a_crossing_price_trades_at_once(world):
    order = world.place(type=Type.LIMIT, price=world.ltp() - 5, quantity=10)
    change(world, order, price=world.ltp() + 1)
    assert order.status is Status.FILLED


def test_a_limit_becomes_a_stop_and_back(world):
    order = world.place(type=Type.LIMIT, price=world.ltp() - 5, quantity=10)
    change(world, order, type=Type.STOP_MARKET, trigger=world.ltp() + 50, price=Decimal(0))
    assert order.status is Status.TRIGGER_PENDING
    change(world, order, type=Type.MARKET, trigger=Decimal(0))
    assert order.status is Status.FILLED


def test_a_change_can_rewrite_the_tag(world):
    order = world.place(type=Type.LIMIT, price=world.ltp() - 5, quantity=10)
    terms = {"type": Type.LIMIT, "quantity": 10, "price": world.ltp() - 6, "trigger": Decimal(0)}
    world.exchange.modify("A", order.order_id, **terms, tag="other")
    assert order.tag == "other"
    assert world.heard[-1][0].tag == "other"


def test_a_cancelled_order_trades_no_more(world):
    order = world.place(type=Type.LIMIT, price=world.ltp() - 1, quantity=4_500)
    world.wait_for(order, Status.PARTIAL, within_s=20_000)
    world.exchange.cancel("A", order.order_id)
    filled = order.filled
    world.wait(600)
    assert (order.status, order.filled) == (Status.CANCELLED, filled)


# --- stops


@pytest.mark.parametrize("kind", [Type.STOP_MARKET, Type.STOP_LIMIT])
def test_a_stop_waits_for_a_trade_at_its_trigger(world, kind):
    trigger = world.ltp() - 2
    price = trigger - 5 if kind is Type.STOP_LIMIT else 0
    order = world.place(side=SELL, type=kind, trigger=trigger, price=price, quantity=10)
    assert order.status is Status.TRIGGER_PENDING
    world.wait_for(order, Status.FILLED, within_s=40_000)
    heard = [o.status for o, _ in world.heard]
    assert heard == [Status.TRANSIT, Status.TRIGGER_PENDING, Status.OPEN, Status.FILLED]
    touched = next(o.updated_at for o, _ in world.heard if o.status is Status.OPEN)
    assert world.prices.ltp(world.listing(), touched) <= int(trigger * 100)
    before = touched - timedelta(milliseconds=STEP_MS)
    assert world.prices.ltp(world.listing(), before) > int(trigger * 100)


def test_a_triggered_stop_limit_never_sells_below_its_limit(world):
    trigger = world.ltp() - 2
    order = world.place(side=SELL, type=Type.STOP_LIMIT, trigger=trigger, price=trigger, quantity=4_500)
    while order.status is Status.TRIGGER_PENDING:
        world.wait(0.25)
    assert order.status in (Status.OPEN, Status.PARTIAL)
    world.wait_for(order, Status.FILLED, within_s=20_000)
    assert all(t.price >= trigger for t in order.trades)


# --- many at once, whole accounts


def test_square_off_leaves_nothing_open(world):
    world.place(quantity=10)
    world.place(side=SELL, quantity=65, listing=world.future(), product="NRML")
    resting = world.place(type=Type.LIMIT, price=world.ltp() - 20, quantity=10)
    sent = world.exchange.square_off("A")
    world.wait(5)
    assert resting.status is Status.CANCELLED
    assert [o.status for o in sent] == [Status.FILLED, Status.FILLED]
    assert all(p.net == 0 for p in world.exchange.account("A").positions())
    assert world.exchange.account("A").funds().utilised == 0


def test_order_ids_come_from_the_venue(world):
    world.exchange.order_id = lambda at, number: f"{at:%H%M}-{number}"
    assert world.exchange.submit(world.new()).order_id == "0630-1"
    assert world.exchange.submit(world.new()).order_id == "0630-2"


# --- the market as watched


def test_watched_listings_tick_while_somebody_watches(world):
    seen = []
    world.exchange.on_market(lambda batch: seen.append([m.listing.symbol for m in batch]))
    share, index = world.listing(), world.listing("NIFTY", "NSE_INDEX")
    world.exchange.watch(share)
    world.exchange.watch(share)
    world.exchange.watch(index)
    world.wait(10)
    assert seen.pop() == ["SBIN", "NIFTY"]
    world.exchange.unwatch(share)
    world.wait(10)
    assert seen.pop() == ["SBIN", "NIFTY"]
    world.exchange.unwatch(share)
    world.wait(10)
    assert seen.pop() == ["NIFTY"]
    seen.clear()
    world.wait(0)
    assert seen == []


def test_a_users_trade_is_in_the_volume_and_moves_seq(world):
    before = world.exchange.snapshot(world.listing())
    order = world.place(quantity=10)
    pure = world.prices.snapshot(world.listing(), world.clock.now())
    after = world.exchange.snapshot(world.listing())
    assert after.volume == pure.volume + order.filled
    assert after.seq > before.seq


# --- days


def test_midnight_ends_day_orders_settles_shares_and_keeps_the_rest(world):
    resting = world.place(type=Type.LIMIT, price=world.ltp() - 20, quantity=10)
    bought = world.place(quantity=30, product="CNC")
    world.place(side=SELL, quantity=50, product="CNC", listing=world.listing("RELIANCE"))
    carried = world.place(quantity=20)
    account = world.exchange.account("A")
    cash = account.opening + sum(p.realized for p in account.positions())
    sold = next(p for p in account.positions() if p.listing.symbol == "RELIANCE")
    world.wait(12 * 3600)
    assert resting.status is Status.EXPIRED
    account = world.exchange.account("A")
    assert list(account.orders) == []
    held = {h.listing.symbol: h.quantity for h in account.holdings()}
    assert held == {"INFY": 100, "SBIN": 230}
    (position,) = account.positions()
    assert (position.product, position.net, position.carry_buy_qty) == ("MIS", 20, 20)
    assert position.average == carried.average
    paid = (30 * bought.average).quantize(Decimal("0.01"))
    assert account.opening == cash - paid + sold.sell_value
    assert world.universe.today == date(2026, 11, 21)


def test_an_expired_contract_settles_in_cash(world):
    future = world.future()
    world.place(quantity=65, listing=future, product="NRML")
    account = world.exchange.account("A")
    (position,) = account.positions()
    for _ in range(4):
        world.wait(86_400)
    assert future.expiry < world.clock.now().astimezone(IST).date()
    account = world.exchange.account("A")
    assert account.positions() == []
    midnight = datetime.combine(future.expiry, datetime.min.time(), IST) + timedelta(days=1)
    final = world.prices.ltp(future, midnight - timedelta(milliseconds=1))
    assert account.opening == 1_000_000 + position.total(rupees(final))


def test_with_nse_hours_orders_expire_at_the_close_and_intraday_is_squared_off():
    world = World(datetime(2026, 11, 20, 15, 10, tzinfo=IST), hours=FileCalendar(), auto_square_off=True)
    delivery = world.place(type=Type.LIMIT, price=world.ltp() - 20, quantity=10, product="CNC")
    intraday = world.place(quantity=10)
    stop = world.place(side=SELL, type=Type.STOP_MARKET, trigger=world.ltp() - 30, quantity=10)
    assert intraday.status is Status.FILLED
    world.wait(9 * 60)
    assert stop.status is Status.TRIGGER_PENDING
    world.wait(2 * 60)
    world.wait(1)
    assert stop.status is Status.CANCELLED
    assert [p.net for p in world.exchange.account("A").positions()] == [0]
    assert delivery.status is Status.OPEN
    world.wait(10 * 60)
    assert delivery.status is Status.EXPIRED
    with pytest.raises(Refusal):
        world.exchange.submit(world.new())
