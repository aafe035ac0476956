"""One seed, from its first order to its last settled one.

    trace = []; World(seed, trace).run()

raises ``Broken`` (a promise), ``Stuck``, or whatever the order path let out.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from greenlet import GreenletExit, getcurrent

from brokers import dhan
from brokers.calendar import AlwaysOpen
from brokers.errors import AlgoError, RateLimited
from brokers.model import Action, Order, OrderChange, OrderRequest, OrderUpdate, PriceType, Product
from gateway.settings import TradingRules
from gateway.store.journal import Journal
from gateway.trading.answers import OrderAnswer
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Lane, Limiter
from tests.simulation import plan as plans
from tests.simulation.broker import BrokerModel
from tests.simulation.checks import Broken, Sent, Truth, demand, live
from tests.simulation.network import SimRest
from tests.simulation.scheduler import EPOCH_NS, Life, Scheduler, SimClock, SimTasks, Waiter
from tests.simulation.store import SimDatabase

FAULTS_END_S = 40.0
SETTLED_WITHIN_S = 75.0
"""Stuck rows are adopted after twice the broker timeout, a horizon and three readings settle them, and every
one of these steps waits for a period of the reconciler."""
PATIENCE_S = 1.0
CHANGE_S = 120.0
"""No cancel or modify takes longer, whatever stands before it."""
OUR_TAGS = "TAG{:05d}ABCDEFGH"


class Gone(AlgoError):
    """The process died under the request."""

    code = "GONE"


@dataclass(eq=False)
class Op:
    """One request of one client."""

    number: int
    kind: str
    request: OrderRequest | None = None
    client_order_id: str | None = None
    began: float = 0.0
    commits_s: float = 0.0

    def __str__(self) -> str:
        return f"#{self.number} {self.kind} {self.client_order_id or ''}".strip()


class Instruments:
    """The instrument table of the model."""

    def by_key(self, key):
        return plans.INSTRUMENTS.get(key)

    def nearest(self, symbol, exchange, n=3):
        return []


class World:
    """The broker, the network, the disk, the clients, and as many lives of the gateway as it takes."""

    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        self.plan = plans.make(seed)
        self.trace = trace
        self.dice = random.Random(f"world {seed}")
        self.scheduler = Scheduler(self.dice)
        self.clock = SimClock(self.scheduler)
        self.broker = BrokerModel(self.scheduler, self.plan, self._push)
        self.database = SimDatabase(self.scheduler, self, self.point, self._committed)
        self.truth = Truth(self.plan, self.broker, self.database)
        self.journal = Journal(self.database, self.clock)  # type: ignore[arg-type]
        self.orders_sent = Sent(self.plan.order_windows)
        self.data_sent = Sent(self.plan.data_windows)
        self.spec = replace(
            dhan.SPEC, order_windows=self.plan.order_windows, data_windows=self.plan.data_windows
        )
        self.faults_on = True
        self.outside = Life("world")
        self.life = Life("gateway 0")
        self.desk: OrderDesk | None = None
        self.calls: dict[Future[Any], None] = {}
        self.requests: dict[str, OrderRequest] = {}
        self.first: dict[str, OrderAnswer] = {}
        self.refused_tags: set[str] = set()
        self.travelling = 0
        self.busy = 0
        self.crashes = 0
        self._points = 0
        self._session = True
        self._numbers = itertools.count(1)
        self._tags = itertools.count(1)

    # -- the run

    def run(self) -> None:
        with self._logging():
            try:
                self._run()
            finally:
                self.scheduler.kill(self.life)
                self.scheduler.kill(self.outside)

    def _run(self) -> None:
        self._up()
        for number in range(self.plan.clients):
            self.busy += 1
            self.scheduler.spawn(self.outside, lambda number=number: self._client(number))  # type: ignore[misc]
        for _ in range(self.plan.foreign):
            self.scheduler.after(self.dice.uniform(0.0, 15.0), self._foreign)
        self.scheduler.run(FAULTS_END_S, lambda: not self.busy)
        self._cease()
        ends = self.scheduler.now + SETTLED_WITHIN_S
        while True:
            self.scheduler.run(self.scheduler.now + 1.0)
            why = self.truth.unsettled() or (f"{self.busy} clients wait" if self.busy else "")
            why = why or ("the gateway is down" if self.desk is None else "")
            why = why or ("a request is on its way" if self.travelling else "")
            if not why:
                break
            demand(
                self.scheduler.now < ends, f"not settled {SETTLED_WITHIN_S:g} s after the last fault: {why}"
            )
        self._end()

    def _cease(self) -> None:
        self.note("faults cease")
        self.faults_on = False
        self._session = True

    def _end(self) -> None:
        self.truth.at_most_once()
        for tag in self.refused_tags:
            demand(not live(self.broker, tag), f"{tag} was answered as refused, the broker has it")
        for client_order_id, request in list(self.requests.items())[:2]:
            self._as_task(lambda c=client_order_id, r=request: self._place(c, r))  # type: ignore[misc]
        if self.plan.seed % 3 == 0:
            self._as_task(self._get_out)
        for _ in range(2):
            self.desk_now().nudge()
            self.scheduler.run(self.scheduler.now + 3.0)
        self._as_task(self._calm)
        self.truth.at_most_once()

    def _calm(self) -> None:
        ends = self.scheduler.now + SETTLED_WITHIN_S
        while True:
            status = self._call(Op(next(self._numbers), "status"), lambda desk: desk.status())
            if status.ready and not status.unknown and not status.drift:
                break
            demand(self.scheduler.now < ends, f"at the end: {status}")
            self.scheduler.sleep(3.0)

    def desk_now(self) -> OrderDesk:
        assert self.desk is not None
        return self.desk

    def _get_out(self) -> None:
        """Cancel everything, then close everything, twice at once: no position may be turned round."""
        cancelled = self._call(Op(next(self._numbers), "cancel_all"), lambda desk: desk.cancel_all())
        self.scheduler.sleep(12.0)
        failed = {f.what for f in cancelled.failed}
        working = {i for i, e in self.broker.entries.items() if not e.status.is_final}
        demand(working <= failed, f"cancel_all left {working - failed} without a word")
        before = {(p.key, p.product): p.quantity for p in self.broker.positions()}
        ended: list[Future[Any]] = []
        for _ in range(2):
            future: Future[Any] = Future()
            ended.append(future)
            op = Op(next(self._numbers), "close_all")
            self.scheduler.spawn(
                self.outside,
                lambda op=op, f=future: f.set_result(self._call(op, lambda desk: desk.close_all())),  # type: ignore[misc]
            )
        tasks = SimTasks(self.scheduler, self.outside)
        reports = [tasks.result(f, 120.0) for f in ended]
        self.scheduler.sleep(10.0)
        if working:  # an order nobody could cancel may fill beside the exits
            return
        for position in self.broker.positions():
            was = before.get((position.key, position.product), 0)
            demand(
                position.quantity * was >= 0 and abs(position.quantity) <= abs(was),
                f"closing turned {was} into {position.quantity}",
            )
            untouched = position.quantity and not any(r.failed for r in reports)
            rests = any(
                not e.status.is_final or e.status.value == "rejected" for e in self.broker.entries.values()
            )
            demand(not untouched or rests, f"close_all said all is closed, {position.quantity} is left")

    def _as_task(self, work: Callable[[], object]) -> None:
        done: list[bool] = []

        def body() -> None:
            work()
            done.append(True)

        self.scheduler.spawn(self.outside, body)
        self.scheduler.run(self.scheduler.now + 300.0, lambda: bool(done))
        demand(done, "a last request did not end")

    # -- the gateway's process

    def _up(self) -> None:
        self.life = life = Life(f"gateway {self.crashes}")

        def start() -> None:
            while True:
                try:
                    desk = OrderDesk(self._parts(life))
                    desk.start()
                    break
                except AlgoError as exc:  # the disk; the supervisor starts it again
                    self.note(f"start failed: {exc!r}")
                    self.scheduler.sleep(1.0)
            self.desk = desk
            self.note("gateway is up")

        self.scheduler.spawn(life, start)

    def _parts(self, life: Life) -> DeskParts:
        plan, tasks = self.plan, SimTasks(self.scheduler, life)
        self.limiter = Limiter(self.spec, self.clock, tasks)
        return DeskParts(
            rest=SimRest(self.scheduler, plan, self.broker, self, life),
            instruments=Instruments(),  # type: ignore[arg-type]
            journal=self.journal,
            limiter=self.limiter,
            calendar=AlwaysOpen(),
            clock=self.clock,
            rules=TradingRules(
                order_deadline_s=plan.order_deadline_s,
                broker_timeout_s=plan.broker_timeout_s,
                reconcile_positions_s=15.0,
                reconcile_orders_s=10.0,
            ),
            capabilities=plans.CAPABILITIES,
            on_login_required=self._login_required,
            patience_s=PATIENCE_S,
            tasks=tasks,
            new_tag=lambda: OUR_TAGS.format(next(self._tags))[:16],
        )

    def _crash(self, life: Life) -> None:
        if life.dead:
            return
        self.note("gateway is killed")
        self.crashes += 1
        self.desk = None
        self.scheduler.kill(self.life)
        for future in list(self.calls):
            if not future.done():
                future.set_exception(Gone("killed"))
        self.data_sent.times.clear()
        self.scheduler.after(plans.DOWN_S + self.plan.draw(self.dice, self.plan.restart_s), self._up)

    def point(self, name: str) -> None:
        """A place where the process may die."""
        self.scheduler.current()
        self._points += 1
        if self.faults_on and self._points in self.plan.crash_points:
            self.note(f"dies at {name}")
            life = self.life
            self.scheduler.at(self.scheduler.now, lambda: self._crash(life))
            self.scheduler.block(Waiter(self.scheduler))

    def _login_required(self) -> None:
        if not self._session:
            self.scheduler.after(self.dice.uniform(0.2, 3.0), self._login)

    def _login(self) -> None:
        self._session = True

    def session_ok(self) -> bool:
        return self._session

    def end_session(self) -> None:
        self._session = not self.faults_on

    # -- the disk

    def commit_s(self) -> float:
        slow = self.faults_on and self.dice.random() < self.plan.slow_commit
        seconds = self.dice.uniform(0.2, 1.5) if slow else 0.001
        op = getattr(getcurrent(), "op", None)
        if op is not None:
            op.commits_s += seconds
        return seconds

    def fails(self) -> bool:
        return self.faults_on and self.dice.random() < self.plan.disk_fails

    def _committed(self) -> None:
        with self._witness():
            self.truth.after_commit()

    @contextmanager
    def _witness(self) -> Iterator[None]:
        """A broken promise ends the run, whatever the code under test makes of the exception."""
        try:
            yield
        except Broken as exc:
            self.scheduler.failures.append(exc)
            raise

    # -- what leaves and what comes back

    def left(self, kind: str, what: Any) -> None:
        with self._witness():
            self._left(kind, what)

    def _left(self, kind: str, what: Any) -> None:
        now = self.scheduler.now
        self.travelling += 1
        op: Op | None = getattr(getcurrent(), "op", None)
        entry = kind == "modify" or (kind == "place" and not (op is not None and op.kind == "close_all"))
        self.note(f"{kind} leaves for {op}")
        if kind == "place":
            tag, _ = what
            demand(self.database.has_tag(tag), f"{tag} leaves without a journal row")
            self.truth.flying[tag] = self.truth.flying.get(tag, 0) + 1
            demand(self.truth.flying[tag] == 1 and not self.broker.with_tag(tag), f"{tag} is sent again")
            if op is not None and op.kind == "place":
                waited = now - op.began - op.commits_s
                most = self.plan.order_deadline_s
                demand(waited <= most + 0.001, f"{op} was held {waited:.3f} s, its deadline is {most:g} s")
        self.orders_sent.check(now, entry=entry)

    def no_way(self) -> None:
        self.orders_sent.spent.append(self.scheduler.now)

    def arrived(self, kind: str, what: Any, result: object) -> None:
        self.travelling -= 1
        if kind == "place":
            self.truth.flying[what[0]] -= 1
        self.note(f"{kind} {'arrives' if result is not None else 'ends'} {getattr(result, 'order_id', '')}")

    def read(self, name: str) -> None:
        with self._witness():
            self.data_sent.check(self.scheduler.now, entry=False)

    def _push(self, order: Order) -> None:
        self.note(f"broker: {order.order_id} {order.status} {order.raw_status} {order.filled_quantity}")
        if self.dice.random() >= self.plan.push:
            return
        if not self.plan.push_tag:
            order = replace(order, tag="")
        for _ in range(2 if self.dice.random() < self.plan.push_twice else 1):
            self.scheduler.after(self.plan.draw(self.dice, self.plan.push_s), lambda: self._deliver(order))

    def _deliver(self, order: Order) -> None:
        desk, update = self.desk, OrderUpdate(order, self.clock.time_ns())
        if desk is None:
            return

        def body() -> None:
            try:
                desk.on_update(update)
            except AlgoError as exc:
                self.note(f"update of {order.order_id} failed: {exc!r}")

        self.scheduler.spawn(self.life, body)

    def _foreign(self) -> None:
        if not self.faults_on:
            return
        request = self._request()
        self.broker.place(request, self.dice.choice(("", f"FOREIGN{next(self._numbers)}")), ours=False)

    # -- clients

    def _client(self, number: int) -> None:
        dice, plan = self.dice, self.plan
        for _ in range(plan.operations * (3 if plan.storm else 1)):
            self.scheduler.sleep(0.0 if plan.storm else dice.expovariate(1.0) * plan.think_s)
            if self.scheduler.now > FAULTS_END_S - 10:
                break
            roll = dice.random()
            if roll < 0.5 or not self.requests:
                client_order_id = f"c{next(self._numbers)}" if dice.random() < 0.8 else None
                self._place(client_order_id, self._request(), more=dice.random() < 0.2)
            elif roll < 0.62:
                client_order_id = dice.choice(list(self.requests))
                self._place(client_order_id, self.requests[client_order_id])
            elif roll < 0.80:
                self._cancel()
            elif roll < 0.92:
                self._modify()
            elif roll < 0.97:
                self._try(Op(next(self._numbers), "orders"), lambda desk: desk.orders())
            elif roll < 0.985:
                self._try(Op(next(self._numbers), "cancel_all"), lambda desk: desk.cancel_all())
            else:
                self._try(Op(next(self._numbers), "close_all"), lambda desk: desk.close_all())
        self.busy -= 1

    def _request(self) -> OrderRequest:
        dice = self.dice
        kind = dice.choice((PriceType.LIMIT, PriceType.LIMIT, PriceType.SL, PriceType.MARKET))
        price = Decimal("800.00") + dice.randrange(400) * Decimal("0.05")
        return OrderRequest(
            key=dice.choice((plans.SBIN, plans.SBIN, plans.INFY)),
            action=dice.choice((Action.BUY, Action.BUY, Action.SELL)),
            quantity=dice.choice((1, 5, 10, 40)),
            price_type=kind,
            product=Product.MIS,
            price=Decimal(0) if kind is PriceType.MARKET else price,
            trigger_price=price if kind is PriceType.SL else Decimal(0),
        )

    def _place(self, client_order_id: str | None, request: OrderRequest, *, more: bool = False) -> None:
        """Place, sometimes twice at the same moment; asked again when the process died under it."""
        if client_order_id is not None:
            self.requests[client_order_id] = request
            if more:
                self.busy += 1

                def again() -> None:
                    self._place(client_order_id, request)
                    self.busy -= 1

                self.scheduler.spawn(self.outside, again)
        op = Op(next(self._numbers), "place", request, client_order_id)
        found = self._try(
            op,
            lambda desk: desk.place(
                request, client_order_id=client_order_id, received_ns=self.clock.time_ns()
            ),
        )
        if isinstance(found, OrderAnswer):
            self._judge_place(op, found)
        elif isinstance(found, Gone) and client_order_id is not None and self.dice.random() < 0.7:
            self.scheduler.sleep(self.dice.uniform(0.0, 3.0))
            self._place(client_order_id, request)

    def _judge_place(self, op: Op, answer: OrderAnswer) -> None:
        spent = self.scheduler.now - op.began - op.commits_s
        most = self.plan.order_deadline_s + self.plan.broker_timeout_s + PATIENCE_S + 1.0
        demand(spent <= 2 * most, f"{op} was answered after {spent:.3f} s")
        row = self.journal_row(answer.journal_id)
        tag = row[1]
        if answer.ok or answer.code == "DUPLICATE_ORDER":
            entry = self.broker.entries.get(answer.order_id)
            demand(entry is not None, f"{op}: success with the id {answer.order_id}, the broker has none")
            assert entry is not None
            demand(entry.order.tag.startswith(tag), f"{op}: that is another order")
        elif answer.code != "OUTCOME_UNKNOWN":
            demand(not live(self.broker, tag), f"{op}: {answer.code} ({answer.message}), the broker has it")
            demand(not self.truth.flying.get(tag), f"{op}: {answer.code}, it is still on its way")
            self.refused_tags.add(tag)
        if op.client_order_id is not None:
            self._judge_repeat(op, answer)

    def _judge_repeat(self, op: Op, answer: OrderAnswer) -> None:
        assert op.client_order_id is not None
        first = self.first.setdefault(op.client_order_id, answer)
        demand(first.journal_id == answer.journal_id, f"{op}: another row than at first")
        if first.code == "OUTCOME_UNKNOWN":
            if answer.code != "OUTCOME_UNKNOWN":
                self.first[op.client_order_id] = answer
            return
        if self.plan.disk_fails:  # an answer that could not be kept cannot be given again
            same = "" in (first.order_id, answer.order_id) or first.order_id == answer.order_id
        else:
            same = replace(first, repeated=True, message="") == replace(answer, repeated=True, message="")
        demand(same, f"{op}: first {first}, now {answer}")

    def journal_row(self, journal_id: int) -> tuple[Any, ...]:
        return next(row for row in self.database.rows() if row[0] == journal_id)

    def _working(self) -> str | None:
        ids = list(self.broker.entries)
        return self.dice.choice(ids) if ids else None

    def _cancel(self) -> None:
        order_id = self._working()
        if order_id is None:
            return
        op = Op(next(self._numbers), "cancel")
        found = self._try(op, lambda desk: desk.cancel(order_id, received_ns=self.clock.time_ns()))
        if isinstance(found, OrderAnswer):
            cancelled = self.broker.entries[order_id].status.value == "cancelled"
            self._judge_change(op, found, order_id, really=cancelled)
        elif isinstance(found, RateLimited) and "exit requests" in str(found):
            self._judge_refused_cancel(found)

    def _judge_refused_cancel(self, error: RateLimited) -> None:
        """Entries never leave a cancel without a slot. (After a 429 or a death more counts than has left.)"""
        plan = self.plan
        if not (plan.write_faults["429"] or plan.slow_commit or self.crashes):
            gate = self.limiter._gates[Lane.EXIT]
            full = self.orders_sent.is_full(self.scheduler.now, gate.outstanding)
            demand(full, f"a cancel was refused though a slot was free: {error}")

    def _modify(self) -> None:
        order_id = self._working()
        if order_id is None:
            return
        order = self.broker.entries[order_id].order
        price = Decimal("700.00") + next(self._numbers) * Decimal("0.05")
        kind = PriceType.LIMIT if order.price_type is PriceType.MARKET else order.price_type
        change = OrderChange(
            order_id,
            order.quantity + self.dice.choice((0, 0, 5)),
            kind,
            price,
            price if kind is PriceType.SL else Decimal(0),
        )
        op = Op(next(self._numbers), "modify")
        found = self._try(op, lambda desk: desk.modify(change, received_ns=self.clock.time_ns()))
        if isinstance(found, OrderAnswer):
            self._judge_change(op, found, order_id, really=False)

    def _judge_change(self, op: Op, answer: OrderAnswer, order_id: str, *, really: bool) -> None:
        """``really``: the order is as the caller wanted it, by whoever's doing."""
        spent = self.scheduler.now - op.began - op.commits_s
        demand(spent <= CHANGE_S, f"{op} took {spent:.3f} s")
        taken = (op, op.kind) in self.broker.taken
        if answer.ok:
            demand(taken or really, f"{op} of {order_id}: success, the broker did not take it")
        elif answer.code not in ("OUTCOME_UNKNOWN", "ORDER_NOT_OPEN"):
            demand(not taken, f"{op} of {order_id}: {answer.code} ({answer.message}), the broker took it")

    # -- calls

    def _try(self, op: Op, work: Callable[[OrderDesk], Any]) -> Any:
        """What the call returned or the ``AlgoError`` it raised."""
        try:
            found = self._call(op, work)
        except AlgoError as exc:
            found = exc
        return found

    def _call(self, op: Op, work: Callable[[OrderDesk], Any]) -> Any:
        """Run a request as a thread of the gateway, the caller waiting outside."""
        desk = self.desk
        if desk is None:
            self.scheduler.sleep(0.2)
            raise Gone("not running")
        future: Future[Any] = Future()
        self.calls[future] = None
        op.began = self.scheduler.now
        self.note(f"{op} asked")

        def body() -> None:
            try:
                result = work(desk)
            except GreenletExit:
                raise
            except AlgoError as exc:
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done():
                    future.set_result(result)

        self.scheduler.spawn(self.life, body, op)
        waiter = Waiter(self.scheduler)
        future.add_done_callback(waiter.wake)
        self.scheduler.block(waiter)
        self.calls.pop(future, None)
        if self.trace is not None:
            self.note(f"{op} answered: {future.exception() or future.result()!r}")
        return future.result()

    # -- the trace

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.scheduler.now:9.4f}  {text}")

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """The order path's log goes into the trace, and nowhere else."""
        logger = logging.getLogger("gateway.trading")
        handler = _ToTrace(self)
        before = logger.propagate, logger.level, logger.handlers[:]
        logger.propagate = False
        logger.handlers[:] = [handler] if self.trace is not None else []
        logger.setLevel(logging.INFO if self.trace is not None else logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.propagate, logger.level, logger.handlers[:] = before


class _ToTrace(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note(f"  log: {record.getMessage()}")


assert EPOCH_NS
