"""Orders on paper: what fills when, at which price, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.model import Mode, OrderStatus
from brokers.sim.exchange.types import Kind, Refusal, RefusalCode, Type
from tests.gateway.sandbox.world import SBIN, SHARE, listing

D = Decimal
OPEN, COMPLETE = OrderStatus.OPEN, OrderStatus.COMPLETE


def levels(*rows: tuple[float, int]) -> list[dict[str, float]]:
    return [{"price": price, "quantity": quantity, "orders": 1} for price, quantity in rows]


@pytest.mark.parametrize(("side", "price"), [("BUY", "800.10"), ("SELL", "799.90")])
def test_a_market_order_takes_the_other_side(world, side, price):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(side)
    assert (order.status, order.average_price, order.filled_quantity) == (COMPLETE, D(price), 10)
    assert world.net() == (10 if side == "BUY" else -10)


def test_a_large_market_order_walks_the_book_and_ends_at_its_last_level(world):
    book = {"buy": levels((799.9, 50)), "sell": levels((800.1, 30), (800.2, 20), (800.5, 10))}
    world.tick(800.0, mode=Mode.DEPTH, depth=book)
    order = world.order(quantity=100)
    paid = [(t.quantity, t.price) for t in world.exchange.trades()]
    assert paid == [(30, D("800.1000")), (20, D("800.2000")), (50, D("800.5000"))]
    assert order.average_price == D("800.3200")
    assert order.status is COMPLETE


def test_what_one_order_took_of_a_tick_the_next_does_not_find(world):
    book = {"buy": levels((799.9, 50)), "sell": levels((800.1, 30), (800.5, 10))}
    world.tick(800.0, mode=Mode.DEPTH, depth=book)
    assert world.order(quantity=30).average_price == D("800.1")
    assert world.order(quantity=5).average_price == D("800.5")
    world.clock.advance(1)
    world.tick(800.0, mode=Mode.DEPTH, depth=book)
    assert world.order(quantity=5).average_price == D("800.1")


def test_a_tick_of_the_last_price_alone_trades_at_it(world):
    world.tick(800.05, mode=Mode.LTP)
    assert world.order().average_price == D("800.05")


def test_a_side_nobody_stands_on_fills_nothing_until_somebody_comes(world):
    world.tick(800.0, mode=Mode.DEPTH, depth={"buy": levels((800.0, 50)), "sell": []})
    order = world.order()
    assert (order.status, order.filled_quantity) == (OPEN, 0)
    world.clock.advance(1)
    world.tick(800.0, mode=Mode.DEPTH, depth={"buy": [], "sell": levels((801.0, 5))})
    assert world.now(order.order_id).average_price == D(801)


@pytest.mark.parametrize("age", [None, 61.0])
def test_a_market_order_without_a_young_price_is_refused_and_kept_as_such(world, age):
    if age is not None:
        world.tick(800.0, 799.9, 800.1)
        world.clock.advance(age)
    with pytest.raises(Refusal, match="no live price of NSE:SBIN") as refused:
        world.order(tag="t1")
    assert refused.value.code is RefusalCode.NOT_TRADABLE
    assert SBIN in world.ticks.streamed
    [order] = world.exchange.tagged("t1")
    assert order.status is OrderStatus.REJECTED
    assert "no live price" in order.rejection_reason
    assert world.exchange.funds().utilised == 0


def test_a_limit_order_fills_at_once_where_the_book_is_better(world):
    world.tick(800.0, 799.9, 800.1)
    assert world.order(type="LIMIT", price="805").average_price == D("800.1")


@pytest.mark.parametrize(
    ("side", "limit", "near", "reaching"),
    [
        ("BUY", "799.00", (799.05, 799.05, 799.10), (799.0, 798.95, 799.05)),
        ("BUY", "799.00", (799.05, 799.05, 799.10), (799.3, 798.9, 798.95)),
        ("SELL", "801.00", (800.95, 800.90, 800.95), (801.0, 800.95, 801.05)),
        ("SELL", "801.00", (800.95, 800.90, 800.95), (800.7, 801.05, 801.10)),
    ],
)
def test_a_resting_limit_fills_at_its_limit_when_a_trade_or_the_book_reaches_it(
    world, side, limit, near, reaching
):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(side, type="LIMIT", price=limit)
    world.clock.advance(1)
    world.tick(*near)
    assert world.now(order.order_id).status is OPEN
    world.clock.advance(1)
    world.tick(*reaching)
    done = world.now(order.order_id)
    assert (done.status, done.average_price) == (COMPLETE, D(limit))
    assert [o.status for o in world.told] == [COMPLETE]


@pytest.mark.parametrize(
    ("side", "type", "price", "trigger", "quiet", "hit", "paid"),
    [
        ("BUY", "SL-M", "0", "805", (804.9, 804.8, 805.1), (805.0, 804.9, 805.1), "805.1"),
        ("SELL", "SL-M", "0", "795", (795.1, 794.9, 795.2), (795.0, 794.9, 795.1), "794.9"),
        ("BUY", "SL", "806", "805", (804.9, 804.8, 805.1), (805.0, 804.9, 805.1), "805.1"),
        ("SELL", "SL", "794", "795", (795.1, 794.9, 795.2), (795.0, 794.9, 795.1), "794.9"),
    ],
)
def test_a_stop_waits_for_a_trade_at_its_trigger(world, side, type, price, trigger, quiet, hit, paid):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(side, type=type, price=price, trigger=trigger)
    assert order.status is OrderStatus.TRIGGER_PENDING
    world.clock.advance(1)
    world.tick(*quiet)
    assert world.now(order.order_id).status is OrderStatus.TRIGGER_PENDING
    world.clock.advance(1)
    world.tick(*hit)
    done = world.now(order.order_id)
    assert (done.status, done.average_price) == (COMPLETE, D(paid))


def test_a_triggered_stop_limit_out_of_reach_rests_as_a_limit(world):
    world.tick(800.0, 799.9, 800.1)
    order = world.order("BUY", type="SL", price="805.5", trigger="805")
    world.clock.advance(1)
    world.tick(806.0, 805.9, 806.1)
    assert world.now(order.order_id).status is OPEN
    world.clock.advance(1)
    world.tick(805.5, 805.4, 805.6)
    assert world.now(order.order_id).average_price == D("805.5")


def test_a_modified_order_trades_on_its_new_terms(world):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(type="LIMIT", price="790")
    changed = world.exchange.modify(
        order.order_id, type=Type.LIMIT, quantity=20, price=D("795"), trigger=D(0), disclosed=0
    )
    assert (changed.quantity, changed.price, changed.status) == (20, D("795"), OPEN)
    world.exchange.modify(
        order.order_id, type=Type.MARKET, quantity=15, price=D(0), trigger=D(0), disclosed=0
    )
    done = world.now(order.order_id)
    assert (done.status, done.filled_quantity, done.average_price) == (COMPLETE, 15, D("800.1"))
    with pytest.raises(Refusal, match="already complete"):
        world.exchange.cancel(order.order_id)


def test_a_cancelled_order_frees_its_margin_and_never_trades(world):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(type="LIMIT", price="790", quantity=100)
    assert world.exchange.funds().utilised == D("15800.00")
    world.exchange.cancel(order.order_id)
    assert world.exchange.funds().utilised == 0
    world.clock.advance(1)
    world.tick(780.0, 779.9, 780.1)
    assert world.now(order.order_id).status is OrderStatus.CANCELLED
    assert not world.exchange.works_on(SBIN)


CALL = listing("NIFTY24NOV2626000CE", "NFO", kind=Kind.CALL, lot_size=65, root="NIFTY")
FUTURE = listing("NIFTY24NOV26FUT", "NFO", kind=Kind.FUTURE, lot_size=65, root="NIFTY")


@pytest.mark.parametrize(
    ("what", "side", "product", "blocked"),
    [
        (SHARE, "BUY", "MIS", "1600.00"),
        (SHARE, "SELL", "MIS", "1600.00"),
        (SHARE, "BUY", "CNC", "8000.00"),
        (FUTURE, "SELL", "NRML", "5200.00"),
        (CALL, "BUY", "NRML", "52000.00"),
        (CALL, "SELL", "MIS", "52000.00"),
    ],
)
def test_margin_is_value_over_leverage_of_the_class(world, what, side, product, blocked):
    quantity = 10 if what is SHARE else 65
    world.order(side, quantity, "LIMIT", "800", product=product, what=what)
    assert world.exchange.funds().utilised == D(blocked)
    assert world.exchange.funds().available == 1_000_000 - D(blocked)


def test_what_is_blocked_is_the_sum_over_every_instrument_and_product(world):
    world.order("BUY", 10, "LIMIT", "800")
    world.order("BUY", 10, "LIMIT", "800", product="CNC")
    world.order("SELL", 65, "LIMIT", "800", product="NRML", what=FUTURE)
    other = world.order("BUY", 10, "LIMIT", "100", what=listing("TCS"))
    assert world.exchange.funds().utilised == D("1600") + D("8000") + D("5200") + D("200")
    world.exchange.cancel(other.order_id)
    assert world.exchange.funds().utilised == D("14800")


def test_only_the_worse_side_of_orders_both_ways_is_blocked_and_closing_is_free(world):
    world.tick(800.0, 800.0, 800.0)
    world.order("BUY", 10, "LIMIT", "790")
    world.order("SELL", 30, "LIMIT", "810")
    assert world.exchange.funds().utilised == D("4860.00")
    world.order("BUY", 30)
    # the resting sale closes the position; the resting buy adds to it
    assert world.exchange.funds().utilised == D("6380.00")


def test_an_order_beyond_the_money_is_refused_with_both_figures(world):
    world.tick(800.0, 799.9, 800.1)
    with pytest.raises(Refusal, match="required 1600000.00, available 1000000.00") as no:
        world.order(quantity=2000, product="CNC")
    assert no.value.code is RefusalCode.MARGIN
    world.order(quantity=1200, product="CNC")
    with pytest.raises(Refusal, match="insufficient funds"):
        world.order(quantity=100, product="CNC")
    # closing what is held costs nothing, however little is left
    assert world.order("SELL", 1200, product="CNC").status is COMPLETE
    assert world.exchange.funds().utilised == 0


def test_shares_that_are_not_held_cannot_be_sold_for_delivery(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10, product="CNC")
    world.order("SELL", 6, "LIMIT", "820", product="CNC")
    with pytest.raises(Refusal, match="4 held and not on sale") as no:
        world.order("SELL", 5, product="CNC")
    assert no.value.code is RefusalCode.HOLDING


def test_profit_is_told_to_the_paisa_and_becomes_money(world):
    world.tick(800.0, 800.0, 800.0)
    world.order(quantity=100)
    world.clock.advance(1)
    world.tick(810.0, 810.0, 810.0)
    assert world.exchange.funds().unrealized == D("1000.00")
    world.order("SELL", 60)
    funds = world.exchange.funds()
    assert (funds.realized, funds.unrealized) == (D("600.00"), D("400.00"))
    assert funds.available == 1_000_000 + 600 - funds.utilised
    assert funds.utilised == D("6400.00")


def test_currencies_keep_their_four_decimals(world):
    rupee = listing("USDINR27NOV26FUT", "CDS", kind=Kind.FUTURE, tick_paise=25)
    world.order("BUY", 1000, "LIMIT", "83.4525", product="NRML", what=rupee)
    key = world.exchange.at_work()[0]
    world.tick(83.4525, 83.4500, 83.4525, key=key)
    assert [t.price for t in world.exchange.trades()] == [D("83.4525")]


def test_running_sums_agree_with_a_count_from_scratch(world):
    """Margin is kept order by order; whatever happens, nothing may be left blocked at the end."""
    world.tick(800.0, 799.9, 800.1)
    limits = [world.order("BUY", 10 + n, "LIMIT", f"{790 + n}") for n in range(8)]
    limits += [world.order("SELL", 7 + n, "LIMIT", f"{805 + n}") for n in range(6)]
    world.exchange.modify(
        limits[0].order_id, type=Type.LIMIT, quantity=33, price=D("791"), trigger=D(0), disclosed=0
    )
    for n, ltp in enumerate((796.0, 806.0, 793.0, 809.0), 1):
        world.clock.advance(n)
        world.tick(ltp, ltp - 0.1, ltp + 0.1)
    for order in world.exchange.orders():
        if not order.status.is_final:
            world.exchange.cancel(order.order_id)
    net = world.net()
    if net:
        world.order("SELL" if net > 0 else "BUY", abs(net))
    funds = world.exchange.funds()
    assert funds.utilised == 0
    bought = sum(t.quantity * t.price * (-1 if t.side == "BUY" else 1) for t in world.exchange.trades())
    assert funds.realized == bought.quantize(D("0.01"))
    assert funds.available == 1_000_000 + funds.realized
