"""The adapter's side of the broker, as ``brokers.contract.Rest``, with a network of every temper in between.

A request that left arrives, late or never, whether or not its sender still lives. What comes back is what an
adapter makes of it: by class, as the contract says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from greenlet import getcurrent

from brokers.errors import (
    AlgoError,
    BrokerDown,
    IpNotAllowed,
    LoginRequired,
    OutcomeUnknown,
    RateLimited,
    WireError,
)
from brokers.model import OrderStatus, Placement, SentTerms
from tests.simulation.broker import BrokerModel
from tests.simulation.plan import Plan
from tests.simulation.scheduler import EPOCH_NS, Life, Scheduler, SimTasks

T = TypeVar("T")
CHANGE_LATE_S = (1.0, 30.0)
"""What the broker shows counts, however late a change comes."""


class Watch(Protocol):
    """Who looks at every request; ``left`` is called in the moment its first byte leaves."""

    faults_on: bool

    def point(self, name: str) -> None: ...

    def left(self, kind: str, what: object) -> None: ...

    def no_way(self) -> None: ...

    def arrived(self, kind: str, what: object, result: object) -> None: ...

    def read(self, name: str) -> None: ...

    def session_ok(self) -> bool: ...

    def end_session(self) -> None: ...


class SimRest:
    """One life's connection to the broker."""

    def __init__(
        self, scheduler: Scheduler, plan: Plan, broker: BrokerModel, watch: Watch, life: Life
    ) -> None:
        self._scheduler = scheduler
        self._dice = scheduler.dice
        self._plan = plan
        self._broker = broker
        self._watch = watch
        self._tasks = SimTasks(scheduler, life)

    # -- writes

    def place(self, order, instrument, tag, *, ltp):
        sent_ns = self._now_ns()
        placed = self._write("place", (tag, order), lambda: self._broker.place(order, tag))
        terms = SentTerms(order.price_type, order.price, order.trigger_price)
        return Placement(placed.order_id, OrderStatus.OPEN, terms, sent_ns, self._now_ns())

    def modify(self, change, order, instrument):
        sent_ns = self._now_ns()
        mark = getcurrent().op, "modify"
        self._write("modify", mark, lambda: self._broker.modify(change, mark))
        terms = SentTerms(change.price_type, change.price, change.trigger_price)
        return Placement(change.order_id, OrderStatus.OPEN, terms, sent_ns, self._now_ns())

    def cancel(self, order_id):
        mark = getcurrent().op, "cancel"
        self._write("cancel", mark, lambda: self._broker.cancel(order_id, mark))

    def _write(self, kind: str, what: object, act: Callable[[], T]) -> T:
        fault = self._draw(self._plan.write_faults)
        if fault == "connect":
            self._watch.no_way()
            self._scheduler.sleep(self._latency())
            raise BrokerDown("could not connect: simulated")
        self._watch.point("send")
        self._watch.left(kind, what)
        reply: Future[T] = Future()
        travel_s = self._latency()
        if fault == "late":
            travel_s = self._dice.uniform(*self._plan.late_s)
        if fault == "last_moment":
            travel_s = self._dice.uniform(*self._plan.last_moment_s)
        if fault == "late_change" and kind != "place":
            travel_s = self._dice.uniform(*CHANGE_LATE_S)
        if fault in ("drop_before", "reset_before"):
            self._scheduler.after(travel_s, lambda: self._watch.arrived(kind, what, None))
        else:
            self._scheduler.after(travel_s, lambda: self._arrive(kind, what, act, fault, reply))
        if fault in ("reset_before", "reset_after"):
            self._scheduler.sleep(travel_s + self._latency())
            raise OutcomeUnknown("reset: simulated")
        try:
            return self._tasks.result(reply, self._plan.broker_timeout_s)
        except TimeoutError:
            raise OutcomeUnknown("no whole answer after sending: simulated") from None
        finally:
            self._watch.point("answer")

    def _arrive(self, kind: str, what: object, act: Callable[[], T], fault: str, reply: Future[T]) -> None:
        """At the broker: refused at its door, or carried out; then the answer sets out."""
        result: object = None
        try:
            if fault == "expired":
                self._watch.end_session()
            if not self._watch.session_ok():
                raise LoginRequired("session ended: simulated")
            if fault == "429":
                raise RateLimited("too many: simulated", retry_after_s=self._dice.choice((0.5, 2.0)))
            if fault == "ip":
                raise IpNotAllowed("address: simulated")
            if fault == "5xx_before":
                raise OutcomeUnknown("502: simulated")
            result = act()
            if fault == "twice" and kind == "place" and self._plan.unique_tags:
                act()  # somebody on the way brings it again; what comes back is the answer to that
            answer = functools.partial(_give, reply, result)
            if fault in ("garbage", "5xx_after"):
                problem = WireError("garbage") if fault == "garbage" else OutcomeUnknown("502")
                answer = functools.partial(_fail, reply, problem)
        except AlgoError as exc:
            answer = functools.partial(_fail, reply, exc)
        self._watch.arrived(kind, what, result)
        if fault == "drop_after":
            return
        self._scheduler.after(self._latency() + (2.5 if fault == "slow" else 0.0), answer)

    # -- reads

    def orders(self):
        return self._read("orders", self._broker.book)

    def find_tag(self, tag):
        return self._read("find_tag", lambda: self._broker.find_tag(tag))

    def trades(self):
        return self._read("trades", self._broker.trades)

    def positions(self):
        return self._read("positions", self._broker.positions)

    def holdings(self):
        return []

    def _read(self, name: str, look: Callable[[], T]) -> T:
        fault = self._draw(self._plan.read_faults)
        self._watch.read(name)
        self._scheduler.sleep(self._latency())
        if fault == "expired":
            self._watch.end_session()
        if not self._watch.session_ok():
            raise LoginRequired("session ended: simulated")
        if fault == "429":
            raise RateLimited("too many: simulated", retry_after_s=1.0)
        if fault in ("connect", "5xx"):
            raise BrokerDown(f"{fault}: simulated")
        if fault == "garbage":
            raise WireError("garbage: simulated")
        found = look()
        self._scheduler.sleep(self._latency() + (6.0 if fault == "slow" else 0.0))
        return found

    def _draw(self, rates: dict[str, float]) -> str:
        if self._watch.faults_on:
            for name, rate in rates.items():
                if rate and self._dice.random() < rate:
                    return name
        return ""

    def _latency(self) -> float:
        return self._plan.draw(self._dice, self._plan.latency_s)

    def _now_ns(self) -> int:
        return EPOCH_NS + round(self._scheduler.now * 1e9)


def _give(reply: Future[T], value: T) -> None:
    if not reply.done():
        reply.set_result(value)


def _fail(reply: Future[T], error: BaseException) -> None:
    if not reply.done():
        reply.set_exception(error)
