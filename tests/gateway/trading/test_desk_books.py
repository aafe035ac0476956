"""The first reconciliation comes before the first order; books, updates and drift tell the broker's truth."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import (
    BrokerDown,
    LoginRequired,
    NotReady,
)
from brokers.model import (
    Action,
    InstrumentKey,
    OrderChange,
    OrderStatus,
    OrderUpdate,
    Position,
    PriceType,
    Trade,
)
from tests.gateway.trading.desks import RULES, SBIN, Bench, book_row, until

OPTION = InstrumentKey("NFO", "NIFTY24NOV2624000CE")


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "one.db")
    bench.open()
    yield bench
    bench.close()


def place(bench, **more):
    return bench.place(**more)


def change(order_id, **more):
    given = {
        "quantity": 10,
        "price_type": PriceType.LIMIT,
        "price": Decimal(810),
        "trigger_price": Decimal(0),
    }
    return OrderChange(order_id, **{**given, **more})


def now():
    return time.time_ns()


# -- start and reconciliation ---------------------------------------------------------------------------


def test_no_order_is_accepted_before_the_first_reconciliation(tmp_path):
    bench = Bench(tmp_path / "one.db", rules=replace(RULES, order_deadline_s=0.1))
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("no route"))
    desk = bench.open(start=False)
    with pytest.raises(NotReady, match="first reconciliation"):
        place(bench)
    desk.start()
    with pytest.raises(NotReady):
        place(bench)
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(LoginRequired("no session"))
    until(lambda: "login" in desk.status().waiting_for)
    with pytest.raises(LoginRequired):
        place(bench)
    assert bench.rest.count("place") == 0
    bench.rest.on_read = lambda name: None
    desk.nudge()
    until(lambda: desk.status().ready)
    assert place(bench).ok
    bench.close()


@pytest.mark.parametrize("arrived", [True, False])
def test_a_row_left_in_sending_is_settled_after_the_restart(bench, arrived):
    class Killed(BaseException):
        pass

    held = []
    bench.rest.on_place = lambda order: held.append(order) or Killed()
    with pytest.raises(Killed):
        place(bench, client_order_id="a")
    if arrived:
        bench.rest.book["1"] = held[0]
    bench.rest.on_place = lambda order: None
    bench.restart()
    state = until(lambda: (s := bench.journal.since(0)[0].known.state) not in ("sending", "unknown") and s)
    assert state == ("open" if arrived else "rejected")
    again = place(bench, client_order_id="a")
    assert (again.repeated, again.order_id) == (True, "1" if arrived else "")
    assert again.code == ("" if arrived else "BROKER_DISCONNECTED")
    assert bench.rest.count("place") == 1


def test_orders_placed_elsewhere_are_imported_once_and_marked(bench):
    bench.rest.book["77"] = book_row("77", "someone else")
    bench.desk.nudge()
    until(lambda: bench.desk.status().foreign == 1)
    bench.desk.on_update(OrderUpdate(replace(bench.rest.book["77"], status=OrderStatus.COMPLETE), now()))
    assert bench.desk.made_ns("77") is None
    rows = bench.journal.since(0)
    assert [(r.origin, r.known.order_id, r.known.state) for r in rows] == [("foreign", "77", "complete")]


def test_an_update_without_a_tag_faster_than_the_answer_does_not_split_the_order(bench):
    def feed(order):
        done = replace(
            order, tag="", status=OrderStatus.COMPLETE, filled_quantity=5, average_price=Decimal(9)
        )
        bench.desk.on_update(OrderUpdate(done, now()))

    bench.rest.on_place = feed
    answer = place(bench)
    rows = bench.journal.since(0)
    assert [(r.id, r.origin, r.known.state, r.known.filled) for r in rows] == [
        (answer.journal_id, "ours", "complete", 5)
    ]
    assert answer.status is OrderStatus.COMPLETE


def test_updates_are_idempotent_and_take_any_order(bench):
    answer = place(bench)
    row = bench.rest.book["1"]
    half = replace(row, filled_quantity=2, average_price=Decimal(800))
    full = replace(row, status=OrderStatus.COMPLETE, filled_quantity=5, average_price=Decimal(801))
    for update in (full, half, row, full, half):
        bench.desk.on_update(OrderUpdate(update, now()))
    known = bench.journal.get(answer.journal_id).known
    assert (known.state, known.filled, known.average) == ("complete", 5, Decimal(801))
    assert [e["kind"] for e in bench.journal.events(answer.journal_id)].count("update") == 1


def test_a_fill_without_a_price_gets_it_from_the_trades(bench):
    answer = place(bench)
    done = replace(bench.rest.book["1"], status=OrderStatus.COMPLETE, filled_quantity=5)
    bench.rest.book["1"] = done
    bench.rest.trade_rows = [Trade("t", "1", SBIN, Action.BUY, "MIS", 5, Decimal("800.5"), None)]
    assert bench.desk.order("1").average_price == Decimal("800.5")
    bench.desk.on_update(OrderUpdate(done, now()))
    until(lambda: bench.journal.get(answer.journal_id).known.average == Decimal("800.5"))


def test_drift_is_shown_and_not_traded(bench):
    until(lambda: bench.rest.count("positions") == 2)  # what is carried in, seen twice
    bench.desk.nudge()
    until(lambda: bench.rest.count("positions") == 3)
    bench.rest.position_rows = [Position(SBIN, "MIS", 7, Decimal(1), None, None)]

    def seen():
        bench.desk.nudge()
        return bench.desk.status().drift

    assert until(seen) == ("NSE:SBIN MIS: +7 without an order known here",)
    assert bench.rest.count("place") == 0


def test_callers_share_a_read_that_begins_after_they_asked(bench):
    gate, begun = threading.Event(), threading.Event()

    def slow(name):
        begun.set()
        gate.wait(10)

    bench.rest.on_read = slow
    before = bench.rest.count("orders")
    first = threading.Thread(target=bench.desk.orders)
    first.start()
    begun.wait(10)
    found = []
    others = [threading.Thread(target=lambda: found.append(bench.desk.orders())) for _ in range(20)]
    for t in others:
        t.start()
    bench.rest.book["5"] = book_row("5")
    gate.set()
    for t in (first, *others):
        t.join()
    assert all([o.order_id for o in book] == ["5"] for book in found)
    assert bench.rest.count("orders") - before <= 4


def test_a_read_that_fails_is_an_error_never_an_empty_book(bench):
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("no route"))
    for read in (bench.desk.orders, bench.desk.positions, bench.desk.trades, lambda: bench.desk.order("1")):
        with pytest.raises(BrokerDown):
            read()
    with pytest.raises(BrokerDown):
        bench.desk.cancel_all()
    with pytest.raises(BrokerDown):
        bench.desk.close_all()
