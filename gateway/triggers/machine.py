"""The life of one good-till-triggered order (GTT), as rules. Pure: a state and an event in, the next one out.

Four rules stand before the table:

1. What fires, fires once: ``Crossed`` leads from ``active`` alone, and is on disk before the order leaves.
   With two legs the one that fired is the state; there is no second step that cancels the other.
2. The order of a fire has one name, made from the trigger, the leg and the attempt (``client_order_id``). The
   order desk sends a name once, so doing a step again after a crash changes nothing.
3. A new attempt is made only of what provably was not executed.
4. What the broker keeps, the broker knows: its word ends ``unknown`` and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from brokers.model import Gtt, GttLeg, GttRequest, GttState, PriceType


class Keeper(StrEnum):
    """Who watches the price."""

    GATEWAY = "gateway"
    BROKER = "broker"


class State(StrEnum):
    """Those that end are at the end."""

    SENDING = "sending"
    """On its way to the broker that is to keep it."""
    UNKNOWN = "unknown"
    """Bytes left, no readable answer came."""
    ACTIVE = "active"
    FIRING = "triggering"
    """The price was reached; the order is on its way, or may be."""
    TRIGGERED = "triggered"
    FAILED = "failed"
    """The price was reached and the order was refused."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    """The broker that was to keep it did not take it."""
    GONE = "gone"
    """The broker that keeps it shows it no more; its order book tells whether it fired."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({State.TRIGGERED, State.FAILED, State.CANCELLED, State.EXPIRED, State.REJECTED, State.GONE})


MISSED = "MISSED"
"""Code of one that is armed, and whose price was there while nobody could act on it."""


class IllegalStep(Exception):
    """The state does not allow it (any more): somebody was faster, or our own code is wrong."""

    def __init__(self, state: State, event: object) -> None:
        super().__init__(f"{type(event).__name__} of a GTT that is {state.value}")
        self.state = state


@dataclass(frozen=True, slots=True)
class Known:
    """Everything known about one GTT.

    Attributes:
        trigger_id: What callers name it by; empty until the broker that keeps it gave one.
        leg: Which leg fired, None as long as none did.
        attempt: Number of the order of this fire, from 1.
        seen_price: The price that fired it.
        order_id: The order it sent, as the broker numbers it.
        code, reason: Why it failed or was rejected; of an armed one, that and when it missed its price.
        pending: ``modify`` or ``cancel`` while the outcome of such a write at the broker is not known.
    """

    terms: GttRequest
    state: State
    trigger_id: str = ""
    leg: int | None = None
    attempt: int = 0
    seen_price: Decimal | None = None
    order_id: str = ""
    code: str = ""
    reason: str = ""
    pending: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """The broker took it."""

    trigger_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not taken by the broker that was to keep it."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """Bytes left and no readable answer came."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """A trade of this session at or beyond a leg's trigger."""

    leg: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Sent:
    """The order desk took the order of the fire."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Again:
    """The order was provably not executed, for a reason that passes: the next attempt has another name."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The order was refused for good."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """The market closed, or a panic blocked entries, before the order left.

    It waits for the next price that reaches it.
    """


@dataclass(frozen=True, slots=True)
class Missed:
    """The price was there while nobody could act on it, and is not there any more. It stays armed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Its terms were replaced."""

    terms: GttRequest


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was called off."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Its time ran out."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """A healthy reading of the broker's list, long after the last change, did not show it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A change at the broker is on its way; an empty word: it is settled."""

    what: str


@dataclass(frozen=True, slots=True)
class BrokerSays:
    """A row of the broker's list."""

    gtt: Gtt


@dataclass(frozen=True, slots=True)
class ChildSeen:
    """An order of the account carries this one's mark."""

    order_id: str


Event = (
    Placed | Refused | AnswerLost | Crossed | Sent | Again | NotSent | Held | Missed | Changed | Cancelled
    | Expired | Vanished | Pending | BrokerSays | ChildSeen
)  # fmt: skip


def step(known: Known, event: Event) -> Known:
    """The next known state; ``known`` itself when the event teaches nothing.

    Raises:
        IllegalStep: The state does not allow it. What a broker says never raises.
    """
    match event:
        case Placed(trigger_id):
            _only(known, event, State.SENDING, State.UNKNOWN)
            return replace(known, state=State.ACTIVE, trigger_id=trigger_id)
        case Refused(code, reason):
            _only(known, event, State.SENDING, State.UNKNOWN)
            return replace(known, state=State.REJECTED, code=code, reason=reason)
        case AnswerLost():
            _only(known, event, State.SENDING)
            return replace(known, state=State.UNKNOWN)
        case Missed(reason):
            _only(known, event, State.ACTIVE)
            return replace(known, code=MISSED, reason=reason)
        case Changed(terms):
            _only(known, event, State.ACTIVE)
            return replace(known, terms=terms, code="", reason="")
        case Cancelled() | Expired() | Vanished():
            _only(known, event, State.ACTIVE)
            return replace(known, state=_ENDS[type(event)])
        case Pending(what):
            return known if known.state.is_final and what else replace(known, pending=what)
        case BrokerSays(gtt):
            return _broker_says(known, gtt)
        case ChildSeen(order_id):
            return known if known.order_id else replace(known, order_id=order_id)
        case _:
            return _fire(known, event)


_ENDS: dict[type, State] = {
    Cancelled: State.CANCELLED,
    Expired: State.EXPIRED,
    Vanished: State.GONE,
}


def _fire(known: Known, event: Crossed | Sent | Again | NotSent | Held) -> Known:
    """From the price to the order."""
    if isinstance(event, Crossed):
        # the terms may have changed since the price was compared with them
        if known.state is not State.ACTIVE or not crossed(known.terms, event.leg, event.price):
            raise IllegalStep(known.state, event)
        # numbers go on after a hold, so that no name is used for two orders
        attempt = known.attempt + 1
        return replace(known, state=State.FIRING, leg=event.leg, attempt=attempt, seen_price=event.price)
    _only(known, event, State.FIRING)
    match event:
        case Sent(order_id):
            return replace(known, state=State.TRIGGERED, order_id=order_id, code="", reason="")
        case Again(reason):
            return replace(known, attempt=known.attempt + 1, reason=reason)
        case NotSent(code, reason):
            return replace(known, state=State.FAILED, code=code, reason=reason)
        case Held():
            return replace(known, state=State.ACTIVE, leg=None, seen_price=None)


def _only(known: Known, event: object, *states: State) -> None:
    if known.state not in states:
        raise IllegalStep(known.state, event)


SAID = {
    GttState.ACTIVE: State.ACTIVE,
    GttState.TRIGGERED: State.TRIGGERED,
    GttState.CANCELLED: State.CANCELLED,
    GttState.EXPIRED: State.EXPIRED,
    GttState.REJECTED: State.REJECTED,
}


def _broker_says(known: Known, gtt: Gtt) -> Known:
    """Its list is the truth; a word we cannot read proves only that it has the order."""
    seen = replace(known, trigger_id=known.trigger_id or gtt.trigger_id)
    said = SAID.get(gtt.state)
    if said is None:
        waits = known.state in (State.SENDING, State.UNKNOWN)
        return replace(seen, state=State.ACTIVE) if waits else seen
    revivable = known.state in (State.REJECTED, State.GONE)
    if known.state.is_final and said is State.ACTIVE and not revivable:
        return seen  # a late row
    reason = gtt.reason if said is State.REJECTED else ""
    return replace(seen, state=said, terms=terms_of(seen.terms, gtt), reason=reason)


def terms_of(ours: GttRequest, gtt: Gtt) -> GttRequest:
    """The terms the broker shows; ours where its list does not say."""
    if len(gtt.legs) != len(ours.legs):
        return ours
    price_type = gtt.price_type or ours.price_type
    market = price_type is PriceType.MARKET
    legs = tuple(
        GttLeg(theirs.trigger_price, mine.price if market else theirs.price, mine.rises)
        for mine, theirs in zip(ours.legs, gtt.legs, strict=True)
    )
    return replace(ours, quantity=gtt.quantity or ours.quantity, price_type=price_type, legs=legs)


def crossed(terms: GttRequest, leg: int, price: Decimal) -> bool:
    """Whether a last price has reached a leg's trigger."""
    one = terms.legs[leg]
    return price >= one.trigger_price if one.rises else price <= one.trigger_price


def first_crossed(terms: GttRequest, price: Decimal) -> int | None:
    """The leg a last price fires; None when it fires none."""
    return next((n for n in range(len(terms.legs)) if crossed(terms, n, price)), None)


def client_order_id(known: Known) -> str:
    """The name under which the order of this fire is sent, once."""
    leg = 0 if known.leg is None else known.leg
    name = f"gtt:{known.trigger_id}:{leg + 1}"
    return name if known.attempt <= 1 else f"{name}:{known.attempt}"
