"""Each way an order is refused: before it has an id, or by the risk desk."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST
from brokers.sim.exchange.types import Refusal, RefusalCode, Status, Type
from tests.brokers.sim.exchange.world import BUY, SELL, World

C = RefusalCode


@pytest.fixture
def world():
    return World()


def refused(world, **words):
    with pytest.raises(Refusal) as caught:
        world.exchange.submit(world.new(**words))
    assert list(world.exchange.orders()) == []
    return caught.value.code


def test_an_index_is_not_tradable(world):
    assert refused(world, listing=world.listing("NIFTY", "NSE_INDEX")) is C.NOT_TRADABLE


def test_an_expired_contract_is_not_tradable(world):
    future = world.future()
    world.clock.advance(86_400 * 5)
    assert future.expiry < world.clock.now().astimezone(IST).date()
    assert refused(world, listing=future, quantity=65, product="NRML") is C.NOT_TRADABLE


@pytest.mark.parametrize(("quantity", "code"), [(0, C.QUANTITY), (-5, C.QUANTITY)])
def test_a_quantity_must_be_positive(world, quantity, code):
    assert refused(world, quantity=quantity) is code


@pytest.mark.parametrize("quantity", [1, 64, 66, 100])
def test_a_contract_trades_in_lots(world, quantity):
    assert refused(world, listing=world.future(), quantity=quantity, product="NRML") is C.LOT


def test_the_freeze_quantity_is_the_largest(world):
    # 1800 is no multiple of 65: 27 lots pass, 28 do not
    assert refused(world, listing=world.future(), quantity=65 * 28, product="NRML") is C.FREEZE
    order = world.exchange.submit(world.new(listing=world.future(), quantity=65 * 27, product="NRML"))
    assert order.status is Status.TRANSIT


@pytest.mark.parametrize("price", ["1000.01", "1000.03", "0", "-5"])
def test_a_limit_is_a_positive_multiple_of_the_tick(world, price):
    assert refused(world, type=Type.LIMIT, price=Decimal(price)) is C.TICK


@pytest.mark.parametrize(
    ("product", "symbol", "exchange"),
    [("NRML", "SBIN", "NSE"), ("NRML", "SBIN", "BSE"), ("BO", "SBIN", "NSE")],
)
def test_shares_are_cnc_or_mis(world, product, symbol, exchange):
    assert refused(world, product=product, listing=world.listing(symbol, exchange)) is C.PRODUCT


def test_contracts_are_nrml_or_mis(world):
    assert refused(world, product="CNC", listing=world.future(), quantity=65) is C.PRODUCT


def test_a_stop_must_lie_beyond_the_market(world):
    ltp = world.ltp()
    assert refused(world, type=Type.STOP_MARKET, side=BUY, trigger=ltp) is C.TRIGGER
    assert refused(world, type=Type.STOP_MARKET, side=SELL, trigger=ltp + 1) is C.TRIGGER


def test_a_stop_limit_needs_its_limit_beyond_its_trigger(world):
    ltp = world.ltp()
    up, down = ltp + 5, ltp - 5
    assert refused(world, type=Type.STOP_LIMIT, side=BUY, trigger=up, price=up - 1) is C.TRIGGER
    assert refused(world, type=Type.STOP_LIMIT, side=SELL, trigger=down, price=down + 1) is C.TRIGGER
    assert refused(world, type=Type.STOP_LIMIT, side=BUY, trigger=0, price=up) is C.TICK


def test_disclosed_is_part_of_the_quantity(world):
    new = world.new(quantity=10)
    object.__setattr__(new, "disclosed", 11)
    with pytest.raises(Refusal) as caught:
        world.exchange.submit(new)
    assert caught.value.code is C.QUANTITY


@pytest.mark.parametrize("hour", ["09:14:59", "15:30:00", "20:00:00"])
def test_a_closed_market_takes_no_order(hour):
    world = World(datetime.fromisoformat(f"2026-11-20T{hour}").replace(tzinfo=IST), hours=FileCalendar())
    assert refused(world) is C.CLOSED


def test_derivatives_trade_ten_minutes_longer():
    world = World(datetime(2026, 11, 20, 15, 35, tzinfo=IST), hours=FileCalendar())
    assert refused(world) is C.CLOSED
    order = world.place(listing=world.future(), quantity=65, product="NRML")
    assert order.accepted_at is not None


# --- the risk desk: an id first, then REJECTED


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"type": Type.LIMIT, "price": 1}, C.BAND),
        ({"type": Type.LIMIT, "price": 90000}, C.BAND),
        ({"type": Type.LIMIT, "price": 90001, "trigger": 90000}, C.BAND),
        ({"quantity": 50_000}, C.MARGIN),
        ({"quantity": 2_000, "product": "CNC"}, C.MARGIN),
        ({"side": SELL, "quantity": 201, "product": "CNC"}, C.HOLDING),
    ],
)
def test_the_risk_desk_rejects_with_a_reason_and_blocks_nothing(world, words, code):
    order = world.exchange.submit(world.new(**words))
    assert order.status is Status.TRANSIT
    world.wait(0.01)
    assert (order.status, order.refusal) == (Status.REJECTED, code)
    assert order.reason
    funds = world.exchange.account("A").funds()
    assert (funds.available, funds.utilised) == (funds.opening, 0)
    assert [o.status for o, _ in world.heard] == [Status.TRANSIT, Status.REJECTED]


def test_a_price_at_the_circuit_is_allowed(world):
    top = world.exchange.snapshot(world.listing()).upper_circuit_paise
    order = world.place(side=SELL, type=Type.LIMIT, price=Decimal(top) / 100)
    assert order.status is Status.OPEN


def test_holdings_are_sold_once(world):
    top = Decimal(world.exchange.snapshot(world.listing()).upper_circuit_paise) / 100
    first = world.place(side=SELL, quantity=150, type=Type.LIMIT, price=top, product="CNC")
    second = world.place(side=SELL, quantity=51, type=Type.LIMIT, price=top, product="CNC")
    third = world.place(side=SELL, quantity=50, type=Type.LIMIT, price=top, product="CNC")
    assert [x.status for x in (first, second, third)] == [Status.OPEN, Status.REJECTED, Status.OPEN]


# --- changing and cancelling


def test_an_order_in_transit_cannot_be_touched(world):
    order = world.exchange.submit(world.new(type=Type.LIMIT, price=world.ltp() - 5))
    for act in (
        lambda: world.exchange.cancel("A", order.order_id),
        lambda: world.exchange.modify(
            "A", order.order_id, type=Type.LIMIT, quantity=1, price=world.ltp(), trigger=Decimal(0)
        ),
    ):
        with pytest.raises(Refusal) as caught:
            act()
        assert caught.value.code is C.IN_TRANSIT
    world.wait(0.01)
    assert order.status is Status.OPEN


def test_a_final_order_and_a_strange_one_cannot_be_touched(world):
    order = world.place()
    assert order.status is Status.FILLED
    for account, order_id, code in (
        ("A", order.order_id, C.FINAL),
        ("A", "nonsense", C.NOT_FOUND),
        ("B", order.order_id, C.NOT_FOUND),
    ):
        with pytest.raises(Refusal) as caught:
            world.exchange.cancel(account, order_id)
        assert caught.value.code is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": Decimal("1000.01")}, C.TICK),
        ({"price": Decimal(5)}, C.BAND),
        ({"quantity": 0}, C.QUANTITY),
        ({"quantity": 49_000}, C.MARGIN),
        ({"quantity": 60_000}, C.FREEZE),
    ],
)
def test_a_refused_change_leaves_the_order_as_it_was(world, change, code):
    order = world.place(type=Type.LIMIT, price=world.ltp() - 5)
    before = order.new
    terms = {"type": Type.LIMIT, "quantity": 100, "price": before.price, "trigger": Decimal(0)} | change
    with pytest.raises(Refusal) as caught:
        world.exchange.modify("A", order.order_id, **terms)
    assert caught.value.code is code
    assert (order.new, order.status, order.modifications) == (before, Status.OPEN, 0)
    world.exchange.cancel("A", order.order_id)
    assert order.status is Status.CANCELLED
