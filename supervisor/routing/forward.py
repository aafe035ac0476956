"""One order through the route: decided, on disk, sent once, its answer on disk, answered.

::

    decided --(on disk)--> sent --> an answer that proves something --(on disk)--> told
                             `--> none: ask that instance --> known / never / in flight …

An order is never sent twice and never to a second instance. When no answer comes the instance is asked; one
that has not journaled it closes it by being asked, so bytes still on their way are refused. Until it says,
the order is open, and the caller is told ``OUTCOME_UNKNOWN`` with everything needed to ask again. A repeat of
its ``client_order_id`` asks the same instance, today and after every restart. An order that provably was not
sent may be tried again under its id: as the next attempt, which the closing of the last one does not stop.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from brokers.errors import StoreError
from supervisor.routing.books import told
from supervisor.routing.choose import Declined, Look, choose, may_hold
from supervisor.routing.journal import Journal
from supervisor.routing.model import Answer, Chosen, Lost, NotSent, Order, Row, State
from supervisor.routing.verdict import NO_WORD, Verdict, judge

log = logging.getLogger(__name__)

ASK_FOR_S = 8.0
"""How long a caller waits for an instance that does not answer: longer than a killed one takes to return."""
ASK_EVERY_S = 0.2


class Link(Protocol):
    """The way to the instances."""

    def call(self, row: Row) -> Any:
        """Send it. Raises ``NotSent`` before the first byte has left, ``Lost`` after."""
        ...

    def settle(self, row: Row) -> Any:
        """Ask what became of it. Raises ``NotSent``, ``Lost``."""
        ...


class Clock(Protocol):
    """Wall time, durations, and a wait that ends early when the process stops."""

    def time_ns(self) -> int: ...

    def monotonic(self) -> float: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """``looks``: every instance now, in the fixed order. ``spelt``: one name for all names of a contract."""

    journal: Journal
    link: Link
    clock: Clock
    looks: Callable[[str, str], Sequence[Look]]
    spelt: Callable[[str, str], str]


class Forwarder:
    """Thread-safe. ``StoreError`` from ``place`` means that nothing was sent."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clients = Turns()
        self._contracts = Turns()

    def place(self, order: Order) -> Answer:
        """Carry out a new order, or answer a repeat of one."""
        with self._clients.turn(order.client_order_id):
            row = self._parts.journal.by_client_id(order.client_order_id)
            if row is not None:
                return self._repeated(row, order)
            decided = self._decide(order)
            return decided if isinstance(decided, Answer) else told(self._send(decided))

    def look_up(self, number: int) -> Row | None:
        """One order by its number, asked for once more when it is open."""
        row = self._parts.journal.by_number(number)
        return self.resolve(row) if row is not None and row.state is State.OPEN else row

    def resolve(self, row: Row) -> Row:
        """Ask once for an open order, unless somebody is busy with it."""
        with self._clients.turn_if_free(row.order.client_order_id) as mine:
            if not mine:
                return row
            now = self._parts.journal.by_number(row.number) or row
            return self._settled(now, self._ask(now)) if now.state is State.OPEN else now

    def resolve_all(self) -> int:
        """Ask for every open order; how many stay open."""
        return sum(self.resolve(row).state is State.OPEN for row in self._parts.journal.open_rows())

    # -- the path of one order

    def _decide(self, order: Order, earlier: Row | None = None) -> Row | Answer:
        """One at a time for each contract: the second order sees where the first one went.

        Args:
            earlier: Its line in the journal, where it was not sent: it goes to that instance or nowhere.
        """
        parts = self._parts
        exchange, symbol = str(order.body["exchange"]), str(order.body["symbol"])
        contract = parts.spelt(exchange, symbol)
        with self._contracts.turn(contract):
            looks = parts.looks(exchange, symbol)
            now_ns = parts.clock.time_ns()
            routed = may_hold(looks, parts.journal.lately(contract), now_ns)
            found = choose(looks, contract, routed, np.random.default_rng(now_ns))
            if earlier is not None and isinstance(found, Chosen):
                found = still(earlier, found)
            if isinstance(found, Declined):
                self._note_declined(contract, found, now_ns)
                return declined(found, order)
            if earlier is not None:
                return parts.journal.again(earlier)
            return parts.journal.add(order, contract, found, now_ns)

    def _note_declined(self, contract: str, found: Declined, now_ns: int) -> None:
        try:
            self._parts.journal.decline(contract, found, now_ns)
        except StoreError as exc:
            log.error("a decision against %s is not in the journal: %s", contract, exc)

    def _send(self, row: Row) -> Row:
        try:
            verdict = judge(self._parts.link.call(row))
        except NotSent as exc:
            # one connection for each attempt: nothing of this one is under way anywhere
            verdict = not_sent(row, f"it does not take connections ({exc})")
        except Lost as exc:
            log.warning("R%d: no answer of %s: %s", row.number, row.chosen.instance, exc)
            verdict = NO_WORD
        if verdict.state is State.OPEN and not verdict.answer:
            verdict = self._ask_patiently(row)
        return self._settled(row, verdict)

    def _ask_patiently(self, row: Row) -> Verdict:
        clock = self._parts.clock
        ends = clock.monotonic() + ASK_FOR_S
        while True:
            verdict = self._ask(row)
            if verdict is not NO_WORD or clock.monotonic() >= ends:
                return verdict
            clock.wait(ASK_EVERY_S)

    def _ask(self, row: Row) -> Verdict:
        try:
            found = self._parts.link.settle(row)
        except (NotSent, Lost):
            return NO_WORD
        state = found.get("state") if isinstance(found, Mapping) else None
        if state == "never":
            return not_sent(row, "its journal does not have it, and it was closed there")
        return judge({**found, "journaled": True}) if state == "known" else NO_WORD

    def _settled(self, row: Row, verdict: Verdict) -> Row:
        """Kept and returned; where the disk refuses, the truth goes to the caller at least."""
        now_ns = self._parts.clock.time_ns()
        if verdict.state is State.OPEN and (not verdict.answer or dict(verdict.answer) == dict(row.answer)):
            return row
        try:
            return self._parts.journal.settle(row, verdict, now_ns)
        except StoreError as exc:
            log.error("R%d ended, but not in the journal; it is asked for again: %s", row.number, exc)
            return replace(
                row,
                state=verdict.state,
                http=verdict.http,
                answer=verdict.answer,
                order_id=verdict.order_id or row.order_id,
            )

    def _repeated(self, row: Row, order: Order) -> Answer:
        if row.order.terms != order.terms:
            message = f"client_order_id '{order.client_order_id}' was used for another order, R{row.number}"
            return Answer(400, {"status": "error", "message": message, "code": "CLIENT_ORDER_ID_REUSED"})
        if row.state is State.NOT_SENT:
            decided = self._decide(order, row)
            return decided if isinstance(decided, Answer) else told(self._send(decided))
        if row.state is State.OPEN:
            row = self._settled(row, self._ask_patiently(row))
        return told(row, repeated=True)


def still(row: Row, now: Chosen) -> Chosen | Declined:
    """The decision of an order that was not sent, as long as nobody else has come to hold its contract."""
    others = [str(one["instance"]) for one in now.candidates if one["holds"]]
    others = [name for name in others if name != row.chosen.instance]
    if not others:
        return row.chosen
    names = ", ".join(others)
    why = f"R{row.number} was decided for {row.chosen.instance}, and {names} holds {row.contract} by now"
    return Declined("NO_ROUTE", f"{why}: send it under a new client_order_id")


def not_sent(row: Row, why: str) -> Verdict:
    name = row.chosen.instance
    answer = {
        "status": "error",
        "code": "ROUTE_NOT_SENT",
        "message": f"{name} was chosen, but the order did not reach it and was not sent: {why}",
        "next_step": "Nothing was executed. Send it again if you still want it: with the same "
        f"client_order_id it goes to {name}, with a new one the route chooses anew.",
    }
    return Verdict(State.NOT_SENT, 503, answer)


def declined(found: Declined, order: Order) -> Answer:
    body = {
        "status": "error",
        "code": found.code,
        "message": f"no instance was chosen: {found.reason}",
        "next_step": "Nothing was executed. Mend what is named, or send the order to an instance yourself."
        if found.code == "NO_ROUTE"
        else "Allow entries again with: algo panic --resume",
        "client_order_id": order.client_order_id,
    }
    return Answer(503 if found.code == "NO_ROUTE" else 403, body)


class Turns:
    """A lock for each name in use, forgotten when nobody holds or awaits it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        lock = self._join(name)
        try:
            with lock:
                yield
        finally:
            self._leave(name)

    @contextlib.contextmanager
    def turn_if_free(self, name: str) -> Iterator[bool]:
        """False when somebody has it."""
        lock = self._join(name)
        mine = lock.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                lock.release()
            self._leave(name)

    def _join(self, name: str) -> threading.Lock:
        with self._lock:
            lock, count = self._held.get(name, (threading.Lock(), 0))
            self._held[name] = (lock, count + 1)
            return lock

    def _leave(self, name: str) -> None:
        with self._lock:
            lock, count = self._held[name]
            if count == 1:
                del self._held[name]
            else:
                self._held[name] = (lock, count - 1)
