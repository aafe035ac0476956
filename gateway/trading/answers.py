"""What the desk answers: values, no behaviour beyond naming what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brokers.model import InstrumentKey, OrderStatus, SentTerms


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """The outcome of one write that reached the journal. ``code`` is empty only on success.

    Attributes:
        order_id: The broker's id; empty when there is none (refused, or outcome unknown).
        status: What is known now; ``unknown`` together with code ``OUTCOME_UNKNOWN``.
        sent: The price terms that really went out, None when nothing did or it is not known.
        code: ``""`` or a machine-readable reason: ``OUTCOME_UNKNOWN``, ``ORDER_REJECTED``, ``AUTH_EXPIRED``,
            ``BROKER_DISCONNECTED`` (never sent), ``RATE_LIMITED``, ``IP_NOT_ALLOWED``, ``ORDER_NOT_FOUND`` …
        message: One line for a person; empty on success.
        journal_id: The journal row, also when the broker gave no id. ``J<journal_id>`` is accepted wherever
            an order id is.
        broker_code: The broker's own code, empty when there was none.
        retry_after_s: Seconds to wait, with code ``RATE_LIMITED`` only.
        repeated: True when this is the stored answer of an earlier request with the same client_order_id.
    """

    order_id: str
    status: OrderStatus
    sent: SentTerms | None
    code: str
    message: str
    journal_id: int
    broker_code: str = ""
    retry_after_s: float | None = None
    repeated: bool = False

    @property
    def ok(self) -> bool:
        return not self.code


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing of many that did not work; ``what`` is an order id or ``EXCHANGE:SYMBOL product``."""

    what: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class CancelReport:
    """``cancelled``: order ids whose cancellation the broker took. Nothing is left out of the two lists."""

    cancelled: tuple[str, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Exit:
    """One exit order the broker took. A protected MARKET order can rest: ``status`` says what is known."""

    key: InstrumentKey
    product: str
    quantity: int
    order_id: str
    status: OrderStatus


@dataclass(frozen=True, slots=True)
class CloseReport:
    """``closed``: exit orders the broker took (their fills are in the order book). Nothing is left out."""

    closed: tuple[Exit, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class DeskStatus:
    """For status pages. Times are ISO-8601 UTC or None.

    Attributes:
        ready: The first reconciliation is done, orders are accepted.
        waiting_for: Why not, one line.
        unknown: Orders whose outcome is not known now.
        blocked: Why entries are blocked, empty when they are not.
        panic: How far the last panic is carried out here (``panic.Report``).
        risk: What is watched between orders, and what stands against entries; empty without such limits.
        foreign: Orders of this account placed elsewhere, today.
        drift: Differences the last position reconciliation saw and did not trade away.
    """

    ready: bool
    waiting_for: str
    unknown: int
    blocked: str
    panic: dict[str, Any]
    risk: dict[str, Any]
    foreign: int
    orders_reconciled_at: str | None
    positions_reconciled_at: str | None
    last_error: str
    drift: tuple[str, ...]
