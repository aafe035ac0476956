"""The way from a probe plan to the report in virtual time, against brokers of which we know the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist

import numpy as np

from supervisor.compare import figures, probe, race, sender
from supervisor.compare.figures import Measure, Share

MARKET = probe.Market(Decimal("800.10"), Decimal("0.05"), 1, Decimal("640"), Decimal("960"))
ROUNDS = 150


@dataclass(frozen=True, slots=True)
class Broker:
    """Answers after ``delay ± spread`` ms (normal), never with probability ``lost``."""

    delay_ms: float
    spread_ms: float
    lost: float = 0.01

    @property
    def median_s(self) -> float:
        """Of all requests; an unanswered one counts as longer than every answered one."""
        return self._quantile(0.5)

    @property
    def p90_s(self) -> float:
        return self._quantile(0.9)

    def _quantile(self, q: float) -> float:
        return NormalDist(self.delay_ms, self.spread_ms).inv_cdf(q / (1 - self.lost)) / 1e3


FAST, SLOW = Broker(20, 5), Broker(35, 20)


def shots(plan: probe.Plan, brokers: Mapping[str, Broker], rng: np.random.Generator) -> list[sender.Shot]:
    found = []
    for step in plan.steps:
        broker = brokers[step.instance]
        # a delay set to 35 ± 20 ms is cut at zero: nobody answers before the question
        delay = max(0.0, rng.normal(broker.delay_ms, broker.spread_ms) / 1e3)
        lost = rng.random() < broker.lost
        answered = None if lost else step.at_s + delay
        outcome = sender.LOST if lost else sender.ACKNOWLEDGED
        found.append(sender.Shot(step.round, step.instance, step.op, step.at_s, step.at_s, answered, outcome))
    return found


def run(
    seed: int, brokers: Mapping[str, Broker], rounds: int = ROUNDS
) -> tuple[tuple[Measure, ...], tuple[Share, ...]]:
    rng = np.random.default_rng(seed)
    plan = probe.plan("NSE", "SBIN", "BUY", dict.fromkeys(brokers, MARKET), rounds, seed)
    return figures.of_shots(shots(plan, brokers, rng), plan.instances, rounds, rng)


def ticks(seed: int, lag_s: float, n: int = 200) -> race.Race:
    """Two feeds of one market, the second ``lag_s`` later."""
    rng = np.random.default_rng(seed)
    volume = np.cumsum(rng.integers(1, 100, n))
    price = 8_000_000 + 500 * np.cumsum(rng.integers(-3, 4, n))
    at_ns = np.sort(rng.integers(0, n * 250_000_000, n))
    views = {}
    for name, lag in (("fast", 0.0), ("slow", lag_s)):
        late = (rng.normal(lag, 0.002, n) * 1e9).astype(np.int64)
        views[name] = {"NSE:SBIN": race.Arrivals(volume, price, at_ns + late)}
    return race.run(views, rng)
