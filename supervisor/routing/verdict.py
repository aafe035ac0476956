"""What an instance's answer to a new order proves. Pure.

=========================================== ==========================================================
answer                                      means
=========================================== ==========================================================
success with an order id                    placed
success without one                         nothing to do (a smart order at its target)
an error, and ``journaled`` is false        not sent: nothing of it is on its way either
an error with the order's state there       refused; with a living order (``DUPLICATE_ORDER``): placed
``OUTCOME_UNKNOWN``                         its journal has it and looks for evidence: ask later
any other error, or no JSON                 nothing: the instance has to be asked
=========================================== ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisor.routing.model import State

REUSED = "CLIENT_ORDER_ID_REUSED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``state`` is ``OPEN`` where the answer proves nothing; ``answer`` is empty when none was read."""

    state: State
    http: int
    answer: Mapping[str, Any]
    order_id: str = ""


NO_WORD = Verdict(State.OPEN, 0, {})


def judge(envelope: Any) -> Verdict:
    """Of ``{"http": …, "answer": {…}, "journaled": …}``; what is not of this form proves nothing."""
    if not isinstance(envelope, dict):
        return NO_WORD
    http, answer, journaled = envelope.get("http"), envelope.get("answer"), envelope.get("journaled")
    if not isinstance(http, int) or not isinstance(answer, dict):
        return NO_WORD
    order_id = str(answer.get("orderid") or "")
    if http == 200 and answer.get("status") == "success":
        return Verdict(State.PLACED if order_id else State.NOTHING, http, answer, order_id)
    code = answer.get("code")
    if answer.get("status") != "error" or not isinstance(code, str) or not isinstance(journaled, bool):
        return NO_WORD
    if not journaled:
        # whatever it was: the instance's journal comes before the first byte to a broker
        return Verdict(State.NOT_SENT, http, answer)
    if code == REUSED:
        # somebody used the id there for another order: ours was refused and is not the one in its journal
        return Verdict(State.REFUSED, http, answer)
    if "order_status" not in answer:
        # not the answer to an order of its journal: something else went wrong after, or beside, that order
        return NO_WORD
    if code == "OUTCOME_UNKNOWN" or answer["order_status"] == "unknown":
        return Verdict(State.OPEN, http, answer, order_id)
    lives = bool(order_id) and answer["order_status"] not in ("rejected", "cancelled")
    return Verdict(State.PLACED if lives else State.REFUSED, http, answer, order_id)
