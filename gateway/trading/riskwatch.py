"""What the operator's limits want looked at between orders: the day's loss, and the time to square off.

Both outlive a restart: what was reached or done stands in the database before anything follows from it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brokers.clock import IST
from brokers.errors import AlgoError, RiskLimit
from brokers.model import INDEX_EXCHANGES, Order, OrderRequest, Position
from gateway.settings.risk import RiskRules, SquareOff
from gateway.survive import survive
from gateway.trading import risk
from gateway.trading.parts import DeskParts

if TYPE_CHECKING:
    from gateway.trading.desk import OrderDesk

log = logging.getLogger(__name__)

TICK_S = 0.5
READ_S = 5.0
"""Between readings of the positions; between two of them ticks value what is open."""
STALE_S = 30.0
"""Without a reading for so long the loss is not known, and entries stop."""
ROUND_S = 5.0
"""Between two rounds of exits: what the first one did shows in the positions by then."""
LOSS = "risk_day_loss"
SQUARED = "risk_square_off"


@dataclass(frozen=True, slots=True)
class LossState:
    """The day's loss as the database keeps it. Rupees as text.

    Attributes:
        day: IST date it is about.
        hit: The loss at which entries were stopped; empty while they are not.
        at: When, ISO-8601 UTC.
        allowed_from: After a resume: the loss then, from which the limit counts anew.
        closing: Positions are still to be closed because of it.
    """

    day: str = ""
    hit: str = ""
    at: str = ""
    allowed_from: str = "0"
    closing: bool = False


@dataclass(frozen=True, slots=True)
class SquareState:
    """Which exchanges were squared off on an IST date."""

    day: str = ""
    done: tuple[str, ...] = ()


class Watch:
    """Looks twice a second; holds what stands against entries. Thread-safe."""

    def __init__(self, desk: OrderDesk, parts: DeskParts) -> None:
        self._desk = desk
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._lock = threading.Lock()
        self._loss = _load(LossState, self._journal.fact(LOSS))
        squared = _load(SquareState, self._journal.fact(SQUARED))
        self._squared = replace(squared, done=tuple(squared.done))
        self._positions: list[Position] = []
        self._read_at: float | None = None
        self._next_read = float("-inf")
        self._next_round: dict[str, float] = {}
        self._result: risk.DayResult | None = None
        self._problem = ""
        self._started = False
        self._stopping = False
        self._wake = parts.tasks.event()
        self._thread: threading.Thread | None = None

    @property
    def _rules(self) -> RiskRules:
        return self._parts.risk.now

    def start(self) -> None:
        self._started = True
        self._parts.risk.listen(self._changed)
        self._changed()

    def _changed(self) -> None:
        """Look at once; the thread is made when there is something to look at."""
        with self._lock:
            wanted = self._started and not self._stopping and self._rules.watches
            if wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="risk", daemon=True)
                self._thread.start()
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def objection(self, request: OrderRequest) -> RiskLimit | None:
        """What stands against this entry now; without network or database."""
        rules = self._rules
        if not rules.watches:
            return None
        return self._loss_objection(rules) or self._square_objection(request, rules)

    def resume(self) -> None:
        """Allow entries again after the day's loss was reached; the limit counts anew from the loss now."""
        with self._lock:
            loss = self._result.loss if self._result is not None else Decimal(self._loss.hit or "0")
            allowed_from = str(max(loss, Decimal(0)))
            self._keep(LossState(self._today().isoformat(), allowed_from=allowed_from))
        log.warning("entries allowed again; the day's loss counts anew from %s", allowed_from)

    def status(self) -> dict[str, Any]:
        """For status pages; empty when nothing is watched."""
        rules = self._rules
        if not rules.watches:
            return {}
        result = self._result
        return {
            "day_loss_limit": None if rules.day_loss is None else str(rules.day_loss),
            "realised": None if result is None else f"{result.realised:.2f}",
            "unrealised": None if result is None else f"{result.unrealised:.2f}",
            "unpriced": [] if result is None else [str(key) for key in result.unpriced],
            "stopped_at_loss": self._loss.hit if self._loss.day == self._today().isoformat() else "",
            "allowed_from_loss": self._loss.allowed_from,
            "squared_off": list(self._squared.done) if self._squared.day == self._today().isoformat() else [],
            "problem": self._problem,
        }

    def _run(self) -> None:
        while not self._stopping:
            # a limit must be watched whatever goes wrong
            with survive(log, "risk watch"):
                self.step()
            self._wake.wait(TICK_S)
            self._wake.clear()

    def step(self) -> None:
        """One look. What fails at the broker is tried again at the next."""
        rules = self._rules
        if not self._desk.status().ready:
            return
        try:
            if rules.day_loss is None:
                # a limit that comes later must not be judged by what was read long before
                self._read_at, self._result, self._next_read = None, None, float("-inf")
            else:
                self._watch_loss(rules, rules.day_loss)
            if rules.square_off is not None:
                self._watch_clock(rules.square_off, rules.square_off_products)
        except AlgoError as exc:
            if str(exc) != self._problem:
                log.warning("risk watch: %s (%s)", exc, exc.code)
            self._problem = str(exc)
            return
        self._problem = ""

    # -- the day's loss ---------------------------------------------------------------------------------

    def _watch_loss(self, rules: RiskRules, limit: Decimal) -> None:
        self._new_day()
        now = self._clock.monotonic()
        if now >= self._next_read:
            self._next_read = now + READ_S
            self._positions = self._desk.positions()
            self._read_at = now
        result = risk.day_result(self._positions, self._parts.last_price)
        with self._lock:
            self._result = result
            if self._loss.hit and not self._holds(limit):
                log.warning("the limit on the day's loss is %s now: entries are allowed again", limit)
                self._keep(replace(self._loss, hit="", at="", closing=False))
            reached = not self._loss.hit and result.loss - Decimal(self._loss.allowed_from) >= limit
            if reached:
                hit = f"{result.loss:.2f}"
                at = self._clock.now().isoformat(timespec="seconds")
                self._keep(replace(self._loss, hit=hit, at=at, closing=rules.day_loss_close))
                log.error("the day's loss is %s, the limit %s: entries are refused from now on", hit, limit)
        if self._loss.closing and self._round(lambda _: True, lambda _: True, "day loss"):
            with self._lock:
                self._keep(replace(self._loss, closing=False))

    def _new_day(self) -> None:
        today = self._today().isoformat()
        with self._lock:
            if self._loss.day != today:
                self._keep(LossState(today))
                self._read_at, self._result = None, None
                self._next_read = float("-inf")

    def _holds(self, limit: Decimal) -> bool:
        """Whether the loss that stopped entries reaches the limit of now: that may have been raised since."""
        return Decimal(self._loss.hit) - Decimal(self._loss.allowed_from) >= limit

    def _loss_objection(self, rules: RiskRules) -> RiskLimit | None:
        limit = rules.day_loss
        if limit is None:
            return None
        loss, read_at, result = self._loss, self._read_at, self._result
        reached = ""
        if loss.day == self._today().isoformat():
            if loss.hit and self._holds(limit):
                reached = loss.hit
            elif result is not None and result.loss - Decimal(loss.allowed_from) >= limit:
                # the limit was lowered a moment ago
                reached = f"{result.loss:.2f}"
        if reached:
            return RiskLimit(
                f"refused by RISK_DAY_LOSS: the day's loss reached {reached}, allowed {limit}; entries are "
                "refused until tomorrow or a deliberate resume. Nothing was sent",
                limit="RISK_DAY_LOSS",
                present=reached,
                allowed=str(limit),
            )
        if read_at is None or self._clock.monotonic() - read_at > STALE_S:
            return RiskLimit(
                "refused by RISK_DAY_LOSS: the day's result is not known, the positions could not be read"
                f"{': ' + self._problem if self._problem else ' yet'}; nothing was sent",
                limit="RISK_DAY_LOSS",
                present="unknown",
                allowed=str(limit),
            )
        return None

    def _keep(self, state: LossState) -> None:
        """On disk first; the caller holds the lock."""
        self._journal.set_fact(LOSS, json.dumps(asdict(state)))
        self._loss = state

    # -- square off -------------------------------------------------------------------------------------

    def _watch_clock(self, rule: SquareOff, products: frozenset[str]) -> None:
        now, today = self._clock.now(), self._today()
        if self._squared.day != today.isoformat():
            self._note_squared(SquareState(today.isoformat()))
        for exchange in sorted(self._parts.capabilities.exchanges - INDEX_EXCHANGES):
            at = self._due(rule, exchange, today)
            if exchange in self._squared.done or at is None or now < at:
                continue
            if not self._parts.calendar.is_open(exchange, now) or self._square(exchange, products):
                self._note_squared(replace(self._squared, done=(*self._squared.done, exchange)))

    def _square(self, exchange: str, products: frozenset[str]) -> bool:
        """One round for one exchange; True when nothing is left there."""

        def order(one: Order) -> bool:
            return one.key.exchange == exchange and str(one.product) in products

        def position(one: Position) -> bool:
            return one.key.exchange == exchange and str(one.product) in products

        return self._round(order, position, f"square-off {exchange}")

    def _square_objection(self, request: OrderRequest, rules: RiskRules) -> RiskLimit | None:
        if rules.square_off is None or str(request.product) not in rules.square_off_products:
            return None
        at = self._due(rules.square_off, str(request.key.exchange), self._today())
        if at is None or self._clock.now() < at:
            return None
        return RiskLimit(
            f"refused by RISK_SQUARE_OFF: {request.product} positions on {request.key.exchange} are closed "
            f"from {at:%H:%M} IST on; nothing was sent",
            limit="RISK_SQUARE_OFF",
            present=f"{self._clock.now().astimezone(IST):%H:%M}",
            allowed=f"{at:%H:%M}",
        )

    def _due(self, rule: SquareOff, exchange: str, day: date) -> datetime | None:
        return risk.square_off_at(rule, self._parts.calendar, exchange, day)

    def _note_squared(self, state: SquareState) -> None:
        self._journal.set_fact(SQUARED, json.dumps(asdict(state)))
        self._squared = state

    # -- getting out ------------------------------------------------------------------------------------

    def _round(self, order: Callable[[Order], bool], position: Callable[[Position], bool], why: str) -> bool:
        """Cancel what works and send an exit for what is held; True when there was nothing of either.

        Rounds follow each other at a distance, and what an earlier exit may still trade is taken off the next
        one's quantity, so no position is closed twice.
        """
        now = self._clock.monotonic()
        if now < self._next_round.get(why, now):
            return False
        is_exit = self._desk.is_exit
        cancelled = self._desk.cancel_some(why, lambda one: order(one) and not is_exit(one.order_id))
        closed = self._desk.close_some(why, position)
        self._next_round[why] = self._clock.monotonic() + ROUND_S
        failed = (*cancelled.failed, *closed.failed)
        for one in failed:
            log.error("%s: %s: %s (%s)", why, one.what, one.message, one.code)
        if cancelled.cancelled or closed.closed:
            log.warning("%s: %d cancelled, %d exits", why, len(cancelled.cancelled), len(closed.closed))
            return False
        left = [p for p in self._desk.positions() if p.quantity and position(p)]
        return not failed and not left

    def _today(self) -> date:
        return self._clock.now().astimezone(IST).date()


def _load(kind: type[Any], text: str) -> Any:
    """What the database says; anew when it says nothing."""
    return kind(**json.loads(text)) if text else kind()
