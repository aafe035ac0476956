"""Baskets and splits: every order's own outcome, in the order of the request."""

from __future__ import annotations

import threading

import pytest

from brokers.errors import BrokerDown, OrderRejected, OutcomeUnknown, RateLimited
from brokers.model import Action
from gateway.api import baskets
from gateway.api.baskets import children
from tests.gateway.api.rig import Rig
from tests.gateway.api.simrig import SimRig, sdk

TERMS = {"exchange": "NSE", "pricetype": "LIMIT", "product": "MIS", "price": "800.05"}


def item(symbol: str, action: str = "BUY", quantity: object = "1", **changes: object) -> dict[str, object]:
    return {**TERMS, "symbol": symbol, "action": action, "quantity": quantity, **changes}


def basket(rig: Rig | SimRig, *orders: dict[str, object], headers: dict[str, str] | None = None):
    return rig.post("basketorder", headers=headers, strategy="b", orders=list(orders))


def split(rig: Rig | SimRig, quantity: object, size: object, headers=None, **changes: object):
    body = {**item("SBIN"), "quantity": quantity, "splitsize": size, "strategy": "s", **changes}
    return rig.post("splitorder", headers=headers, **body)


# -- baskets -----------------------------------------------------------------------------------------------


def test_buys_leave_before_sells_and_results_keep_the_order_of_the_request(rig):
    wanted = [("SBIN", "SELL"), ("TCS", "BUY"), ("RELIANCE", "sell"), ("SBICARD", "buy"), ("M&M", "SELL")]
    answer = basket(rig, *(item(symbol, action) for symbol, action in wanted))
    assert (answer.status_code, answer.json["status"]) == (200, "success")
    assert [row["symbol"] for row in answer.json["results"]] == [symbol for symbol, _ in wanted]
    sent = [order for order, _, _ in rig.rest.placed]
    assert [order.action for order in sent] == [Action.BUY] * 2 + [Action.SELL] * 3
    ids = {order.key.symbol: f"2611200000{n:05d}" for n, order in enumerate(sent, start=1)}
    assert answer.json["results"][0] == {
        "symbol": "SBIN",
        "exchange": "NSE",
        "product": "MIS",
        "status": "success",
        "orderid": ids["SBIN"],
    }
    assert all(row["orderid"] == ids[row["symbol"]] for row in answer.json["results"])


def test_no_sell_leaves_while_a_buy_is_on_its_way(rig):
    """Two buys are held at the broker together (they go at once); the sell is not there yet."""
    both, order = threading.Barrier(2, timeout=5), []

    def before(call: str) -> None:
        if call == "place":
            order.append(len(rig.rest.placed))
            if len(order) <= 2:
                both.wait()
                threading.Event().wait(0.2)

    rig.rest.before = before
    answer = basket(rig, item("SBIN", "SELL"), item("TCS"), item("RELIANCE"))
    assert {row["status"] for row in answer.json["results"]} == {"success"}
    assert order == [0, 0, 2]


def test_one_failure_is_its_own_and_the_top_level_stays_success(rig):
    rig.rest.fail["place"] = [OrderRejected("margin is short", code="INSUFFICIENT_MARGIN")]
    good, bad, unknown = basket(rig, item("TCS", "SELL"), item("SBIN"), item("SBINN", "SELL")).json["results"]
    assert good["status"] == "success"
    assert (bad["status"], bad["code"], bad["message"]) == (
        "error",
        "INSUFFICIENT_MARGIN",
        "margin is short",
    )
    assert "orderid" not in bad
    assert (unknown["symbol"], unknown["code"]) == ("SBINN", "SYMBOL_NOT_FOUND")
    rig.rest.fail["place"] = [BrokerDown("down")]
    answer = basket(rig, item("SBIN"))
    assert (answer.status_code, answer.json["status"]) == (200, "success")
    assert answer.json["results"][0]["code"] == "BROKER_DISCONNECTED"


def test_an_outcome_nobody_knows_is_told_as_such(rig):
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    rig.rest.fail["find_tag"] = [BrokerDown("down") for _ in range(50)]
    lost, good = basket(rig, item("SBIN"), item("TCS", "SELL")).json["results"]
    assert (lost["status"], lost["code"], lost["order_status"]) == ("error", "OUTCOME_UNKNOWN", "unknown")
    assert lost["journal_id"]
    assert good["status"] == "success"


def test_a_fault_of_ours_in_one_order_does_not_hide_the_others(rig, monkeypatch):
    real = rig.parts.desk.place

    def place(request, **more):
        if request.key.symbol == "TCS":
            raise RuntimeError("a bug")
        return real(request, **more)

    monkeypatch.setattr(rig.parts.desk, "place", place)
    bad, good = basket(rig, item("TCS"), item("SBIN")).json["results"]
    assert (bad["code"], good["status"]) == ("INTERNAL", "success")
    assert "a bug" not in str(bad)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"quantity": "0"}, "{'orders': {1: {'quantity': ['Quantity must be a positive number.']}}}"),
        ({"strategy": "x"}, "{'orders': {1: {'strategy': ['Unknown field.']}}}"),
        ({"price_type": "LIMIT"}, "{'orders': {1: {'price_type': ['Unknown field.']}}}"),
        ({"exchange": "NYSE"}, "{'orders': {1: {'exchange': ['Must be one of: NSE, "),
        ({"quantity": "1.5"}, "{'orders': {1: {'quantity': ['Fractional quantity (1.5) is not allowed"),
    ],
)
def test_one_bad_item_rejects_the_basket_and_is_named_by_its_index(quiet, bad, words):
    answer = basket(quiet, item("SBIN"), item("TCS") | bad)
    assert (answer.status_code, answer.json["status"]) == (400, "error")
    assert answer.json["message"].startswith(words)
    missing = {name: value for name, value in item("TCS").items() if name != "exchange"}
    assert basket(quiet, missing).json["message"] == (
        "{'orders': {0: {'exchange': ['Missing data for required field.']}}}"
    )
    assert quiet.rest.placed == []


def test_an_empty_basket_has_empty_results_and_defaults_are_market_mis(rig):
    assert basket(rig).json == {"status": "success", "results": []}
    plain = {"symbol": "SBIN", "exchange": "NSE", "action": "BUY", "quantity": 3}
    assert basket(rig, plain).json["results"][0]["product"] == "MIS"
    assert rig.rest.placed[0][0].price_type == "MARKET"


def test_a_repeated_basket_sends_nothing_again(rig):
    orders = (item("SBIN"), item("TCS", "SELL"))
    first = basket(rig, *orders, headers={"Idempotency-Key": "once"}).json["results"]
    again = basket(rig, *orders, headers={"Idempotency-Key": "once"}).json["results"]
    assert [row["orderid"] for row in again] == [row["orderid"] for row in first]
    assert all(row["repeated"] for row in again)
    assert len(rig.rest.placed) == 2


def test_a_basket_larger_than_the_window_leaves_whole(rig):
    """Dhan's window lets 7 entries out in 1.1 s; nobody in a basket may starve beside the others."""
    answer = basket(rig, *(item("SBIN", price=f"{800 + n}.00") for n in range(16)))
    assert [row["status"] for row in answer.json["results"]] == ["success"] * 16
    assert len(rig.rest.placed) == 16


# -- splits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "size", "wanted"),
    [(130, 60, [60, 60, 10]), (120, 60, [60, 60]), (5, 60, [5]), (100, 1, [1] * 100)],
)
def test_full_children_and_one_remainder(total, size, wanted):
    assert children(total, size) == wanted


def test_a_split_answers_per_child_with_integers(rig):
    answer = split(rig, "130", "60")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "success",
        "total_quantity": 130,
        "split_size": 60,
        "results": [
            {"order_num": 1, "quantity": 60, "status": "success", "orderid": "261120000000001"},
            {"order_num": 2, "quantity": 60, "status": "success", "orderid": "261120000000002"},
            {"order_num": 3, "quantity": 10, "status": "success", "orderid": "261120000000003"},
        ],
    }


@pytest.mark.parametrize(("total", "size"), [(101, 1), (1005, 10), (100_000_000, 1)])
def test_more_than_a_hundred_children_are_refused_whole(quiet, total, size):
    answer = split(quiet, total, size)
    assert answer.status_code == 400
    assert answer.json["message"] == "Total number of orders would exceed maximum limit of 100"
    assert quiet.rest.placed == []


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "Split size must be a positive integer."), ("x", "Not a valid integer."), (None, "null")],
)
def test_a_bad_split_size_is_named(quiet, size, words):
    answer = split(quiet, 10, size)
    assert answer.status_code == 400
    assert answer.json["message"].startswith("{'splitsize': ['")
    assert words in answer.json["message"]


def test_a_child_that_fails_does_not_stop_the_others(rig):
    rig.rest.fail["place"] = [OrderRejected("circuit limit")]
    rows = split(rig, 30, 10).json["results"]
    assert [(row["order_num"], row["status"]) for row in rows] == [
        (1, "error"),
        (2, "success"),
        (3, "success"),
    ]
    assert rows[0]["message"] == "circuit limit"


def test_children_that_cannot_leave_are_refused_not_queued(rig):
    """The broker closes its window for longer than an order may wait."""
    rig.rest.fail["place"] = [RateLimited("slow down", retry_after_s=30.0)]
    rows = split(rig, 40, 10).json["results"]
    assert [row["code"] for row in rows] == ["RATE_LIMITED"] * 4
    assert all(row["retry_after"] >= 1 for row in rows)
    assert rig.rest.calls.count("place") == 1


def test_what_has_not_left_by_the_deadline_of_the_whole_is_refused(rig, monkeypatch):
    monkeypatch.setattr(baskets, "WHOLE_S", 0.2)
    rig.rest.before = lambda call: threading.Event().wait(0.3) if call == "place" else None
    rows = split(rig, 30, 10).json["results"]
    assert [row["status"] for row in rows] == ["success", "error", "error"]
    assert rows[1]["code"] == rows[2]["code"] == "RATE_LIMITED"
    assert "nothing was sent" in rows[1]["message"]
    assert len(rig.rest.placed) == 1


def test_a_repeated_split_sends_nothing_again(rig):
    first = split(rig, 20, 10, headers={"Idempotency-Key": "x"}).json["results"]
    again = split(rig, 20, 10, headers={"Idempotency-Key": "x"}).json["results"]
    assert [row["orderid"] for row in again] == [row["orderid"] for row in first]
    assert len(rig.rest.placed) == 2


# -- against the simulated brokers -------------------------------------------------------------------------


def test_twenty_children_pass_the_brokers_own_limits(broker):
    answer = split(broker, 1995, 100, symbol="HDFCBANK", pricetype="MARKET", price=0)
    assert [row["status"] for row in answer.json["results"]] == ["success"] * 20, answer.json
    rows = broker.seen("HDFCBANK")
    assert [row["quantity"] for row in rows] == [100] * 19 + [95]
    assert {row["id"] for row in rows} == {row["orderid"] for row in answer.json["results"]}


@pytest.mark.client
def test_the_sdk_sends_baskets_and_splits(broker):
    market = {"exchange": "NSE", "pricetype": "MARKET", "product": "MIS"}
    orders = [
        {**market, "symbol": "ITC", "action": "SELL", "quantity": 2},
        {**market, "symbol": "AXISBANK", "action": "BUY", "quantity": 3},
    ]
    whole, pieces, bad = sdk(
        broker,
        ("basketorder", {"strategy": "sdk", "orders": orders}),
        (
            "splitorder",
            {"strategy": "sdk", "symbol": "ICICIBANK", "exchange": "NSE", "action": "BUY", "quantity": 25}
            | {"splitsize": 10, "price_type": "MARKET", "product": "MIS"},
        ),
        ("basketorder", {"strategy": "sdk", "orders": [{**orders[0], "action": "HOLD"}]}),
    )
    assert [row["status"] for row in whole["results"]] == ["success", "success"]
    assert [row["symbol"] for row in whole["results"]] == ["ITC", "AXISBANK"]
    assert [row["quantity"] for row in pieces["results"]] == [10, 10, 5]
    assert pieces["total_quantity"] == 25
    assert (bad["status"], bad["code"]) == ("error", 400)
    [itc], [axis] = broker.seen("ITC"), broker.seen("AXISBANK")
    assert (itc["id"], axis["id"]) == tuple(row["orderid"] for row in whole["results"])
