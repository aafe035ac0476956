"""The desk's table of outcomes: every end of a write, what is journaled, what the caller is told."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.contract import RateWindow
from brokers.errors import (
    BrokerDown,
    EntriesBlocked,
    InvalidRequest,
    IpNotAllowed,
    LoginRequired,
    NotFound,
    NotReady,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    StoreError,
    WireError,
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
from gateway.trading.desk import OrderDesk
from gateway.trading.limiter import Limiter
from tests.gateway.trading.desks import RULES, SBIN, WIDE, Bench, book_row, request, until

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


# -- place ----------------------------------------------------------------------------------------------


def test_a_taken_order_is_answered_with_its_id_and_its_stages(bench):
    received = now()
    answer = bench.desk.place(request(), strategy="s1", received_ns=received)
    assert (answer.ok, answer.order_id, answer.status) == (True, "1", OrderStatus.OPEN)
    assert answer.sent.price == Decimal("800.05")
    kinds = [e["kind"] for e in bench.journal.events(answer.journal_id)]
    assert kinds == ["intent", "acknowledged", "answered"]
    stages = ("received_ns", "checked_ns", "journaled_ns", "sent_ns", "acknowledged_ns", "answered_ns")
    times = [max(e[s] or 0 for e in bench.journal.events(answer.journal_id)) for s in stages]
    assert times == sorted(times)
    assert times[0] == received
    assert bench.desk.strategy_of("1") == "s1"
    assert not bench.desk.is_foreign("1")


def test_the_intent_is_on_disk_before_the_broker_hears_of_it(bench):
    seen = []

    def look(order):
        with bench.database.read() as connection:
            seen.extend(connection.exec_driver_sql("SELECT state, tag FROM orders").all())

    bench.rest.on_place = look
    place(bench)
    assert [tuple(r) for r in seen] == [("sending", bench.rest.calls[-1][1])]


def test_tags_are_short_unique_letters_and_digits(bench):
    for _ in range(5):
        place(bench)
    tags = [what for name, what in bench.rest.calls if name == "place"]
    assert len(set(tags)) == 5
    assert all(len(t) <= 20 and t.isalnum() and t.isascii() for t in tags)


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


@pytest.mark.parametrize(("error", "code", "kind"), NOTHING_HAPPENED, ids=lambda v: getattr(v, "code", None))
def test_a_write_that_changed_nothing_is_told_apart_and_never_repeated(bench, error, code, kind):
    bench.rest.on_place = lambda order: error
    answer = place(bench)
    assert (answer.code, answer.status, answer.order_id) == (code, OrderStatus.REJECTED, "")
    assert answer.message == str(error)
    events = bench.journal.events(answer.journal_id)
    assert [e["kind"] for e in events] == ["intent", kind, "answered"]
    assert (events[1]["sent_ns"] is None) == (kind == "never sent")
    assert bench.rest.count("place") == 1
    assert bench.logins == isinstance(error, LoginRequired)
    assert bench.desk.status().unknown == 0


def test_a_429_closes_the_lane_until_the_broker_wants_more(bench):
    bench.rest.on_place = lambda order: RateLimited("slow", retry_after_s=30)
    answer = place(bench)
    assert (answer.code, answer.retry_after_s) == ("RATE_LIMITED", 30)
    with pytest.raises(RateLimited) as caught:
        place(bench)
    assert 25 < caught.value.retry_after_s <= 30
    assert bench.rest.count("place") == 1


LOST = [
    OutcomeUnknown("timeout"),
    WireError("half a body"),
    KeyError("orderId"),
    ConnectionResetError("reset"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda e: type(e).__name__)
def test_a_lost_answer_of_an_order_that_arrived_is_found_while_the_caller_waits(bench, error):
    def arrive(order):
        bench.rest.book[order.order_id] = order
        return error

    bench.rest.on_place = arrive
    answer = place(bench)
    assert (answer.ok, answer.order_id, answer.status) == (True, "1", OrderStatus.OPEN)
    assert bench.rest.count("place") == 1


@pytest.mark.parametrize("error", LOST, ids=lambda e: type(e).__name__)
def test_a_lost_answer_without_evidence_is_unknown_and_then_settled(bench, error):
    bench.rest.on_place = lambda order: error
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "find_tag" else None
    answer = place(bench)
    assert (answer.code, answer.status, answer.order_id) == ("OUTCOME_UNKNOWN", OrderStatus.UNKNOWN, "")
    shown = bench.desk.orders()
    assert [(o.order_id, o.status) for o in shown] == [(f"J{answer.journal_id}", OrderStatus.UNKNOWN)]
    assert bench.desk.order(f"J{answer.journal_id}").status is OrderStatus.UNKNOWN
    assert bench.desk.status().unknown == 1
    bench.rest.on_read = lambda name: None
    row = until(lambda: (r := bench.journal.get(answer.journal_id)) and r.known.state.is_final and r)
    assert "never reached the broker" in row.known.reason
    assert bench.rest.count("place") == 1
    assert bench.desk.orders() == []


def test_not_found_does_not_count_while_the_write_may_still_arrive(tmp_path):
    bench = Bench(tmp_path / "one.db", settle=None, patience_s=0.2)  # the rule of O2: after 3 s, 2 s apart
    bench.open()
    held = []
    bench.rest.on_place = lambda order: held.append(order) or OutcomeUnknown("timeout")
    answer = place(bench)
    until(lambda: bench.rest.count("find_tag") >= 4)
    assert bench.journal.get(answer.journal_id).known.state.value == "unknown"
    bench.rest.book["1"] = held[0]  # it arrives late after all
    until(lambda: bench.journal.get(answer.journal_id).known.order_id == "1")
    bench.close()


def test_a_hanging_broker_holds_the_caller_no_longer_than_its_patience(bench):
    release = threading.Event()
    bench.rest.on_place = lambda order: OutcomeUnknown("timeout")
    bench.rest.on_read = lambda name: release.wait(20) and None
    begun = time.monotonic()
    answer = place(bench)
    release.set()
    assert answer.code == "OUTCOME_UNKNOWN"
    assert time.monotonic() - begun < 5


def test_an_order_the_feed_shows_first_ends_the_wait(bench):
    def feed(order):
        update = OrderUpdate(replace(order, status=OrderStatus.COMPLETE, filled_quantity=5), now())
        threading.Timer(0.05, bench.desk.on_update, [update]).start()
        return OutcomeUnknown("timeout")

    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "find_tag" else None
    bench.rest.on_place = feed
    answer = place(bench)
    assert (answer.ok, answer.order_id, answer.status) == (True, "1", OrderStatus.COMPLETE)


def test_the_feed_ends_the_wait_also_while_the_broker_hangs(tmp_path):
    bench = Bench(tmp_path / "one.db", patience_s=60)
    bench.open()
    hanging, release = threading.Event(), threading.Event()

    def hang(name):
        hanging.set()
        release.wait(30)

    def feed(order):
        update = OrderUpdate(order, now())
        threading.Thread(target=lambda: hanging.wait(10) and bench.desk.on_update(update)).start()
        bench.rest.on_read = hang
        return OutcomeUnknown("timeout")

    bench.rest.on_place = feed
    begun = time.monotonic()
    assert place(bench).order_id == "1"
    assert time.monotonic() - begun < 25, "waited for the hanging reading instead"
    release.set()
    bench.close()


def test_a_never_reached_order_that_shows_up_is_believed(bench):
    held = []
    bench.rest.on_place = lambda order: held.append(order) or OutcomeUnknown("timeout")
    answer = place(bench)
    until(lambda: bench.journal.get(answer.journal_id).known.state.is_final)
    bench.desk.on_update(OrderUpdate(held[0], now()))
    assert bench.journal.get(answer.journal_id).known.state.value == "open"


def test_checks_come_before_everything_and_leave_no_trace(bench):
    for bad in (request(quantity=0), request(key=InstrumentKey("NSE", "SBIM"))):
        with pytest.raises(InvalidRequest):
            bench.desk.place(bad, received_ns=now())
    assert bench.rest.count("place") == 0
    assert bench.journal.since(0) == []


def test_an_order_that_cannot_leave_in_time_is_refused_not_queued(tmp_path):
    from brokers.clock import SystemClock

    narrow = Limiter(replace(WIDE, order_windows=(RateWindow(3, 60.0),)), SystemClock())
    bench = Bench(tmp_path / "one.db", limiter=narrow)
    bench.open()
    place(bench)
    place(bench)
    with pytest.raises(RateLimited, match="nothing was sent"):
        place(bench)
    assert place(bench, is_exit=True, action=Action.SELL).ok  # the kept slot
    assert len(bench.journal.since(0)) == 3
    # and a restart does not forget what the window has seen
    bench.close()
    bench.more["limiter"] = Limiter(replace(WIDE, order_windows=(RateWindow(3, 60.0),)), SystemClock())
    bench.open()
    with pytest.raises(RateLimited):
        place(bench)
    bench.close()


def test_a_disk_that_refuses_before_the_send_stops_it(bench, monkeypatch):
    monkeypatch.setattr(bench.database, "write", lambda work: (_ for _ in ()).throw(StoreError("disk full")))
    with pytest.raises(StoreError):
        place(bench)
    assert bench.rest.count("place") == 0


def test_a_disk_that_refuses_after_the_send_does_not_hide_the_order(bench, monkeypatch):
    def fill_disk(order):
        full = lambda work: (_ for _ in ()).throw(StoreError("disk full"))  # noqa: E731
        monkeypatch.setattr(bench.database, "write", full)

    bench.rest.on_place = fill_disk
    answer = place(bench)
    assert (answer.ok, answer.order_id) == (True, "1")
    monkeypatch.undo()
    bench.desk.nudge()  # the book finishes what the journal missed
    until(lambda: bench.journal.get(answer.journal_id).known.order_id == "1")


# -- idempotency ----------------------------------------------------------------------------------------


def test_fifty_threads_with_one_id_make_one_order(bench):
    gate = threading.Event()
    bench.rest.on_place = lambda order: gate.wait(10) and None
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(place(bench, client_order_id="a"))) for _ in range(50)
    ]
    for t in threads:
        t.start()
    until(lambda: bench.rest.count("place"))
    gate.set()
    for t in threads:
        t.join()
    assert bench.rest.count("place") == 1
    assert {a.order_id for a in answers} == {"1"}
    assert len(answers) == 50
    assert sum(not a.repeated for a in answers) == 1


@pytest.mark.parametrize(
    "error", [None, *(e for e, _, _ in NOTHING_HAPPENED)], ids=lambda e: type(e).__name__
)
def test_a_repeat_returns_the_first_answer_also_after_a_restart(bench, error):
    bench.rest.on_place = lambda order: error
    first = place(bench, client_order_id="a")
    bench.rest.on_place = lambda order: None
    assert place(bench, client_order_id="a") == replace(first, repeated=True)
    bench.restart()
    assert place(bench, client_order_id="a") == replace(first, repeated=True)
    assert bench.rest.count("place") == 1


def test_a_repeat_of_an_unknown_order_tells_what_is_known_by_now(bench):
    held = []
    bench.rest.on_place = lambda order: held.append(order) or OutcomeUnknown("timeout")
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("x")) if name == "find_tag" else None
    assert place(bench, client_order_id="a").code == "OUTCOME_UNKNOWN"
    assert place(bench, client_order_id="a").code == "OUTCOME_UNKNOWN"
    bench.desk.on_update(OrderUpdate(held[0], now()))
    again = place(bench, client_order_id="a")
    assert (again.ok, again.order_id, again.repeated) == (True, "1", True)
    assert bench.rest.count("place") == 1


def test_an_id_used_for_another_order_is_refused(bench):
    place(bench, client_order_id="a")
    with pytest.raises(InvalidRequest) as caught:
        place(bench, client_order_id="a", quantity=6)
    assert caught.value.code == "CLIENT_ORDER_ID_REUSED"
    assert bench.rest.count("place") == 1


def test_a_request_refused_before_the_journal_may_be_repeated(bench):
    with pytest.raises(InvalidRequest):
        place(bench, client_order_id="a", quantity=0)
    assert place(bench, client_order_id="a").ok


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
    assert bench.desk.is_foreign("77")
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
    bench.desk.block_entries("panic at 12:00")
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
