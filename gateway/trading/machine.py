"""The life of one order, as rules. Pure: a known state and an event in, the next known state out.

Three rules stand before the table:

1. Only the broker ends ``unknown``, and only the broker's word is the truth.
2. A filled quantity never goes down; what was executed stays executed.
3. A final state stays, whatever arrives late, except for evidence of more: further fills, or the broker
   showing an order it never gave an id for (refused, or settled by us without its word: ``local``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from brokers.model import Order, OrderStatus


class State(StrEnum):
    """What is known about an intent. The last six are ``OrderStatus`` by the same words."""

    JOURNALED = "journaled"
    SENDING = "sending"
    UNKNOWN = "unknown"
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL

    @property
    def status(self) -> OrderStatus:
        """What a caller is told: an intent without an answer is ``unknown``."""
        if self in (State.JOURNALED, State.SENDING):
            return OrderStatus.UNKNOWN
        return OrderStatus(self.value)


FINAL = frozenset({State.COMPLETE, State.REJECTED, State.CANCELLED})
WORKING = frozenset({State.OPEN, State.TRIGGER_PENDING})
_ANSWERED = WORKING | FINAL

TABLE: dict[State, frozenset[State]] = {
    State.JOURNALED: frozenset({State.SENDING, State.REJECTED}),
    State.SENDING: _ANSWERED | {State.UNKNOWN},
    State.UNKNOWN: _ANSWERED,
    # a modify may turn a limit order into a stop order again
    State.OPEN: frozenset({State.TRIGGER_PENDING}) | FINAL,
    State.TRIGGER_PENDING: frozenset({State.OPEN}) | FINAL,
    State.COMPLETE: frozenset(),
    # fills that were on their way when the cancellation was
    State.CANCELLED: frozenset({State.COMPLETE, State.REJECTED}),
    # only when the broker never showed it before, see rule 3
    State.REJECTED: _ANSWERED - {State.REJECTED},
}


class IllegalTransition(Exception):
    """A programming error: our own code asked for a step the table does not have."""


@dataclass(frozen=True, slots=True)
class Known:
    """Everything the machine knows about one order.

    Attributes:
        local: The final state was our conclusion (never sent, never reached the broker), not its word.
        reason: Why it was rejected or cancelled, for a person.
    """

    state: State
    quantity: int
    filled: int = 0
    average: Decimal = Decimal(0)
    order_id: str = ""
    reason: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True)
class Sending:
    """The intent is on its way to disk and then to the broker."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered our write with an id."""

    order_id: str
    status: OrderStatus


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker understood the write and said no; nothing was executed."""

    reason: str


@dataclass(frozen=True, slots=True)
class NeverSent:
    """Provably no byte of it left this machine."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """Bytes left and no readable answer came."""


@dataclass(frozen=True, slots=True)
class NeverReached:
    """Three healthy reads did not show it, after the last moment at which it could have arrived."""

    reason: str


@dataclass(frozen=True, slots=True)
class BrokerSays:
    """A row of the broker's book, a pushed update, or an order found by its tag."""

    order: Order


@dataclass(frozen=True, slots=True)
class DayEnded:
    """A working order of an earlier day is not in the broker's book any more."""

    reason: str


Event = Sending | Acknowledged | Refused | NeverSent | AnswerLost | NeverReached | BrokerSays | DayEnded


def step(known: Known, event: Event) -> Known:
    """The next known state; ``known`` itself when the event teaches nothing.

    Raises:
        IllegalTransition: Our own side asked for something impossible. What a broker says never raises.
    """
    match event:
        case Sending():
            return _move(known, State.SENDING)
        case Acknowledged(order_id, status):
            return _acknowledged(known, order_id, status)
        case Refused(reason):
            # an update may have been faster than the answer; then the broker contradicts itself, and the
            # order it shows outweighs the refusal
            return known if known.order_id else _move(known, State.REJECTED, reason=reason)
        case NeverSent(reason):
            if known.order_id:
                return known
            return _move(known, State.REJECTED, reason=reason, local=True)
        case AnswerLost():
            # the feed may already have shown the order
            return known if known.order_id else _move(known, State.UNKNOWN)
        case NeverReached(reason):
            if known.state is not State.UNKNOWN:
                raise IllegalTransition(f"never reached the broker, but it is {known.state}")
            return _move(known, State.REJECTED, reason=reason, local=True)
        case DayEnded(reason):
            if known.state not in WORKING:
                raise IllegalTransition(f"the day ended for an order that is {known.state}")
            return _move(known, State.CANCELLED, reason=reason, local=True)
        case BrokerSays(order):
            return _broker_says(known, order)


def _move(known: Known, state: State, *, reason: str = "", local: bool = False) -> Known:
    if state not in TABLE[known.state] or (known.state.is_final and not known.local):
        raise IllegalTransition(f"{known.state} -> {state}")
    return replace(known, state=state, reason=reason, local=local)


def _acknowledged(known: Known, order_id: str, status: OrderStatus) -> Known:
    known = replace(known, order_id=known.order_id or order_id)
    if known.state not in (State.SENDING, State.UNKNOWN):
        return known  # an update was faster, and it knows more
    # TRANSIT and the like: the broker has it, that is what open means here
    state = State.OPEN if status is OrderStatus.UNKNOWN else State(status.value)
    return replace(known, state=state)


def _broker_says(known: Known, order: Order) -> Known:
    filled = max(known.filled, order.filled_quantity)
    average = known.average
    if order.average_price > 0 and order.filled_quantity >= known.filled:
        average = order.average_price
    # a modification changes the quantity; a late row must not undo it below what was executed
    changed = order.quantity > 0 and not known.state.is_final
    quantity = max(order.quantity if changed else known.quantity, filled)
    seen = replace(
        known, filled=filled, average=average, quantity=quantity, order_id=known.order_id or order.order_id
    )
    state = _next_state(known, order, filled, quantity)
    if state is known.state:
        return seen
    settles = state in (State.REJECTED, State.CANCELLED)
    return replace(seen, state=state, local=False, reason=order.rejection_reason if settles else "")


def _next_state(known: Known, order: Order, filled: int, quantity: int) -> State:
    """Where the broker's row leads; the present state when it leads nowhere."""
    if order.status is OrderStatus.UNKNOWN:
        # a word we cannot read still proves that the broker has the order
        return State.OPEN if known.state in (State.SENDING, State.UNKNOWN) else known.state
    said = State(order.status.value)
    if known.state is State.REJECTED and not known.order_id:
        return said  # the first sight of an order that should not exist
    if known.state.is_final and not known.local:
        more = filled > known.filled and filled >= quantity
        return State.COMPLETE if known.state is State.CANCELLED and more else known.state
    # a day that we took for ended stays so: the table leads from there to an end only
    return said if said in TABLE[known.state] else known.state
