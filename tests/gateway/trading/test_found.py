"""Mistakes the simulator of ``tests/simulation`` found, each told as small as it can be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import BrokerError, OrderRejected, OutcomeUnknown, RateLimited
from brokers.model import OrderChange, OrderStatus, OrderUpdate, Position, PriceType
from gateway.store.journal import Change
from gateway.trading import machine
from tests.gateway.trading.desks import RULES, SBIN, Bench, book_row, until

LOST = OutcomeUnknown("no whole answer")


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "one.db")
    bench.open()
    yield bench
    bench.close()


def held(quantity):
    return Position(SBIN, "MIS", quantity, Decimal(800), None, None)


def test_news_of_a_merged_row_goes_to_the_row_it_was_merged_into(bench):
    """An update read its row, the answer merged that row into ours, then the update was written."""
    found = []

    def update_first(order):
        bench.desk.on_update(OrderUpdate(replace(order, tag=""), 0))
        found.append(bench.journal.by_order_id(order.order_id).id)

    bench.rest.on_place = update_first
    answer = bench.place()
    late = replace(book_row(answer.order_id), status=OrderStatus.COMPLETE, filled_quantity=5)
    bench.journal.apply(Change(found[0], "update", machine.BrokerSays(late)))
    row = bench.journal.by_order_id(answer.order_id)
    assert (row.id, row.known.state) == (answer.journal_id, machine.State.COMPLETE)
    assert bench.journal.get(answer.journal_id).known.order_id == answer.order_id
    # who still holds the number of the merged row is not told about an order without an id
    assert bench.journal.get(found[0]).id == answer.journal_id


def test_an_exit_that_fills_while_the_positions_are_read_is_not_sent_again(bench):
    bench.rest.position_rows = [held(5)]
    assert bench.desk.close_all().closed
    reads = []

    def fill(name):
        # the last reading still shows the position as it was; the news of the fill is faster
        if name == "positions":
            reads.append(name)
        if len(reads) == 2:
            exit_id = next(i for i, o in bench.rest.book.items() if o.action.value == "SELL")
            done = replace(bench.rest.book[exit_id], status=OrderStatus.COMPLETE, filled_quantity=5)
            bench.desk.on_update(OrderUpdate(done, 0))

    bench.rest.on_read = fill
    assert bench.desk.close_all().closed == ()
    assert bench.rest.count("place") == 1


def test_positions_are_compared_only_after_the_orders(tmp_path):
    bench = Bench(tmp_path / "one.db", rules=replace(RULES, reconcile_positions_s=0.05))
    bench.rest.book["7"] = book_row("7", status=OrderStatus.COMPLETE, filled_quantity=5)
    bench.rest.position_rows = [held(5)]
    failures = iter([RateLimited("wait", retry_after_s=0.1)])

    def refuse(name):
        if name == "orders" and (error := next(failures, None)) is not None:
            raise error

    bench.rest.on_read = refuse
    bench.open()
    before = bench.rest.count("positions")
    until(lambda: bench.rest.count("positions") > before + 3)
    assert bench.desk.status().drift == ()
    bench.close()


def change(order_id):
    return OrderChange(order_id, 10, PriceType.LIMIT, Decimal(810), Decimal(0))


def test_a_lost_modification_is_no_success_because_the_book_was_read_meanwhile(bench):
    answer = bench.place()

    def lose(kind, order):
        # the book shows the old terms for so long that a reading takes the modification for settled
        until(lambda: bench.desk.nudge() or not bench.journal.get(answer.journal_id).pending)
        return LOST

    bench.rest.on_change = lose
    modified = bench.desk.modify(change(answer.order_id), received_ns=0)
    assert modified.code == "OUTCOME_UNKNOWN"


def test_a_second_modification_waits_until_the_first_can_arrive_no_more(bench):
    answer = bench.place()
    bench.rest.on_change = lambda kind, order: LOST
    assert bench.desk.modify(change(answer.order_id), received_ns=0).code == "OUTCOME_UNKNOWN"
    assert bench.desk.modify(change(answer.order_id), received_ns=0).code == "OUTCOME_UNKNOWN"
    assert bench.rest.count("modify") == 1
    bench.rest.on_change = lambda kind, order: None
    until(lambda: bench.desk.modify(change(answer.order_id), received_ns=0).ok)


def test_a_refused_cancel_leaves_a_pending_modification_pending(bench):
    answer = bench.place()
    bench.rest.on_change = lambda kind, order: LOST if kind == "modify" else OrderRejected("no")
    bench.desk.modify(change(answer.order_id), received_ns=0)
    assert bench.desk.cancel(answer.order_id, received_ns=0).code == "ORDER_REJECTED"
    assert bench.journal.get(answer.journal_id).pending == "modify"


def test_terms_changed_through_a_foreign_row_come_along_when_it_is_merged(bench):
    def unseen(order):
        bench.rest.book[order.order_id] = order
        bench.desk.on_update(OrderUpdate(replace(order, tag=""), 0))
        assert bench.desk.modify(change(order.order_id), received_ns=0).ok

    bench.rest.on_place = unseen
    row = bench.journal.get(bench.place().journal_id)
    assert (row.known.quantity, row.price) == (10, Decimal(810))


def test_an_order_the_book_does_not_show_yet_is_shown_and_cancelled(bench):
    answer = bench.place()
    late = bench.rest.book.pop(answer.order_id)
    assert [o.order_id for o in bench.desk.orders()] == [answer.order_id]

    def arrive(kind, order):
        return None

    bench.rest.on_read = lambda name: None
    listed = bench.rest.orders
    bench.rest.orders = lambda: [o for o in listed() if o.order_id != late.order_id]
    bench.rest.book[late.order_id] = late
    bench.rest.on_change = arrive
    assert bench.desk.cancel_all().cancelled == (answer.order_id,)


def test_the_answer_first_given_after_a_crash_is_given_again(bench):
    """The process died between the outcome and the answer; then the order moves on."""
    bench.rest.on_place = lambda order: bench.rest.book.update({order.order_id: order}) or Killed()
    with pytest.raises(Killed):
        bench.place(client_order_id="mine")
    bench.rest.on_place = lambda order: None
    bench.restart()
    first = until(lambda: (a := bench.place(client_order_id="mine")).ok and a)
    shown = bench.rest.book[first.order_id]
    bench.desk.on_update(OrderUpdate(replace(shown, status=OrderStatus.REJECTED), 0))
    assert bench.place(client_order_id="mine") == first
    assert bench.rest.count("place") == 1


class Killed(BaseException):
    """What a kill would leave: nothing after it runs."""


def test_a_write_nobody_journaled_the_end_of_counts_in_the_windows(bench):
    bench.rest.on_place = lambda order: Killed()
    with pytest.raises(Killed):
        bench.place()
    assert len(bench.journal.sent_since(0)) == 1
    bench.restart()  # "recovered": from then on it counts once, at a time that stays
    first = bench.journal.sent_since(0)
    assert len(first) == 1
    until(lambda: bench.desk.status().unknown == 0)
    assert bench.journal.sent_since(0) == first
    bench.rest.on_place = lambda order: BrokerError("no")
    bench.place()
    assert len(bench.journal.sent_since(0)) == 2


def test_a_fill_between_two_readings_is_not_carried_in(tmp_path):
    bench = Bench(tmp_path / "one.db", rules=replace(RULES, reconcile_positions_s=0.05))
    filled = book_row("7", status=OrderStatus.COMPLETE, filled_quantity=5)
    bench.rest.position_rows = [held(5)]  # shows it at once; the book a moment later
    bench.open()
    bench.rest.book["7"] = filled
    before = bench.rest.count("positions")
    until(lambda: bench.rest.count("positions") > before + 8)
    assert bench.journal.by_order_id("7") is not None
    assert bench.desk.status().drift == ()
    bench.close()
