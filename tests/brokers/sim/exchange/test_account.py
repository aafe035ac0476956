"""Money: what is blocked, what is earned, and that nothing appears or vanishes."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.sim.exchange.margin import Leg, required
from brokers.sim.exchange.types import Refusal, SimPosition, Status, Type, rupees
from tests.brokers.sim.exchange.world import BUY, SELL, World

WORLD = World()
SHARE, FUTURE, CALL = WORLD.listing(), WORLD.future(), WORLD.option()
NONE: list[Leg] = []


def D(text):
    return Decimal(text)


@pytest.mark.parametrize(
    ("listing", "product", "buys", "sells", "expected"),
    [
        (SHARE, "CNC", [Leg(10, D(1000))], NONE, D(10_000)),
        (SHARE, "CNC", NONE, [Leg(10, D(1000))], D(0)),
        (SHARE, "MIS", [Leg(10, D(1000))], NONE, D(2_000)),
        (SHARE, "MIS", NONE, [Leg(10, D(1000))], D(2_000)),
        # both ways round: only the worse side
        (SHARE, "MIS", [Leg(10, D(1000))], [Leg(30, D(1000))], D(6_000)),
        (FUTURE, "NRML", [Leg(65, D(26_000))], NONE, D(202_800)),
        (CALL, "NRML", [Leg(65, D(200))], NONE, D(13_000)),
        (CALL, "NRML", NONE, [Leg(65, D(200))], 65 * rupees(CALL.strike_paise) * D("0.12")),
    ],
)
def test_what_an_order_blocks(listing, product, buys, sells, expected):
    assert required(listing, product, 0, D(0), buys, sells) == expected


@pytest.mark.parametrize(
    ("net", "sells", "expected"),
    [
        (10, [Leg(10, D(1000))], D(2_000)),  # closing blocks nothing more
        (10, [Leg(15, D(1000))], D(2_000)),  # five beyond closing weigh less than the ten held
        (10, [Leg(40, D(1000))], D(6_000)),  # thirty beyond closing weigh more
    ],
)
def test_an_order_that_closes_blocks_nothing(net, sells, expected):
    assert required(SHARE, "MIS", net, D(1000), NONE, sells) == expected


def test_a_position_earns_by_averages():
    position = SimPosition(SHARE, "MIS", buy_qty=30, buy_value=D(3000), sell_qty=10, sell_value=D(1200))
    assert (position.net, position.average) == (20, D(100))
    assert position.realized == D(200)
    assert position.unrealized(D(90)) == D(-200)
    assert position.total(D(90)) == D(0)


def test_margin_of_a_plan_equals_what_its_order_then_blocks():
    world = World()
    for new in (
        world.new(type=Type.LIMIT, price=world.ltp() - 5, quantity=37),
        world.new(type=Type.LIMIT, price=world.ltp() - 5, quantity=37, product="CNC"),
        world.new(listing=FUTURE, quantity=65, product="NRML", type=Type.LIMIT, price=world.ltp(FUTURE) - 50),
        world.new(
            listing=CALL, quantity=65, product="NRML", side=SELL, type=Type.LIMIT, price=world.ltp(CALL) + 50
        ),
    ):
        planned = world.exchange.margin_required(new)
        before = world.exchange.account("A").funds()
        order = world.exchange.submit(new)
        world.wait(0.01)
        after = world.exchange.account("A").funds()
        assert order.status is Status.OPEN, order.reason
        assert before.available - after.available == planned == after.utilised
        world.exchange.cancel("A", order.order_id)
        assert world.exchange.account("A").funds().available == before.available


def test_a_position_can_be_closed_when_money_has_run_out():
    world = World()
    world.place(quantity=1_000)
    account = world.exchange.account("A")
    account.opening = D(1_000)  # lost elsewhere
    assert account.funds().available < 0
    more = world.place(quantity=1)
    close = world.place(side=SELL, quantity=1_000)
    assert more.status is Status.REJECTED
    assert close.status in (Status.FILLED, Status.PARTIAL)


def test_a_new_account_has_cash_and_three_holdings():
    account = WORLD.exchange.account("NEW")
    assert account.funds().available == D("1000000.00")
    assert [h.listing.symbol for h in account.holdings()] == ["RELIANCE", "INFY", "SBIN"]
    assert account.positions() == []


ORDER = st.tuples(
    st.sampled_from("AB"),
    st.sampled_from([BUY, SELL]),
    st.sampled_from([Type.MARKET, Type.LIMIT, Type.STOP_MARKET]),
    st.sampled_from(["MIS", "CNC"]),
    st.integers(1, 3000),
    st.integers(-8, 8),
    st.sampled_from(["DAY", "IOC"]),
    st.sampled_from([0.0, 0.004, 0.3, 20.0]),
)


@given(st.lists(ORDER, min_size=1, max_size=25), st.data())
@settings(max_examples=60, deadline=None)
def test_money_and_shares_are_conserved_whatever_two_accounts_do(orders, data):
    world = World()
    share = world.listing()
    for account, side, kind, product, quantity, offset, validity, pause in orders:
        price = world.ltp() + offset
        with suppress(Refusal):
            world.exchange.submit(
                world.new(side, quantity, kind, price, price, account, product, validity=validity)
            )
        world.wait(pause)
        working = [
            o for o in world.exchange.orders() if not o.status.is_final and o.status is not Status.TRANSIT
        ]
        if working and data.draw(st.booleans()):
            victim = data.draw(st.sampled_from(working))
            world.exchange.cancel(victim.new.account, victim.order_id)
    mark = world.ltp()
    for name in "AB":
        account = world.exchange.account(name)
        funds = account.funds()
        # every rupee is where the arithmetic says
        assert funds.available + funds.utilised == funds.opening + funds.realized
        assert funds.utilised == account.blocked(account.working.values())
        # trades are the only source of positions, and orders of trades
        assert account.trades == sorted(account.trades, key=lambda t: t.trade_id)
        for order in account.orders.values():
            assert order.filled == sum(t.quantity for t in order.trades) <= order.new.quantity
            assert (order.status is Status.FILLED) == (order.remaining == 0)
            assert order.order_id in account.working or order.status.is_final
        paid = sum((t.quantity * t.price * (1 if t.side is BUY else -1) for t in account.trades), Decimal(0))
        held = sum(t.quantity if t.side is BUY else -t.quantity for t in account.trades)
        assert sum(p.net for p in account.positions()) == held
        assert sum((p.total(mark) for p in account.positions()), Decimal(0)) == held * mark - paid
        # delivery never goes short
        delivered = sum(p.net for p in account.positions() if p.product == "CNC")
        left = sum(h.quantity for h in account.holdings() if h.listing.symbol == "SBIN")
        assert delivered >= -200
        assert left == 200 + min(delivered, 0)
    _check_crosses(world, share)


def _check_crosses(world, share):
    """Between users, every trade has its twin: same time, price and quantity, other side, other account."""
    ours = [t for name in "AB" for t in world.exchange.account(name).trades]
    pure = world.prices.snapshot(share, world.clock.now()).volume
    assert world.exchange.snapshot(share).volume == pure + sum(t.quantity for t in ours)
    book = world.exchange._matching.book(share)
    for entry in book.buys + book.sells + book.stops:
        assert not entry.order.status.is_final
    bids = {e.order.new.account: e.limit for e in book.buys if not e.is_market}
    asks = {e.order.new.account: e.limit for e in book.sells if not e.is_market}
    for buyer, bid in bids.items():
        assert all(bid < ask for seller, ask in asks.items() if seller != buyer)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 500)), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_what_one_account_wins_from_the_other_it_loses(rounds):
    """One rests at the touch, the other takes it: at that price users meet before anybody else."""
    world = World()
    share = world.listing()
    for seller, quantity in rounds:
        buyer = "B" if seller == "A" else "A"
        touch = rupees(world.exchange.snapshot(share).asks[0].price_paise)
        words = {"type": Type.LIMIT, "price": touch}
        sell = world.exchange.submit(world.new(SELL, quantity, account=seller, **words))
        world.exchange.submit(world.new(BUY, quantity, account=buyer, validity="IOC", **words))
        world.wait(0.005)
        assert (sell.status, sell.average) == (Status.FILLED, touch) or sell.filled == 0
        if not sell.status.is_final:
            world.exchange.cancel(seller, sell.order_id)
        world.wait(1)
    mark = world.ltp()
    accounts = [world.exchange.account(name) for name in "AB"]
    total = sum((p.total(mark) for account in accounts for p in account.positions()), Decimal(0))
    outside = [t for a in accounts for t in a.trades if not _twin(t, accounts)]
    assert total == sum(
        ((mark - t.price) * t.quantity * (1 if t.side is BUY else -1) for t in outside), Decimal(0)
    )
    assert len(outside) < sum(len(a.trades) for a in accounts) or not outside


def _twin(trade, accounts):
    key = (trade.at, trade.price, trade.quantity)
    return any(
        (t.at, t.price, t.quantity) == key and t.side is not trade.side
        for account in accounts
        if account.id != trade.account
        for t in account.trades
    )
