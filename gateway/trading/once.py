"""One request, one order: what carries the same client_order_id is answered by the first (O4)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from brokers.errors import InvalidRequest, OutcomeUnknown
from brokers.model import OrderRequest
from gateway.trading.answers import OrderAnswer
from gateway.trading.replies import repeat
from gateway.trading.tasks import THREADS, Tasks, fulfil


def fingerprint(request: OrderRequest) -> str:
    """The terms of a request as text: equal for a repeat, different for another order."""
    return "|".join(
        str(part)
        for part in (
            request.key,
            request.action,
            request.quantity,
            request.price_type,
            request.product,
            request.price.normalize(),
            request.trigger_price.normalize(),
            request.disclosed_quantity,
        )
    )


class Once:
    """Lets the first request with an id through; the others wait for its answer.

    Args:
        stored: The answer of an earlier request by its id, from the journal; None when there is none. Given
            the fingerprint too; raises ``InvalidRequest`` through ``refuse_other``.
        patience_s: How long a repeat waits for a first request that is still in flight.
    """

    def __init__(
        self,
        stored: Callable[[str, str], OrderAnswer | None],
        patience_s: float,
        tasks: Tasks = THREADS,
    ) -> None:
        self._stored = stored
        self._tasks = tasks
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._flying: dict[str, tuple[str, Future[OrderAnswer]]] = {}

    def run(self, client_order_id: str, terms: str, work: Callable[[], OrderAnswer]) -> OrderAnswer:
        """``work``'s answer, or that of the first request with this id.

        Raises:
            InvalidRequest: The id was used for another order (``CLIENT_ORDER_ID_REUSED``).
            OutcomeUnknown: The first request is still in flight after ``patience_s``.
            AlgoError: Whatever the first request raised.
        """
        with self._lock:
            flying = self._flying.get(client_order_id)
            if flying is None:
                mine: Future[OrderAnswer] = Future()
                self._flying[client_order_id] = (terms, mine)
        if flying is not None:
            refuse_other(client_order_id, flying[0], terms)
            return self._wait(client_order_id, flying[1])
        try:
            fulfil(mine, lambda: self._stored(client_order_id, terms) or work())
        finally:
            with self._lock:
                del self._flying[client_order_id]
        return mine.result()

    def has(self, client_order_id: str) -> bool:
        """A first request with this id is in flight."""
        with self._lock:
            return client_order_id in self._flying

    def _wait(self, client_order_id: str, first: Future[OrderAnswer]) -> OrderAnswer:
        try:
            return repeat(self._tasks.result(first, self._patience_s))
        except FutureTimeout as exc:
            if first.done():
                raise
            raise OutcomeUnknown(
                f"the first request with client_order_id '{client_order_id}' is still in flight; "
                "ask again with the same id"
            ) from exc


def refuse_other(client_order_id: str, first: str, now: str) -> None:
    """Raises ``InvalidRequest`` when an id comes back with other terms."""
    if first != now:
        message = f"client_order_id '{client_order_id}' was used for another order: {first}"
        raise InvalidRequest(message, fields={"client_order_id": [message]}, code="CLIENT_ORDER_ID_REUSED")
