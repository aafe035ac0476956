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
    InvalidRequest,
    IpNotAllowed,
    LoginRequired,
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
    PriceType,
)
from gateway.trading.limiter import Limiter
from tests.gateway.trading.desks import WIDE, Bench, request, until

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
    assert bench.desk.made_ns("1") is not None


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


def test_a_duplicate_is_answered_with_the_order_there_is_and_repeated_so(bench):
    def arrive(order):
        bench.rest.book[order.order_id] = order
        return OrderRejected("Duplicate order", broker_code="DH-906", code="DUPLICATE_ORDER")

    bench.rest.on_place = arrive
    answer = place(bench, client_order_id="one")
    assert (answer.code, answer.order_id, answer.status) == ("DUPLICATE_ORDER", "1", OrderStatus.OPEN)
    assert place(bench, client_order_id="one") == replace(answer, repeated=True)
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
    again = place(bench, client_order_id="a")
    assert again == replace(first, repeated=True, message=again.message)
    assert again.message.startswith(first.message)
    assert ("use a new one" in again.message) is bool(first.code), "a refusal stays one, and says so"
    bench.restart()
    assert place(bench, client_order_id="a") == again
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
