"""An order on its way to the exchange: refused changes are repeated by evidence, and only by evidence."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.clock import SystemClock
from brokers.contract import RateWindow
from brokers.errors import BrokerDown, OrderRejected
from brokers.model import OrderChange, OrderStatus, PriceType
from gateway.settings import TradingRules
from gateway.trading.limiter import Limiter
from gateway.trading.transit import RECENT_S, Next, after_refusal, pause_s
from tests.gateway.trading.desks import WIDE, Bench, book_row

ON_ITS_WAY = OrderRejected("order is in transit", broker_code="DH-906")
OPEN = book_row("1")


@pytest.mark.parametrize(
    ("shown", "doubt", "then"),
    [
        (None, True, Next.PASS_ON),
        (replace(OPEN, in_transit=True), False, Next.WAIT),
        (replace(OPEN, in_transit=True), True, Next.WAIT),
        (OPEN, True, Next.REPEAT),
        (OPEN, False, Next.PASS_ON),
        (replace(OPEN, status=OrderStatus.TRIGGER_PENDING), True, Next.REPEAT),
        (replace(OPEN, status=OrderStatus.UNKNOWN), True, Next.PASS_ON),
        (replace(OPEN, status=OrderStatus.COMPLETE), True, Next.PASS_ON),
        (replace(OPEN, status=OrderStatus.CANCELLED, in_transit=True), True, Next.PASS_ON),
        (replace(OPEN, status=OrderStatus.REJECTED), False, Next.PASS_ON),
    ],
)
def test_the_book_decides_what_a_refusal_meant(shown, doubt, then):
    assert after_refusal(shown, doubt=doubt) is then


def test_readings_are_a_moment_apart():
    assert [pause_s(looks) for looks in (1, 2, 5, 99)] == [0.05, 0.1, 0.3, 0.3]


class Road:
    """Makes the fake broker keep an order in transit for some readings and refuse changes meanwhile."""

    def __init__(self, bench: Bench, order_id: str, readings: int) -> None:
        self._bench, self._id, self._left = bench, order_id, readings
        self._show()
        bench.rest.on_read = self._read
        bench.rest.on_change = lambda kind, order: ON_ITS_WAY if self._left > 0 else None

    def _show(self) -> None:
        row = self._bench.rest.book[self._id]
        self._bench.rest.book[self._id] = replace(row, in_transit=self._left > 0)

    def _read(self, name: str) -> None:
        if name == "orders":
            self._left -= 1
            self._show()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "one.db")
    bench.open()
    yield bench
    bench.close()


def change(order_id: str) -> OrderChange:
    return OrderChange(order_id, 10, PriceType.LIMIT, Decimal(810), Decimal(0))


def now() -> int:
    return time.time_ns()


def kinds(bench: Bench, order_id: str) -> list[str]:
    row = bench.journal.by_order_id(order_id)
    return [event["kind"] for event in bench.journal.events(row.id)]


# one reading: it arrived between the refusal and the reading
@pytest.mark.parametrize("readings", [1, 4])
def test_a_cancel_waits_until_the_order_has_arrived(bench, readings):
    order_id = bench.place().order_id
    Road(bench, order_id, readings)
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert answer.ok
    assert bench.rest.book[order_id].status is OrderStatus.CANCELLED
    assert bench.rest.count("cancel") == 2, "not once per reading"
    assert kinds(bench, order_id)[-4:] == ["cancel", "cancel refused", "cancel again", "cancel taken"]


def test_a_modification_waits_too_and_counts_once(bench):
    order_id = bench.place().order_id
    Road(bench, order_id, 3)
    assert bench.desk.modify(change(order_id), received_ns=now()).ok
    row = bench.journal.by_order_id(order_id)
    assert (row.known.quantity, row.price, row.pending) == (10, Decimal(810), "")
    assert bench.journal.modifications(row.id) == 1


def test_an_order_that_never_arrives_is_named_and_left(tmp_path):
    rules = TradingRules(
        order_deadline_s=0.4, broker_timeout_s=3.0, reconcile_positions_s=3600, reconcile_orders_s=3600
    )
    bench = Bench(tmp_path / "one.db", rules=rules)
    bench.open()
    order_id = bench.place().order_id
    Road(bench, order_id, 10**6)
    begun = time.monotonic()
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert time.monotonic() - begun < 2
    assert (answer.code, answer.status, answer.broker_code) == (
        "ORDER_IN_TRANSIT",
        OrderStatus.OPEN,
        "DH-906",
    )
    assert "try again" in answer.message
    assert bench.rest.count("cancel") == 1
    assert bench.journal.by_order_id(order_id).pending == ""
    bench.close()


def test_a_real_refusal_is_repeated_at_most_once_and_passed_on(bench):
    order_id = bench.place().order_id
    bench.rest.on_change = lambda kind, order: OrderRejected("price band", code="PRICE_OUT_OF_RANGE")
    answer = bench.desk.modify(change(order_id), received_ns=now())
    assert (answer.code, answer.message) == ("PRICE_OUT_OF_RANGE", "price band")
    assert bench.rest.count("modify") == 2


def test_a_real_refusal_of_an_old_order_is_not_repeated(bench):
    placed_at = datetime.now(UTC) - timedelta(seconds=RECENT_S + 60)
    bench.rest.book["77"] = book_row("77", placed_at=placed_at)
    bench.rest.on_change = lambda kind, order: OrderRejected("no")
    assert bench.desk.cancel("77", received_ns=now()).code == "ORDER_REJECTED"
    assert bench.rest.count("cancel") == 1


def test_an_old_order_seen_on_its_way_is_repeated(bench):
    placed_at = datetime.now(UTC) - timedelta(seconds=RECENT_S + 60)
    bench.rest.book["77"] = book_row("77", placed_at=placed_at)
    Road(bench, "77", 4)
    assert bench.desk.cancel("77", received_ns=now()).ok
    assert bench.rest.count("cancel") == 2


def test_a_refused_cancel_of_an_order_that_has_ended_says_how(bench):
    order_id = bench.place().order_id

    def fill(kind, order):
        done = replace(order, status=OrderStatus.COMPLETE, filled_quantity=5, average_price=Decimal(800))
        bench.rest.book[order_id] = done
        return OrderRejected("order is completed", broker_code="1021")

    bench.rest.on_change = fill
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert (answer.code, answer.status, answer.broker_code) == (
        "ORDER_NOT_OPEN",
        OrderStatus.COMPLETE,
        "1021",
    )
    assert bench.rest.count("cancel") == 1
    assert bench.journal.by_order_id(order_id).known.filled == 5


def test_without_a_reading_the_refusal_is_passed_on(bench):
    order_id = bench.place().order_id
    bench.rest.on_change = lambda kind, order: ON_ITS_WAY

    def blind(name):
        raise BrokerDown("no route")

    bench.rest.on_read = blind
    answer = bench.desk.cancel(order_id, received_ns=now())
    assert (answer.code, answer.broker_code) == ("ORDER_REJECTED", "DH-906")
    assert bench.rest.count("cancel") == 1


@pytest.mark.parametrize(("slots", "code"), [(3, ""), (2, "ORDER_REJECTED")])
def test_a_repeat_needs_a_slot_of_its_own(tmp_path, slots, code):
    spec = replace(WIDE, order_windows=(RateWindow(slots, 30.0),))
    bench = Bench(tmp_path / "one.db", limiter=Limiter(spec, SystemClock()))
    bench.open()
    order_id = bench.place().order_id
    Road(bench, order_id, 2)
    assert bench.desk.cancel(order_id, received_ns=now()).code == code
    bench.close()
