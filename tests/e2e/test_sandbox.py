"""Analyze mode through real processes: the campaign's promises with smaller counts, and the words of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest

from scripts.campaigns import sandbox
from tests.gateway.sandbox.processes import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("sandbox")]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """One instance that starts in analyze mode by its env."""
    with sandbox.running("dhan", ("PAPER_TRADING=true", "SANDBOX_STARTING_CAPITAL=500000")) as one:
        yield one


@pytest.fixture(autouse=True)
def analyzing(rig: Rig) -> None:
    rig.post("analyzer/toggle", mode=True)


def test_paper_trading_starts_in_analyze_mode(rig):
    assert rig.began_in == "analyze"
    assert rig.ok("ping")["data"]["mode"] == "analyze"
    assert rig.internal("status")["mode"] == "analyze"


@pytest.mark.parametrize(
    ("said", "on"), [(True, True), ("off", False), (1, True), ("no", False), ("TRUE", True), (0, False)]
)
def test_the_toggle_sets_and_does_not_flip(rig, said, on):
    for _ in range(2):
        data = rig.ok("analyzer/toggle", mode=said)["data"]
        assert data["analyze_mode"] is on
        assert data["mode"] == ("analyze" if on else "live")
        assert data["message"] == f"Analyzer mode switched to {data['mode']}"
        assert isinstance(data["total_logs"], int)
    assert rig.ok("analyzer")["data"]["mode"] == data["mode"]


def test_a_toggle_without_a_mode_is_refused_in_the_known_style(rig):
    status, answer = rig.post("analyzer/toggle")
    assert status == 400
    assert answer["message"] == "{'mode': ['Missing data for required field.']}"
    assert rig.post("analyzer/toggle", mode="perhaps")[0] == 400


def test_answers_tell_the_mode_and_validation_errors_as_openalgo_does(rig):
    assert rig.post("orderstatus", strategy="x")[1]["mode"] == "analyze"
    assert "mode" not in rig.post("placeorder", strategy="x")[1]
    assert "mode" not in rig.ok("quotes", symbol="SBIN", exchange="NSE")
    status, answer = rig.post("orderstatus", strategy="x", orderid="1")
    assert (status, answer["mode"], answer["message"]) == (404, "analyze", "Order 1 not found")
    rig.analyze(False)
    assert "mode" not in rig.ok("orderbook")


def test_a_day_on_paper(rig):
    rig.ok("analyzer/reset")
    sandbox.warm(rig)
    rig.ok("analyzer/reset")
    bought = rig.ok("placeorder", **rig.order(quantity=10))
    row = rig.ok("orderstatus", strategy="x", orderid=bought["orderid"])["data"]
    assert (row["order_status"], row["filled_quantity"], row["price_type"]) == ("complete", 10, "MARKET")
    [position] = rig.ok("positionbook")["data"]
    assert position["quantity"] == 10
    assert position["lot_size"] == 1
    assert {"unrealized_pnl", "today_realized_pnl", "total_pnl_today", "pnlpercent", "ltp"} <= set(position)
    funds = rig.ok("funds")["data"]
    cost = Decimal(str(row["average_price"])) * 10 / 5
    assert Decimal(funds["utiliseddebits"]) == pytest.approx(cost, abs=Decimal("0.01"))
    assert Decimal(funds["availablecash"]) == 500_000 - Decimal(funds["utiliseddebits"])
    assert isinstance(funds["reset_count"], int)
    rig.ok("placeorder", **rig.order(quantity=4, action="SELL"))
    [profit] = rig.ok("pnl/symbols")["data"]
    assert (profit["symbol"], profit["quantity"]) == ("SBIN", 6)
    rig.ok("closeposition", strategy="x")
    [position] = rig.ok("positionbook")["data"]
    trades = rig.ok("tradebook")["data"]
    earned = sum(t["trade_value"] * (1 if t["action"] == "SELL" else -1) for t in trades)
    assert position["quantity"] == 0
    assert position["today_realized_pnl"] == pytest.approx(earned, abs=0.01)
    assert rig.ok("funds")["data"]["m2mrealized"] == f"{position['today_realized_pnl']:.2f}"
    today = rig.ok("analyzer/days")["data"][0]
    assert (today["orders"], today["trades"]) == (3, 3)


def test_too_little_money_is_said_with_the_code_and_kept_in_the_book(rig):
    sandbox.warm(rig)
    status, answer = rig.post("placeorder", **rig.order(quantity=5000, product="CNC"))
    assert (status, answer["code"], answer["mode"]) == (400, "INSUFFICIENT_MARGIN", "analyze")
    assert "required" in answer["message"]
    last = rig.ok("orderbook")["data"]["orders"][-1]
    assert last["order_status"] == "rejected"
    assert last["rejection_reason"] == answer["message"]


def test_a_stop_order_triggers_on_the_feed(rig):
    """One stop a tick above a price that moves every quarter of a second, one a tick below."""
    sandbox.warm(rig)
    stops = {}
    for action, step in (("BUY", 1), ("SELL", -1)):
        for _ in range(20):
            trigger = round(rig.price("SBIN") * 20 + step) / 20
            order = rig.order(action=action, pricetype="SL-M", trigger_price=trigger)
            status, answer = rig.post("placeorder", **order)
            if status == 200:
                stops[answer["orderid"]] = (step, trigger)
                break
            assert answer["code"] == "INVALID_TRIGGER"  # the market was faster than this test
    assert stops

    def triggered():
        return next(((found, stops[o]) for o in stops if (found := ended(rig, o))), None)

    done, (step, trigger) = rig.until(triggered, "a stop triggers")
    assert done["order_status"] == "complete"
    # a stop sells no better and buys no worse than its trigger, but for the tick between bid and ask
    assert step * (done["average_price"] - trigger) >= -0.051
    rig.ok("cancelallorder", strategy="x")


def ended(rig: Rig, order_id: str):
    row = rig.ok("orderstatus", strategy="x", orderid=order_id)["data"]
    return row if row["order_status"] in ("complete", "rejected", "cancelled") else None


def test_the_journal_learns_of_fills_the_caller_did_not_make(rig):
    sandbox.warm(rig)
    rig.ok("cancelallorder", strategy="x")
    price = rig.price("RELIANCE")
    order = rig.order(symbol="RELIANCE", pricetype="LIMIT", price=round(price * 0.9))
    placed = rig.ok("placeorder", **order)
    change = {"orderid": placed["orderid"], "price": round(price * 1.05), "disclosed_quantity": 0}
    rig.ok("modifyorder", **{**order, **change, "trigger_price": 0})
    assert rig.until(lambda: ended(rig, placed["orderid"]), "it fills")["order_status"] == "complete"
    rig.until(lambda: journaled(rig, placed["orderid"]) == ("complete", 1), "the journal learns of it")


def journaled(rig: Rig, order_id: str) -> tuple[str, int] | None:
    path = rig.settings.databases.sandbox
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        what = "SELECT state, filled_quantity FROM orders WHERE order_id = ?"
        return file.execute(what, (order_id,)).fetchone()


def test_a_gtt_of_the_sandbox_is_its_own(rig):
    price = round(rig.price("INFY") * 0.8)
    gtt = rig.order(symbol="INFY", product="CNC", pricetype="LIMIT", price=price, triggerprice_sl=price)
    placed = rig.ok("placegttorder", **gtt, trigger_type="SINGLE")
    assert placed["mode"] == "analyze"
    assert [row["trigger_id"] for row in rig.ok("gttorderbook")["data"]] == [placed["trigger_id"]]
    rig.analyze(False)
    assert placed["trigger_id"] not in [row["trigger_id"] for row in rig.ok("gttorderbook")["data"]]
    rig.analyze(True)
    rig.ok("cancelgttorder", strategy="x", trigger_id=placed["trigger_id"])


def test_profit_by_symbol_is_for_analyze_mode(rig):
    rig.analyze(False)
    status, answer = rig.post("pnl/symbols")
    assert (status, answer["code"]) == (400, "ANALYZE_ONLY")
    key, rig.key = rig.key, "x" * 64
    try:
        status, answer = rig.post("pnl/symbols")
    finally:
        rig.key = key
    assert (status, answer["message"]) == (403, "Invalid API key")


def test_the_same_keys_and_types_in_both_modes(rig):
    assert "19 calls" in sandbox.shapes(rig)


def test_nothing_reaches_the_broker_in_analyze_mode(rig):
    print(sandbox.quiet(rig, operations=100, flips=20, seed=1))


def test_orders_sent_while_the_mode_flips_are_in_one_place(rig):
    print(sandbox.mixed(rig, orders=80, flips=20, seed=2))


def test_a_killed_api_loses_no_acknowledged_paper_order(rig):
    print(sandbox.killed(rig, kills=1, seed=3))
    assert rig.ok("analyzer")["data"]["mode"] == "analyze"
