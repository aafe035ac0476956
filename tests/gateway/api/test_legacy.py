"""The older surface: its words, its errors, and the same desk behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import BrokerDown, InvalidRequest, OrderRejected, OutcomeUnknown
from brokers.model import Action, Funds, OrderStatus, PriceType
from gateway.api.errors import Problem
from gateway.api.legacy import limit_price, problem, status_word
from gateway.api.smart import MATCHED
from tests.gateway.api.rig import FREE, SBIN, Rig, foreign_order, position, running
from tests.gateway.api.simrig import until

D = Decimal
ORDER = {
    "strategy": "old",
    "symbol": "SBIN",
    "action": "BUY",
    "exchange": "NSE",
    "price_type": "LIMIT",
    "price": "800.05",
    "quantity": "5",
    "product": "MIS",
}
STOP = {**ORDER, "price_type": "SL-L", "price": "0", "trigger_price": "810"}
ROWS = ("orders", "smartorders", "positions", "account")


def without_price(**changes: object) -> dict[str, object]:
    return {name: value for name, value in STOP.items() if name != "price"} | changes


def get(rig: Rig, path: str, key: str | None = "", header: str | None = None, **query: object):
    given = {**({"apikey": rig.key if key == "" else key} if key is not None else {}), **query}
    headers = {"X-API-KEY": header} if header else None
    return rig.app.test_client().get(f"/api/v1/{path}", query_string=given, headers=headers)


# -- the key -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROWS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_reads_take_the_key_as_header_or_query(quiet, path, slash):
    by_query, by_header = get(quiet, path + slash), get(quiet, path + slash, key=None, header=quiet.key)
    assert by_query.status_code == by_header.status_code == 200
    assert by_query.json == by_header.json
    assert by_query.json["status"] == "success"


@pytest.mark.parametrize("path", ["orders/place", "smartorders/place"])
def test_writes_take_the_key_as_header_or_field(rig, path):
    client = rig.app.test_client()
    assert rig.post(path, **ORDER).status_code == 200
    answer = client.post(f"/api/v1/{path}/", json=ORDER, headers={"X-API-KEY": rig.key})
    assert answer.status_code == 200
    wrong = client.post(f"/api/v1/{path}", json=ORDER, headers={"X-API-KEY": "f" * 64})
    assert (wrong.status_code, wrong.json["code"]) == (403, "INVALID_API_KEY")
    assert wrong.json["error"] == "Invalid openalgo apikey"
    assert len(rig.rest.placed) == 2


@pytest.mark.parametrize("path", ROWS)
def test_no_key_and_a_wrong_key_are_errors_in_the_older_words(quiet, path):
    none, wrong = get(quiet, path, key=None), get(quiet, path, key="f" * 64)
    assert (none.status_code, wrong.status_code) == (400, 403)
    assert none.json["error"].startswith("apikey: ")
    for answer in (none, wrong):
        assert answer.json["status"] == "error"
        assert answer.json["code"]
        assert "message" not in answer.json


# -- placing -----------------------------------------------------------------------------------------------


def test_an_order_answers_order_id_and_timestamp(rig):
    answer = rig.post("orders/place", **ORDER)
    assert answer.status_code == 200
    assert answer.json.pop("timestamp")[:2] == "20"
    assert {**answer.json, "timestamp": 0} == {
        "status": "success",
        "order_id": "261120000000001",
        "timestamp": 0,
    }
    order = rig.rest.placed[0][0]
    assert (order.key, order.quantity, order.price, order.price_type) == (SBIN, 5, D("800.05"), "LIMIT")
    assert rig.parts.desk.strategy_of("261120000000001") == "old"


@pytest.mark.parametrize(("word", "meant"), [("SL-L", "SL"), ("SL", "SL"), ("SL-M", "SL-M")])
def test_sl_l_is_sl(rig, word, meant):
    body = {**STOP, "price_type": word, "price": "811.05"}
    assert rig.post("smartorders/place", **body).status_code == 200
    order = rig.rest.placed[0][0]
    assert (order.price_type, order.trigger_price) == (PriceType(meant), 810)


@pytest.mark.parametrize(
    ("action", "trigger", "buffer", "limit"),
    [
        ("BUY", "810", "2", "812"),
        ("BUY", "810", 2, "812"),
        ("BUY", "810", "2.5 points", "812.50"),
        ("BUY", "810", "4 ticks", "810.20"),
        ("BUY", "810", "4 Tick", "810.20"),
        ("BUY", "810", "0.07", "810.10"),
        ("SELL", "790", "2", "788"),
        ("SELL", "790", "4 ticks", "789.80"),
        ("SELL", "790", "0.07", "789.90"),
    ],
)
def test_a_limit_buffer_puts_the_limit_beyond_the_trigger_on_tick(rig, action, trigger, buffer, limit):
    body = without_price(action=action, trigger_price=trigger, limit_buffer=buffer)
    answer = rig.post("smartorders/place", **body)
    assert answer.status_code == 200, answer.json
    order = rig.rest.placed[0][0]
    assert (order.price_type, order.price, order.trigger_price) == (PriceType.SL, D(limit), D(trigger))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit_buffer": "2", "price": "812"}, "limit_buffer: Give price or limit_buffer, not both."),
        ({"limit_buffer": "2", "price_type": "SL-M"}, "limit_buffer: Only for price_type SL"),
        ({"limit_buffer": "two"}, "limit_buffer: Expected points"),
        ({"limit_buffer": "-2"}, "limit_buffer: Expected points"),
        ({"limit_buffer": "1.5 ticks"}, "limit_buffer: Expected points"),
        ({"limit_buffer": True}, "limit_buffer: Expected points"),
        ({"limit_buffer": "2", "trigger_price": "0"}, "limit_buffer needs a trigger_price"),
        ({"limit_buffer": "900", "action": "SELL", "trigger_price": "790"}, "below zero"),
        ({"quantity": "0"}, "quantity: Quantity must be a positive number."),
        ({"pricetype": "SL"}, "pricetype: Unknown field."),
        ({"stoploss": "5"}, "stoploss: Unknown field."),
    ],
)
def test_a_wrong_request_is_told_in_a_sentence(quiet, changes, words):
    answer = quiet.post("smartorders/place", **without_price(**changes))
    assert answer.status_code == 400
    assert words in answer.json["error"]
    assert answer.json["status"] == "error"
    assert answer.json["code"]
    assert quiet.rest.placed == []


def test_a_limit_is_never_nearer_than_the_buffer():
    tick = D("0.05")
    assert limit_price(D("100.02"), Action.BUY, (D(0), False), tick) == D("100.05")
    assert limit_price(D("100.02"), Action.SELL, (D(0), False), tick) == D("100.00")
    with pytest.raises(InvalidRequest):
        limit_price(D("0.10"), Action.SELL, (D(2), True), tick)


def test_a_refusal_of_the_desk_and_of_the_broker_use_the_older_words(rig):
    answer = rig.post("orders/place", **{**ORDER, "symbol": "SBINN"})
    assert (answer.status_code, answer.json["code"]) == (400, "SYMBOL_NOT_FOUND")
    assert "SBIN" in answer.json["error"]
    rig.rest.fail["place"] = [OrderRejected("margin is short", code="INSUFFICIENT_MARGIN")]
    answer = rig.post("orders/place", **ORDER)
    assert (answer.status_code, answer.json["code"]) == (400, "INSUFFICIENT_MARGIN")
    assert answer.json["error"] == "margin is short"
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    rig.rest.fail["find_tag"] = [BrokerDown("down") for _ in range(50)]
    answer = rig.post("orders/place", **ORDER)
    assert (answer.status_code, answer.json["code"]) == (504, "OUTCOME_UNKNOWN")
    assert answer.json["journal_id"]
    assert "message" not in answer.json


def test_an_order_the_broker_named_and_refused_is_called_order_id():
    found = Problem(400, "ORDER_REJECTED", "circuit limit", {"orderid": "7"})
    body = json.loads(problem(found, "dhan").get_data())
    assert (body["order_id"], body["error"]) == ("7", "circuit limit")
    assert "orderid" not in body


def test_a_position_size_leads_to_the_position(rig):
    rig.rest.position_rows = [position(SBIN, 40)]
    order = {**ORDER, "quantity": "0"}
    answer = rig.post("smartorders/place", **order, position_size="-60")
    assert answer.json["order_id"] == "261120000000001"
    sent = rig.rest.placed[0][0]
    assert (sent.action, sent.quantity) == ("SELL", 100)
    answer = rig.post("smartorders/place", **order, position_size="40")
    assert answer.json["message"] == MATCHED
    assert "order_id" not in answer.json
    rig.rest.fail["positions"] = [BrokerDown("down")]
    answer = rig.post("smartorders/place", **order, position_size="4")
    assert answer.status_code == 503
    assert "nothing was traded" in answer.json["error"]


def test_a_repeat_with_the_same_id_gets_the_first_answer(rig):
    first = rig.post("orders/place", **ORDER, client_order_id="once").json
    again = rig.post("orders/place", headers={"Idempotency-Key": "once"}, **ORDER).json
    assert again["order_id"] == first["order_id"]
    assert again["repeated"] is True
    assert len(rig.rest.placed) == 1


def test_the_limits_are_those_of_orders_and_smart_orders(tmp_path):
    rates = replace(FREE, order="1 per minute", smart_order="2 per minute")
    with running(tmp_path, rates=rates) as rig:
        assert [rig.post("orders/place", **ORDER).status_code for _ in range(2)] == [200, 429]
        answers = [rig.post("smartorders/place", **ORDER) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].json["error"].startswith("Rate limit exceeded")
        assert answers[-1].headers["Retry-After"]


# -- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "price_type", "trigger", "word"),
    [
        (OrderStatus.OPEN, PriceType.LIMIT, 0, "OPEN"),
        (OrderStatus.TRIGGER_PENDING, PriceType.SL, 810, "PENDING"),
        (OrderStatus.OPEN, PriceType.SL, 810, "TRIGGERED"),
        (OrderStatus.OPEN, PriceType.LIMIT, 810, "TRIGGERED"),
        (OrderStatus.COMPLETE, PriceType.SL, 810, "COMPLETE"),
        (OrderStatus.REJECTED, PriceType.MARKET, 0, "REJECTED"),
        (OrderStatus.CANCELLED, PriceType.SL_M, 810, "CANCELLED"),
        (OrderStatus.UNKNOWN, PriceType.SL, 810, "UNKNOWN"),
    ],
)
def test_every_state_has_its_word(status, price_type, trigger, word):
    order = foreign_order("1", status=status, price_type=price_type, trigger_price=D(trigger))
    assert status_word(order) == word


def test_orders_are_filtered_by_strategy_and_id(rig):
    first = rig.post("orders/place", **ORDER).json["order_id"]
    second = rig.post("orders/place", **{**ORDER, "strategy": "other"}).json["order_id"]
    rig.rest.book["77"] = foreign_order("77")

    def ids(**query: object) -> list[str]:
        return [row["order_id"] for row in get(rig, "orders", **query).json["orders"]]

    assert ids() == [first, second, "77"]
    assert ids(strategy="old") == [first]
    assert ids(order_id=second) == [second]
    assert ids(order_id=second, strategy="old") == ids(order_id="999") == []
    row = get(rig, "orders", order_id=first).json["orders"][0]
    wanted = {"symbol": "SBIN", "action": "BUY", "quantity": 5, "price_type": "LIMIT", "price": 800.05}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["strategy"], row["status"], row["product"]) == ("old", "OPEN", "MIS")


def test_smart_orders_are_those_with_a_trigger(rig):
    rig.post("orders/place", **ORDER)
    stop = rig.post("smartorders/place", **without_price(limit_buffer="1")).json["order_id"]
    [row] = get(rig, "smartorders").json["orders"]
    assert (row["order_id"], row["price_type"], row["price"]) == (stop, "SL", 811.0)
    assert len(get(rig, "orders").json["orders"]) == 2


def test_an_unknown_outcome_stands_in_the_list(rig):
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    rig.rest.fail["find_tag"] = [BrokerDown("down") for _ in range(50)]
    journal_id = rig.post("orders/place", **ORDER).json["journal_id"]
    [row] = get(rig, "orders", order_id=f"J{journal_id}").json["orders"]
    assert row["status"] == "UNKNOWN"


def test_positions_have_a_percentage_and_no_invented_price(rig):
    rig.rest.position_rows = [
        position(SBIN, 10),
        replace(position(SBIN, -5, "CNC"), ltp=None, pnl=None),
        position(SBIN, 0, "NRML"),
    ]
    plain, blind, closed = get(rig, "positions").json["positions"]
    assert plain == {
        "symbol": "SBIN",
        "exchange": "NSE",
        "product": "MIS",
        "quantity": 10,
        "entry_price": 83.74,
        "ltp": 84.0,
        "pnl": 2.6,
        "pnl_percentage": 0.31,
    }
    assert (blind["quantity"], blind["ltp"], blind["pnl"], blind["pnl_percentage"]) == (-5, None, None, None)
    assert (closed["quantity"], closed["pnl_percentage"]) == (0, 0.0)


def test_the_account_adds_up(rig):
    funds = Funds(D(900), D(0), D(0), D(0), D(250), available_margin=D(750))
    rig.rest.funds = lambda: funds
    assert get(rig, "account").json == {
        "status": "success",
        "cash": 900.0,
        "equity": 1000.0,
        "used_margin": 250.0,
        "available_margin": 750.0,
        "margin_percentage": 25.0,
    }
    rig.rest.funds = lambda: Funds(D(600), D(150), D(0), D(0), D(250))
    assert get(rig, "account").json["available_margin"] == 750.0
    rig.rest.funds = lambda: Funds(D(0), D(0), D(0), D(0), D(0))
    assert get(rig, "account").json["margin_percentage"] == 0.0


@pytest.mark.parametrize(
    ("path", "call"), [("orders", "orders"), ("positions", "positions"), ("account", "funds")]
)
def test_a_read_that_fails_is_no_empty_answer(rig, path, call):
    rig.rest.fail[call] = [BrokerDown("could not connect")] * 5
    answer = get(rig, path)
    assert (answer.status_code, answer.json["code"]) == (503, "BROKER_DISCONNECTED")
    assert answer.json["error"] == "could not connect"


# -- against the simulated brokers -------------------------------------------------------------------------


def test_a_stop_and_a_trade_on_a_simulated_broker(broker):
    headers = {"X-API-KEY": broker.key}
    before = broker.get("account", headers=headers).json
    assert before["available_margin"] > 0
    assert before["equity"] == pytest.approx(before["available_margin"] + before["used_margin"])
    ltp = D(str(broker.post("quotes", symbol="WIPRO", exchange="NSE").json["data"]["ltp"]))
    tick = D(str(broker.post("symbol", symbol="WIPRO", exchange="NSE").json["data"]["tick_size"]))
    trigger = (ltp * D("1.05") / tick).to_integral_value() * tick
    stop = broker.post(
        "smartorders/place",
        **without_price(symbol="WIPRO", trigger_price=str(trigger), limit_buffer="4 ticks"),
    ).json
    assert stop["status"] == "success", stop

    def waiting() -> bool:
        rows = broker.get("smartorders", headers=headers, order_id=stop["order_id"]).json["orders"]
        return bool(rows) and rows[0]["status"] == "PENDING"

    until(waiting)
    [row] = broker.get("smartorders", headers=headers, order_id=stop["order_id"]).json["orders"]
    assert D(str(row["price"])) == trigger + 4 * tick
    trade = broker.post("orders/place", **{**ORDER, "symbol": "LT", "price_type": "MARKET", "price": 0})
    assert trade.json["order_id"]

    def held() -> list[dict]:
        rows = broker.get("positions", headers=headers).json["positions"]
        return [r for r in rows if (r["symbol"], r["quantity"]) == ("LT", 5)]

    [position_now] = until(held)
    assert position_now["entry_price"] > 0
    assert broker.get("account", headers=headers).json["used_margin"] > before["used_margin"]
