"""Semi-auto mode: what would trade waits for a person, changes are refused, reads go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from brokers.errors import OrderRejected, OutcomeUnknown
from brokers.model import InstrumentKey
from gateway.api import semiauto
from gateway.api.carrier import Carrier, judged
from gateway.api.parts import Call
from gateway.api.surface import ENDPOINTS
from gateway.store.queued import NewOrder, Step, fingerprint_of
from gateway.strategies.queue import Queue, TryAgain
from tests.gateway.api.rig import GTT, ORDER, Rig, position, running

ITEM = {name: ORDER[name] for name in ("symbol", "exchange", "action", "quantity", "pricetype", "price")}
WAITS = {
    "placeorder": ORDER,
    "placesmartorder": {**ORDER, "position_size": "5"},
    "basketorder": {"strategy": "test", "orders": [ITEM, {**ITEM, "symbol": "TCS"}]},
    "splitorder": {**ORDER, "splitsize": "2"},
    "orders/place": {**{n: v for n, v in ORDER.items() if n != "pricetype"}, "price_type": "LIMIT"},
    "smartorders/place": {
        **{n: v for n, v in ORDER.items() if n != "pricetype"},
        "price_type": "SL",
        "trigger_price": "820",
        "price": "825",
    },
}
CHANGES = {
    "modifyorder": {**ORDER, "orderid": "1", "disclosed_quantity": "0", "trigger_price": "0"},
    "cancelorder": {"strategy": "test", "orderid": "1"},
    "cancelallorder": {"strategy": "test"},
    "closeposition": {"strategy": "test"},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture
def rig(shared: Rig) -> Iterator[Rig]:
    """In semi-auto mode, nothing waiting, an empty broker."""
    shared.rest.placed.clear()
    shared.rest.book.clear()
    shared.rest.position_rows.clear()
    shared.rest.fail.clear()
    assert shared.internal("POST", "order-mode", {"mode": "semi_auto"}).json == {"mode": "semi_auto"}
    for row in waiting(shared):
        shared.internal("POST", f"approvals/{row['id']}/reject")
    yield shared
    shared.internal("POST", "order-mode", {"mode": "auto"})


def waiting(rig: Rig) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = rig.internal("GET", "approvals").json["orders"]
    return rows


def approve(rig: Rig, queued_id: int) -> dict[str, Any]:
    answer = rig.internal("POST", f"approvals/{queued_id}/approve")
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


@pytest.mark.parametrize("path", WAITS)
def test_an_order_waits_and_is_sent_when_approved(rig, path):
    answer = rig.post(path, **WAITS[path])
    assert answer.status_code == 200
    queued_id = answer.json["pending_order_id"]
    assert answer.json == {
        "status": "success",
        "message": "Order queued for approval in Action Center",
        "mode": "semi_auto",
        "pending_order_id": queued_id,
    }
    assert rig.rest.placed == []
    [row] = waiting(rig)
    assert (row["id"], row["kind"], row["source"], row["strategy"]) == (queued_id, path, "api", "test")
    assert "apikey" not in row["request"]
    ended = approve(rig, queued_id)
    assert (ended["state"], ended["status"]) == ("done", 200), ended
    quantity = sum(order.quantity for order, _, _ in rig.rest.placed)
    assert quantity == (10 if path == "basketorder" else 5)
    assert waiting(rig) == []
    sent = len(rig.rest.placed)
    assert approve(rig, queued_id)["answer"] == ended["answer"]
    assert len(rig.rest.placed) == sent


def test_every_endpoint_of_the_contract_has_its_rule():
    paths = {endpoint.path for endpoint in ENDPOINTS}
    assert {p for p in semiauto.QUEUED if "/" not in p} | set(semiauto.REFUSED) <= paths
    assert set(semiauto.REFUSED) == {
        "modifyorder",
        "cancelorder",
        "cancelallorder",
        "closeposition",
        "modifygttorder",
        "cancelgttorder",
    }


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_is_refused_unless_in_analyze_mode(rig, path):
    calls = len(rig.rest.calls)
    answer = rig.post(path, **CHANGES[path])
    assert (answer.status_code, answer.json["code"]) == (403, "SEMI_AUTO")
    assert "not allowed in Semi-Auto mode" in answer.json["message"]
    # books are read in the background all the time; nothing was changed
    assert {"cancel", "modify"}.isdisjoint(rig.rest.calls[calls:])
    endpoint = next(e for e in ENDPOINTS if e.path == path)
    call = Call({}, 0, Headers())
    assert semiauto.held_back(replace(rig.parts, analyzing=lambda: True), endpoint, {}, call) is None


def test_semi_auto_comes_before_analyze_mode(rig):
    endpoint = next(e for e in ENDPOINTS if e.path == "placeorder")
    call = Call(dict(ORDER), 1, Headers())
    held = semiauto.held_back(replace(rig.parts, analyzing=lambda: True), endpoint, ORDER, call)
    assert held is not None
    assert held["mode"] == "semi_auto"


def test_a_wrong_order_is_refused_at_once_and_reads_go_on(rig):
    assert rig.place(quantity="0").status_code == 400
    assert rig.place(apikey="f" * 64).status_code == 403
    assert waiting(rig) == []
    assert rig.post("orderbook").status_code == 200
    assert rig.post("quotes", symbol="SBIN", exchange="NSE").status_code == 200


def test_a_rejected_order_is_never_sent(rig):
    queued_id = rig.place().json["pending_order_id"]
    assert rig.internal("POST", f"approvals/{queued_id}/reject").json["state"] == "rejected"
    refused = rig.internal("POST", f"approvals/{queued_id}/approve")
    assert (refused.status_code, refused.json["code"]) == (409, "REJECTED")
    assert rig.rest.placed == []
    assert rig.internal("POST", "approvals/999999/approve").status_code == 404


def test_the_same_client_order_id_waits_once_and_is_the_orders_own(rig):
    first = rig.place(client_order_id="mine-1").json
    again = rig.place(client_order_id="mine-1").json
    assert again == {**first, "repeated": True}
    other = rig.place(client_order_id="mine-1", quantity="6")
    assert (other.status_code, other.json["code"]) == (400, "CLIENT_ORDER_ID_REUSED")
    order_id = approve(rig, first["pending_order_id"])["answer"]["orderid"]
    rig.internal("POST", "order-mode", {"mode": "auto"})
    later = rig.place(client_order_id="mine-1").json
    assert (later["orderid"], later["repeated"]) == (order_id, True)
    assert len(rig.rest.placed) == 1


def test_an_order_sent_before_the_mode_was_switched_is_answered_by_the_first_answer(rig):
    rig.internal("POST", "order-mode", {"mode": "auto"})
    first = rig.place(client_order_id="before-1").json
    rig.internal("POST", "order-mode", {"mode": "semi_auto"})
    again = rig.place(client_order_id="before-1").json
    assert (again["orderid"], again["repeated"]) == (first["orderid"], True)
    assert waiting(rig) == []


def test_fifty_approvals_at_once_send_one_order(rig):
    queued_id = rig.place().json["pending_order_id"]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(approve(rig, queued_id)["answer"]["orderid"]))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 50
    assert len(set(found)) == len(rig.rest.placed) == 1


def test_a_refusal_and_an_unknown_outcome_are_told_as_what_they_are(rig):
    rig.rest.fail["place"] = [OrderRejected("no money", code="INSUFFICIENT_MARGIN")]
    row = approve(rig, rig.place().json["pending_order_id"])
    assert (row["state"], row["status"], row["answer"]["code"]) == ("failed", 400, "INSUFFICIENT_MARGIN")
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    row = approve(rig, rig.place(symbol="M&M").json["pending_order_id"])
    assert (row["state"], row["answer"]["code"]) == ("unknown", "OUTCOME_UNKNOWN")
    assert len(rig.rest.placed) == 0


def test_a_smart_order_is_worked_out_when_it_is_approved(rig):
    order = {**ORDER, "symbol": "TCS", "position_size": "9"}
    queued_id = rig.post("placesmartorder", **order).json["pending_order_id"]
    rig.rest.position_rows.append(position(InstrumentKey("NSE", "TCS"), 4))
    assert approve(rig, queued_id)["state"] == "done"
    [(sent, _, _)] = rig.rest.placed
    assert sent.quantity == 5


def queued(rig: Rig, path: str, client_id: str) -> int:
    """An order approved on disk, by a process that dies before it is sent."""
    store = rig.parts.queue.store
    body = dict(WAITS[path])
    new = NewOrder(client_id, "api", path, body, fingerprint_of(path, body), time.time_ns())
    [row], _ = store.add([new], Step.WAITING)
    store.decide(row.id, Step.DUE)
    return row.id


@pytest.mark.parametrize("path", WAITS)
@pytest.mark.parametrize("sent", [False, True], ids=["before it was sent", "after it was sent"])
def test_a_crash_around_the_send_neither_loses_nor_doubles_an_order(rig, path, sent):
    queued_id = queued(rig, path, f"crash-{path}-{sent}")
    store = rig.parts.queue.store
    if sent:
        found = Carrier(rig.parts)(store.get(queued_id))  # killed before the queue wrote it down
        assert not isinstance(found, TryAgain), found
        already = len(rig.rest.placed)
        assert already > 0, found
    next_process = Queue(store, rig.parts.queue.strategies, rig.parts.clock)
    next_process.start(Carrier(rig.parts))
    try:
        end = time.monotonic() + 10
        while not store.get(queued_id).step.is_final:
            assert time.monotonic() < end
            time.sleep(0.005)
    finally:
        next_process.stop()
    assert store.get(queued_id).step is Step.DONE, store.get(queued_id)
    assert sum(order.quantity for order, _, _ in rig.rest.placed) == (10 if path == "basketorder" else 5)
    if sent:
        assert len(rig.rest.placed) == already


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again after a crash"])
def test_a_gtt_waits_too_and_is_kept_once(rig, times):
    client_id = f"gtt-{times}"
    answer = rig.post("placegttorder", headers={"Idempotency-Key": client_id}, **GTT)
    assert (answer.status_code, answer.json["mode"]) == (200, "semi_auto")
    before = len(rig.post("gttorderbook").json["data"])
    row = rig.parts.queue.store.get(answer.json["pending_order_id"])
    ends = [Carrier(rig.parts)(row) for _ in range(times)]
    assert {end.step for end in ends if not isinstance(end, TryAgain)} == {Step.DONE}
    assert len(rig.post("gttorderbook").json["data"]) == before + 1
    for path in ("modifygttorder", "cancelgttorder"):
        fields = {"strategy": "test", "trigger_id": "1"} | (GTT if path == "modifygttorder" else {})
        assert rig.post(path, **fields).json["code"] == "SEMI_AUTO"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"status": "success"}, Step.DONE),
        (200, {"status": "partial"}, Step.DONE),
        (400, {"status": "error", "code": "INVALID_QUANTITY"}, Step.FAILED),
        (504, {"status": "error", "code": "OUTCOME_UNKNOWN", "journal_id": 5}, Step.UNKNOWN),
        (429, {"status": "error", "code": "RATE_LIMITED", "journal_id": 5}, Step.FAILED),
        (500, {"status": "error", "code": "INTERNAL"}, Step.FAILED),
        (429, {"status": "error", "code": "RATE_LIMITED"}, None),
        (503, {"status": "error", "code": "NOT_READY"}, None),
    ],
)
def test_only_what_never_reached_the_journal_is_tried_again(status, body, expected):
    found = judged(status, body)
    if expected is None:
        assert isinstance(found, TryAgain)
    else:
        assert not isinstance(found, TryAgain)
        assert (found.step, found.answer) == (expected, body)


def test_the_pages_are_told_of_an_order_that_waits(rig, monkeypatch):
    told: list[int] = []
    monkeypatch.setattr(rig.parts.queue, "_announce", lambda row: told.append(row.id))
    queued_id = rig.place().json["pending_order_id"]
    assert told == [queued_id]


@pytest.mark.parametrize("paper", [False, True], ids=["live", "paper"])
def test_an_order_never_crosses_over_to_the_other_mode(rig, paper):
    queued_id = rig.place().json["pending_order_id"]
    store = rig.parts.queue.store
    row = replace(store.get(queued_id), paper=paper)
    found = Carrier(replace(rig.parts, analyzing=lambda: not paper))(row)
    assert not isinstance(found, TryAgain)
    assert (found.step, found.answer["code"]) == (Step.FAILED, "MODE_CHANGED")
    assert rig.rest.placed == []


def test_an_order_sent_before_the_mode_was_switched_is_not_called_unsent(rig):
    queued_id = queued(rig, "placeorder", "crash-mode")
    row = rig.parts.queue.store.get(queued_id)
    Carrier(rig.parts)(row)
    found = Carrier(replace(rig.parts, analyzing=lambda: True))(row)
    assert not isinstance(found, TryAgain)
    assert (found.step, len(rig.rest.placed)) == (Step.UNKNOWN, 1)
