"""Semi-auto mode: requests for orders wait for a person, changes are refused.

Source: openalgo-api, sections 1.3 (queued answer), 1.4 and 1.6.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from gateway.api import orders
from gateway.api.parts import Call, Endpoint, Parts
from gateway.store.queued import NewOrder, fingerprint_of

QUEUED_MESSAGE = "Order queued for approval in Action Center"
QUEUED: Mapping[str, str] = {
    "placeorder": "order",
    "placesmartorder": "smart order",
    "basketorder": "basket",
    "splitorder": "split order",
    "optionsorder": "option order",
    "optionsmultiorder": "option legs",
    "placegttorder": "GTT order",
    "orders/place": "order",
    "smartorders/place": "smart order",
}
"""Endpoints whose orders wait, and what people call such an order."""
REFUSED: Mapping[str, str] = {
    "modifyorder": "Modify order",
    "cancelorder": "Cancel order",
    "cancelallorder": "Cancel all orders",
    "closeposition": "Close position",
    "modifygttorder": "Modify GTT order",
    "cancelgttorder": "Cancel GTT order",
}


class NotInSemiAuto(Exception):
    """The operation is refused in this mode."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not allowed in Semi-Auto mode; the account's owner does it by hand")


def held_back(
    parts: Parts, endpoint: Endpoint, given: Mapping[str, Any], call: Call
) -> dict[str, Any] | None:
    """The answer of a request that waits for approval now; None when it may go on.

    Args:
        given: The request's fields as they came; they are checked already.

    Raises:
        NotInSemiAuto: A change, and the instance is not in analyze mode.
        InvalidRequest: Its id was used for another order.
    """
    queue = parts.queue
    if queue is None or not queue.needs_approval:
        return None
    if (what := REFUSED.get(endpoint.path)) is not None and not parts.analyzing():
        raise NotInSemiAuto(what)
    if endpoint.path not in QUEUED:
        return None
    body = {name: value for name, value in given.items() if name != "apikey"}
    client_id = orders.client_order_id(call)
    if client_id and parts.desk.knows(client_id) and not queue.store.known([client_id]):
        return None  # sent before the mode was switched: the journal has its answer
    [row], repeated = queue.submit(
        [
            NewOrder(
                client_id=client_id or f"q{uuid.uuid4().hex}",
                source="api",
                kind=endpoint.path,
                body=body,
                fingerprint=fingerprint_of(endpoint.path, body),
                received_ns=call.received_ns,
                paper=parts.analyzing(),
            )
        ]
    )
    answer = {
        "status": "success",
        "message": QUEUED_MESSAGE,
        "mode": "semi_auto",
        "pending_order_id": row.id,
    }
    return answer | ({"repeated": True} if repeated else {})
