"""Changing and cancelling an order that the broker has."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec

from brokers.errors import (
    AlgoError,
    BrokerError,
    InvalidRequest,
    LoginRequired,
    NotFound,
    RateLimited,
    StoreError,
)
from brokers.model import Instrument, OrderChange, OrderStatus, Placement
from gateway.store.journal import Change, JournalRow, Times
from gateway.trading import background, checks, machine, replies
from gateway.trading.answers import OrderAnswer
from gateway.trading.limiter import Grant, Lane
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader
from gateway.trading.reconcile import terms_of
from gateway.trading.settle import Settler
from gateway.trading.writes import Done, Failed, Lost, Outcome, broker_code, send_once

log = logging.getLogger(__name__)


class Changes:
    """The modify and cancel half of a desk; ``soon`` asks for a reconciliation."""

    def __init__(self, parts: DeskParts, reader: Reader, settler: Settler, soon: Callable[[], None]) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._reader = reader
        self._settler = settler
        self._soon = soon
        self._order_locks = [threading.Lock() for _ in range(64)]

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
        grant = self._parts.limiter.acquire(Lane.ENTRY, self._parts.rules.order_deadline_s)
        change = replace(change, order_id=row.known.order_id)
        order = row.to_order()
        detail = {"terms": msgspec.to_builtins(change)}
        return self._change(
            row,
            "modify",
            lambda: self._parts.rest.modify(change, order, instrument),
            grant,
            received_ns,
            detail,
            terms=change,
        )

    def _cancel(self, row: JournalRow, received_ns: int, deadline_s: float | None) -> OrderAnswer:
        if row.pending == "cancel":
            row = self._evidence(row)
        if not row.known.order_id or row.pending == "cancel":
            return replies.unknown(row)
        self._refuse_final(row)
        wait_s = self._parts.rules.order_deadline_s if deadline_s is None else deadline_s
        grant = self._parts.limiter.acquire(Lane.EXIT, wait_s)
        target = row.known.order_id
        return self._change(row, "cancel", lambda: self._parts.rest.cancel(target), grant, received_ns, None)

    def _change(
        self,
        row: JournalRow,
        kind: str,
        call: Callable[[], object],
        grant: Grant,
        received_ns: int,
        detail: dict[str, object] | None,
        terms: OrderChange | None = None,
    ) -> OrderAnswer:
        """Journal, send and settle one modify or cancel."""
        times = Times(received_ns=received_ns, checked_ns=self._clock.time_ns())
        try:
            self._journal.apply(Change(row.id, kind, None, times, pending=kind, detail=detail))
        except BaseException:
            grant.give_back()
            raise
        sent_ns = self._clock.time_ns()
        grant.sent()
        outcome = send_once(call)
        times = replace(times, journaled_ns=sent_ns, sent_ns=sent_ns)
        try:
            return self._changed(row, kind, outcome, times, terms)
        except StoreError as exc:
            log.error("the %s of %s was sent, but could not be journaled: %s", kind, row.shown_id, exc)
            match outcome:
                case Done(value):
                    return replies.success(row, value.sent if isinstance(value, Placement) else None)
                case Failed(error, _):
                    return replies.failure(row, error)
                case Lost(_):
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
                row = self._journal.apply(
                    Change(row.id, f"{kind} refused", None, times, pending="", detail=more)
                )
                return replies.failure(row, error)
            case Lost(message):
                self._journal.apply(Change(row.id, f"{kind} lost", None, times, detail={"message": message}))
                return self._after_lost_change(row, terms)

    def _after_lost_change(self, row: JournalRow, terms: OrderChange | None) -> OrderAnswer:
        """Re-read the order once: what the book shows may already prove that the change arrived."""
        shown = None
        try:
            # a broker that hangs is waited for no longer than the caller's patience
            book = background.run("re-read", self._reader.orders).result(self._parts.patience_s)
            shown = next((o for o in book if o.order_id == row.known.order_id), None)
        except (BrokerError, TimeoutError) as exc:
            log.warning("re-reading %s after a lost answer: %r", row.known.order_id, exc)
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
        return replies.unknown(self._journal.get(row.id) or row)

    def _evidence(self, row: JournalRow) -> JournalRow:
        """A fresh reading for an order with a change of unknown outcome: only it allows another one."""
        if not row.pending:
            return row
        shown = next((o for o in self._reader.orders() if o.order_id == row.known.order_id), None)
        if shown is None or shown.status is OrderStatus.UNKNOWN:
            return row
        terms = None if shown.status.is_final else terms_of(shown)
        change = Change(row.id, "re-read", machine.BrokerSays(shown), pending="", terms=terms)
        return self._journal.apply(change)

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

    def _one_at_a_time(self, row: JournalRow) -> threading.Lock:
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
