"""What the route ``best`` may ask of an instance, and that an order given up is never sent afterwards."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from brokers.errors import BrokerDown, OrderRejected, OutcomeUnknown
from gateway.api.routed import CLOSED_KEPT, Fence
from tests.gateway.api.rig import ORDER, SBIN, position


def call(rig, client_id="a", *, endpoint="placeorder", attempt=1, mode="live", **changes):
    body = {**ORDER, "client_order_id": client_id, **changes}
    asked = {"endpoint": endpoint, "mode": mode, "attempt": attempt, "body": body}
    return rig.internal("POST", "routed/call", asked).json


def settle(rig, client_id="a", attempt=1, **changes):
    body = {**ORDER, "client_order_id": client_id, **changes}
    asked = {"endpoint": "placeorder", "mode": "live", "attempt": attempt, "body": body}
    return rig.internal("POST", "routed/settle", asked).json


def test_an_order_is_answered_as_the_public_endpoint_answers_it(rig):
    found = call(rig)
    assert (found["http"], found["answer"]["status"], found["journaled"]) == (200, "success", True)
    again = call(rig)
    assert again["answer"]["orderid"] == found["answer"]["orderid"]
    assert again["answer"]["repeated"] is True
    assert len(rig.rest.placed) == 1
    other = call(rig, quantity="7")
    assert other["answer"]["code"] == "CLIENT_ORDER_ID_REUSED"


def test_what_was_not_journaled_says_so(rig):
    wrong = call(rig, quantity="-1")
    assert (wrong["http"], wrong["answer"]["code"], wrong["journaled"]) == (400, "INVALID_REQUEST", False)
    rig.rest.fail["place"] = [OrderRejected("no funds"), BrokerDown("no route")]
    for client_id, code in (("b", "ORDER_REJECTED"), ("c", "BROKER_DISCONNECTED")):
        found = call(rig, client_id)
        assert (found["answer"]["code"], found["journaled"]) == (code, True)


def test_an_order_nobody_knows_is_closed_by_asking(rig):
    assert settle(rig) == {"state": "never"}
    late = call(rig)
    assert (late["http"], late["answer"]["code"], late["journaled"]) == (409, "ORDER_CLOSED", False)
    assert rig.rest.placed == []
    assert call(rig, attempt=2)["http"] == 200, "a new attempt is another matter"
    assert settle(rig, attempt=2)["state"] == "known"


def test_a_known_order_is_answered_as_the_first_time(rig):
    first = call(rig)["answer"]
    found = settle(rig)
    assert (found["state"], found["http"], found["answer"]["orderid"]) == ("known", 200, first["orderid"])
    rig.rest.fail["place"] = [OrderRejected("no funds")]
    call(rig, "b")
    assert settle(rig, "b")["answer"]["code"] == "ORDER_REJECTED"
    rig.rest.fail["place"] = [OutcomeUnknown("silence")]
    lost = call(rig, "c")
    assert (lost["answer"]["code"], lost["journaled"]) == ("OUTCOME_UNKNOWN", True)
    assert settle(rig, "c")["answer"]["code"] == "OUTCOME_UNKNOWN"


def test_an_order_in_flight_is_not_closed(rig):
    meanwhile = []

    def look(name: str) -> None:
        if name == "place":
            meanwhile.append(settle(rig))

    rig.rest.before = look
    assert call(rig)["http"] == 200
    assert meanwhile == [{"state": "in flight"}]
    assert settle(rig)["state"] == "known"


def test_another_mode_than_the_one_meant_is_refused(rig):
    found = call(rig, mode="analyze")
    assert (found["http"], found["answer"]["code"], found["journaled"]) == (409, "MODE_CHANGED", False)
    assert rig.rest.placed == []


def test_other_endpoints_and_who_may_ask(rig):
    first = call(rig)["answer"]["orderid"]
    asked = {"endpoint": "orderstatus", "body": {"orderid": first}}
    assert rig.internal("POST", "routed/call", asked).json["answer"]["data"]["orderid"] == first
    unknown = rig.internal("POST", "routed/call", {"endpoint": "nothing", "body": {}})
    assert unknown.status_code == 400
    assert rig.app.test_client().post("/internal/routed/call", json=asked).status_code == 403


def test_how_it_stands(rig):
    rig.rest.position_rows = [position(SBIN, 5)]
    found = rig.internal("GET", "routed/standing?exchange=NSE&symbol=sbin").json
    assert (found["symbol"], found["mode"], found["ready"]) == ("SBIN", "live", True)
    assert found["books"] == {"positions": ["NSE:SBIN"], "orders": []}
    call(rig)
    found = rig.internal("GET", "routed/standing?exchange=NSE&symbol=SBIN").json
    assert found["books"]["orders"] == ["NSE:SBIN"]
    rig.parts.desk.books.forget()
    rig.rest.fail["positions"] = [BrokerDown("no route")]
    found = rig.internal("GET", "routed/standing").json
    assert (found["books"], found["books_error"]) == (None, "no route"), "unknown is not empty"


def test_semi_auto_refuses_and_queues_nothing(rig, monkeypatch):
    queue = type("Queue", (), {"needs_approval": True})()
    monkeypatch.setattr(
        "gateway.api.routed.modes.pinned", lambda parts, endpoint: replace(parts, queue=queue)
    )
    found = call(rig)
    assert (found["http"], found["answer"]["code"], found["journaled"]) == (403, "SEMI_AUTO", False)


@pytest.mark.parametrize("seed", range(3))
def test_the_fence_lets_one_side_win(seed):
    """However a closing and an attempt meet: it was closed and not carried out, or the other way round."""
    for number in range(300):
        fence, done, said = Fence(), [], []
        name = f"{seed}-{number}"

        def carry_out(fence=fence, done=done, name=name):
            with fence.passing(name, 1) as passes:
                if passes:
                    done.append(name)

        def close(fence=fence, done=done, said=said, name=name):
            said.append(fence.close(name, 1, lambda: bool(done)))

        both = [threading.Thread(target=carry_out), threading.Thread(target=close)]
        for one in both if number % 2 else both[::-1]:
            one.start()
        for one in both:
            one.join()
        assert (said == ["never"]) == (not done)


def test_the_fence_forgets_the_oldest():
    fence = Fence()
    for number in range(CLOSED_KEPT + 1):
        fence.close(str(number), 1, lambda: False)
    with fence.passing("0", 1) as first, fence.passing("1", 1) as second:
        assert (first, second) == (True, False)


@pytest.mark.parametrize("exchange", ["XYZ", "nse", "CRYPTO", ""])
def test_an_exchange_nobody_knows_is_no_reason_to_fall_silent(rig, exchange):
    found = rig.internal("GET", f"routed/standing?exchange={exchange}&symbol=M%26M")
    assert (found.status_code, found.json["mode"]) == (200, "live")
