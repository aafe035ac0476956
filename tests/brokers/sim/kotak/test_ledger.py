"""What an order shows on its way: history, feed rows, ever-growing times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.sim.exchange.types import SimOrder, Status
from brokers.sim.kotak.ledger import Ledger
from tests.brokers.sim.kotak.test_shapes import AT, make_order


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def ledger(heard) -> Ledger:
    made = Ledger(ManualClock(AT))
    made.listen(lambda account, row: heard.append(row))
    return made


def report(ledger: Ledger, order: SimOrder, **changes: Any) -> SimOrder:
    order = replace(order, updated_at=order.updated_at + timedelta(seconds=1), **changes)
    ledger.observe(order)
    return order


def fresh(ledger: Ledger, **changes: Any) -> SimOrder:
    order = make_order(status=Status.TRANSIT, **changes)
    ledger.observe(order)
    return order


def words(rows: list[dict[str, Any]]) -> list[str]:
    return [row["ordSt"] for row in rows]


def test_a_fill_passes_every_station_and_first_shows_no_price(ledger, heard):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    order = report(ledger, order, status=Status.FILLED, filled=10, average=Decimal("1025.45"))
    chain = ["put order req received", "validation pending", "open pending", "open", "complete"]
    assert words(ledger.history(order)) == chain[::-1]
    assert words(heard) == [*chain, "complete"]
    assert [row["avgPrc"] for row in heard[-2:]] == ["0.00", "1025.45"]
    assert ledger.row(order)["avgPrc"] == "1025.45"


def test_receive_times_grow_though_the_clock_stands_still(ledger, heard):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    report(ledger, order, status=Status.CANCELLED)
    times = [row["updRecvTm"] for row in heard]
    assert times == sorted(set(times))
    assert times[0] >= 1795149930 * 10**9


def test_a_partial_fill_stays_open_and_is_told(ledger, heard):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    report(ledger, order, status=Status.PARTIAL, filled=4, average=Decimal(1025))
    assert (heard[-1]["ordSt"], heard[-1]["fldQty"], heard[-1]["unFldSz"]) == ("open", 4, 6)


def test_a_modification_and_a_cancellation_have_their_own_words(ledger):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    order = report(ledger, order, modifications=1, tag="t1-ADMINAPI")
    order = report(ledger, order, status=Status.CANCELLED)
    expected = [
        "modify validation pending",
        "modify pending",
        "modified",
        "open",
        "cancel pending",
        "cancelled",
    ]
    assert words(ledger.history(order))[:6] == expected[::-1]
    assert ledger.history(order)[0]["GuiOrdId"] == "t1-ADMINAPI"


def test_the_same_report_twice_says_nothing_new(ledger, heard):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    count = len(heard)
    ledger.observe(order)
    assert len(heard) == count


def test_an_order_from_before_a_restart_does_not_start_over(ledger, heard):
    order = make_order(status=Status.FILLED, filled=10, average=Decimal(1025))
    ledger.observe(order)
    assert words(heard) == ["complete", "complete"]
    assert words(ledger.history(order))[-1] == "put order req received"


def test_an_order_never_reported_shows_what_its_status_implies(ledger):
    order = make_order(status=Status.TRIGGER_PENDING)
    assert words(ledger.history(order))[0] == "trigger pending"
    assert ledger.row(order)["updRecvTm"] == 1795149930 * 10**9


def test_yesterday_s_orders_are_forgotten(ledger):
    order = report(ledger, fresh(ledger), status=Status.OPEN)
    assert len(ledger._orders) == 1
    fresh(ledger, order_id="261121000000001")
    assert order.order_id not in ledger._orders
