"""What one seed has in store: which kind of broker, which faults how often, who asks for what.

Drawn once from the seed (a "swarm": every seed leaves some faults out altogether, so that rare combinations
of the others come up).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal

from brokers import dhan
from brokers.contract import RateWindow
from brokers.model import Instrument, InstrumentKey, Product

SBIN = InstrumentKey("NSE", "SBIN")
INFY = InstrumentKey("NSE", "INFY")
HOLDER = tuple[InstrumentKey, str]
CAPABILITIES = dhan.SPEC.capabilities

WRITE_FAULTS = (
    "connect", "drop_before", "drop_after", "reset_before", "reset_after", "slow", "late", "garbage",
    "5xx_before", "5xx_after", "429", "expired", "ip", "twice", "last_moment",
)  # fmt: skip
READ_FAULTS = ("connect", "slow", "garbage", "429", "expired", "5xx")


def _instrument(key: InstrumentKey) -> Instrument:
    return Instrument(
        key=key, token=key.symbol, broker_exchange="NSE_EQ", broker_symbol=key.symbol, name=key.symbol,
        instrument_type="EQ", lot_size=1, tick_size=Decimal("0.05"), freeze_qty=40,
    )  # fmt: skip


INSTRUMENTS = {key: _instrument(key) for key in (SBIN, INFY)}
Range = tuple[float, float]
DOWN_S = 1.2
"""A killed process is away for so long at least; its next life counts the open answers as lost then."""
HORIZON_S, SPAN_S = 10.0, 3.5
"""A reading that does not show an order counts so long after its answer was lost, and three that count span a
little more: what arrives in between must be found by the last of them."""


@dataclass
class Plan:
    """One seed's world. Rates are probabilities per call, ranges are seconds."""

    seed: int
    write_faults: dict[str, float]
    read_faults: dict[str, float]
    disk_fails: float
    slow_commit: float
    crash_points: list[int]
    restart_s: Range
    latency_s: Range
    late_s: Range
    last_moment_s: Range
    transit_s: Range
    book_lag_s: Range
    push: float
    push_twice: float
    push_tag: bool
    push_s: Range
    unique_tags: bool
    rewrites_tags: bool
    late_averages: bool
    odd_words: bool
    miss: float
    refuse: float
    reject: float
    fill: float
    fill_after_s: float
    foreign: int
    clients: int
    operations: int
    think_s: float
    storm: bool
    order_deadline_s: float
    broker_timeout_s: float
    order_windows: tuple[RateWindow, ...]
    data_windows: tuple[RateWindow, ...]
    carried: dict[HOLDER, int] = field(default_factory=dict)

    @staticmethod
    def draw(dice: random.Random, between: Range) -> float:
        """Mostly near the lower end, sometimes near the upper."""
        low, high = between
        return low + (high - low) * dice.random() ** 3


def make(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"plan {seed}")

    def some(names: tuple[str, ...], most: float) -> dict[str, float]:
        calm = dice.random() < 0.15
        return {n: 0.0 if calm or dice.random() < 0.5 else dice.uniform(0.01, most) for n in names}

    crashes = dice.choice((0, 0, 1, 1, 2, 3))
    short = dice.choice((RateWindow(9, 1.1), RateWindow(4, 1.1), RateWindow(3, 1.1)))
    broker_timeout_s = dice.choice((1.0, 3.0, 10.0))
    book_lag_s = dice.choice((0.0, 0.3, 2.0))
    miss = dice.choice((0.0, 0.0, 0.4))
    # a book that misses orders besides proves nothing about one that came so late
    lost_s = min(broker_timeout_s, DOWN_S) if crashes else broker_timeout_s
    latest_s = lost_s + HORIZON_S - book_lag_s + (-0.5 if miss else SPAN_S)
    longer = dice.choice(((), (), (RateWindow(12, 20.0),), (RateWindow(40, 60.0),)))
    return Plan(
        seed=seed,
        write_faults={**some(WRITE_FAULTS, 0.15), "late_change": dice.choice((0.0, 0.0, 0.3))},
        read_faults=some(READ_FAULTS, 0.12),
        disk_fails=dice.choice((0.0, 0.0, 0.0, 0.02)),
        slow_commit=dice.choice((0.0, 0.02, 0.1)),
        crash_points=sorted(dice.randint(2, 120) for _ in range(crashes)),
        restart_s=(0.0, dice.choice((0.2, 3.0, 12.0))),
        latency_s=(0.002, dice.choice((0.05, 0.3, 1.0))),
        late_s=(1.0, latest_s),
        last_moment_s=(latest_s - (0.0 if miss else SPAN_S - book_lag_s), latest_s),
        transit_s=(0.002, dice.choice((0.02, 0.3, 2.0))),
        book_lag_s=(0.0, book_lag_s),
        push=dice.choice((0.0, 0.7, 1.0)),
        push_twice=dice.choice((0.0, 0.3)),
        push_tag=dice.random() < 0.7,
        push_s=(0.001, dice.choice((0.02, 0.5, 3.0))),
        unique_tags=dice.random() < 0.3,
        rewrites_tags=dice.random() < 0.5,
        late_averages=dice.random() < 0.3,
        odd_words=dice.random() < 0.2,
        miss=miss,
        refuse=dice.choice((0.0, 0.05, 0.2)),
        reject=dice.choice((0.0, 0.1)),
        fill=dice.choice((0.1, 0.5, 0.9)),
        fill_after_s=dice.choice((0.05, 1.0, 5.0)),
        foreign=dice.choice((0, 0, 1, 2)),
        clients=dice.randint(1, 4),
        operations=dice.randint(3, 10),
        think_s=dice.choice((0.0, 0.05, 0.5, 2.0)),
        storm=dice.random() < 0.15,
        order_deadline_s=dice.choice((0.5, 2.0, 5.0)),
        broker_timeout_s=broker_timeout_s,
        order_windows=(short, *longer),
        data_windows=(dice.choice((RateWindow(5, 1.1), RateWindow(20, 1.1))),),
        carried={(SBIN, str(Product.MIS)): 60} if dice.random() < 0.4 else {},
    )
