"""GTT orders the broker keeps.

Writes have the fate discipline of orders: journaled before the first byte, sent once, ``unknown`` when no
readable answer came, ended by the broker's list alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from brokers.contract import GttRest
from brokers.errors import (
    AlgoError,
    EntriesBlocked,
    InvalidRequest,
    LoginRequired,
    NotFound,
    OutcomeUnknown,
    RateLimited,
)
from brokers.model import Gtt, GttRequest, GttState, InstrumentKey, Order, PriceType, Product
from gateway.store.gtt import GttRow, NewGtt
from gateway.survive import survive
from gateway.trading.limiter import Lane, Limiter
from gateway.trading.reconcile import Evidence, SettleRules
from gateway.trading.tags import TAG_LENGTH, new_tag
from gateway.trading.writes import Done, Failed, Outcome, broker_code, retry_after_s, send_once
from gateway.triggers import checks, evidence, machine
from gateway.triggers.children import Children
from gateway.triggers.machine import Keeper, Known, State
from gateway.triggers.parts import GttAnswer, GttParts, Shown, shown, shown_by_broker
from gateway.triggers.vet import vet

log = logging.getLogger(__name__)

READ_DEADLINE_S = 5.0
LOOK_EVERY_S = 2.0
FIRST_LOOKS_S = (0.05, 0.2, 0.4)
SETTLE = SettleRules()
_WAITS = (State.SENDING, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class BrokerParts:
    """What writing to the broker needs beside ``GttParts``.

    Attributes:
        order_deadline_s: A write that gets no slot by then is refused.
        on_login_required: The broker refused the session; must not block.
        settle: When "not listed" counts.
        sleep: Waits that many seconds (a test hands in its own).
    """

    rest: GttRest
    limiter: Limiter
    order_deadline_s: float
    on_login_required: Callable[[], None] = lambda: None
    settle: SettleRules = SETTLE
    sleep: Callable[[float], None] = time.sleep


class BrokerGtts:
    """Implements ``parts.Gtts``."""

    kept_by = Keeper.BROKER

    def __init__(self, parts: GttParts, broker: BrokerParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._broker = broker
        self._evidence: dict[int, Evidence] = {}
        self._shown: dict[str, Gtt] = {}
        self._children = Children(parts)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """What was being sent when the last process died may have left."""
        for row in self._mine():
            if row.known.state is State.SENDING:
                self._store.apply(row.id, "lost", machine.AnswerLost())
        self._children.take_up()
        self._thread = threading.Thread(target=self._run, name="gtt-settler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def keys(self) -> set[InstrumentKey]:
        """None: the broker watches the prices."""
        return set()

    def on_order(self, order: Order) -> None:
        """The order of a trigger that fired carries its mark, where the broker passes it on."""
        row = self._store.by_tag(order.tag[:TAG_LENGTH]) if order.tag else None
        if row is not None and order.order_id and order.action is row.known.terms.action:
            self._children.born(row, order)

    def stranger(self, order: Order) -> None:
        """An order of the account that was not placed here: perhaps a child. Must not block."""
        self._children.note(order)
        self._wake.set()

    # -- writes -----------------------------------------------------------------------------------------

    def place(
        self,
        request: GttRequest,
        *,
        strategy: str = "",
        client_order_id: str | None = None,
        expires_ns: int | None = None,
    ) -> GttAnswer:
        if blocked := self._parts.blocked():
            raise EntriesBlocked(f"new entries are blocked: {blocked}")
        if expires_ns is not None:
            message = f"{self._parts.title} keeps a GTT until it is cancelled; leave expires_at out"
            raise InvalidRequest(message, fields={"expires_at": [message]}, code="NOT_SUPPORTED")
        instrument = vet(self._parts, request)
        grant = self._broker.limiter.acquire(Lane.ENTRY, self._broker.order_deadline_s)
        new = NewGtt(request, Keeper.BROKER, strategy, new_tag(), client_order_id)
        with ExitStack() as undo:
            undo.callback(grant.give_back)
            row, is_new = self._store.add(new)
            undo.pop_all()
        if not is_new:
            grant.give_back()
            return replace(self._of_state(row), repeated=True)
        if blocked := self._parts.blocked():
            # a panic waits for rows on their way: what it did not see yet must not leave
            grant.give_back()
            why = EntriesBlocked(f"new entries are blocked: {blocked}")
            refused = machine.Refused(why.code, str(why))
            return self._refused(self._store.apply(row.id, "refused", refused), why)
        grant.sent()
        outcome = send_once(lambda: self._broker.rest.place_gtt(request, instrument, row.tag))
        match outcome:
            case Done(placement):
                trigger_id = getattr(placement, "trigger_id", "")
                return self._of_state(self._store.apply(row.id, "taken", machine.Placed(trigger_id)))
            case Failed(error, _):
                self._heed(error)
                event = machine.Refused(error.code, str(error))
                return self._refused(self._store.apply(row.id, "refused", event), error)
            case _:
                after = self._store.apply(row.id, "lost", machine.AnswerLost())
                return self._of_state(self._patiently(after, lambda found: found is not None))

    def modify(
        self, trigger_id: str, request: GttRequest, grows: Callable[[str], None] = lambda _: None
    ) -> GttAnswer:
        """Leg by leg, those that differ; the answer says so when only the first was changed."""
        if blocked := self._parts.blocked():
            raise EntriesBlocked(f"GTT orders can only be cancelled now, entries are blocked: {blocked}")
        row, listed = self._row(trigger_id)
        checks.same_order(row.known.terms, request, product_too=True)
        if request.quantity > row.known.terms.quantity:
            grows(row.strategy)
        instrument = vet(self._parts, request)
        if row.known.state is not State.ACTIVE:
            return self._not_open(row)
        todo = [n for n in range(len(request.legs)) if self._differs(listed, request, n)]
        for done, leg in enumerate(todo or [0]):
            outcome = self._write(
                row,
                f"modify leg {leg + 1}",
                Lane.ENTRY,
                partial(self._broker.rest.modify_gtt, trigger_id, request, leg, instrument),
            )
            if isinstance(outcome, Failed):
                answer = self._refused(self._read(row), outcome.error)
                if done:
                    said = f"leg 1 was changed, leg 2 was not: {answer.message}"
                    answer = replace(answer, message=said)
                return answer
            if not isinstance(outcome, Done):
                self._store.apply(row.id, "lost", machine.Pending("modify"))
                after = self._patiently(
                    row, lambda gtt: gtt is not None and evidence.same_terms(gtt, request)
                )
                return self._lost(after) if after.known.pending else self._of_state(after)
        return self._of_state(self._store.apply(row.id, "modified", machine.Changed(request)))

    def cancel(self, trigger_id: str) -> GttAnswer:
        row, _ = self._row(trigger_id)
        return self._cancel(row)

    def call_off(self, trigger_id: str) -> GttAnswer:
        """Cancel what the broker's list shows armed, again if need be.

        The list decides, not our journal: also over what this gateway has no words for.
        """
        listed, row = self._shown.get(trigger_id), self._store.get(trigger_id)
        if row is None and listed is not None and listed.product in Product.__members__:
            row = self._store.adopt(_known_of(listed))
        if row is not None and row.known.state is State.ACTIVE:
            return self._cancel(row)
        if listed is None or listed.state not in (GttState.ACTIVE, GttState.UNKNOWN):
            if row is None:
                raise NotFound(f"GTT {trigger_id} not found")
            return self._not_open(row)
        with self._broker.limiter.acquire(Lane.EXIT, self._broker.order_deadline_s):
            log.warning("GTT %s (%s) is armed at the broker: cancel", trigger_id, listed.key)
            outcome = send_once(lambda: self._broker.rest.cancel_gtt(trigger_id))
        code = message = ""
        if isinstance(outcome, Failed):
            self._heed(outcome.error)
            code, message = outcome.error.code, str(outcome.error)
        elif not isinstance(outcome, Done):
            code, message = OutcomeUnknown.code, "the broker's answer was lost"
        return GttAnswer(trigger_id, self.kept_by, listed.state.value, code, message)

    def _cancel(self, row: GttRow) -> GttAnswer:
        trigger_id = row.known.trigger_id
        if row.known.state is not State.ACTIVE:
            return self._not_open(row)
        outcome = self._write(row, "cancel", Lane.EXIT, lambda: self._broker.rest.cancel_gtt(trigger_id))
        if isinstance(outcome, Failed):
            return self._refused(self._read(row), outcome.error)
        if isinstance(outcome, Done):
            return self._of_state(self._store.apply(row.id, "cancelled", machine.Cancelled()))
        self._store.apply(row.id, "lost", machine.Pending("cancel"))
        after = self._patiently(row, evidence.gone)
        return self._lost(after) if after.known.pending else self._of_state(after)

    def _write(self, row: GttRow, what: str, lane: Lane, call: Callable[[], None]) -> Outcome:
        """One write of a known GTT, its intent on disk first. Raises ``RateLimited``: nothing was sent."""
        with self._broker.limiter.acquire(lane, self._broker.order_deadline_s):
            self._store.note(row.id, f"{what}: sending")
            outcome = send_once(call)
        if isinstance(outcome, Failed):
            self._store.note(row.id, f"{what}: refused", {"code": outcome.error.code})
            self._heed(outcome.error)
        return outcome

    # -- the broker's list ------------------------------------------------------------------------------

    def book(self, *, everything: bool = False) -> list[Shown]:
        listed = self._listed()
        rows = self._learn(listed)
        ours = {row.known.trigger_id: row for row in rows if row.known.trigger_id}
        found = [
            shown(ours[gtt.trigger_id]) if gtt.trigger_id in ours else shown_by_broker(gtt) for gtt in listed
        ]
        theirs = {gtt.trigger_id for gtt in listed}
        found += [shown(row) for row in rows if row.shown_id not in theirs]
        if everything:
            return found
        working = {state.value for state in State if not state.is_final}
        return [one for one in found if one.state in working]

    def standing(self) -> dict[str, str]:
        """The list's word, also where our journal knows more: a cancellation the broker took is none yet."""
        listed = self._listed()
        ours = {row.shown_id: row.known.state.value for row in self._learn(listed)}
        return ours | {gtt.trigger_id: gtt.state.value for gtt in listed}

    def _learn(self, listed: list[Gtt]) -> list[GttRow]:
        """Take what the list says over into the journal; every row of ours that it or we still know."""
        rows = [row for row in self._store.newest() if row.kept_by is Keeper.BROKER]
        taken = {row.known.trigger_id for row in rows if row.known.trigger_id}
        # a list may be a moment behind our own writes
        settled_ns = self._parts.clock.time_ns() - int(self._broker.settle.horizon_s * 1e9)
        after = []
        for row in rows:
            # sending: the answer is about to come, and knows more
            gtt = None if row.known.state is State.SENDING else evidence.find(row, listed, taken)
            if gtt is not None:
                taken.add(gtt.trigger_id)
                row = self._store.apply(row.id, "listed", machine.BrokerSays(gtt))
            elif row.known.state is State.ACTIVE and row.updated_ns < settled_ns:
                row = self._store.apply(row.id, "vanished", machine.Vanished())
            after.append(row)
        return after

    def _listed(self) -> list[Gtt]:
        self._broker.limiter.acquire(Lane.DATA, READ_DEADLINE_S).sent()
        try:
            listed = self._broker.rest.gtts()
            self._shown = {gtt.trigger_id: gtt for gtt in listed}
            return listed
        except RateLimited as exc:
            self._broker.limiter.close(Lane.DATA, exc.retry_after_s)
            raise
        except LoginRequired:
            self._broker.on_login_required()
            raise

    def _row(self, trigger_id: str) -> tuple[GttRow, Gtt | None]:
        """A GTT by its id as the broker shows it now; one placed elsewhere is taken into the journal."""
        listed = self._listed()
        row = self._store.get(trigger_id)
        if row is not None and row.kept_by is Keeper.BROKER:
            gtt = evidence.find(row, listed)
            if gtt is not None:
                row = self._store.apply(row.id, "listed", machine.BrokerSays(gtt))
            if row.known.state in _WAITS:
                raise OutcomeUnknown(f"whether the broker took GTT {trigger_id} is not known yet")
            return row, gtt
        gtt = next((one for one in listed if one.trigger_id == trigger_id), None)
        if gtt is None:
            raise NotFound(f"GTT {trigger_id} not found")
        if gtt.product not in Product.__members__:
            raise InvalidRequest(f"GTT {trigger_id} is a {gtt.product} order, changed only at the broker")
        return self._store.adopt(_known_of(gtt)), gtt

    @staticmethod
    def _differs(listed: Gtt | None, request: GttRequest, leg: int) -> bool:
        if listed is None or listed.quantity != request.quantity or len(listed.legs) != len(request.legs):
            return True
        mine, theirs = request.legs[leg], listed.legs[leg]
        same_type = listed.price_type in (None, request.price_type)
        return not same_type or (mine.trigger_price, mine.price) != (theirs.trigger_price, theirs.price)

    # -- unknown outcomes -------------------------------------------------------------------------------

    def _patiently(self, row: GttRow, settled: Callable[[Gtt | None], bool]) -> GttRow:
        """A first look while the caller waits; what stays open is the settler's."""
        with self._lock:
            self._evidence[row.id] = Evidence(self._parts.clock.monotonic())
        for pause_s in FIRST_LOOKS_S:
            self._broker.sleep(pause_s)
            try:
                listed = self._listed()
            except AlgoError as exc:
                log.warning("looking for GTT %s: %s", row.shown_id, exc)
                continue
            taken = {r.known.trigger_id for r in self._mine() if r.id != row.id}
            gtt = evidence.find(row, listed, taken)
            if settled(gtt):
                row = self._settled(row, gtt)
                break
        self._wake.set()
        return self._store.row(row.id) or row

    def _settled(self, row: GttRow, gtt: Gtt | None) -> GttRow:
        if gtt is not None:
            self._store.apply(row.id, "settled", machine.BrokerSays(gtt))
        elif row.known.state is State.ACTIVE:
            self._store.apply(row.id, "settled", machine.Cancelled())
        with self._lock:
            self._evidence.pop(row.id, None)
        return self._store.apply(row.id, "settled", machine.Pending(""))

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            with survive(log, "GTT orders of unknown outcome"):
                try:
                    self.settle()
                except AlgoError as exc:
                    log.warning("GTT orders of unknown outcome: %s", exc)

    def settle(self) -> None:
        """One reading of the list, if anything is open or an order may be a child."""
        if self._children.pending():
            listed = self._listed()
            self._children.settle(listed, self._learn(listed))
        open_rows = [r for r in self._mine() if r.known.state is State.UNKNOWN or r.known.pending]
        if not open_rows:
            return
        read_at = self._parts.clock.monotonic()
        listed = self._listed()
        taken = {row.known.trigger_id for row in self._mine() if row.known.trigger_id}
        for row in open_rows:
            with self._lock:
                known = self._evidence.setdefault(row.id, Evidence(read_at))
            gtt = evidence.find(row, listed, taken)
            if row.known.pending:
                # what the list shows once the write cannot be on its way any more is what became of it
                if read_at >= known.lost_at + self._broker.settle.horizon_s:
                    self._settled(row, gtt)
                continue
            known, event = evidence.weigh(known, gtt, read_at, self._broker.settle)
            with self._lock:
                self._evidence[row.id] = known
            if event is not None:
                after = self._store.apply(row.id, "settled", event)
                log.info("GTT %s is settled: %s", after.shown_id, after.known.state.value)

    def _mine(self) -> list[GttRow]:
        return [row for row in self._store.working() if row.kept_by is Keeper.BROKER]

    # -- answers ----------------------------------------------------------------------------------------

    def _of_state(self, row: GttRow) -> GttAnswer:
        known = row.known
        if known.state in _WAITS:
            return self._lost(row)
        if known.state in (State.REJECTED, State.FAILED):
            code, reason = known.code or "ORDER_REJECTED", known.reason or "rejected by the broker"
            return GttAnswer(row.shown_id, self.kept_by, known.state.value, code, reason)
        message = f"kept and triggered by {self._parts.title}" if known.state is State.ACTIVE else ""
        return GttAnswer(row.shown_id, self.kept_by, known.state.value, message=message)

    def _refused(self, row: GttRow, error: AlgoError) -> GttAnswer:
        return GttAnswer(
            trigger_id=row.shown_id,
            kept_by=self.kept_by,
            state=row.known.state.value,
            code=error.code,
            message=str(error),
            broker_code=broker_code(error),
            retry_after_s=retry_after_s(error),
        )

    def _lost(self, row: GttRow) -> GttAnswer:
        what = f"the {row.known.pending} of GTT {row.shown_id}" if row.known.pending else "the GTT"
        message = (
            f"the broker's answer to {what} was lost; it may have been carried out. Do not send it again: it "
            "is being looked for, see the GTT book"
        )
        return GttAnswer(row.shown_id, self.kept_by, "unknown", OutcomeUnknown.code, message)

    def _not_open(self, row: GttRow) -> GttAnswer:
        state = row.known.state.value
        message = f"GTT {row.shown_id} is {state} already"
        return GttAnswer(row.shown_id, self.kept_by, state, "ORDER_NOT_OPEN", message)

    def _read(self, row: GttRow) -> GttRow:
        return self._store.row(row.id) or row

    def _heed(self, error: AlgoError) -> None:
        if isinstance(error, RateLimited):
            self._broker.limiter.close(Lane.ENTRY, error.retry_after_s)
        if isinstance(error, LoginRequired):
            self._broker.on_login_required()


def _known_of(gtt: Gtt) -> Known:
    """A GTT placed elsewhere. Where the list does not say LIMIT or MARKET, a price tells."""
    guess = PriceType.LIMIT if any(leg.price > 0 for leg in gtt.legs) else PriceType.MARKET
    terms = GttRequest(
        gtt.key, gtt.action, gtt.quantity, gtt.price_type or guess, Product(gtt.product), gtt.legs
    )
    return Known(terms, machine.SAID.get(gtt.state, State.ACTIVE), gtt.trigger_id)
