"""Sends what waited: a queued order's request goes to its handler as if it came now, under its row's id."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import Headers

from gateway.api import dispatch, errors, modes, older, surface
from gateway.api.parts import Call, Endpoint, Parts
from gateway.store.queued import Outcome, QueuedOrder, Step
from gateway.strategies.queue import TryAgain

RETRIED = frozenset({"NOT_READY", "RATE_LIMITED", "STORE", "AUTH_EXPIRED", "BROKER_DISCONNECTED"})
"""Worth another try while nothing reached the journal; an exit even then: none of these was executed."""
MOST_ATTEMPTS = 200


class Carrier:
    """Carries queued orders out. What an earlier run journaled under a row's id is answered, not resent."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._queue = parts.queue
        self._table = {
            endpoint.path: (endpoint, endpoint.schema())
            for endpoint in (*surface.ENDPOINTS, *older.ENDPOINTS)
            if endpoint.method == "POST" and endpoint.handler is not None
        }

    def __call__(self, row: QueuedOrder) -> Outcome | TryAgain:
        """Never raises: whatever goes wrong is the row's outcome."""
        endpoint, _ = self._table[row.kind]
        # once, so that a switch in between cannot send it the other way
        parts = modes.pinned(self._parts, endpoint)
        if parts.analyzing() is not row.paper:
            return self._other_mode(row)
        return self._exit(parts, row) if is_exit(row) else judged(*self._try(parts, row, row.client_id))

    def _exit(self, parts: Parts, row: QueuedOrder) -> Outcome | TryAgain:
        """A position that is to be closed: what was surely not executed is tried again under the next id.

        The order is worked out from the position each time, so a further try cannot close more than is open.
        """
        found: Outcome | TryAgain = Outcome(Step.FAILED, 500, {})
        for attempt in range(1, MOST_ATTEMPTS + 1):
            status, body = self._try(parts, row, f"{row.client_id}#{attempt}")
            found = judged(status, body)
            if (
                isinstance(found, TryAgain)
                or found.step is not Step.FAILED
                or body.get("code") not in RETRIED
            ):
                return found
            if not body.get("repeated"):
                return TryAgain(found)
        return found

    def _try(self, parts: Parts, row: QueuedOrder, client_id: str) -> tuple[int, dict[str, Any]]:
        endpoint, schema = self._table[row.kind]
        try:
            return _send(parts, endpoint, schema, row, client_id)
        except ValidationError as exc:
            return self._told(errors.invalid_fields(exc.messages, "V3"))
        except Exception as exc:  # noqa: BLE001 (top of one order; of_exception logs what is not ours)
            return self._told(errors.of_exception(exc))

    def _told(self, found: errors.Problem) -> tuple[int, dict[str, Any]]:
        return found.status, found.body(self._parts.settings.name)

    def _other_mode(self, row: QueuedOrder) -> Outcome:
        """The mode was switched while it waited: paper stays paper, and analyze mode opens no way out."""
        meant, now = ("analyze", "live") if row.paper else ("live", "analyze")
        body = {"status": "error", "code": "MODE_CHANGED"}
        if self._queue is not None and self._queue.store.was_journaled(row.client_id):
            body["message"] = (
                f"sent before the mode was switched to {now}; the order book of {meant} mode tells"
            )
            return Outcome(Step.UNKNOWN, 409, body)
        body["message"] = f"not sent: it was meant for {meant} mode, and the instance is in {now} mode now"
        return Outcome(Step.FAILED, 409, body)


def is_exit(row: QueuedOrder) -> bool:
    """An alert's exit or a square-off: to zero, whatever is held."""
    return row.source != "api" and row.kind == "placesmartorder" and row.body.get("position_size") == "0"


def _send(
    parts: Parts, endpoint: Endpoint, schema: Schema, row: QueuedOrder, client_id: str
) -> tuple[int, dict[str, Any]]:
    data = schema.load({**row.body, "apikey": "-"})
    if endpoint.auth == "session":
        parts.session.check()
    # an id in the body is the row's id too, and stands in the header alone
    data.pop("client_order_id", None)
    call = Call(data, row.received_ns, Headers({"Idempotency-Key": client_id}))
    answer = dispatch.perform(parts, endpoint, call)
    if isinstance(answer, Response):
        return answer.status_code, answer.get_json()
    return 200, answer


def judged(status: int, body: dict[str, Any]) -> Outcome | TryAgain:
    """What an answer means for the row that asked for it."""
    code = body.get("code")
    if code == "OUTCOME_UNKNOWN":
        return Outcome(Step.UNKNOWN, status, body)
    if status == 200 and body.get("status") != "error":
        return Outcome(Step.DONE, status, body)
    failed = Outcome(Step.FAILED, status, body)
    return TryAgain(failed) if code in RETRIED and "journal_id" not in body else failed


def pending(row: QueuedOrder) -> dict[str, Any]:
    """What the pages are told of an order that begins to wait for approval."""
    return {"pending_order_id": row.id, "strategy": row.strategy, "api_type": row.kind, "order": row.body}
