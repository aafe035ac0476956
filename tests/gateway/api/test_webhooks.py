"""Alerts over HTTP: what is taken, what is refused and how, and that a repeated one does not trade twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from brokers.errors import BrokerDown, LoginRequired, OutcomeUnknown, RateLimited
from brokers.model import Action, InstrumentKey, OrderStatus
from gateway.api.carrier import Carrier
from gateway.store.queued import QueuedOrder, Step
from gateway.strategies.queue import TryAgain
from tests.gateway.api.rig import FREE, SBIN, Rig, position, running

SYMBOLS = [
    {"exchange": "NSE", "symbol": "SBIN", "quantity": 5, "product": "MIS"},
    {"exchange": "NSE", "symbol": "tcs", "quantity": 3, "product": "CNC"},
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture
def rig(shared: Rig) -> Rig:
    """The shared one with no strategies, no positions and an empty broker."""
    for row in shared.internal("GET", "strategies").json["strategies"]:
        shared.internal("DELETE", f"strategies/{row['name']}")
    shared.rest.position_rows.clear()
    shared.rest.placed.clear()
    shared.rest.fail.clear()
    # else a smart order waits for the fill of the test before
    for order_id, order in shared.rest.book.items():
        shared.rest.book[order_id] = replace(order, status=OrderStatus.COMPLETE)
    return shared


def make(rig: Rig, name: str = "trend", **changes: Any) -> dict[str, Any]:
    answer = rig.internal("POST", "strategies", {"name": name, "symbols": SYMBOLS, **changes})
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def alert(rig: Rig, made: dict[str, Any], headers: dict[str, str] | None = None, **body: Any) -> Any:
    path = made["webhook_url"].removeprefix(rig.parts.settings.public_url)
    return rig.app.test_client().post(path, json=body, headers=headers)


def ended(rig: Rig, answer: Any) -> list[QueuedOrder]:
    assert answer.status_code == 200, answer.json
    assert rig.parts.queue is not None
    store = rig.parts.queue.store
    end = time.monotonic() + 10
    while True:
        rows = [store.get(one) for one in answer.json["queued_ids"]]
        if all(row.step.is_final for row in rows):
            return rows
        assert time.monotonic() < end, rows
        time.sleep(0.005)


def test_an_alert_becomes_an_order_of_its_strategy(rig):
    answer = alert(rig, make(rig), symbol="SBIN", action="buy")
    assert answer.json["message"] == "Order queued successfully for SBIN"
    [row] = ended(rig, answer)
    assert row.step is Step.DONE
    [(order, _, _)] = rig.rest.placed
    assert (order.key, order.action, order.quantity, order.product) == (SBIN, Action.BUY, 5, "MIS")
    book = rig.post("orderbook").json["data"]["orders"]
    [shown] = [o for o in book if o["orderid"] == row.answer["orderid"]]
    assert shown["strategy"] == "trend"


def test_an_exit_closes_what_is_held_and_nothing_without(rig):
    made = make(rig)
    [row] = ended(rig, alert(rig, made, symbol="SBIN", action="SELL"))
    assert (row.step, rig.rest.placed) == (Step.DONE, [])
    assert row.answer["message"] == "No OpenPosition Found. Not placing Exit order."
    rig.rest.position_rows.append(position(SBIN, 12))
    ended(rig, alert(rig, made, symbol="SBIN", action="SELL"))
    [(order, _, _)] = rig.rest.placed
    assert (order.action, order.quantity) == (Action.SELL, 12)


def test_both_mode_trades_towards_the_size(rig):
    made = make(rig, mode="BOTH")
    rig.rest.position_rows.append(position(SBIN, 4))
    ended(rig, alert(rig, made, symbol="SBIN", action="SELL", position_size="-6"))
    [(order, _, _)] = rig.rest.placed
    assert (order.action, order.quantity) == (Action.SELL, 10)


@pytest.mark.parametrize("where", ["header", "field"])
def test_a_repeated_id_trades_once_also_when_it_comes_many_times_at_once(rig, where):
    made = make(rig, f"repeat {where}")
    headers = {"Idempotency-Key": "alert-1"} if where == "header" else None
    extra = {} if where == "header" else {"client_order_id": "alert-1"}
    answers: list[Any] = []

    def send() -> None:
        answers.append(alert(rig, made, headers, symbol="SBIN", action="BUY", **extra))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {a.status_code for a in answers} == {200}
    assert len({a.json["queued_ids"][0] for a in answers}) == 1
    assert sum("repeated" not in a.json for a in answers) == 1
    ended(rig, answers[0])
    assert len(rig.rest.placed) == 1
    other = alert(rig, made, headers, symbol="SBIN", action="SELL", **extra)
    assert (other.status_code, other.json["code"]) == (400, "CLIENT_ORDER_ID_REUSED")


def test_the_same_body_with_its_alert_time_trades_once_and_without_one_twice(rig):
    made = make(rig)
    stamped = {"symbol": "SBIN", "action": "BUY", "time": "2026-11-20T04:30:00Z"}
    first, again = alert(rig, made, **stamped), alert(rig, made, **stamped)
    assert again.json == {**first.json, "repeated": True}
    ended(rig, first)
    assert len(rig.rest.placed) == 1
    for _ in range(2):
        ended(rig, alert(rig, made, symbol="SBIN", action="BUY"))
    assert len(rig.rest.placed) == 3


def test_what_is_not_understood_is_named(rig):
    answer = alert(rig, make(rig), symbol="SBIN", action="BUY", stoploss="790", exchange="NSE")
    assert answer.json["ignored"] == ["exchange", "stoploss"]
    ended(rig, answer)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"action": "BUY"}, 400, "INVALID_REQUEST", "Missing required field: symbol"),
        ({"symbol": "SBIN"}, 400, "INVALID_REQUEST", "Missing required field: action"),
        ({"symbol": "INFY", "action": "BUY"}, 400, "SYMBOL_NOT_FOUND", "No mapping found"),
        ({"symbol": "SBIN", "action": "HOLD"}, 400, "INVALID_REQUEST", "BUY or SELL"),
    ],
)
def test_a_wrong_alert_is_refused_with_error_and_code(rig, body, status, code, words):
    answer = alert(rig, make(rig), **body)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert words in answer.json["error"] == answer.json["message"]
    assert answer.json["status"] == "error"
    assert rig.rest.placed == []


def test_an_inactive_strategy_takes_nothing(rig):
    made, scanner = make(rig), make(rig, "scan", platform="chartink")
    for name in ("trend", "scan"):
        rig.internal("POST", f"strategies/{name}/switch", {"active": False})
    answer = alert(rig, made, symbol="SBIN", action="BUY")
    assert (answer.status_code, answer.json["error"]) == (400, "Strategy is inactive")
    answer = alert(rig, scanner, scan_name="BUY", stocks="SBIN")
    assert answer.json == {"status": "success", "message": "Strategy is inactive"}
    rig.internal("POST", "strategies/trend/switch", {"active": True})
    ended(rig, alert(rig, made, symbol="SBIN", action="BUY"))
    assert len(rig.rest.placed) == 1


@pytest.mark.parametrize("path", ["/strategy/webhook/abc", "/chartink/webhook/abc/", "/strategy/webhook/%00"])
def test_a_wrong_id_is_a_404(rig, path):
    answer = rig.app.test_client().post(path, json={"symbol": "SBIN", "action": "BUY"})
    assert (answer.status_code, answer.json["error"]) == (404, "Invalid webhook ID")


def test_each_platform_has_its_own_path(rig):
    made = make(rig)
    path = f"/chartink/webhook/{made['webhook_id']}"
    answer = rig.app.test_client().post(path, json={"scan_name": "BUY", "stocks": "SBIN"})
    assert (answer.status_code, rig.rest.placed) == (404, [])


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'"x"', 400), (b'{"a": "%s"}' % (b"x" * 70_000), 413)],
)
def test_a_body_that_is_no_small_object_is_refused(rig, raw, status):
    made = make(rig)
    path = f"/strategy/webhook/{made['webhook_id']}"
    answer = rig.app.test_client().post(path, data=raw)
    assert (answer.status_code, answer.json["status"]) == (status, "error")
    assert answer.json["error"]


def test_json_is_read_whatever_its_content_type(rig):
    path = f"/strategy/webhook/{make(rig)['webhook_id']}/"
    raw = b'{"symbol": "SBIN", "action": "BUY"}'
    ended(rig, rig.app.test_client().post(path, data=raw, content_type="text/plain"))
    assert len(rig.rest.placed) == 1


def test_a_scan_orders_what_is_mapped(rig):
    made = make(rig, "scan", platform="chartink")
    scan = {
        "stocks": "SBIN,INFY,TCS",
        "trigger_prices": "1,2,3",
        "triggered_at": "2:34 pm",
        "scan_name": "my BUY scan",
        "scan_url": "x",
        "alert_name": "y",
        "webhook_url": "z",
    }
    first = alert(rig, made, **scan)
    assert first.json["message"] == "Orders queued for symbols: SBIN, TCS"
    assert {row.step for row in ended(rig, first)} == {Step.DONE}
    assert sorted((o.key.symbol, o.quantity, o.product.value) for o, _, _ in rig.rest.placed) == [
        ("SBIN", 5, "MIS"),
        ("TCS", 3, "CNC"),
    ]
    assert alert(rig, made, **scan).json["repeated"] is True
    assert len(rig.rest.placed) == 2
    none = alert(rig, made, **{**scan, "stocks": "INFY"})
    assert none.json == {"status": "warning", "message": "No orders were queued"}
    bad = alert(rig, made, **{**scan, "scan_name": "breakout"})
    assert (bad.status_code, bad.json["status"]) == (400, "error")


def test_a_lost_answer_leaves_the_order_unknown_and_a_limit_is_waited_for(rig):
    made = make(rig)
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    [row] = ended(rig, alert(rig, made, symbol="SBIN", action="BUY"))
    assert (row.step, row.status) == (Step.UNKNOWN, 504)
    rig.rest.fail["positions"] = [RateLimited("slow down", retry_after_s=0.1)]
    [row] = ended(rig, alert(rig, made, symbol="TCS", action="SELL"))
    assert row.step is Step.DONE


@pytest.mark.parametrize(
    "error", [LoginRequired("session ended"), BrokerDown("refused"), RateLimited("429", retry_after_s=0.1)]
)
def test_an_exit_that_was_surely_not_executed_is_tried_again(rig, error):
    made = make(rig)
    key = InstrumentKey("NSE", "TCS")
    rig.rest.position_rows.append(position(key, 4, "CNC"))
    rig.rest.fail["place"] = [error]
    [row] = ended(rig, alert(rig, made, symbol="TCS", action="SELL"))
    assert (row.step, len(rig.rest.placed)) == (Step.DONE, 1)
    again = Carrier(rig.parts)(row)  # a process that dies now finds the order of the second id
    assert not isinstance(again, TryAgain)
    assert (again.answer["orderid"], len(rig.rest.placed)) == (row.answer["orderid"], 1)


def test_an_entry_the_broker_would_not_take_now_is_not_repeated(rig):
    rig.rest.fail["place"] = [RateLimited("429", retry_after_s=0.1)]
    [row] = ended(rig, alert(rig, make(rig), symbol="TCS", action="BUY"))
    assert (row.step, row.answer["code"], rig.rest.placed) == (Step.FAILED, "RATE_LIMITED", [])


def test_alerts_have_their_own_rate_limit(tmp_path):
    with running(tmp_path, rates=replace(FREE, webhook="2 per minute"), reconciled=False) as rig:
        codes = [rig.app.test_client().post("/strategy/webhook/x", json={}).status_code for _ in range(3)]
        assert codes == [404, 404, 429]
        refused = rig.app.test_client().post("/strategy/webhook/x", json={})
        assert refused.json["error"] == "Rate limit exceeded. Please slow down your requests."
        assert int(refused.headers["Retry-After"]) == refused.json["retry_after"] > 0


def test_managing_strategies_has_its_own_rate_limit(tmp_path):
    with running(tmp_path, rates=replace(FREE, strategy="2 per minute"), reconciled=False) as rig:
        assert [rig.internal("GET", "strategies").status_code for _ in range(3)] == [200, 200, 429]


def test_without_a_broker_session_an_alert_is_refused(tmp_path):
    with running(tmp_path, logged_in=False, reconciled=False) as rig:
        answer = alert(rig, make(rig), symbol="SBIN", action="BUY")
        assert (answer.status_code, answer.json["code"]) == (403, "AUTH_EXPIRED")
        assert rig.internal("GET", "alerts").json["orders"] == []


def test_a_strategy_is_managed(rig):
    made = make(rig, hours={"start": "09:20", "end": "15:00", "square_off": "15:15"}, mode="SHORT")
    assert made["symbols"][1] == {"exchange": "NSE", "symbol": "TCS", "quantity": 3, "product": "CNC"}
    assert made["hours"] == {"start": "09:20", "end": "15:00", "square_off": "15:15"}
    assert rig.internal("GET", "strategies").json["strategies"] == [made]
    more = {"exchange": "NSE", "symbol": "RELIANCE", "quantity": "2"}
    assert len(rig.internal("POST", "strategies/trend/symbols", more).json["symbols"]) == 3
    changed = rig.internal("POST", "strategies/trend/symbols", {**more, "quantity": 9}).json
    assert [s["quantity"] for s in changed["symbols"] if s["symbol"] == "RELIANCE"] == [9]
    assert len(rig.internal("DELETE", "strategies/trend/symbols/reliance").json["symbols"]) == 2
    assert rig.internal("DELETE", "strategies/trend/symbols/reliance").status_code == 404
    assert rig.internal("DELETE", "strategies/trend").status_code == 200
    assert alert(rig, made, symbol="SBIN", action="BUY").status_code == 404
    assert rig.internal("DELETE", "strategies/trend").status_code == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "trend"}, "already"),
        ({"name": "../x"}, "Not a name."),
        ({"name": "two", "mode": "UP"}, "Must be one of: LONG, SHORT, BOTH."),
        ({"name": "two", "platform": "fax"}, "Must be one of"),
        ({"name": "two", "hours": {"start": "15:00", "end": "9:00", "square_off": "15:15"}}, "time of day"),
        ({"name": "two", "hours": {"start": "15:00", "end": "10:00", "square_off": "15:15"}}, "before"),
        ({"name": "two", "symbols": [{**SYMBOLS[0], "symbol": "SBINN"}]}, "like it: SBIN"),
        ({"name": "two", "symbols": [{**SYMBOLS[0], "quantity": 0}]}, "greater"),
        ({"name": "two", "symbols": [SYMBOLS[0], SYMBOLS[0]]}, "stands twice"),
        ({"name": "two", "colour": "red"}, "Unknown field."),
    ],
)
def test_a_wrong_strategy_is_refused(rig, changes, words):
    make(rig)
    answer = rig.internal("POST", "strategies", {"symbols": SYMBOLS, **changes})
    assert answer.status_code == 400
    assert words in str(answer.json["message"])
    assert [s["name"] for s in rig.internal("GET", "strategies").json["strategies"]] == ["trend"]


def test_what_manages_strategies_is_for_this_machine_only(rig):
    client = rig.app.test_client()
    for method, path in (("GET", "strategies"), ("POST", "approvals/1/approve"), ("POST", "order-mode")):
        assert client.open(f"/internal/{path}", method=method, json={}).status_code == 403
