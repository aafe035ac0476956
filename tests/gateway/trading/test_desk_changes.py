"""Modify, cancel, cancel all, close all: each end told apart, nothing repeated blindly."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.clock import SystemClock
from brokers.contract import RateWindow
from brokers.errors import (
    BrokerDown,
    EntriesBlocked,
    InvalidRequest,
    IpNotAllowed,
    LoginRequired,
    NotFound,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from brokers.model import (
    Action,
    InstrumentKey,
    OrderChange,
    OrderStatus,
    OrderUpdate,
    Position,
    PriceType,
)
from gateway.trading import exits
from gateway.trading.desk import OrderDesk
from gateway.trading.limiter import Limiter
from tests.gateway.trading.desks import SBIN, WIDE, Bench, book_row

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


NOTHING_HAPPENED = [
    (BrokerDown("no route"), "BROKER_DISCONNECTED", "never sent"),
    (NotSupported("no SL-M"), "NOT_SUPPORTED", "never sent"),
    (InvalidRequest("price", code="PRICE_OUT_OF_RANGE"), "PRICE_OUT_OF_RANGE", "never sent"),
    (
        OrderRejected("margin", broker_code="DH-905", code="INSUFFICIENT_MARGIN"),
        "INSUFFICIENT_MARGIN",
        "refused",
    ),
    (LoginRequired("token"), "AUTH_EXPIRED", "refused"),
    (IpNotAllowed("ip"), "IP_NOT_ALLOWED", "refused"),
    (RateLimited("slow", retry_after_s=0.2), "RATE_LIMITED", "refused"),
]


# -- modify and cancel ----------------------------------------------------------------------------------


def test_a_modification_is_journaled_sent_once_and_remembered(bench):
    order_id = place(bench).order_id
    seen = []
    bench.rest.on_change = lambda kind, order: (
        seen.append(bench.journal.by_order_id(order_id).pending) and None
    )
    answer = bench.desk.modify(change(order_id), received_ns=now())
    assert answer.ok
    assert seen == ["modify"], "on disk before it left"
    row = bench.journal.by_order_id(order_id)
    assert (row.known.quantity, row.price, row.pending) == (10, Decimal(810), "")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"quantity": 0}, "INVALID_QUANTITY"),
        ({"price": Decimal("810.01")}, "PRICE_OUT_OF_RANGE"),
        ({"quantity": 3}, "INVALID_QUANTITY"),
    ],
)
def test_a_modification_the_broker_would_refuse_is_refused_here(bench, bad, code):
    order_id = place(bench).order_id
    bench.desk.on_update(OrderUpdate(replace(bench.rest.book[order_id], filled_quantity=3), now()))
    with pytest.raises(InvalidRequest) as caught:
        bench.desk.modify(change(order_id, **bad), received_ns=now())
    assert caught.value.code == code
    assert bench.rest.count("modify") == 0


def test_the_twenty_sixth_modification_is_refused(bench):
    order_id = place(bench).order_id
    for n in range(25):
        assert bench.desk.modify(change(order_id, price=Decimal(810 + n)), received_ns=now()).ok
    with pytest.raises(InvalidRequest) as caught:
        bench.desk.modify(change(order_id), received_ns=now())
    assert caught.value.code == "MODIFICATION_LIMIT"


def test_a_lost_modification_that_arrived_is_seen_in_the_book(bench):
    order_id = place(bench).order_id

    def arrive(kind, order):
        bench.rest.book[order_id] = replace(bench.rest.book[order_id], quantity=10, price=Decimal(810))
        return OutcomeUnknown("timeout")

    bench.rest.on_change = arrive
    assert bench.desk.modify(change(order_id), received_ns=now()).ok
    assert bench.journal.by_order_id(order_id).price == Decimal(810)


def test_a_lost_modification_without_evidence_is_unknown(bench):
    order_id = place(bench).order_id
    bench.rest.on_change = lambda kind, order: OutcomeUnknown("timeout")
    answer = bench.desk.modify(change(order_id), received_ns=now())
    assert (answer.code, answer.order_id) == ("OUTCOME_UNKNOWN", order_id)
    assert bench.journal.by_order_id(order_id).price == Decimal("800.05")


def test_a_cancel_is_taken_and_a_lost_one_that_arrived_is_seen(bench):
    first, second = place(bench).order_id, place(bench).order_id
    assert bench.desk.cancel(first, received_ns=now()).ok

    def arrive(kind, order):
        bench.rest.book[second] = replace(bench.rest.book[second], status=OrderStatus.CANCELLED)
        return OutcomeUnknown("timeout")

    bench.rest.on_change = arrive
    answer = bench.desk.cancel(second, received_ns=now())
    assert (answer.ok, answer.status) == (True, OrderStatus.CANCELLED)


def test_a_cancel_lost_to_a_fill_is_no_success(bench):
    order_id = place(bench).order_id

    def fill(kind, order):
        done = replace(bench.rest.book[order_id], status=OrderStatus.COMPLETE, filled_quantity=5)
        bench.rest.book[order_id] = done
        return OutcomeUnknown("timeout")

    bench.rest.on_change = fill
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert (answer.code, answer.status) == ("ORDER_NOT_OPEN", OrderStatus.COMPLETE)
    with pytest.raises(InvalidRequest) as caught:
        bench.desk.cancel(order_id, received_ns=now())
    assert caught.value.code == "ORDER_NOT_OPEN"


def test_a_cancel_is_repeated_only_after_the_book_showed_the_order_working(bench):
    order_id = place(bench).order_id
    blind = lambda name: (_ for _ in ()).throw(BrokerDown("no route"))  # noqa: E731
    bench.rest.on_change = lambda kind, order: OutcomeUnknown("timeout")
    bench.rest.on_read = blind
    assert bench.desk.cancel(order_id, received_ns=now()).code == "OUTCOME_UNKNOWN"
    with pytest.raises(BrokerDown):
        bench.desk.cancel(order_id, received_ns=now())
    assert bench.rest.count("cancel") == 1
    bench.rest.on_change = lambda kind, order: None
    bench.rest.on_read = lambda name: None
    assert bench.desk.cancel(order_id, received_ns=now()).ok
    assert bench.rest.count("cancel") == 2


def test_a_lost_cancel_of_an_order_the_book_does_not_show_is_not_repeated(bench):
    order_id = place(bench).order_id
    bench.rest.on_change = lambda kind, order: OutcomeUnknown("timeout")
    bench.desk.cancel(order_id, received_ns=now())
    del bench.rest.book[order_id]
    assert bench.desk.cancel(order_id, received_ns=now()).code == "OUTCOME_UNKNOWN"
    assert bench.rest.count("cancel") == 1


@pytest.mark.parametrize(("error", "code", "_"), NOTHING_HAPPENED, ids=lambda v: getattr(v, "code", None))
def test_a_refused_cancel_says_so_and_leaves_the_order(bench, error, code, _):
    order_id = place(bench).order_id
    bench.rest.on_change = lambda kind, order: error
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert (answer.code, answer.status) == (code, OrderStatus.OPEN)
    assert bench.journal.by_order_id(order_id).pending == ""


def test_changes_of_nothing_and_of_the_unknown(bench):
    with pytest.raises(NotFound):
        bench.desk.cancel("999", received_ns=now())
    with pytest.raises(NotFound):
        bench.desk.cancel("J999", received_ns=now())
    bench.rest.on_place = lambda order: OutcomeUnknown("timeout")
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "find_tag" else None
    lost = place(bench)
    answer = bench.desk.cancel(f"J{lost.journal_id}", received_ns=now())
    assert answer.code == "OUTCOME_UNKNOWN"
    assert bench.rest.count("cancel") == 0


def test_a_foreign_order_can_be_cancelled(bench):
    bench.rest.book["77"] = book_row("77")
    assert bench.desk.cancel("77", received_ns=now()).ok


# -- everything out -------------------------------------------------------------------------------------


def test_cancel_all_reports_each_order(bench):
    ids = [place(bench).order_id for _ in range(4)]
    bench.rest.book["77"] = book_row("77")
    bench.rest.book[ids[0]] = replace(bench.rest.book[ids[0]], status=OrderStatus.COMPLETE)
    bench.rest.on_change = lambda kind, order: OrderRejected("no") if order.order_id == ids[1] else None
    report = bench.desk.cancel_all("s")
    assert set(report.cancelled) == {ids[2], ids[3], "77"}
    assert [(f.what, f.code) for f in report.failed] == [(ids[1], "ORDER_REJECTED")]


def test_cancel_all_has_one_deadline_for_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exits, "DEADLINE_S", 0.4)
    narrow = Limiter(replace(WIDE, order_windows=(RateWindow(3, 30.0),)), SystemClock())
    bench = Bench(tmp_path / "one.db", limiter=narrow)
    desk = bench.open()
    bench.rest.book = {str(n): book_row(str(n)) for n in range(7)}
    report = desk.cancel_all()
    assert len(report.cancelled) == bench.rest.count("cancel") == 3
    assert [f.code for f in report.failed] == ["RATE_LIMITED"] * 4
    bench.close()


def test_close_all_sends_the_opposite_in_pieces_the_exchange_takes(bench):
    bench.rest.position_rows = [
        Position(SBIN, "MIS", -7, Decimal(1), None, None),
        Position(OPTION, "NRML", 3575, Decimal(1), None, None),
        Position(InstrumentKey("NSE", "INFY"), "CNC", 0, Decimal(1), None, None),
        Position(InstrumentKey("NSE", "GONE"), "CNC", 1, Decimal(1), None, None),
        Position(SBIN, "CO", 1, Decimal(1), None, None),
    ]
    report = bench.desk.close_all("s")
    sent = {(o.key, o.action, o.quantity, o.price_type, o.product) for o in bench.rest.book.values()}
    market = PriceType.MARKET
    assert sent == {
        (SBIN, Action.BUY, 7, market, "MIS"),
        (OPTION, Action.SELL, 1755, market, "NRML"),
        (OPTION, Action.SELL, 65, market, "NRML"),
    }
    assert sorted(e.quantity for e in report.closed) == [7, 65, 1755, 1755]
    assert [(f.what, f.code) for f in report.failed] == [
        ("NSE:GONE CNC", "SYMBOL_NOT_FOUND"),
        ("NSE:SBIN CO", "NOT_TRADABLE"),
    ]


def test_closing_twice_does_not_turn_the_position_round(bench):
    bench.rest.position_rows = [Position(SBIN, "MIS", 7, Decimal(1), None, None)]
    threads = [threading.Thread(target=bench.desk.close_all) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert bench.rest.count("place") == 1
    bench.rest.position_rows = [Position(SBIN, "MIS", 9, Decimal(1), None, None)]
    assert [e.quantity for e in bench.desk.close_all().closed] == [2]


def test_a_block_stops_entries_lets_exits_pass_and_survives_a_restart(bench):
    bench.desk.guards.panic("panic at 12:00", "block")
    for _ in range(2):
        with pytest.raises(EntriesBlocked, match="panic at 12:00"):
            place(bench)
        bench.restart()
    assert bench.desk.status().blocked == "panic at 12:00"
    assert place(bench, is_exit=True, action=Action.SELL).ok
    bench.desk.allow_entries()
    assert place(bench).ok


def test_status_of_a_desk_that_never_started(tmp_path):
    bench = Bench(tmp_path / "one.db")
    desk = bench.open(start=False)
    assert isinstance(desk, OrderDesk)
    assert (desk.status().ready, desk.status().waiting_for) == (False, "the first reconciliation")
    bench.close()
