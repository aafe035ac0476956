"""The operator's limits: refused before the journal with limit, value and what is allowed; exits pass."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, time
from decimal import Decimal

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST, ManualClock
from brokers.contract import Margin
from brokers.errors import BrokerDown, LoginRequired, RiskLimit
from brokers.model import Action, Funds, InstrumentKey, OrderChange, OrderStatus, Position, PriceType
from gateway.settings.risk import RiskRules, SquareOff
from gateway.trading import risk, riskwatch
from gateway.trading.risklimits import RiskBook
from tests.gateway.trading.desks import SBIN, Bench, book_row, request, until

D = Decimal


@pytest.fixture
def bench(tmp_path):
    """Opens a desk with rules."""
    made = []

    def opened(rules: RiskRules, **more) -> Bench:
        one = Bench(tmp_path / "one.db", risk=RiskBook(rules), **more)
        made.append(one)
        one.open()
        return one

    yield opened
    for one in made:
        one.close()


def hold(bench: Bench, quantity: int, **more) -> None:
    given = {"average_price": D(800), "ltp": None, "pnl": None} | more
    bench.rest.position_rows = [Position(SBIN, "MIS", quantity, **given)]


def refused(bench: Bench, **more) -> RiskLimit:
    rows = len(bench.journal.since(0))
    with pytest.raises(RiskLimit) as caught:
        bench.place(**more)
    assert len(bench.journal.since(0)) == rows
    return caught.value


LIMITS = [
    (RiskRules(max_quantity=4), ("RISK_MAX_ORDER_QUANTITY", "5", "4")),
    (RiskRules(max_order_value=D(4000)), ("RISK_MAX_ORDER_VALUE", "4000.25", "4000")),
    (RiskRules(exchanges=frozenset({"NFO"})), ("RISK_EXCHANGES", "NSE", "NFO")),
    (RiskRules(products=frozenset({"CNC"})), ("RISK_PRODUCTS", "MIS", "CNC")),
]


NAMES = [told[0] for _, told in LIMITS]


@pytest.mark.parametrize(("rules", "told"), LIMITS, ids=NAMES)
def test_a_limit_names_itself_the_value_and_what_is_allowed(bench, rules, told):
    one = bench(rules)
    found = refused(one)
    assert (found.code, found.limit, found.present, found.allowed) == ("RISK_LIMIT", *told)
    assert "nothing was sent" in str(found)
    assert one.rest.count("place") == 0


@pytest.mark.parametrize(("rules", "told"), LIMITS, ids=NAMES)
def test_what_only_reduces_a_position_passes_and_no_more(bench, rules, told):
    one = bench(rules)
    hold(one, -5)
    assert one.place().ok
    # that one still works: a second would turn the position round
    assert refused(one).limit == told[0]
    one.rest.book.clear()
    hold(one, 0)
    assert refused(one).limit == told[0]
    assert one.place(is_exit=True).ok


def test_at_the_limit_is_allowed(bench):
    one = bench(RiskRules(max_quantity=5, max_order_value=D("4000.25"), max_open_orders=1))
    assert one.place().ok


def test_a_market_order_is_valued_at_a_price_asked_for_and_refused_without_one(bench):
    prices = {SBIN: 801.0}
    one = bench(RiskRules(max_order_value=D(4004)), price_now=prices.get)
    market = {"price_type": PriceType.MARKET, "price": D(0)}
    assert refused(one, **market).present == "4005.00"
    prices[SBIN] = 800.0
    assert one.place(**market).ok
    prices.clear()
    assert (refused(one, **market).limit, refused(one, **market).present) == (
        "RISK_MAX_ORDER_VALUE",
        "unknown",
    )


def test_a_position_that_cannot_be_read_proves_no_exit(bench):
    one = bench(RiskRules(max_quantity=4))
    hold(one, -5)
    one.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "positions" else None
    assert refused(one).limit == "RISK_MAX_ORDER_QUANTITY"


def test_exits_at_the_same_moment_do_not_turn_a_position_round(bench):
    one = bench(RiskRules(max_quantity=4))
    hold(one, -12)
    found = []

    def try_one():
        try:
            found.append(one.place().ok)
        except RiskLimit:
            found.append(False)

    threads = [threading.Thread(target=try_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # two fives fit into twelve
    assert sorted(found) == [False] * 4 + [True] * 2


def test_open_orders_are_counted_exactly_under_concurrency(bench):
    one = bench(RiskRules(max_open_orders=5))
    found = []

    def try_one():
        try:
            found.append(one.place().ok)
        except RiskLimit:
            found.append(False)

    threads = [threading.Thread(target=try_one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(True) == one.rest.count("place") == 5
    # one that ends makes room
    order_id = next(iter(one.rest.book))
    one.desk.cancel(order_id, received_ns=0)
    one.rest.book[order_id] = replace(one.rest.book[order_id], status=OrderStatus.CANCELLED)
    one.desk.nudge()
    until(lambda: len(one.journal.unfinished()) == 4)
    assert one.place().ok


def test_an_order_that_did_not_leave_gives_its_place_back(bench):
    one = bench(RiskRules(max_open_orders=1, orders_per_minute=1))
    add, one.journal.add = one.journal.add, lambda *_: (_ for _ in ()).throw(RuntimeError("disk"))
    with pytest.raises(RuntimeError):
        one.place()
    one.journal.add = add
    assert one.place().ok


def test_orders_per_minute_count_each_strategy_and_outlive_a_restart(bench):
    one = bench(RiskRules(orders_per_minute=2))
    assert one.place(strategy="a").ok
    assert one.place(strategy="a").ok
    found = refused(one, strategy="a")
    assert found.limit == "RISK_ORDERS_PER_MINUTE"
    assert 50 < found.retry_after_s <= 60
    assert one.place(strategy="b").ok
    one.restart()
    assert refused(one, strategy="a").limit == "RISK_ORDERS_PER_MINUTE"
    assert one.place(strategy="a", is_exit=True).ok


# -- margin ----------------------------------------------------------------------------------------------


def margin(bench: Bench, required, available=5000) -> None:
    def asked(legs):
        if isinstance(required, Exception):
            raise required
        return Margin(D(required))

    bench.rest.margin = asked
    bench.rest.funds = lambda: Funds(D(1), D(0), D(0), D(0), D(0), available_margin=D(available))


def test_an_order_without_its_margin_is_refused(bench):
    one = bench(RiskRules(check_margin=True))
    margin(one, 5001)
    found = refused(one)
    assert (found.code, found.present, found.allowed) == ("INSUFFICIENT_MARGIN", "5001.00", "5000.00")
    margin(one, 5000)
    assert one.place().ok
    margin(one, 9999)
    hold(one, -100)
    assert one.place().ok


def test_a_margin_that_cannot_be_asked_refuses_unless_told_otherwise(bench):
    one = bench(RiskRules(check_margin=True))
    margin(one, BrokerDown("no route"))
    found = refused(one)
    assert (found.code, found.present) == ("MARGIN_UNKNOWN", "unknown")
    assert "no route" in str(found)
    margin(one, LoginRequired("session"))
    with pytest.raises(LoginRequired):
        one.place()


def test_a_margin_that_cannot_be_asked_may_be_allowed(bench):
    one = bench(RiskRules(check_margin=True, margin_unknown="allow"))
    margin(one, BrokerDown("no route"))
    assert one.place().ok


# -- changes ---------------------------------------------------------------------------------------------


def terms(order_id, quantity, price):
    return OrderChange(order_id, quantity, PriceType.LIMIT, D(price), D(0))


def test_a_change_may_not_grow_beyond_a_limit_and_may_always_shrink(bench):
    one = bench(RiskRules(max_quantity=6, max_order_value=D(4100)))
    order_id = one.place().order_id
    with pytest.raises(RiskLimit, match="QUANTITY"):
        one.desk.modify(terms(order_id, 7, "500"), received_ns=0)
    with pytest.raises(RiskLimit, match="VALUE"):
        one.desk.modify(terms(order_id, 5, "821"), received_ns=0)
    assert one.desk.modify(terms(order_id, 4, "800"), received_ns=0).ok
    assert one.rest.count("modify") == 1


# -- the day's loss --------------------------------------------------------------------------------------


def test_the_days_result_is_valued_with_ticks():
    rows = [
        Position(SBIN, "MIS", 10, D(100), D(90), D(-100), D(-30), D(-100)),
        Position(SBIN, "CNC", 0, D(0), None, D(-7)),
        Position(InstrumentKey("NSE", "TCS"), "MIS", -2, D(50), D(60), D(-20), D(5), D(-20)),
        Position(InstrumentKey("NSE", "INFY"), "MIS", 1, D(50), None, None),
    ]
    found = risk.day_result(rows, {SBIN: 95.0}.get)
    # SBIN by its tick, TCS by the broker's figure, INFY by nobody's
    assert (found.realised, found.unrealised) == (D(-32), D(-70))
    assert found.unpriced == (InstrumentKey("NSE", "INFY"),)
    assert found.loss == 102


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(riskwatch, "TICK_S", 0.02)
    monkeypatch.setattr(riskwatch, "READ_S", 0.05)
    monkeypatch.setattr(riskwatch, "ROUND_S", 0.1)


def test_a_loss_stops_entries_until_a_resume_which_allows_the_same_again(bench, quick):
    one = bench(RiskRules(day_loss=D(100)))
    until(lambda: one.desk.status().risk["realised"] is not None)
    hold(one, 5, realized_pnl=D(-50), unrealized_pnl=D("-49"))
    assert one.place().ok
    hold(one, 5, realized_pnl=D(-50), unrealized_pnl=D("-50"))
    until(lambda: one.desk.status().risk["stopped_at_loss"])
    found = refused(one)
    assert (found.limit, found.present, found.allowed) == ("RISK_DAY_LOSS", "100.00", "100")
    # the better price comes too late, and a restart changes nothing
    hold(one, 5, realized_pnl=D(-50), unrealized_pnl=D(0))
    one.restart()
    assert refused(one).limit == "RISK_DAY_LOSS"
    assert one.place(action=Action.SELL).ok
    hold(one, 5, realized_pnl=D(-120), unrealized_pnl=D(0))
    until(lambda: one.desk.status().risk["realised"] == "-120.00")
    one.desk.guards.watch.resume()
    assert one.place().ok
    hold(one, 5, realized_pnl=D(-220), unrealized_pnl=D(0))
    until(lambda: one.desk.status().risk["stopped_at_loss"] == "220.00")
    assert one.rest.count("cancel") == 0


def test_a_new_day_begins_without_the_old_ones_loss(bench, quick):
    one = bench(RiskRules(day_loss=D(100)))
    hold(one, 0, realized_pnl=D(-150))
    until(lambda: one.desk.status().risk["stopped_at_loss"])
    fact = one.journal.fact(riskwatch.LOSS)
    today = datetime.now(IST).date().isoformat()
    assert today in fact
    one.rest.position_rows = []
    one.close()
    one.open(start=False)
    one.journal.set_fact(riskwatch.LOSS, fact.replace(today, "2020-01-01"))
    one.restart()
    until(lambda: one.desk.status().risk["realised"] is not None)
    assert one.place().ok


def test_while_the_result_is_not_known_entries_stop_and_exits_pass(bench, quick, monkeypatch):
    one = bench(RiskRules(day_loss=D(100)))
    until(lambda: one.desk.status().risk["realised"] is not None)
    monkeypatch.setattr(riskwatch, "STALE_S", 0.1)
    one.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "positions" else None
    until(lambda: one.desk.status().risk["problem"])
    watch = one.desk.guards.watch
    until(lambda: watch.objection(request()) is not None)
    assert refused(one).present == "unknown"
    assert one.place(is_exit=True, action=Action.SELL).ok


def test_the_loss_closes_positions_only_when_told_to(bench, quick):
    one = bench(RiskRules(day_loss=D(100), day_loss_close=True))
    one.rest.book["9"] = book_row("9", product="CNC")
    hold(one, 5, realized_pnl=D(-150))
    until(lambda: one.rest.count("place") == 1)
    sent = [o for o in one.rest.book.values() if o.price_type is PriceType.MARKET]
    assert [(o.action, o.quantity) for o in sent] == [(Action.SELL, 5)]
    assert one.rest.book["9"].status is OrderStatus.CANCELLED
    one.rest.book[sent[0].order_id] = replace(sent[0], status=OrderStatus.COMPLETE, filled_quantity=5)
    hold(one, 0, realized_pnl=D(-150))
    until(lambda: '"closing": false' in one.journal.fact(riskwatch.LOSS))
    assert one.rest.count("place") == 1


# -- square off ------------------------------------------------------------------------------------------

FRIDAY = datetime(2026, 11, 20, tzinfo=IST)


@pytest.mark.parametrize(
    ("rule", "exchange", "wanted"),
    [
        (SquareOff(at=time(15, 15)), "NSE", "15:15"),
        (SquareOff(before_close_m=15), "NSE", "15:15"),
        (SquareOff(before_close_m=15), "MCX", None),
        (SquareOff(at=time(16, 0)), "NSE", None),
        (SquareOff(at=time(9, 0)), "NSE", None),
    ],
)
def test_when_an_exchange_is_squared_off(rule, exchange, wanted):
    calendar = FileCalendar()
    found = risk.square_off_at(rule, calendar, exchange, FRIDAY.date())
    if exchange == "MCX":
        session = calendar.session("MCX", FRIDAY.date())
        assert (session.closes - found).total_seconds() == 15 * 60
        return
    assert (f"{found:%H:%M}" if found else None) == wanted


def test_no_square_off_on_a_closed_day():
    saturday = FRIDAY.replace(day=21).date()
    assert risk.square_off_at(SquareOff(at=time(15, 15)), FileCalendar(), "NSE", saturday) is None


class At(ManualClock):
    """The wall stands where a test puts it; durations are the machine's."""

    def monotonic(self) -> float:
        import time as machine

        return machine.monotonic()


def test_square_off_runs_once_closes_only_its_products_and_survives_a_restart(bench, quick):
    clock = At(FRIDAY.replace(hour=15, minute=14))
    rules = RiskRules(square_off=SquareOff(at=time(15, 15)))
    one = bench(rules, clock=clock, calendar=AlwaysOpen())
    one.rest.position_rows = [
        Position(SBIN, "MIS", 5, D(1), None, None),
        Position(SBIN, "CNC", 7, D(1), None, None),
    ]
    resting = one.place().order_id
    one.rest.book["8"] = book_row("8", product="CNC")
    assert one.desk.status().risk["squared_off"] == []
    clock.set(FRIDAY.replace(hour=15, minute=15))
    assert refused(one).limit == "RISK_SQUARE_OFF"
    until(lambda: one.rest.count("place") == 2)
    exit_row = next(o for o in one.rest.book.values() if o.price_type is PriceType.MARKET)
    assert (exit_row.action, exit_row.quantity, exit_row.product) == (Action.SELL, 5, "MIS")
    assert one.rest.book[resting].status is OrderStatus.CANCELLED
    assert one.rest.book["8"].status is OrderStatus.OPEN
    # killed before the fill: the exit still works, so the next run sends none
    one.restart()
    until(lambda: one.rest.count("positions") > 6)
    assert one.rest.count("place") == 2
    one.rest.book[exit_row.order_id] = replace(exit_row, status=OrderStatus.COMPLETE, filled_quantity=5)
    one.rest.position_rows = [Position(SBIN, "CNC", 7, D(1), None, None)]
    one.desk.nudge()
    until(lambda: "NSE" in one.desk.status().risk["squared_off"])
    # once a day: a position that appears later is left alone
    one.rest.position_rows = [Position(SBIN, "MIS", 3, D(1), None, None)]
    one.restart()
    watch = one.desk.guards.watch
    for _ in range(3):
        watch.step()
    assert one.rest.count("place") == 2
    # the next day it runs again
    clock.set(FRIDAY.replace(day=23, hour=15, minute=16))
    until(lambda: one.rest.count("place") == 3)


def test_a_rejected_exit_is_tried_again_while_the_market_is_open(bench, quick):
    clock = At(FRIDAY.replace(hour=15, minute=16))
    one = bench(RiskRules(square_off=SquareOff(at=time(15, 15))), clock=clock, calendar=AlwaysOpen())
    tries = []

    def refuse(order):
        tries.append(order)
        return BrokerDown("no route") if len(tries) < 3 else None

    one.rest.on_place = refuse
    one.rest.position_rows = [Position(SBIN, "MIS", 5, D(1), None, None)]
    until(lambda: len(tries) == 3)
    assert one.desk.status().risk["squared_off"].count("NSE") == 0
