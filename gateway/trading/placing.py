"""The path of one order: checks, limiter, journal (on disk), send once, outcome (on disk), answer."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace

from brokers.errors import EntriesBlocked, IpNotAllowed, StoreError
from brokers.model import Instrument, OrderRequest, Placement
from gateway.store.journal import Change, Intent, Times
from gateway.trading import checks, machine, replies, stages
from gateway.trading.answers import OrderAnswer
from gateway.trading.changes import heed
from gateway.trading.firstanswers import FirstAnswers
from gateway.trading.guards import Guards
from gateway.trading.limiter import Grant, Lane
from gateway.trading.once import fingerprint
from gateway.trading.parts import DeskParts
from gateway.trading.reconciler import Reconciler
from gateway.trading.settle import Settler
from gateway.trading.writes import Done, Failed, Lost, Outcome, broker_code, send_once

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """One order somebody wants placed.

    Attributes:
        client_order_id: None: nobody will ask for its answer again.
        received_ns: Wall nanoseconds at which the request arrived.
        is_exit: It only reduces a position: it may use the reserved slots and passes blocks and limits.
        deadline_s: Within which it has to leave, or is refused.
        lease: Of its strategy, as the caller sent it; None: it was checked when the order was taken in.
    """

    request: OrderRequest
    strategy: str
    client_order_id: str | None
    received_ns: int
    is_exit: bool
    deadline_s: float
    lease: str | None


class Placing:
    """Carries wishes out, each at most once. Thread-safe."""

    def __init__(
        self,
        parts: DeskParts,
        guards: Guards,
        reconciler: Reconciler,
        settler: Settler,
        answers: FirstAnswers,
    ) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._guards = guards
        self._reconciler = reconciler
        self._settler = settler
        self._answers = answers

    def place(self, wish: Wish) -> OrderAnswer:
        """Raises while nothing is journaled, answers from then on; see ``OrderDesk``."""
        ends = self._clock.monotonic() + wish.deadline_s
        began = stages.offset_ns(self._clock)
        if not wish.is_exit:
            self._guards.refuse_role()
        self._reconciler.await_ready(self._parts.rules.order_deadline_s)
        if not wish.is_exit:
            self._guards.refuse_blocked()
        ltp = self._parts.last_price(wish.request.key)
        instrument = self._check(wish.request, ltp)
        times = Times(received_ns=wish.received_ns, checked_ns=self._clock.time_ns())
        intent = Intent(
            wish.request,
            self._parts.new_tag(),
            wish.strategy,
            wish.client_order_id,
            fingerprint(wish.request),
            wish.is_exit,
        )
        journal_id, grant = self._admit(wish, intent, instrument, ltp, times, ends)
        sent_ns = self._clock.time_ns()
        times = replace(times, journaled_ns=sent_ns, sent_ns=sent_ns)
        outcome = self._send(intent, instrument, ltp, grant)
        try:
            answer = self._placed(journal_id, outcome, times)
        except StoreError as exc:
            log.error("J%d was sent, but its outcome could not be journaled: %s", journal_id, exc)
            answer = _unjournaled(journal_id, outcome)
        told = stages.of_place(self._clock, journal_id, intent, times, outcome, answer.code, began)
        self._parts.stages.wrote(told)
        return answer

    def _check(self, request: OrderRequest, ltp: float | None) -> Instrument:
        around = checks.Around(
            exchanges=self._parts.capabilities.exchanges,
            calendar=self._parts.calendar,
            now=self._clock.now(),
            nearest=self._parts.instruments.nearest,
            last_price=ltp,
        )
        return checks.check(request, self._parts.instruments.by_key(request.key), around)

    def _admit(
        self, wish: Wish, intent: Intent, instrument: Instrument, ltp: float | None, times: Times, ends: float
    ) -> tuple[int, Grant]:
        """Through limits, limiter and blocks to a row on disk; its id, and the slot to send in."""
        objection = None if wish.is_exit else self._guards.objection(wish.strategy, wish.lease)
        admitted = self._guards.admit(
            wish.request,
            instrument,
            strategy=wish.strategy,
            ltp=ltp,
            is_exit=wish.is_exit,
            wait_s=ends - self._clock.monotonic(),
            objection=objection,
        )
        with admitted as ticket, ExitStack() as undo:
            left_s = max(0.0, ends - self._clock.monotonic())
            grant = self._parts.limiter.acquire(Lane.EXIT if wish.is_exit else Lane.ENTRY, left_s)
            undo.callback(grant.give_back)
            if not wish.is_exit:
                # the block may have fallen while this one waited for its slot, or the lease changed hands
                self._guards.refuse_blocked()
                if (
                    objection is None
                    and (lost := self._guards.objection(wish.strategy, wish.lease)) is not None
                ):
                    raise lost
            journal_id = ticket.journal(lambda: self._journal.add(intent, times))
            undo.pop_all()
        return journal_id, grant

    def _send(self, intent: Intent, instrument: Instrument, ltp: float | None, grant: Grant) -> Outcome:
        if not intent.is_exit and (blocked := self._guards.blocked()):
            # panic looks for rows on their way after the block: what it did not see yet must not leave
            grant.give_back()
            return Failed(EntriesBlocked(f"new entries are blocked: {blocked}"), sent=False)
        grant.sent()
        return send_once(lambda: self._parts.rest.place(intent.request, instrument, intent.tag, ltp=ltp))

    def _placed(self, journal_id: int, outcome: Outcome, times: Times) -> OrderAnswer:
        """Journal how a place ended, and answer."""
        match outcome:
            case Done(Placement() as placement):
                event: machine.Event = machine.Acknowledged(placement.order_id, placement.status)
                if placement.shown is not None:
                    event = machine.BrokerSays(placement.shown)
                times = replace(times, acknowledged_ns=placement.acknowledged_ns)
                if placement.sent_ns:
                    times = replace(times, sent_ns=placement.sent_ns)
                change = Change(journal_id, "acknowledged", event, times)
                return self._answers.conclude(change, lambda row: replies.success(row, placement.sent))
            case Failed(error, sent):
                if isinstance(error, IpNotAllowed) and (why := self._parts.egress()):
                    error = IpNotAllowed(f"{error}; {why}", broker_code=error.broker_code)
                event = machine.Refused(str(error)) if sent else machine.NeverSent(str(error))
                kind = "refused" if sent else "never sent"
                times = times if sent else replace(times, sent_ns=None)
                detail = {"code": error.code, "broker_code": broker_code(error)}
                change = Change(journal_id, kind, event, times, detail=detail)
                refused = self._answers.conclude(change, lambda row: replies.failure(row, error))
                heed(self._parts, error)
                return refused
            case Lost(message, code):
                return self._lost(journal_id, times, message, code)
            case _:
                raise TypeError(f"place answered {outcome!r}")

    def _lost(self, journal_id: int, times: Times, message: str, code: str) -> OrderAnswer:
        """Bytes left, and nobody knows what became of them: ``unknown``, unless evidence comes at once."""
        detail = {"message": message, "code": code}
        row = self._journal.apply(Change(journal_id, "lost", machine.AnswerLost(), times, detail=detail))
        self._settler.adopt(journal_id)
        row = self._settler.wait(row, self._parts.patience_s)
        answer = replies.unknown(row) if not row.known.order_id else replies.from_state(row)
        if code and answer.ok:
            answer = replies.duplicate(answer, code, message)
        self._answers.keep(row, answer)
        return answer


def _unjournaled(journal_id: int, outcome: Outcome) -> OrderAnswer:
    """The disk refused after the order had left: the truth goes to the caller at least.

    The row stays ``sending``, and the book or the settler finish it.
    """
    match outcome:
        case Done(Placement() as placement):
            return OrderAnswer(placement.order_id, placement.status, placement.sent, "", "", journal_id)
        case Failed(error, _):
            return replies.refused(journal_id, error)
        case _:
            return replies.lost(journal_id)
