"""GTT orders the gateway keeps: for brokers that have none, and for paper trading."""

from __future__ import annotations

from collections.abc import Callable

from brokers.errors import EntriesBlocked, InvalidRequest, NotFound
from brokers.model import GttRequest, Instrument, InstrumentKey, Order
from gateway.store.gtt import GttRow, NewGtt
from gateway.triggers import checks, machine
from gateway.triggers.machine import Keeper, State
from gateway.triggers.parts import GttAnswer, GttParts, Shown, shown
from gateway.triggers.runner import Runner
from gateway.triggers.vet import vet

LIFE_NS = 365 * 86_400 * 1_000_000_000
"""How long one lives that was given no end: as long as brokers keep theirs."""


class GatewayGtts:
    """Implements ``parts.Gtts``. A write that returned is on disk."""

    kept_by = Keeper.GATEWAY

    def __init__(self, parts: GttParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._runner = Runner(parts)

    def start(self) -> None:
        self._runner.start()

    def stop(self) -> None:
        self._runner.stop()

    def keys(self) -> set[InstrumentKey]:
        return self._runner.keys()

    def on_order(self, order: Order) -> None:
        """Nothing to learn: the order of a fire went through the desk."""

    def place(
        self,
        request: GttRequest,
        *,
        strategy: str = "",
        client_order_id: str | None = None,
        expires_ns: int | None = None,
    ) -> GttAnswer:
        now = self._parts.clock.time_ns()
        if blocked := self._parts.blocked():
            raise EntriesBlocked(f"new entries are blocked: {blocked}")
        if expires_ns is not None and expires_ns <= now:
            message = "expires_at lies in the past"
            raise InvalidRequest(message, fields={"expires_at": [message]})
        instrument = vet(self._parts, request)
        new = NewGtt(request, Keeper.GATEWAY, strategy, None, client_order_id, expires_ns or now + LIFE_NS)
        row, is_new = self._add(new, instrument)
        if is_new and (blocked := self._parts.blocked()):
            # a panic cancels what it sees: what came to disk after it looked must not stay
            self._change(row, "cancelled", machine.Cancelled())
            raise EntriesBlocked(f"new entries are blocked: {blocked}")
        self._runner.changed()
        return self._answer(row, repeated=not is_new)

    def modify(
        self, trigger_id: str, request: GttRequest, grows: Callable[[str], None] = lambda _: None
    ) -> GttAnswer:
        if blocked := self._parts.blocked():
            raise EntriesBlocked(f"GTT orders can only be cancelled now, entries are blocked: {blocked}")
        row = self._row(trigger_id)
        checks.same_order(row.known.terms, request, product_too=False)
        if request.quantity > row.known.terms.quantity:
            grows(row.strategy)
        instrument = vet(self._parts, request)
        purse = self._parts.purse
        if purse is None:
            self._runner.spikes.forget(row.id)
            return self._change(row, "modified", machine.Changed(request))
        with purse.lock:
            purse.check(row.shown_id, request, instrument)
            self._runner.spikes.forget(row.id)
            answer = self._change(row, "modified", machine.Changed(request))
            if answer.ok:
                purse.add(row.shown_id, request, instrument)
            return answer

    def cancel(self, trigger_id: str) -> GttAnswer:
        return self._change(self._row(trigger_id), "cancelled", machine.Cancelled())

    call_off = cancel

    def book(self, *, everything: bool = False) -> list[Shown]:
        rows = self._store.newest() if everything else self._store.working()
        purse = self._parts.purse
        return [
            shown(row, None if purse is None else purse.blocked(row.shown_id))
            for row in rows
            if row.kept_by is Keeper.GATEWAY
        ]

    def _add(self, new: NewGtt, instrument: Instrument) -> tuple[GttRow, bool]:
        purse = self._parts.purse
        if purse is None:
            return self._store.add(new)
        with purse.lock:
            if new.client_order_id is None or not self._store.knows(new.client_order_id):
                purse.check("", new.terms, instrument)
            row, is_new = self._store.add(new)
            if is_new:
                purse.add(row.shown_id, new.terms, instrument)
            return row, is_new

    def standing(self) -> dict[str, str]:
        rows = (*self._store.newest(), *self._store.working())
        return {row.shown_id: row.known.state.value for row in rows if row.kept_by is Keeper.GATEWAY}

    def _row(self, trigger_id: str) -> GttRow:
        row = self._store.get(trigger_id)
        if row is None or row.kept_by is not Keeper.GATEWAY:
            raise NotFound(f"GTT {trigger_id} not found")
        return row

    def _change(self, row: GttRow, kind: str, event: machine.Event) -> GttAnswer:
        try:
            after = self._store.apply(row.id, kind, event)
        except machine.IllegalStep as exc:
            message = f"GTT {row.shown_id} is {exc.state.value} already"
            return GttAnswer(row.shown_id, self.kept_by, exc.state.value, "ORDER_NOT_OPEN", message)
        if self._parts.purse is not None and after.known.state.is_final:
            self._parts.purse.free(after.shown_id)
        self._runner.changed()
        return self._answer(after)

    def _answer(self, row: GttRow, *, repeated: bool = False) -> GttAnswer:
        message = ""
        if row.known.state is State.ACTIVE:
            message = (
                f"{self._parts.title} keeps no GTT orders: this gateway keeps it and sends the order when "
                "the price is reached, while the instance runs and hears prices"
            )
            if self._parts.purse is not None:
                amount = self._parts.purse.blocked(row.shown_id)
                message += f"; {amount:.2f} rupees are blocked for it (real brokers block none before that)"
        return GttAnswer(
            row.shown_id, self.kept_by, row.known.state.value, message=message, repeated=repeated
        )
