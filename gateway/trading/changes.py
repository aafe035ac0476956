"""Changing and cancelling an order that the broker has."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import msgspec

from brokers.errors import (
    AlgoError,
    BrokerError,
    InvalidRequest,
    LoginRequired,
    NotFound,
    OrderRejected,
    RateLimited,
    StoreError,
)
from brokers.model import Instrument, Order, OrderChange, OrderStatus, Placement
from gateway.store.journal import Change, JournalRow, Times
from gateway.trading import checks, machine, replies, stages, transit
from gateway.trading.answers import OrderAnswer
from gateway.trading.limiter import Grant, Lane
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader
from gateway.trading.reconcile import terms_of
from gateway.trading.settle import Settler
from gateway.trading.tasks import Lock
from gateway.trading.transit import RECENT_S, Next, after_refusal
from gateway.trading.writes import Done, Failed, Lost, Outcome, broker_code, send_once

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    """One change as it goes to the broker. ``kind`` is ``modify`` or ``cancel``."""

    kind: str
    call: Callable[[], object]
    lane: Lane
    detail: dict[str, object] | None = None
    terms: OrderChange | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the readings after a refusal came to."""

    next: Next
    shown: Order | None


class Changes:
    """The modify and cancel half of a desk; ``soon`` asks for a reconciliation."""

    def __init__(self, parts: DeskParts, reader: Reader, settler: Settler, soon: Callable[[], None]) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._reader = reader
        self._settler = settler
        self._soon = soon
        self._order_locks = [parts.tasks.lock() for _ in range(64)]

    def modify(self, change: OrderChange, received_ns: int) -> OrderAnswer:
        """Change a working order. ``OUTCOME_UNKNOWN`` when no answer came and its terms cannot be read."""
        row = self._resolve(change.order_id)
        with self._one_at_a_time(row):
            return self._modify(self._journal.get(row.id) or row, change, received_ns)

    def cancel(self, order_id: str, received_ns: int, deadline_s: float | None) -> OrderAnswer:
        """Ask the broker to cancel. Success means it took the request; ``status`` is what is known then.

        A cancel whose outcome is not known is repeated only after the broker showed the order working.
        """
        row = self._resolve(order_id)
        with self._one_at_a_time(row):
            return self._cancel(self._journal.get(row.id) or row, received_ns, deadline_s)

    def _modify(self, row: JournalRow, change: OrderChange, received_ns: int) -> OrderAnswer:
        row = self._evidence(row)
        if not row.known.order_id or row.pending:
            return replies.unknown(row)
        instrument = self._changeable(row, change)
        change = replace(change, order_id=row.known.order_id)
        order = row.to_order()
        write = _Write(
            "modify",
            lambda: self._parts.rest.modify(change, order, instrument),
            Lane.ENTRY,
            {"terms": msgspec.to_builtins(change)},
            change,
        )
        return self._change(row, write, received_ns, self._parts.rules.order_deadline_s)

    def _cancel(self, row: JournalRow, received_ns: int, deadline_s: float | None) -> OrderAnswer:
        if row.pending == "cancel":
            row = self._evidence(row)
        if not row.known.order_id or row.pending == "cancel":
            return replies.unknown(row)
        self._refuse_final(row)
        wait_s = self._parts.rules.order_deadline_s if deadline_s is None else deadline_s
        target = row.known.order_id
        write = _Write("cancel", lambda: self._parts.rest.cancel(target), Lane.EXIT)
        return self._change(row, write, received_ns, wait_s)

    def _change(self, row: JournalRow, write: _Write, received_ns: int, wait_s: float) -> OrderAnswer:
        """Send one modify or cancel.

        Once more when the broker refused it only because the order was still on its way to the exchange.
        """
        ends = self._clock.monotonic() + wait_s
        name = write.kind
        grant = self._parts.limiter.acquire(write.lane, wait_s)
        while True:
            answer, outcome = self._send(row, write, name, grant, received_ns)
            if not (isinstance(outcome, Failed) and isinstance(outcome.error, OrderRejected)):
                return answer
            # a repeat follows a reading that showed it arrived: its refusal is about something else
            first = name == write.kind
            seen = self._await_arrival(row, ends, doubt=first and self._is_recent(row))
            if seen.next is not Next.REPEAT:
                return self._refused(row, answer, outcome.error, seen)
            try:
                left_s = max(0.0, ends - self._clock.monotonic())
                grant = self._parts.limiter.acquire(write.lane, left_s)
            except RateLimited:
                return answer
            log.info("%s of %s again: the order was on its way when it was refused", name, row.shown_id)
            # not counted against the broker's modifications per order: the refused one is, already
            name = f"{write.kind} again"

    def _is_recent(self, row: JournalRow) -> bool:
        """The broker took this order, or a change of it, a moment ago."""
        taken = [event["acknowledged_ns"] or 0 for event in self._journal.events(row.id)]
        return self._clock.time_ns() - max([row.created_ns, *taken]) < RECENT_S * 1e9

    def _await_arrival(self, row: JournalRow, ends: float, *, doubt: bool) -> _Seen:
        """Read a refused order until it is not on its way any more; ``WAIT`` when the time is up before."""
        looks = 0
        while True:
            shown = self._read(row, ends - self._clock.monotonic())
            looks += 1
            verdict = after_refusal(shown, doubt=doubt)
            pause_s = transit.pause_s(looks)
            if verdict is not Next.WAIT or self._clock.monotonic() + pause_s >= ends:
                return _Seen(verdict, shown)
            doubt = True
            self._parts.tasks.sleep(pause_s)

    def _refused(
        self, row: JournalRow, answer: OrderAnswer, error: OrderRejected, seen: _Seen
    ) -> OrderAnswer:
        """A refusal that stands, with what the reading after it says of the order."""
        if seen.next is Next.WAIT:
            return replace(
                answer,
                code="ORDER_IN_TRANSIT",
                message=f"order {row.shown_id} is still on its way to the exchange and cannot be changed "
                f"yet; nothing was changed, try again ({error})",
            )
        if seen.shown is None:
            return answer
        change = Change(row.id, "re-read", machine.BrokerSays(seen.shown), quiet=True)
        try:
            row = self._journal.apply(change)
        except StoreError as exc:
            log.error("what the broker shows of %s could not be journaled: %s", row.shown_id, exc)
            return answer
        if row.known.state.is_final:
            return replace(replies.not_open(row), broker_code=error.broker_code)
        return replies.failure(row, error)

    def _send(
        self, row: JournalRow, write: _Write, name: str, grant: Grant, received_ns: int
    ) -> tuple[OrderAnswer, Outcome]:
        """Journal, send and settle one modify or cancel."""
        offset = stages.offset_ns(self._clock)
        times = Times(received_ns=received_ns, checked_ns=self._clock.time_ns())
        with ExitStack() as undo:
            undo.callback(grant.give_back)
            self._journal.apply(Change(row.id, name, None, times, pending=write.kind, detail=write.detail))
            undo.pop_all()
        sent_ns = self._clock.time_ns()
        grant.sent()
        outcome = send_once(write.call)
        times = replace(times, journaled_ns=sent_ns, sent_ns=sent_ns)
        took = replace(times, acknowledged_ns=self._clock.time_ns() if isinstance(outcome, Done) else None)
        try:
            answer = self._changed(row, write.kind, outcome, times, write.terms)
        except StoreError as exc:
            log.error("the %s of %s was sent, but could not be journaled: %s", name, row.shown_id, exc)
            answer = self._unjournaled(row, write.kind, outcome)
        told = stages.of_change(self._clock, write.kind, row, took, outcome, answer.code, offset)
        self._parts.stages.wrote(told)
        return answer, outcome

    @staticmethod
    def _unjournaled(row: JournalRow, kind: str, outcome: Outcome) -> OrderAnswer:
        match outcome:
            case Done(value):
                return replies.success(row, value.sent if isinstance(value, Placement) else None)
            case Failed(error, _):
                return replies.failure(row, error)
            case Lost():
                return replies.lost(row.id, f"the {kind} of order {row.shown_id}")

    def _changed(
        self, row: JournalRow, kind: str, outcome: Outcome, times: Times, terms: OrderChange | None
    ) -> OrderAnswer:
        """Journal how a change ended, and answer."""
        match outcome:
            case Done(value):
                sent = None
                if isinstance(value, Placement):
                    sent, times = value.sent, replace(times, acknowledged_ns=value.acknowledged_ns)
                else:
                    times = replace(times, acknowledged_ns=self._clock.time_ns())
                times = replace(times, answered_ns=self._clock.time_ns())
                row = self._journal.apply(
                    Change(row.id, f"{kind} taken", None, times, pending="", terms=terms)
                )
                return replies.success(row, sent)
            case Failed(error, _):
                heed(self._parts, error)
                more = {"code": error.code, "broker_code": broker_code(error), "message": str(error)}
                # a refused cancel says nothing about a modification nobody answered to
                before = row.pending if kind == "cancel" else ""
                row = self._journal.apply(
                    Change(row.id, f"{kind} refused", None, times, pending=before, detail=more)
                )
                return replies.failure(row, error)
            case Lost(message, _):
                # pending from now: whoever read the order while this was on its way has proved nothing
                detail = {"message": message}
                self._journal.apply(Change(row.id, f"{kind} lost", None, times, pending=kind, detail=detail))
                return self._after_lost_change(row, kind, terms)

    def _after_lost_change(self, row: JournalRow, kind: str, terms: OrderChange | None) -> OrderAnswer:
        """Re-read the order once: what the book shows may already prove that the change arrived."""
        # a broker that hangs is waited for no longer than the caller's patience
        shown = self._read(row, self._parts.patience_s)
        if shown is not None:
            arrived = (
                shown.status is OrderStatus.CANCELLED if terms is None else replies.has_terms(shown, terms)
            )
            event = machine.BrokerSays(shown)
            pending = "" if arrived or shown.status.is_final else None
            change = Change(row.id, "re-read", event, pending=pending, terms=terms if arrived else None)
            row = self._journal.apply(change)
            if arrived:
                return replies.success(row, None)
            if shown.status.is_final:
                return replies.not_open(row)
        self._soon()
        return replies.lost_change(self._journal.get(row.id) or row, kind)

    def _read(self, row: JournalRow, wait_s: float) -> Order | None:
        """The order in a fresh reading of the book; None when there was none in time or it is not there."""
        try:
            tasks = self._parts.tasks
            book = tasks.result(tasks.start("re-read", self._reader.orders), max(0.0, wait_s))
        except (BrokerError, TimeoutError) as exc:
            log.warning("re-reading %s: %r", row.known.order_id, exc)
            return None
        return next((o for o in book if o.order_id == row.known.order_id), None)

    def _evidence(self, row: JournalRow) -> JournalRow:
        """A fresh reading for an order with a change of unknown outcome: only it allows another one."""
        if not row.pending:
            return row
        shown = next((o for o in self._reader.orders() if o.order_id == row.known.order_id), None)
        if shown is None or shown.status is OrderStatus.UNKNOWN:
            return row
        if row.pending == "modify" and not shown.status.is_final and self._may_arrive(row, shown):
            return row
        terms = None if shown.status.is_final else terms_of(shown)
        change = Change(row.id, "re-read", machine.BrokerSays(shown), pending="", terms=terms)
        return self._journal.apply(change)

    def _may_arrive(self, row: JournalRow, shown: Order) -> bool:
        """A modification nobody answered to may still be on its way, and undo the next one.

        (A cancel may be sent twice.)
        """
        horizon_s = self._parts.settle_rules.horizon_s
        if self._clock.time_ns() - row.pending_ns >= horizon_s * 1e9:
            return False
        sent = [json.loads(e["detail"]) for e in self._journal.events(row.id) if e["kind"] == "modify"]
        terms = msgspec.convert(sent[-1]["terms"], OrderChange) if sent else None
        return terms is None or not replies.has_terms(shown, terms)

    def _changeable(self, row: JournalRow, change: OrderChange) -> Instrument:
        """Refuse a modification the broker would refuse; the instrument."""
        self._refuse_final(row)
        instrument = self._parts.instruments.by_key(row.key)
        if instrument is None:
            raise InvalidRequest(f"{row.key} is not in the instrument table", code="SYMBOL_NOT_FOUND")
        checks.check_terms(
            instrument,
            row.action,
            change.price_type,
            quantity=change.quantity,
            price=change.price,
            trigger=change.trigger_price,
            disclosed=change.disclosed_quantity,
            last_price=self._parts.last_price(row.key),
        )
        if change.quantity <= row.known.filled:
            raise InvalidRequest(
                f"quantity {change.quantity} is not above the {row.known.filled} already executed",
                code="INVALID_QUANTITY",
            )
        most = self._parts.capabilities.modifications_per_order
        if most is not None and self._journal.modifications(row.id) >= most:
            raise InvalidRequest(
                f"order {row.known.order_id} was modified {most} times, the broker takes no more; "
                "cancel it and place a new one",
                code="MODIFICATION_LIMIT",
            )
        return instrument

    def _refuse_final(self, row: JournalRow) -> None:
        if row.known.state.is_final:
            raise InvalidRequest(f"order {row.shown_id} is {row.known.state} already", code="ORDER_NOT_OPEN")

    def _resolve(self, order_id: str) -> JournalRow:
        """The journal row of an order to change; looks at the broker for one it does not know."""
        row = self.row(order_id)
        if row is None:
            shown = next((o for o in self._reader.orders() if o.order_id == order_id), None)
            if shown is not None:
                self._journal.import_foreign(shown)
                row = self.row(order_id)
        if row is None:
            raise NotFound(f"Order {order_id} not found")
        if row.known.state is State.UNKNOWN:
            row = self._settler.wait(row, self._parts.patience_s)
        return row

    def _one_at_a_time(self, row: JournalRow) -> Lock:
        """Changes of one order follow each other (some orders share a lock, which only costs time)."""
        return self._order_locks[row.id % len(self._order_locks)]

    def row(self, order_id: str) -> JournalRow | None:
        """The journal row of a broker's order id or ``J<journal_id>``."""
        if order_id[:1] == "J" and order_id[1:].isdigit():
            return self._journal.get(int(order_id[1:]))
        return self._journal.by_order_id(order_id)


def heed(parts: DeskParts, error: AlgoError) -> None:
    """What a refused write means for those that come after it."""
    if isinstance(error, RateLimited):
        parts.limiter.close(Lane.ENTRY, error.retry_after_s)
    if isinstance(error, LoginRequired):
        parts.on_login_required()
