"""Mistakes the simulator of ``tests/simulation`` found, each told as small as it can be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import RateLimited
from brokers.model import OrderStatus, OrderUpdate, Position
from gateway.store.journal import Change
from gateway.trading import machine
from tests.gateway.trading.desks import RULES, SBIN, Bench, book_row, until


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
