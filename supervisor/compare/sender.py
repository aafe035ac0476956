"""Carries a probe plan out: sends on time whatever the answers do, and leaves nothing behind.

One thread keeps the times and hands each request to a thread of its instance. A modify or cancel needs its
order's id: while the place is not answered it waits, and its time counts from when it could be sent. What
happened to the sender itself (its lag) is kept beside the latencies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from supervisor.compare.probe import MODIFY, PLACE, Plan, Step

STRATEGY = "compare"
THREADS = 24
"""Requests of one instance that may wait at the same time; beyond it the lag of the sender shows it."""
CLEAN_S = 90.0
LOOK_S = 0.5
MOST_REFUSED = 4
"""In a row at one instance; then the run ends: a broker that says no is not to be asked a hundred times."""
WATCH_S = 2.0
"""Between two looks whether the run may go on."""

ACKNOWLEDGED, REJECTED, LIMITED, LOST, NOT_SENT = "acknowledged", "rejected", "limited", "lost", "not sent"
UNKNOWN_CODES = frozenset({"OUTCOME_UNKNOWN"})
LIMITED_CODES = frozenset({"RATE_LIMITED"})


class Wire(Protocol):
    """One instance. Both raise ``OSError`` when no readable answer came."""

    def post(self, path: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """``/api/v1/<path>`` under a key of this run."""
        ...

    def standing(self) -> dict[str, Any]:
        """``/internal/probing`` of the plan's contract."""
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """One request. Times are seconds of one monotonic clock after the start of the run.

    Attributes:
        due_s: When it was to be sent; of a modify or cancel, not before its order was answered.
        answered_s: None when no answer came.
        outcome: One of the words above; ``lost``: no answer, or one that says the outcome is unknown.
    """

    round: int
    instance: str
    op: str
    due_s: float
    sent_s: float
    answered_s: float | None
    outcome: str
    code: str = ""
    message: str = ""

    @property
    def latency_s(self) -> float | None:
        """From the intended time; None when it was not acknowledged."""
        if self.answered_s is None or self.outcome != ACKNOWLEDGED:
            return None
        return self.answered_s - self.due_s


@dataclass(frozen=True, slots=True)
class Left:
    """What cleaning up found. ``open``: orders that still work or whose fate nobody knows."""

    open: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    cancelled_late: int = 0

    @property
    def clean(self) -> bool:
        return not self.open and not self.filled


@dataclass(slots=True)
class _Life:
    """One order between its three requests."""

    placed: threading.Event = field(default_factory=threading.Event)
    modified: threading.Event = field(default_factory=threading.Event)
    order_id: str = ""
    free_s: float = 0.0


class Run:
    """One execution of a plan. ``name`` makes its client order ids unique."""

    def __init__(
        self,
        plan: Plan,
        wires: Mapping[str, Wire],
        name: str,
        *,
        on_shot: Callable[[Shot], None] = lambda shot: None,  # noqa: ARG005
        may_go_on: Callable[[], str] = lambda: "",
        patience_s: float = 35.0,
    ) -> None:
        self.plan, self.wires, self.name = plan, wires, name
        self.shots: list[Shot] = []
        self.stopped = ""
        self.left = Left(open=("not cleaned up",))
        self.on_shot, self._may_go_on, self._patience_s = on_shot, may_go_on, patience_s
        self._lives = {(step.instance, step.round): _Life() for step in plan.steps}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._refused: dict[str, int] = {}
        self._zero = 0.0

    def go(self) -> Left:
        """Send everything, then clean up, whatever happens in between; ``stop`` ends it early."""
        pools = {name: ThreadPoolExecutor(THREADS, f"probe-{name}") for name in self.wires}
        watch = threading.Thread(target=self._watch, name="probe-watch")
        watch.start()
        try:
            self._send_all(pools)
        finally:
            try:
                self._end(pools)
                watch.join()
            finally:
                self.left = self._tidy()
        return self.left

    def stop(self, why: str) -> None:
        """Nothing more is sent; what was sent is cleaned up by ``go``. For a signal handler too."""
        self.stopped = self.stopped or why
        self._stop.set()

    def client_id(self, step_round: int) -> str:
        """The same at every instance: it is what pairs them in the latency databases."""
        return f"cmp-{self.name}-{step_round}"

    def _end(self, pools: Mapping[str, ThreadPoolExecutor]) -> None:
        self._stop.set()
        for life in self._lives.values():
            life.placed.set()
            life.modified.set()
        for pool in pools.values():
            pool.shutdown(wait=True)

    def _now(self) -> float:
        return time.monotonic() - self._zero

    def _watch(self) -> None:
        """Ends the run as soon as it may not go on."""
        while not self._stop.wait(WATCH_S):
            why = self._may_go_on()
            if why:
                self.stop(why)

    def _send_all(self, pools: Mapping[str, ThreadPoolExecutor]) -> None:
        self._zero = time.monotonic()
        pending: list[Future[None]] = []
        for step in self.plan.steps:
            # an order that was placed gets its cancel from _tidy: nothing new is sent after a stop
            if self._stop.wait(max(0.0, step.at_s - self._now())):
                break
            pending.append(pools[step.instance].submit(self._one, step))
        else:
            for one in pending:
                one.result()

    def _one(self, step: Step) -> None:
        life = self._lives[step.instance, step.round]
        try:
            if step.op == PLACE:
                self._place(step, life)
            else:
                self._change(step, life)
        finally:
            life.free_s = self._now()
            (life.placed if step.op == PLACE else life.modified).set()

    def _place(self, step: Step, life: _Life) -> None:
        plan = self.plan
        body = self._shoot(
            step,
            step.at_s,
            "placeorder",
            {
                **self._terms(),
                "action": plan.side,
                "price": str(plan.price),
                "client_order_id": self.client_id(step.round),
            },
        )
        life.order_id = str(body.get("orderid") or "")

    def _change(self, step: Step, life: _Life) -> None:
        before = life.placed if step.op == MODIFY else life.modified
        if not before.wait(self._patience_s) or not life.order_id or self._stop.is_set():
            # no order to change: its place says why
            self._keep(Shot(step.round, step.instance, step.op, step.at_s, self._now(), None, NOT_SENT))
            return
        due = max(step.at_s, life.free_s)
        if step.op == MODIFY:
            fields = {
                **self._terms(),
                "action": self.plan.side,
                "price": str(self.plan.moved),
                "orderid": life.order_id,
                "disclosed_quantity": "0",
                "trigger_price": "0",
            }
            self._shoot(step, due, "modifyorder", fields)
        else:
            self._shoot(step, due, "cancelorder", {"strategy": STRATEGY, "orderid": life.order_id})

    def _terms(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "strategy": STRATEGY,
            "symbol": plan.symbol,
            "exchange": plan.exchange,
            "quantity": str(plan.quantity),
            "product": plan.product,
            "pricetype": "LIMIT",
        }

    def _shoot(self, step: Step, due_s: float, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        sent = self._now()
        try:
            status, body = self.wires[step.instance].post(path, fields)
        except OSError as exc:
            self._keep(
                Shot(
                    step.round, step.instance, step.op, due_s, sent, None, LOST, type(exc).__name__, str(exc)
                )
            )
            return {}
        code, message = str(body.get("code") or ""), str(body.get("message") or "")
        outcome = outcome_of(status, code)
        answered = None if outcome == LOST else self._now()
        self._keep(Shot(step.round, step.instance, step.op, due_s, sent, answered, outcome, code, message))
        return body

    def _keep(self, shot: Shot) -> None:
        with self._lock:
            self.shots.append(shot)
            in_a_row = self._refused.get(shot.instance, 0) + 1 if shot.outcome == REJECTED else 0
            if shot.outcome != NOT_SENT:
                self._refused[shot.instance] = in_a_row
        if in_a_row >= MOST_REFUSED:
            self.stop(f"{shot.instance} refused {in_a_row} requests in a row: {shot.code} {shot.message}")
        self.on_shot(shot)

    def _tidy(self) -> Left:
        with ThreadPoolExecutor(len(self.wires)) as pool:
            ours = {self.client_id(number) for number in range(self.plan.rounds)}
            parts = list(pool.map(lambda name: tidy(name, self.wires[name], ours), self.wires))
        return Left(
            tuple(text for part in parts for text in part.open),
            tuple(text for part in parts for text in part.filled),
            sum(part.cancelled_late for part in parts),
        )


def outcome_of(status: int, code: str) -> str:
    """How a request ended, by HTTP status and our code."""
    if status == 200:
        return ACKNOWLEDGED
    if code in LIMITED_CODES or status == 429:
        return LIMITED
    return LOST if code in UNKNOWN_CODES or status >= 500 else REJECTED


def tidy(instance: str, wire: Wire, ours: set[str], patience_s: float = CLEAN_S) -> Left:
    """Cancel every probe that still works at one instance, until its book and journal show none.

    An order of unknown outcome is waited for: the gateway looks for it at the broker. What an earlier run
    left behind is found too, since the journal knows its orders by their strategy.

    Args:
        ours: Client order ids whose executions are told of; others are cancelled only.
    """
    ends = time.monotonic() + patience_s
    late = 0
    why = "the instance does not answer"
    while True:
        try:
            found = wire.standing()
            working = [row["orderid"] for row in found["orders"] if row["probe"]]
            unsure = [
                row for row in found["probes"] if row["status"] not in ("complete", "cancelled", "rejected")
            ]
            if not working and not unsure:
                filled = [row for row in found["probes"] if row["filled"] and row["client_order_id"] in ours]
                return Left(
                    filled=tuple(f"{instance}: {r['orderid']} traded {r['filled']}" for r in filled),
                    cancelled_late=late,
                )
            for order_id in {*working, *(r["orderid"] for r in unsure if r["status"] != "unknown")} - {""}:
                status, body = wire.post("cancelorder", {"strategy": STRATEGY, "orderid": order_id})
                late += status == 200
                why = str(body.get("message") or f"HTTP {status}")
            names = sorted({*working, *(r["orderid"] or r["client_order_id"] for r in unsure)})
        except OSError as exc:
            names, why = [], str(exc)
        if time.monotonic() >= ends:
            what = ", ".join(names) or "its probes are not known to be gone"
            return Left(open=(f"{instance}: {what} ({why})",), cancelled_late=late)
        time.sleep(LOOK_S)
