"""Square-off, close, midnight, results, reset: by the clock handed in, also when nobody was there then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar, Session
from brokers.model import InstrumentKey, OrderStatus
from brokers.sim.exchange.types import Kind, Refusal, RefusalCode
from gateway.sandbox.hours import Hours
from tests.gateway.sandbox.world import RULES, again, ist, listing, make

D = Decimal
TODAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)
FUTURE = listing("NIFTY24NOV26FUT", "NFO", kind=Kind.FUTURE, lot_size=65, root="NIFTY", expiry=TODAY)
FUTURE_KEY = InstrumentKey("NFO", "NIFTY24NOV26FUT")


class Muhurat:
    """An hour in the evening."""

    def session(self, exchange: str, on: date) -> Session:
        return Session(ist(on, "18:00"), ist(on, "19:00"))

    def is_open(self, exchange: str, at: datetime) -> bool:
        return True


def at(text: str, day: date = TODAY) -> datetime:
    return ist(day, text)


def test_intraday_positions_are_closed_at_the_time_and_not_before(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10)
    world.order(quantity=4, product="CNC")
    resting = world.order(type="LIMIT", price="780")
    world.go_to(at("15:14"))
    world.tick(810.0, 809.9, 810.1)
    world.exchange.duties()
    assert (world.net(), world.now(resting.order_id).status) == (10, OrderStatus.OPEN)
    world.go_to(at("15:15"))
    assert (world.net(), world.net("CNC")) == (0, 4)
    assert world.now(resting.order_id).status is OrderStatus.CANCELLED
    exit_order = world.exchange.orders()[-1]
    assert (exit_order.status, exit_order.average_price) == (OrderStatus.COMPLETE, D("809.9"))
    assert exit_order in world.told
    world.exchange.duties()
    assert world.exchange.orders()[-1] == exit_order


def test_after_the_square_off_only_orders_that_reduce_are_taken_intraday(world):
    world.go_to(at("15:16"))
    world.tick(800.0, 799.9, 800.1)
    with pytest.raises(Refusal, match="squared off at 15:15 IST") as no:
        world.order()
    assert no.value.code is RefusalCode.CLOSED
    assert world.order(product="CNC").status is OrderStatus.COMPLETE


def test_a_square_off_without_a_young_price_takes_the_last_known_one(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10)
    world.go_to(at("15:20"))
    assert world.net() == 0
    assert world.exchange.trades()[-1].price == D(800)


def test_a_square_off_that_was_slept_through_is_made_up_for(tmp_path):
    first = make(tmp_path / "sandbox.db")
    first.tick(800.0, 799.9, 800.1)
    first.order(quantity=10)
    first.exchange.duties()
    second = again(first, at=at("09:30", MONDAY))
    second.exchange.duties()
    assert second.net() == 0
    [trade] = second.exchange.trades()
    assert (trade.side, trade.price) == ("SELL", D("800"))
    second.database.close()


def test_an_exchange_that_never_closes_squares_nothing_off(tmp_path):
    world = make(tmp_path / "sandbox.db", calendar=AlwaysOpen())
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10)
    world.go_to(at("23:59"))
    assert world.net() == 10
    world.go_to(at("10:00", MONDAY))
    assert world.net() == 10
    world.database.close()


def test_in_a_session_elsewhere_the_square_off_is_before_its_close():
    hours = Hours(FileCalendar(), RULES.square_off)
    assert hours.square_off("NSE", TODAY) == at("15:15")
    assert hours.square_off("NSE", date(2026, 11, 21)) is None

    assert Hours(Muhurat(), RULES.square_off).square_off("NSE", TODAY) == at("18:45")


def test_orders_are_for_the_day(world):
    world.tick(800.0, 799.9, 800.1)
    order = world.order(type="LIMIT", price="780", product="CNC")
    world.go_to(at("15:29"))
    assert world.now(order.order_id).status is OrderStatus.OPEN
    world.go_to(at("15:30"))
    done = world.now(order.order_id)
    assert (done.status, done.rejection_reason) == (
        OrderStatus.CANCELLED,
        "not traded by the close of its exchange",
    )
    assert world.exchange.funds().utilised == 0


def test_bought_shares_are_holdings_the_next_day_and_their_money_is_gone(world):
    world.tick(800.0, 800.0, 800.0)
    world.order(quantity=10, product="CNC")
    assert world.exchange.holdings() == []
    world.go_to(at("10:00", MONDAY))
    [held] = world.exchange.holdings()
    assert (held.listing.symbol, held.quantity, held.average) == ("SBIN", 10, D("800.00"))
    funds = world.exchange.funds()
    assert (funds.available, funds.utilised) == (D("992000.00"), 0)
    assert world.exchange.state().settled == {"NSE:SBIN": MONDAY.isoformat()}
    assert world.exchange.orders() == []
    assert world.exchange.positions() == []
    world.tick(820.0, 820.0, 820.0)
    world.order("SELL", 10, product="CNC")
    assert world.exchange.holdings() == []
    world.go_to(at("10:00", MONDAY + timedelta(days=1)))
    assert world.exchange.funds().available == D("1000200.00")


def test_profit_of_a_day_is_money_of_the_next_and_counted_once(world):
    world.tick(800.0, 800.0, 800.0)
    world.order(quantity=10)
    world.clock.advance(1)
    world.tick(810.0, 810.0, 810.0)
    world.order("SELL", 10)
    world.go_to(at("10:00", MONDAY))
    funds = world.exchange.funds()
    assert (funds.available, funds.realized) == (D("1000100.00"), 0)
    assert world.exchange.state().realized_before == D("100.00")


def test_an_expired_contract_is_settled_at_its_last_price(world):
    world.tick(26000.0, 26000.0, 26000.0, key=FUTURE_KEY)
    world.order(quantity=65, product="NRML", what=FUTURE)
    world.clock.advance(60)
    world.tick(26010.0, 26010.0, 26010.0, key=FUTURE_KEY)
    world.go_to(at("10:00", MONDAY))
    assert world.exchange.positions() == []
    assert world.exchange.funds().available == D("1000650.00")
    assert world.exchange.state().realized_before == D("650.00")


def test_an_overnight_position_is_carried_with_its_average(world):
    later = replace(FUTURE, expiry=date(2026, 11, 24))
    world.tick(26000.0, 26000.0, 26000.0, key=FUTURE_KEY)
    world.order("SELL", 65, product="NRML", what=later)
    world.go_to(at("10:00", MONDAY))
    [position] = world.exchange.positions()
    assert (position.net, position.average) == (-65, D(26000))
    assert world.exchange.funds().utilised == D("169000.00")


def test_every_day_leaves_its_result(world):
    world.tick(800.0, 800.0, 800.0)
    world.order(quantity=10)
    world.clock.advance(1)
    world.tick(810.0, 810.0, 810.0)
    world.order("SELL", 10)
    world.go_to(at("10:00", MONDAY))
    (monday, now), (friday, then) = world.exchange.results()
    assert (monday, friday) == (MONDAY.isoformat(), TODAY.isoformat())
    assert (then["realized_pnl"], then["trades"], then["orders"]) == ("100.00", 2, 2)
    assert (now["realized_pnl"], now["total_realized_pnl"]) == ("0", "100.00")


def test_a_reset_begins_anew_and_keeps_results_and_numbers(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10)
    resting = world.order(type="LIMIT", price="780")
    world.exchange.duties()
    state = world.exchange.reset()
    assert (state.reset_count, state.capital) == (1, D(1_000_000))
    assert [o.status for o in world.told if o.order_id == resting.order_id] == [OrderStatus.CANCELLED]
    assert world.exchange.orders() == world.exchange.positions() == []
    assert world.exchange.funds().available == 1_000_000
    assert world.order().order_id > resting.order_id
    reborn = again(world)
    assert len(reborn.exchange.orders()) == 1
    assert reborn.exchange.state().reset_count == 1
    reborn.database.close()


def test_a_weekly_reset_happens_on_its_day_also_when_it_was_slept_through(tmp_path):
    sunday = replace(RULES, reset_day=6)
    world = make(tmp_path / "sandbox.db", rules=sunday)
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=10, product="CNC")
    world.go_to(at("12:00", TODAY + timedelta(days=1)))
    assert len(world.exchange.holdings()) == 1
    world.go_to(at("12:00", MONDAY))
    assert world.exchange.holdings() == []
    assert world.exchange.state().reset_count == 1
    world.go_to(at("12:00", MONDAY + timedelta(days=3)))
    assert world.exchange.state().reset_count == 1
    world.database.close()


def test_the_books_of_a_new_process_are_those_of_the_old_one(tmp_path):
    first = make(tmp_path / "sandbox.db")
    first.tick(800.0, 799.9, 800.1)
    first.order(quantity=10, tag="a")
    limit = first.order(type="LIMIT", price="790", quantity=5, tag="b")
    stop = first.order("SELL", 3, type="SL-M", trigger="770", tag="c")
    first.exchange.duties()
    before = first.exchange.orders(), first.exchange.funds()
    second = again(first)
    assert (second.exchange.orders(), second.exchange.funds()) == before
    assert [o.order_id for o in second.exchange.tagged("b")] == [limit.order_id]
    second.clock.advance(5)
    second.tick(769.0, 768.9, 769.1)
    assert second.now(limit.order_id).average_price == D(790)
    assert second.now(stop.order_id).status is OrderStatus.COMPLETE
    assert second.net() == 12
    fresh = second.order(quantity=1)
    assert fresh.order_id > stop.order_id
    second.database.close()


def test_nothing_is_done_while_the_books_cannot_be_written(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(quantity=1)
    refuse = True
    ride = world.database.ride

    def broken(work):
        def fail(connection):
            if refuse:
                raise OSError("the disk is full")
            work(connection)

        return ride(fail)

    world.database.ride = broken
    world.order(quantity=2)  # the first one nobody can know to be lost
    with pytest.raises(Exception, match="could not be written"):
        world.exchange.orders()
    with pytest.raises(Exception, match="could not be written"):
        world.order(quantity=4)
    refuse = False
    world.order(quantity=8)
    del world.database.ride
    reborn = again(world)
    assert [o.quantity for o in reborn.exchange.orders()] == [1, 2, 8]
    reborn.database.close()


def test_days_are_counted_in_ist(world):
    world.tick(800.0, 799.9, 800.1)
    world.order(product="CNC")
    world.go_to(datetime(2026, 11, 20, 18, 29, tzinfo=UTC))
    assert len(world.exchange.orders()) == 1
    world.go_to(datetime(2026, 11, 20, 18, 30, tzinfo=UTC))
    assert world.exchange.orders() == []
