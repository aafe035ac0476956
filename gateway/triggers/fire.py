"""From a price to an order, in steps that may be cut anywhere.

    journal "crossed" ── order desk, under the fire's own name ── journal what became of it

The desk sends a name once, also after a restart. So every step is simply done again after a crash: before the
first nothing has happened, after it the order is looked up or sent, never sent twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from brokers.clock import Clock
from brokers.errors import (
    AlgoError,
    BrokerDown,
    EntriesBlocked,
    InvalidRequest,
    LoginRequired,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    StoreError,
)
from gateway.store.gtt import GttRow, GttStore
from gateway.trading.answers import OrderAnswer
from gateway.triggers import machine
from gateway.triggers.machine import State
from gateway.triggers.parts import Desk
from gateway.triggers.watch import Seen

log = logging.getLogger(__name__)

PASSING = frozenset({"BROKER_DISCONNECTED", "RATE_LIMITED", "AUTH_EXPIRED"})
"""Refusals of an order that provably was not executed, for reasons that pass: a new attempt is made."""
CLOSED = "MARKET_CLOSED"
BLOCKED = EntriesBlocked.code


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing to journal: the same attempt is asked about again."""

    reason: str
    may_end: bool
    """False: the order may be out; it is asked about until that is known."""


Verdict = machine.Sent | machine.Again | machine.NotSent | machine.Held | Look


def judge(outcome: OrderAnswer | AlgoError) -> Verdict:
    """What the desk's answer, or what it raised, means for the fire. Pure.

    Whatever the desk raises, it has journaled nothing under this name.
    """
    if isinstance(outcome, OrderAnswer):
        if outcome.ok:
            return machine.Sent(outcome.order_id)
        if outcome.code == OutcomeUnknown.code:
            return Look(outcome.message, may_end=False)
        if outcome.code in PASSING:
            return machine.Again(outcome.message)
        if outcome.code == BLOCKED:
            return machine.Held()
        return machine.NotSent(outcome.code, outcome.message)
    if isinstance(outcome, OutcomeUnknown):
        return Look(str(outcome), may_end=False)
    if isinstance(outcome, RateLimited | NotReady | LoginRequired | BrokerDown | StoreError):
        return Look(str(outcome), may_end=True)
    if outcome.code == BLOCKED or (isinstance(outcome, InvalidRequest) and outcome.code == CLOSED):
        return machine.Held()
    return machine.NotSent(outcome.code, str(outcome))


def cross(store: GttStore, row: GttRow, leg: int, seen: Seen) -> GttRow:
    """Journal that the price was reached. Raises ``machine.IllegalStep`` when somebody was faster."""
    detail = {"price": seen.price, "seen_ms": seen.seen_ms, "traded_ms": seen.traded_ms}
    return store.apply(row.id, "crossed", machine.Crossed(leg, seen.price), detail)


def send(store: GttStore, desk: Desk, clock: Clock, row: GttRow, *, last_try: bool = False) -> GttRow | Look:
    """Send the order of a fire, or learn what became of it.

    Args:
        last_try: A passing refusal is final now.

    Returns:
        The row after the step; ``Look`` when it has to be done again.

    Raises:
        StoreError: It could not be journaled; do it again.
    """
    name = machine.client_order_id(row.known)
    terms = row.known.terms
    try:
        answer: OrderAnswer | AlgoError = desk.place(
            terms.order(row.known.leg or 0),
            strategy=row.strategy,
            client_order_id=name,
            received_ns=clock.time_ns(),
            lease=None,
        )
    except AlgoError as exc:
        answer = exc
    verdict = judge(answer)
    if last_try:
        verdict = _at_last(verdict)
    if isinstance(verdict, Look):
        return verdict
    after = store.apply(row.id, _KINDS[type(verdict)], verdict, {"client_order_id": name})
    if after.known.state is State.FAILED:
        log.error("GTT %s: %s fired, its order was refused: %s", row.shown_id, terms.key, after.known.reason)
    return after


def _at_last(verdict: Verdict) -> Verdict:
    if isinstance(verdict, machine.Again):
        return machine.NotSent("GAVE_UP", f"{verdict.reason}; no further attempt is made")
    if isinstance(verdict, Look) and verdict.may_end:
        return machine.NotSent("GAVE_UP", f"{verdict.reason}; nothing was sent, no further attempt is made")
    return verdict


_KINDS = {
    machine.Sent: "sent",
    machine.Again: "again",
    machine.NotSent: "failed",
    machine.Held: "held",
}
