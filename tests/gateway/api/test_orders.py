"""Orders over HTTP through the real desk; the broker is scripted where the outcome matters."""

from __future__ import annotations

import json
import threading
from decimal import Decimal

import pytest

from brokers.errors import (
    BrokerDown,
    IpNotAllowed,
    LoginRequired,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    WireError,
)
from brokers.model import OrderStatus, PriceType, Product, SentTerms
from tests.gateway.api.rig import ORDER, SBIN, foreign_order, position, trade


def test_a_placed_order_answers_its_id_as_text(rig):
    answer = rig.place()
    assert answer.status_code == 200
    assert answer.json == {"status": "success", "orderid": "261120000000001"}
    order, _tag, _ltp = rig.rest.placed[0]
    assert (order.key, order.quantity, order.price) == (SBIN, 5, Decimal("800.05"))
    assert (order.price_type, order.product) == (PriceType.LIMIT, Product.MIS)


def test_an_action_may_be_lower_case_and_prices_a_type_does_not_use_are_dropped(rig):
    assert rig.place(action="sell", pricetype="MARKET", price="800", trigger_price="790").status_code == 200
    order = rig.rest.placed[0][0]
    assert (order.action, order.price, order.trigger_price) == ("SELL", 0, 0)


def test_price_protection_is_told(rig):
    rig.rest.sent = SentTerms(PriceType.LIMIT, Decimal("808.05"), Decimal(0))
    answer = rig.place(pricetype="MARKET", price="0")
    assert answer.json["sent"] == {"pricetype": "LIMIT", "price": 808.05, "trigger_price": 0.0}
    assert answer.json["message"] == "MARKET was sent as LIMIT at 808.05 (price protection)"


@pytest.mark.parametrize("how", ["field", "header", "both"])
def test_a_repeat_with_the_same_client_order_id_gets_the_first_answer(rig, how):
    body = dict(ORDER) | ({"client_order_id": "once"} if how != "header" else {})
    headers = {"Idempotency-Key": "once"} if how != "field" else {}
    first = rig.post("placeorder", headers=headers, **body)
    again = rig.post("placeorder", headers=headers, **body)
    assert again.json["orderid"] == first.json["orderid"]
    assert again.json["repeated"] is True
    assert len(rig.rest.placed) == 1


def test_two_different_idempotency_keys_are_refused(rig):
    body = {**ORDER, "client_order_id": "a"}
    answer = rig.post("placeorder", headers={"Idempotency-Key": "b"}, **body)
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_REQUEST")
    empty = rig.post("placeorder", headers={"Idempotency-Key": "x" * 65}, **ORDER)
    assert empty.status_code == 400
    assert rig.rest.placed == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OrderRejected("margin is short", code="INSUFFICIENT_MARGIN"), 400, "INSUFFICIENT_MARGIN"),
        (IpNotAllowed("register 203.0.113.7"), 403, "IP_NOT_ALLOWED"),
        (LoginRequired("token expired"), 403, "AUTH_EXPIRED"),
        (BrokerDown("could not connect"), 503, "BROKER_DISCONNECTED"),
    ],
)
def test_a_failure_has_a_status_a_code_and_is_no_success(rig, error, status, code):
    rig.rest.fail["place"] = [error]
    answer = rig.place()
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.json["status"] == "error"
    assert str(error) in answer.json["message"]


def test_an_unknown_outcome_is_a_504_with_the_journal_id_and_stands_in_the_book(rig):
    rig.rest.fail["place"] = [OutcomeUnknown("no answer in 10 s")]
    rig.rest.fail["find_tag"] = [BrokerDown("still down") for _ in range(50)]
    rig.rest.fail["orders"] = [BrokerDown("still down") for _ in range(50)]
    answer = rig.place()
    assert (answer.status_code, answer.json["code"]) == (504, "OUTCOME_UNKNOWN")
    assert "Do not send it again" in answer.json["next_step"]
    rig.rest.fail.clear()
    book = rig.post("orderbook").json["data"]
    row = next(o for o in book["orders"] if o["orderid"] == f"J{answer.json['journal_id']}")
    assert row["order_status"] == "unknown"
    assert book["statistics"]["total_unknown_orders"] == 1


def test_a_429_of_the_broker_carries_the_seconds(rig):
    rig.rest.fail["place"] = [RateLimited("too many", retry_after_s=3.2)]
    answer = rig.place()
    assert (answer.status_code, answer.json["code"]) == (429, "RATE_LIMITED")
    assert answer.json["retry_after"] == 4
    assert answer.headers["Retry-After"] == "4"


def test_an_order_may_name_the_brokers_display_name(rig):
    future = next(row for row in rig.post("search", query="NIFTY FUT", exchange="NFO").json["data"])
    day = future["expiry"][:6].replace("-", " ")
    terms = {"action": "BUY", "quantity": "65", "product": "NRML", "pricetype": "LIMIT", "price": "100"}
    placed = rig.post("placeorder", strategy="x", symbol=f"nifty {day} fut", exchange="NFO", **terms)
    assert placed.status_code == 200, placed.json
    assert rig.rest.placed[-1][0].key.symbol == future["symbol"]


def test_an_unknown_symbol_is_refused_here_with_suggestions(rig):
    answer = rig.place(symbol="SBINN")
    assert (answer.status_code, answer.json["code"]) == (400, "SYMBOL_NOT_FOUND")
    assert "SBIN" in json.dumps(answer.json)
    assert rig.rest.placed == []


def test_the_rules_of_the_exchange_are_checked_before_anything_leaves(rig):
    future = next(i for i in rig.source.rows if i.key.exchange == "NFO").key.symbol
    cases = ({"price": "800.03"}, {"exchange": "NFO", "symbol": future, "product": "NRML", "quantity": 64})
    for changes in cases:
        answer = rig.place(**changes)
        assert answer.status_code == 400, answer.json
        assert answer.json["status"] == "error"
    assert rig.rest.placed == []


def test_modify_resends_the_terms_and_answers_the_id(rig):
    order_id = rig.place().json["orderid"]
    body = {**ORDER, "orderid": int(order_id), "quantity": 7, "disclosed_quantity": "0", "trigger_price": "0"}
    answer = rig.post("modifyorder", **body)
    assert answer.status_code == 200, answer.json
    assert answer.json["orderid"] == order_id
    assert rig.rest.book[order_id].quantity == 7


@pytest.mark.parametrize("kind", [str, int])
def test_cancel_takes_the_id_as_text_or_number(rig, kind):
    order_id = rig.place().json["orderid"]
    answer = rig.post("cancelorder", strategy="test", orderid=kind(order_id))
    assert (answer.status_code, answer.json) == (200, {"status": "success", "orderid": order_id})
    assert rig.rest.book[order_id].status is OrderStatus.CANCELLED


def test_an_unknown_order_id_is_404(rig):
    for path, body in (
        ("cancelorder", {"strategy": "t"}),
        ("orderstatus", {}),
        ("modifyorder", {**ORDER, "disclosed_quantity": 0, "trigger_price": 0}),
    ):
        answer = rig.post(path, orderid="999", **body)
        assert (answer.status_code, answer.json["code"]) == (404, "ORDER_NOT_FOUND"), path
    assert rig.post("orderstatus", orderid="999").json["message"] == "Order 999 not found"


def test_cancel_all_lists_both_kinds_and_needs_no_strategy(rig):
    ids = [rig.place(price=f"80{n}.00").json["orderid"] for n in range(3)]
    cancel = rig.rest.cancel

    def refuse_one(order_id: str) -> None:
        if order_id == ids[0]:  # every time: the desk asks once more for an order this young
            raise OrderRejected("being matched")
        cancel(order_id)

    rig.rest.cancel = refuse_one
    answer = rig.post("cancelallorder")
    assert answer.status_code == 200
    assert answer.json["message"] == "Canceled 2 orders. Failed to cancel 1 orders."
    failed = answer.json["failed_cancellations"]
    assert sorted([*answer.json["canceled_orders"], failed[0]["orderid"]]) == ids
    assert "being matched" in failed[0]["message"]
    assert failed[0]["reason"] == failed[0]["message"]


def test_cancel_all_with_nothing_open_is_a_plain_success(rig):
    answer = rig.post("cancelallorder", strategy="any")
    assert answer.json["status"] == "success"
    assert answer.json["canceled_orders"] == answer.json["failed_cancellations"] == []


def test_cancel_all_is_an_error_when_the_book_cannot_be_read(rig):
    rig.place()
    rig.rest.before = lambda call: _raise(BrokerDown("down")) if call in ("orders", "cancel") else None
    answer = rig.post("cancelallorder")
    assert answer.status_code >= 400
    assert answer.json["status"] == "error"


def _raise(exc: Exception) -> None:
    raise exc


def test_close_position_sends_the_opposite_of_every_position(rig):
    rig.rest.position_rows = [position(SBIN, 10), position(SBIN, 0, "CNC")]
    answer = rig.post("closeposition", strategy="t")
    assert answer.json["status"] == "success", answer.json
    assert answer.json["message"] == "All Open Positions Squared Off"
    order = rig.rest.placed[0][0]
    assert (order.action, order.quantity, order.product) == ("SELL", 10, "MIS")
    assert len(rig.rest.placed) == 1
    assert answer.json["closed_positions"][0]["orderid"] == "261120000000001"


def test_close_position_does_not_call_a_failed_exit_a_success(rig):
    other = rig.source.rows[2].key
    rig.rest.position_rows = [position(SBIN, 10), position(other, -5)]
    rig.rest.fail["place"] = [OrderRejected("circuit limit")]
    answer = rig.post("closeposition")
    assert answer.json["status"] == "partial"
    assert len(answer.json["closed_positions"]) == len(answer.json["failed_closures"]) == 1
    rig.rest.fail["place"] = [OrderRejected("circuit limit"), OrderRejected("circuit limit")]
    answer = rig.post("closeposition")
    assert (answer.status_code, answer.json["status"]) == (400, "error")


def test_order_status_has_both_spellings_and_an_average_as_soon_as_it_is_complete(rig):
    order_id = rig.place().json["orderid"]
    open_row = rig.post("orderstatus", orderid=order_id).json["data"]
    assert (open_row["order_status"], open_row["average_price"]) == ("open", 0.0)
    assert open_row["pricetype"] == open_row["price_type"] == "LIMIT"
    assert open_row["strategy"] == "test"
    rig.rest.book[order_id] = foreign_order(
        order_id, status=OrderStatus.COMPLETE, filled_quantity=5, quantity=5, tag=rig.rest.placed[0][1]
    )
    rig.rest.trade_rows = [trade(order_id, 2, "800.00"), trade(order_id, 3, "801.00")]
    row = rig.post("orderstatus", orderid=int(order_id)).json["data"]
    assert (row["order_status"], row["average_price"]) == ("complete", 800.6)


def test_a_hundred_orders_from_ten_threads_each_get_their_own_id(rig):
    """The account's windows refuse most of them at once; those that pass are distinct, the others are 429."""
    answers = []

    def run() -> None:
        for _ in range(10):
            answers.append(rig.place())

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [a.json["orderid"] for a in answers if a.status_code == 200]
    assert len(set(good)) == len(good) == len(rig.rest.placed) > 0
    assert {a.status_code for a in answers} <= {200, 429}


def test_an_unreadable_answer_is_never_shown_to_the_caller(rig):
    rig.rest.fail["funds"] = [WireError("not JSON", b"<html>secret</html>")]
    answer = rig.post("funds")
    assert (answer.status_code, answer.json["code"]) == (502, "WIRE")
    assert "secret" not in answer.get_data(as_text=True)


def test_placing_costs_little_here():
    """Validation of a whole placeorder body, best of many, stays far below 0.3 ms."""
    import timeit

    from gateway.api.schemas import PlaceOrder

    schema, body = PlaceOrder(), {"apikey": "k" * 64, **ORDER}
    best = min(timeit.repeat(lambda: schema.load(body), number=200, repeat=20)) / 200
    assert best < 0.3e-3
