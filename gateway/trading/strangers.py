"""Who wants to hear of orders that were placed elsewhere: one of them may be the child of a GTT order."""

from __future__ import annotations

import logging
from collections.abc import Callable

from brokers.model import Order
from gateway.survive import survive

log = logging.getLogger(__name__)


class Strangers:
    """Told once per order, on whatever thread found it; listeners must not block."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Order], None]] = []

    def listen(self, listener: Callable[[Order], None]) -> None:
        self._listeners.append(listener)

    def found(self, order: Order) -> None:
        for listener in self._listeners:
            # the order is imported and shown all the same
            with survive(log, f"order {order.order_id} was placed elsewhere; nobody could be told"):
                listener(order)
