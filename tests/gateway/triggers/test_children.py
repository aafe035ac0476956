"""Orders the broker sent for our GTT orders: told by their mark, else by evidence that fits one alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import SystemClock
from brokers.model import Action, Gtt, GttState, InstrumentKey, OrderUpdate, PriceType
from gateway.store.gtt import GttRow
from gateway.triggers import evidence, machine, native
from gateway.triggers.machine import Keeper, State
from tests.gateway.trading.desks import Bench, book_row, until
from tests.gateway.triggers.bench import oco, single
from tests.gateway.triggers.test_native import Rig

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SELL = Action.SELL


def row(number: int, terms=None) -> GttRow:
    known = machine.Known(terms or single(), State.TRIGGERED, f"F{number}")
    return GttRow(number, Keeper.BROKER, "", None, f"s{number}", 0, 0, None, known)


def listed(number: int, terms=None, **more) -> Gtt:
    terms = terms or single()
    given = {
        "trigger_id": f"F{number}",
        "key": terms.key,
        "action": terms.action,
        "quantity": terms.quantity,
        "price_type": None,
        "product": str(terms.product),
        "legs": terms.legs,
        "state": GttState.TRIGGERED,
        "updated_at": NOON,
    }
    return Gtt(**{**given, **more})


def child(order_id: str = "9", **more):
    given = {"action": SELL, "product": "CNC", "price": Decimal("789.5"), "placed_at": NOON}
    return book_row(order_id, **{**given, **more})


def names(rows, gtts, orders) -> dict[int, str]:
    return {k: v.order_id for k, v in evidence.children(rows, gtts, orders).items()}


def test_terms_time_and_nothing_else_that_fits_make_it_ours() -> None:
    assert names([row(1)], [listed(1)], [child()]) == {1: "9"}
    assert names([row(1, oco())], [listed(1, oco())], [child(price=Decimal("819.5"))]) == {1: "9"}


@pytest.mark.parametrize(
    "other",
    [
        {"action": Action.BUY},
        {"quantity": 6},
        {"product": "MIS"},
        {"key": InstrumentKey("NSE", "TCS")},
        {"price": Decimal("789.45")},
        {"tag": "somebody"},
        {"placed_at": None},
        {"placed_at": NOON + timedelta(minutes=2)},
        {"placed_at": NOON - timedelta(minutes=2)},
    ],
    ids=str,
)
def test_an_order_that_differs_in_anything_stays_foreign(other) -> None:
    tag = other.pop("tag", "")
    assert names([row(1)], [listed(1)], [replace(child(**other), tag=tag)]) == {}


@pytest.mark.parametrize(
    ("gtts", "orders"),
    [
        ([listed(1), listed(2)], [child()]),
        ([listed(1)], [child("8"), child("9")]),
        ([listed(1, state=GttState.ACTIVE)], [child()]),
        ([listed(1, updated_at=None)], [child()]),
        ([listed(2)], [child()]),
    ],
    ids=["two GTTs, one of another's", "two orders", "not fired", "no time", "another's alone"],
)
def test_what_is_not_certain_is_never_called_ours(gtts, orders) -> None:
    assert names([row(1)], gtts, orders) == {}


def test_a_market_gtt_gets_a_price_of_the_brokers_making() -> None:
    terms = single(price_type=PriceType.MARKET)
    gtt = listed(1, terms, price_type=PriceType.MARKET)
    assert names([row(1, terms)], [gtt], [child(price=Decimal("777.7"))]) == {1: "9"}


# -- with a desk and the broker's list --------------------------------------------------------------------


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rig whose orders are those of a real desk."""
    monkeypatch.setattr(native, "LOOK_EVERY_S", 0.06)
    bench = Bench(tmp_path / "orders.db")
    bench.open()
    rig = Rig(tmp_path / "gtt.db")
    rig.bench = bench
    attach(rig)
    yield rig
    rig.close()
    bench.close()


def attach(rig: Rig) -> None:
    desk = rig.bench.desk
    rig.gtts._children._parts = replace(rig.gtts._parts, family=desk)
    desk.strangers.listen(rig.gtts.stranger)


def fire(rig: Rig, tag: str = "", **more):
    """The broker fires F1 and makes an order of it."""
    now = SystemClock().now()
    rig.rest.rows["F1"] = replace(rig.rest.rows["F1"], state=GttState.TRIGGERED, updated_at=now)
    return child(placed_at=now, tag=tag, **more)


@pytest.mark.parametrize("marked", [True, False], ids=["by its mark", "by evidence"])
@pytest.mark.parametrize("pushed", [True, False], ids=["pushed", "found in the book"])
def test_the_child_of_a_fire_is_ours_and_has_its_strategy(family: Rig, marked: bool, pushed: bool) -> None:
    family.gtts.place(single(), strategy="swing")
    order = fire(family, family.row("F1").tag if marked else "")
    desk = family.bench.desk
    family.bench.rest.book[order.order_id] = order
    if pushed:
        desk.on_update(OrderUpdate(order, 0))
    else:
        desk.nudge()
    until(lambda: desk.strategy_of("9") == "swing")
    assert desk.made_ns("9") is not None
    until(lambda: family.row("F1").known.order_id == "9")
    desk.nudge()
    until(lambda: desk.status().foreign == 0)
    kinds = [event["kind"] for event in family.bench.journal.events(1)]
    assert kinds[:2] == ["foreign", "attributed"]


def test_one_of_two_that_may_be_it_stays_foreign(family: Rig) -> None:
    family.gtts.place(single(), strategy="swing")
    desk = family.bench.desk
    for order_id in ("9", "10"):  # both are known before the list says that one fired
        desk.on_update(OrderUpdate(child(order_id=order_id, placed_at=SystemClock().now()), 0))
    fire(family)
    reads = family.rest.calls.count("list")
    until(lambda: family.rest.calls.count("list") >= reads + 2)
    assert (desk.made_ns("9"), desk.made_ns("10")) == (None, None)
    assert family.row("F1").known.order_id == ""


def test_an_order_that_came_before_a_restart_is_looked_at_again(family: Rig) -> None:
    family.gtts.place(single(), strategy="swing")
    family.bench.desk.on_update(OrderUpdate(replace(fire(family), tag="somebody"), 0))
    family.bench.desk.on_update(OrderUpdate(replace(fire(family), order_id="11"), 0))
    family.gtts._children._strangers.clear()
    assert family.bench.desk.strategy_of("11") == ""
    family.gtts._children.take_up()
    until(lambda: family.bench.desk.strategy_of("11") == "swing")
    assert family.bench.desk.made_ns("9") is None


def test_only_what_is_foreign_is_attributed(family: Rig) -> None:
    mine = family.bench.place(strategy="mine")
    assert not family.bench.desk.attribute(mine.order_id, "other", {})
    assert not family.bench.desk.attribute("nowhere", "other", {})
    assert family.bench.desk.strategy_of(mine.order_id) == "mine"
