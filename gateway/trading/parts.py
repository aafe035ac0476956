"""What the desk is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.contract import Capabilities, Rest
from brokers.errors import AlgoError
from brokers.model import InstrumentKey
from gateway.settings import TradingRules
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.trading.limiter import Limiter
from gateway.trading.reconcile import SettleRules
from gateway.trading.risklimits import RiskBook
from gateway.trading.stages import NOBODY, Listener
from gateway.trading.tags import new_tag
from gateway.trading.tasks import THREADS, Tasks

LEAST_HORIZON_S = 10.0


@dataclass(frozen=True, slots=True)
class DeskParts:
    """Handed in by the composition root.

    Attributes:
        last_price: Last known price of an instrument for price protection and trigger checks; must not block.
        on_login_required: Called (from any thread, must not block) when the broker refused the session.
        patience_s: How long the caller of an order of unknown outcome waits for a first look at the broker.
        settle: When "not found" counts; None: after the broker timeout or 10 s, three readings 2 s apart.
        tasks: How this desk waits and runs things at the same time.
        new_tag: Our mark for the next order; never the same twice.
        instance: Whose desk this is, in what it writes for others to read.
        risk: The operator's limits, which may change while it trades.
        price_now: As ``last_price``, but may ask the broker; only for limits that need a price.
        stages: Told of every write and every pushed update; neither waits nor raises.
        objection: Why an entry of a strategy that carries this lease (empty: none) may not leave; None when
            it may. Looks at the disk at most, never at the network.
        executes: The operator lets orders leave here; without it only exits do.
        egress: Why the address this machine sends from will be refused; empty when nobody knows a reason.
        panic_file: The kill switch of this home and venue; None: this desk has one of its own alone.
    """

    rest: Rest
    instruments: InstrumentStore
    journal: Journal
    limiter: Limiter
    calendar: Calendar
    clock: Clock
    rules: TradingRules
    capabilities: Capabilities
    last_price: Callable[[InstrumentKey], float | None] = lambda key: None  # noqa: ARG005
    on_login_required: Callable[[], None] = lambda: None
    patience_s: float = 1.0
    settle: SettleRules | None = None
    tasks: Tasks = THREADS
    new_tag: Callable[[], str] = new_tag
    instance: str = ""
    panic_file: Path | None = None
    objection: Callable[[str, str], AlgoError | None] = lambda strategy, lease: None  # noqa: ARG005
    executes: bool = True
    egress: Callable[[], str] = lambda: ""
    risk: RiskBook = field(default_factory=RiskBook)
    price_now: Callable[[InstrumentKey], float | None] = lambda key: None  # noqa: ARG005
    stages: Listener = NOBODY

    @property
    def settle_rules(self) -> SettleRules:
        # our patience may be short; how long a broker sits on a request does not depend on it
        return self.settle or SettleRules(horizon_s=max(LEAST_HORIZON_S, self.rules.broker_timeout_s))
