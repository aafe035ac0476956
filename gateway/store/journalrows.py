"""Values of the order journal: an intent, a row, a step. Nothing here touches the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.model import Action, InstrumentKey, Order, OrderChange, OrderRequest, PriceType
from gateway.trading import machine
from gateway.trading.machine import Known

OURS = "ours"
FOREIGN = "foreign"
GTT = "gtt"
"""Sent by the broker for a GTT order of ours that it keeps."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An order about to be sent; ``tag`` is ours, ``fingerprint`` tells a repeat from a mistake."""

    request: OrderRequest
    tag: str
    strategy: str
    client_order_id: str | None
    fingerprint: str
    is_exit: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Wall nanoseconds of an order's stages (O9); None where it did not pass."""

    received_ns: int | None = None
    checked_ns: int | None = None
    journaled_ns: int | None = None
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    answered_ns: int | None = None


NO_TIMES = Times()


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One order as the journal knows it.

    Attributes:
        pending: ``modify`` or ``cancel`` while the outcome of such a write is not known, else empty.
        pending_ns: When that write was journaled.
        answer: The first answer as JSON, empty before it was given.
    """

    id: int
    tag: str
    client_order_id: str | None
    fingerprint: str
    origin: str
    strategy: str
    is_exit: bool
    created_ns: int
    key: InstrumentKey
    action: Action
    price_type: PriceType
    product: str
    price: Decimal
    trigger_price: Decimal
    disclosed_quantity: int
    known: Known
    pending: str
    pending_ns: int
    answer: str

    @property
    def shown_id(self) -> str:
        """The broker's order id, or ``J<id>`` as long as there is none."""
        return self.known.order_id or f"J{self.id}"

    def to_order(self) -> Order:
        """As a row of the order book."""
        return Order(
            order_id=self.shown_id,
            key=self.key,
            action=self.action,
            quantity=self.known.quantity,
            price_type=self.price_type,
            product=self.product,
            price=self.price,
            trigger_price=self.trigger_price,
            status=self.known.state.status,
            filled_quantity=self.known.filled,
            average_price=self.known.average,
            tag=self.tag,
            raw_status="",
            rejection_reason=self.known.reason,
            placed_at=datetime.fromtimestamp(self.created_ns / 1e9, UTC),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One step of one row.

    Attributes:
        kind: Name of the journal event, e.g. ``outcome``, ``update``, ``reconciled``.
        event: What the machine is told; None leaves the state.
        pending: New value of ``pending`` (``""`` clears it), None leaves it.
        terms: Terms the broker took with a modification.
        quiet: Write nothing when the event teaches nothing.
    """

    journal_id: int
    kind: str
    event: machine.Event | None = None
    times: Times = NO_TIMES
    pending: str | None = None
    terms: OrderChange | None = None
    answer: str | None = None
    detail: Mapping[str, Any] | None = None
    quiet: bool = False
