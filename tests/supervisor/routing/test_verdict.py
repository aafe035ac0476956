"""What an answer proves."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.routing.model import State
from supervisor.routing.verdict import NO_WORD, judge


def error(code: str, *, journaled: object = True, http: int = 400, **more: Any) -> dict[str, Any]:
    answer = {"status": "error", "message": "why", "code": code, **more}
    return {"http": http, "answer": answer, "journaled": journaled}


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        "<html>",
        [],
        {},
        {"http": 200},
        {"http": 200, "answer": None, "journaled": False},
        {"http": "200", "answer": {"status": "success", "orderid": "1"}},
        {"http": 500, "answer": {"message": "?"}, "journaled": False},
        error("INTERNAL"),
        error("STORE", http=503),
        error("ORDER_REJECTED", journaled=None),
        error("", journaled=False) | {"answer": {"status": "error"}},
    ],
)
def test_what_cannot_be_read_or_stands_beside_the_order_proves_nothing(envelope: Any) -> None:
    assert judge(envelope) == NO_WORD


@pytest.mark.parametrize(
    ("envelope", "state", "order_id"),
    [
        ({"http": 200, "answer": {"status": "success", "orderid": 7}}, State.PLACED, "7"),
        ({"http": 200, "answer": {"status": "success", "message": "matched"}}, State.NOTHING, ""),
        (error("NOT_READY", journaled=False, http=503), State.NOT_SENT, ""),
        (error("INTERNAL", journaled=False, http=500), State.NOT_SENT, ""),
        (error("ORDER_REJECTED", order_status="rejected", orderid="7"), State.REFUSED, "7"),
        (error("BROKER_DISCONNECTED", order_status="rejected", http=503), State.REFUSED, ""),
        (error("DUPLICATE_ORDER", order_status="open", orderid="7"), State.PLACED, "7"),
        (error("CLIENT_ORDER_ID_REUSED"), State.REFUSED, ""),
        (error("OUTCOME_UNKNOWN", order_status="unknown", http=504), State.OPEN, ""),
    ],
)
def test_what_an_answer_proves(envelope: Any, state: State, order_id: str) -> None:
    found = judge(envelope)
    assert (found.state, found.order_id, found.http) == (state, order_id, envelope["http"])
