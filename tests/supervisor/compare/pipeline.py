"""The way from a probe plan to the report in virtual time, against brokers of which we know the truth."""

from __future__ import annotations

from collections import Counter
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


EQUAL = Broker(30, 15)
LAG_S = 0.2


def covered(seed: int) -> Counter[str]:
    """One run of everything: each set figure that the report's interval covers."""
    found: Counter[str] = Counter()
    brokers = {"fast": FAST, "slow": SLOW}
    measures, shares = run(seed, brokers)
    for measure in measures:
        for row in measure.rows:
            assert row.summary is not None
            assert row.summary.n == ROUNDS
            broker = brokers[row.instance]
            found[f"{measure.name} p50 {row.instance}"] += row.summary.p50.covers(broker.median_s)
            found[f"{measure.name} p90 {row.instance}"] += row.summary.p90.covers(broker.p90_s)
        (pair,) = measure.pairs
        assert pair.difference is not None
        found[f"{measure.name} difference"] += pair.difference.median.covers(
            (SLOW.delay_ms - FAST.delay_ms) / 1e3
        )
    for name, lost in shares[0].rows:
        assert lost is not None
        found[f"timeouts {name}"] += lost.share.covers(brokers[name].lost)
    (lead,) = ticks(seed, LAG_S).leads
    assert lead.difference is not None
    found["tick lag"] += lead.p50.covers(LAG_S) and lead.difference.median.covers(LAG_S)
    return found


def quiet(seed: int) -> Counter[str]:
    """The same of equal brokers: each comparison that says "no significant difference"."""
    measures, _ = run(seed, {"one": EQUAL, "other": EQUAL})
    words = {f"equal {m.name}": m.pairs[0].verdict for m in measures}
    (lead,) = ticks(seed, 0.0).leads
    words["equal ticks"] = figures.Pair(lead.ahead, lead.behind, lead.difference).verdict
    return Counter({name: int("no significant difference" in said) for name, said in words.items()})
