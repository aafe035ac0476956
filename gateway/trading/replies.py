"""Answers made from what the journal knows. Pure."""

from __future__ import annotations

from dataclasses import replace

from brokers.errors import AlgoError, InvalidRequest
from brokers.model import Order, OrderChange, OrderStatus, SentTerms
from brokers.reasons import code_of
from gateway.store.journal import JournalRow
from gateway.trading.answers import OrderAnswer
from gateway.trading.machine import State
from gateway.trading.writes import DUPLICATE, broker_code, retry_after_s

WAITING = (State.SENDING, State.UNKNOWN)


def success(row: JournalRow, sent: SentTerms | None) -> OrderAnswer:
    """The broker took it; still a rejection when that is what it answered."""
    answer = from_state(row)
    return replace(answer, sent=sent) if answer.ok else answer


def from_state(row: JournalRow) -> OrderAnswer:
    """An answer from what is known of an order that is not unknown."""
    rejected = row.known.state is State.REJECTED
    never = rejected and row.known.local
    refused_for = "BROKER_DISCONNECTED" if never else code_of(row.known.reason) or "ORDER_REJECTED"
    return OrderAnswer(
        order_id=row.known.order_id,
        status=row.known.state.status,
        sent=None,
        code=refused_for if rejected else "",
        message=(row.known.reason or "rejected by the broker, see the order book") if rejected else "",
        journal_id=row.id,
    )


def failure(row: JournalRow, error: AlgoError) -> OrderAnswer:
    """It certainly changed nothing."""
    return replace(refused(row.id, error), order_id=row.known.order_id, status=row.known.state.status)


def refused(journal_id: int, error: AlgoError) -> OrderAnswer:
    """It certainly changed nothing, and no order came of it."""
    return OrderAnswer(
        order_id="",
        status=OrderStatus.REJECTED,
        sent=None,
        code=error.code,
        message=str(error),
        journal_id=journal_id,
        broker_code=broker_code(error),
        retry_after_s=retry_after_s(error),
    )


def repeat(first: OrderAnswer) -> OrderAnswer:
    """The first answer to a client_order_id, given again. A refusal stays one: "try again" needs a new id."""
    if first.ok or first.code in ("OUTCOME_UNKNOWN", DUPLICATE):
        return replace(first, repeated=True)
    more = "this is the first answer to this client_order_id; to place an order now, use a new one"
    return replace(first, repeated=True, message=f"{first.message} ({more})")


def duplicate(found: OrderAnswer, code: str, said: str) -> OrderAnswer:
    """The broker refused a place because it has that order: which one it is."""
    return replace(
        found,
        code=code,
        message=f"the broker has this order already, as {found.order_id}, and made no second one; "
        f"do not send it again ({said})",
    )


def not_open(row: JournalRow) -> OrderAnswer:
    """A change came too late: the order had ended."""
    return replace(
        refused(row.id, InvalidRequest(f"order {row.shown_id} is {row.known.state} already")),
        order_id=row.known.order_id,
        status=row.known.state.status,
        code="ORDER_NOT_OPEN",
    )


def has_terms(order: Order, terms: OrderChange) -> bool:
    return (order.quantity, order.price, order.trigger_price) == (
        terms.quantity,
        terms.price,
        terms.trigger_price,
    )


def unknown(row: JournalRow) -> OrderAnswer:
    """The honest answer to an order, or a change of one, whose outcome is not known."""
    what = f"the {row.pending} of order {row.shown_id}" if row.pending else f"the order (journal J{row.id})"
    if not row.pending and row.known.state not in WAITING:
        return from_state(row)
    return replace(lost(row.id, what), order_id=row.known.order_id, status=row.known.state.status)


def lost_change(row: JournalRow, kind: str) -> OrderAnswer:
    """A modify or cancel nobody answered to; what is known of the order meanwhile says nothing about it."""
    if kind == "cancel" and row.known.state is State.CANCELLED:
        return from_state(row)
    answer = lost(row.id, f"the {kind} of order {row.shown_id}")
    return replace(answer, order_id=row.known.order_id, status=row.known.state.status)


def lost(journal_id: int, what: str = "the order") -> OrderAnswer:
    return OrderAnswer(
        order_id="",
        status=OrderStatus.UNKNOWN,
        sent=None,
        code="OUTCOME_UNKNOWN",
        message=f"the broker's answer to {what} was lost; it may have been carried out. "
        "Do not send it again: it is being looked for, see the order book",
        journal_id=journal_id,
    )
