"""Carries queued orders out: each once, those of one instrument in order, the day's exits at their time.

The disk decides (``gateway.store.queued``); the threads here only hurry. An order is carried out under the id
its row has had from the start, so that doing it again after a crash sends nothing twice.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.clock import IST, Clock
from brokers.errors import AlgoError, InvalidRequest, NotReady
from gateway.store.queued import NewOrder, Outcome, QueuedOrder, QueuedOrders, Step, day_of, fingerprint_of
from gateway.store.strategies import Strategies
from gateway.strategies import alerts
from gateway.survive import survive

log = logging.getLogger(__name__)

AUTO = "auto"
SEMI_AUTO = "semi_auto"
MODES = (AUTO, SEMI_AUTO)
WORKERS = 4
TICK_S = 1.0
PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
TRY_FOR_S = 60.0
"""How long an order that could not leave (limits, reconciling, no session) is tried again."""
SQUARE_OFF_TRY_FOR_S = 1800.0
"""A position that was to be closed is worth more patience than an entry."""
RESUME_WITHIN_S = 300.0
"""What a restart finds older than this, and not yet in the journal, is not sent: the market has moved on."""
APPROVAL_WAIT_S = 20.0
SQUARE_OFF = "square-off"


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Nothing was sent and nothing journaled; ``outcome`` is what to keep if it never works."""

    outcome: Outcome


CarryOut = Callable[[QueuedOrder], "Outcome | TryAgain"]


class Queue:
    """The orders of one instance that wait. Thread-safe.

    Args:
        mode: The order mode of the settings; a person's later choice, kept on disk, comes before it.
        announce: Told of every order that begins to wait for approval.
    """

    def __init__(
        self,
        store: QueuedOrders,
        strategies: Strategies,
        clock: Clock,
        *,
        mode: str = AUTO,
        announce: Callable[[QueuedOrder], None] = lambda row: None,  # noqa: ARG005
    ) -> None:
        self.store = store
        self.strategies = strategies
        self._clock = clock
        self._announce = announce
        self._mode = store.mode() or mode
        self._carry_out: CarryOut | None = None
        self._analyzing: Callable[[], bool] = lambda: False
        self._changed = threading.Condition()
        self._lanes: dict[str, deque[QueuedOrder]] = {}
        self._ready: deque[str] = deque()
        self._here: set[int] = set()
        self._stop = threading.Event()
        names = ("alerts-clock", *(f"alerts-{n}" for n in range(WORKERS)))
        runs = (self._watch, *(self._work,) * WORKERS)
        self._threads = [
            threading.Thread(target=run, name=n, daemon=True) for n, run in zip(names, runs, strict=True)
        ]

    # -- the order mode ---------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def needs_approval(self) -> bool:
        return self._mode == SEMI_AUTO

    def set_mode(self, mode: str) -> None:
        """Kept over restarts. What waits goes on waiting. Raises ``InvalidRequest``."""
        if mode not in MODES:
            raise InvalidRequest(f"order mode must be one of {', '.join(MODES)}")
        self.store.set_mode(mode)
        self._mode = mode

    # -- life -------------------------------------------------------------------------------------------

    def start(self, carry_out: CarryOut, analyzing: Callable[[], bool] = lambda: False) -> None:
        """Take up what the last run left, then work; returns at once.

        Args:
            analyzing: Whether square-offs are meant for the sandbox now.
        """
        self._carry_out = carry_out
        self._analyzing = analyzing
        self.store.expire()
        for row in self.store.due():
            self._resume(row)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is being sent ends by itself, what is not yet stays on disk."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    # -- what comes in ----------------------------------------------------------------------------------

    def submit(self, orders: Sequence[NewOrder]) -> tuple[list[QueuedOrder], bool]:
        """Put them on disk, to be sent now or to wait for approval; the rows, and whether it is a repeat.

        Raises:
            InvalidRequest: An id was used for another order.
            StoreError: Too many wait already.
        """
        waits = self.needs_approval
        rows, repeated = self.store.add(orders, Step.WAITING if waits else Step.DUE)
        if repeated:
            return rows, True
        for row in rows:
            if waits:
                self._announce(row)
            else:
                self._hurry(row)
        return rows, False

    def approve(self, queued_id: int, wait_s: float = APPROVAL_WAIT_S) -> QueuedOrder:
        """Send it, once, however often this is called; the row when it has ended or after ``wait_s``.

        Raises:
            InvalidRequest: No such order, or it was rejected or has expired.
            NotReady: Nothing is carried out in this process; nothing was decided.
        """
        if self._carry_out is None:
            raise NotReady("the instance does not run, so nothing can be sent; start it with: algo up")
        row, decided = self.store.decide(queued_id, Step.DUE)
        if row.step in (Step.REJECTED, Step.EXPIRED):
            raise InvalidRequest(f"queued order {queued_id} is {row.step.value}", code=row.step.name)
        if decided:
            self._hurry(row)
        deadline = self._clock.monotonic() + wait_s
        while not row.step.is_final and self._clock.monotonic() < deadline and not self._stop.is_set():
            with self._changed:
                self._changed.wait(0.1)
            row = self.store.get(queued_id)
        return row

    def reject(self, queued_id: int) -> QueuedOrder:
        """Raises ``InvalidRequest`` when it is not there or was approved."""
        row, _ = self.store.decide(queued_id, Step.REJECTED)
        if row.step is not Step.REJECTED:
            raise InvalidRequest(f"queued order {queued_id} is {row.step.value} already", code="DECIDED")
        return row

    def tick(self, now: datetime) -> None:
        """What is due by the clock: exits of intraday strategies, and the end of yesterday's approvals."""
        self.store.expire()
        for order in self._square_offs(now):
            rows, repeated = self.submit([order])
            if not repeated:
                log.info("square-off queued", extra={"queued_id": rows[0].id, "strategy": rows[0].strategy})

    # -- inside -----------------------------------------------------------------------------------------

    def _square_offs(self, now: datetime) -> list[NewOrder]:
        """Those whose time has come today and that are not on disk yet."""
        local = now.astimezone(IST)
        wanted: dict[str, NewOrder] = {}
        for strategy in self.strategies.intraday():
            assert strategy.hours is not None
            at = datetime.combine(local.date(), strategy.hours.square_off, IST)
            if local < at or strategy.changed_ns > at.timestamp() * 1e9:
                continue
            for mapped in strategy.symbols:
                order = alerts.square_off(strategy, mapped)
                place = f"{mapped.key}|{mapped.product.value}"
                identity = fingerprint_of(f"{strategy.id}|{local.date()}|{place}", {})
                client_id = f"s{identity[:40]}"
                wanted[client_id] = NewOrder(
                    client_id=client_id,
                    source=SQUARE_OFF,
                    kind=order.kind,
                    body=dict(order.body),
                    fingerprint=identity,
                    received_ns=self._clock.time_ns(),
                    strategy_id=strategy.id,
                    paper=self._analyzing(),
                )
        for row in self.store.known(wanted):
            del wanted[row.client_id]
        return list(wanted.values())

    def _resume(self, row: QueuedOrder) -> None:
        age_s = (self._clock.time_ns() - row.due_ns) / 1e9
        # a day's exits are sent however late; an alert's order only while it is fresh
        fresh = row.day == day_of(self._clock.now()) if row.source == SQUARE_OFF else age_s <= RESUME_WITHIN_S
        if fresh or self.store.was_journaled(row.client_id):
            self._hurry(row)
            return
        message = f"not sent: the gateway was away for {timedelta(seconds=round(age_s))}"
        log.error("queued order is too old to be sent", extra={"queued_id": row.id, "strategy": row.strategy})
        answer = {"status": "error", "message": message, "code": "TOO_LATE"}
        self.store.finish(row.id, Outcome(Step.EXPIRED, 409, answer))

    def _hurry(self, row: QueuedOrder) -> None:
        lane = lane_of(row)
        with self._changed:
            if row.id in self._here:
                return
            self._here.add(row.id)
            if lane in self._lanes:
                self._lanes[lane].append(row)
                return
            self._lanes[lane] = deque([row])
            self._ready.append(lane)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._ready and not self._stop.is_set():
                    self._changed.wait()
                if self._stop.is_set():
                    return
                lane = self._ready.popleft()
                row = self._lanes[lane][0]
            with survive(log, f"queued order {row.id} could not be carried out; a restart tries again"):
                self._carry(row)
            with self._changed:
                self._here.discard(row.id)
                waiting = self._lanes[lane]
                waiting.popleft()
                if waiting:
                    self._ready.append(lane)
                else:
                    del self._lanes[lane]
                self._changed.notify_all()

    def _carry(self, row: QueuedOrder) -> None:
        assert self._carry_out is not None
        try_for_s = SQUARE_OFF_TRY_FOR_S if row.source == SQUARE_OFF else TRY_FOR_S
        deadline = self._clock.monotonic() + try_for_s
        pause_s = PAUSE_S
        while True:
            ended = self._carry_out(row)
            if isinstance(ended, Outcome):
                break
            if self._clock.monotonic() >= deadline:
                ended = ended.outcome
                break
            if self._stop.wait(pause_s):
                return  # still due on disk; the next start takes it up
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        if ended.step is not Step.DONE:
            log.warning(
                "queued order ended as %s: %s", ended.step.value, ended.answer.get("message", ""),
                extra={"queued_id": row.id, "strategy": row.strategy},
            )  # fmt: skip
        self.store.finish(row.id, ended)

    def _watch(self) -> None:
        while not self._stop.wait(TICK_S):
            with survive(log, "square-offs could not be looked up"):
                try:
                    self.tick(self._clock.now())
                except AlgoError as exc:
                    log.error("square-offs could not be looked up: %s", exc)


def lane_of(row: QueuedOrder) -> str:
    """Orders of one lane are carried out one after another, so that an exit never overtakes its entry."""
    symbol = row.body.get("symbol")
    return f"{row.body.get('exchange', '')}:{symbol}" if isinstance(symbol, str) else f"#{row.id}"
