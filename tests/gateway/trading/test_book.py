"""A book shown again is never older than what its reader did, was told, or half a second."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import BrokerDown
from brokers.model import OrderStatus, OrderUpdate, Position
from gateway.trading.book import BOOK_AGE_S, Lately
from tests.gateway.trading.desks import SBIN, Bench, book_row


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "one.db")
    bench.open()
    yield bench
    bench.close()


class Source:
    """A broker that counts how often it is asked."""

    def __init__(self) -> None:
        self.version = 0
        self.asked = 0
        self.meanwhile = lambda: None
        self.clock = ManualClock(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))
        self.lately = Lately(self.read, lambda: self.version, self.clock, BOOK_AGE_S)

    def read(self) -> int:
        self.asked += 1
        now = self.asked
        self.meanwhile()
        return now


def test_one_reading_serves_until_its_age():
    source = Source()
    assert [source.lately.get() for _ in range(5)] == [1] * 5
    source.clock.advance(BOOK_AGE_S)
    assert source.lately.get() == 1
    source.clock.advance(0.001)
    assert source.lately.get() == 2


def test_a_reading_ages_from_its_beginning():
    source = Source()
    source.meanwhile = lambda: source.clock.advance(BOOK_AGE_S + 0.1)
    assert source.lately.get() == 1
    source.meanwhile = lambda: None
    assert source.lately.get() == 2


def test_what_happens_after_a_reading_ends_it():
    source = Source()
    source.lately.get()
    source.version += 1
    assert source.lately.get() == 2


def test_what_happens_during_a_reading_is_not_hidden_by_it():
    source = Source()

    def event() -> None:
        source.version += 1

    source.meanwhile = event
    source.lately.get()
    source.meanwhile = lambda: None
    assert source.lately.get() == 2


def test_a_failed_reading_is_told_and_the_old_one_not_shown_for_it():
    source = Source()
    source.lately.get()
    source.version += 1

    def down() -> None:
        raise BrokerDown("no route")

    source.meanwhile = down
    with pytest.raises(BrokerDown):
        source.lately.get()
    with pytest.raises(BrokerDown):
        source.lately.get()


def test_a_caller_sees_what_it_did_at_once(bench):
    for number in range(5):
        answer = bench.place(strategy=f"s{number}")
        book = bench.desk.books.orders()
        assert answer.order_id in {o.order_id for o in book.orders}
        assert book.strategies[answer.order_id] == f"s{number}"
        bench.desk.cancel(answer.order_id, received_ns=time.time_ns())
        shown = {o.order_id: o.status for o in bench.desk.books.orders().orders}
        assert shown[answer.order_id] is OrderStatus.CANCELLED


def test_a_pushed_update_ends_the_reading(bench):
    answer = bench.place()
    bench.desk.books.orders()
    filled = replace(bench.rest.book[answer.order_id], status=OrderStatus.COMPLETE, filled_quantity=10)
    bench.rest.book[answer.order_id] = filled
    bench.desk.on_update(OrderUpdate(filled, time.time_ns()))
    shown = {o.order_id: o.status for o in bench.desk.books.orders().orders}
    assert shown[answer.order_id] is OrderStatus.COMPLETE


def test_what_is_in_play_follows_orders_at_once_and_positions_with_their_fills(bench):
    assert bench.desk.books.in_play() == (frozenset(), frozenset())
    answer = bench.place()
    held, working = bench.desk.books.in_play()
    assert (held, working) == (frozenset(), frozenset({SBIN}))
    asked = bench.rest.count("positions")
    bench.desk.books.in_play()
    assert bench.rest.count("positions") == asked
    bench.rest.position_rows = [
        Position(SBIN, "MIS", 10, bench.rest.book[answer.order_id].price, None, None, None)
    ]
    filled = replace(bench.rest.book[answer.order_id], status=OrderStatus.COMPLETE, filled_quantity=10)
    bench.desk.on_update(OrderUpdate(filled, time.time_ns()))
    assert bench.desk.books.in_play() == (frozenset({SBIN}), frozenset())


def test_an_order_placed_elsewhere_is_in_play_once_it_is_heard_of(bench):
    bench.desk.on_update(OrderUpdate(book_row("F1"), time.time_ns()))
    assert bench.desk.books.in_play()[1] == frozenset({SBIN})
