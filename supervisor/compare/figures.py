"""From samples to the report: one value that table, JSON, CSV and page are all made of. Pure.

Durations are seconds inside, milliseconds where they are shown. ``inf`` is a request that got no answer,
``nan`` one that was not made or was refused: the first counts as longer than every answer, the second not at
all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from supervisor.compare import sender
from supervisor.compare.probe import OPS
from supervisor.compare.race import Race
from supervisor.compare.sender import Shot
from supervisor.compare.stats import Difference, Floats, Rate, Summary, paired, rate, summarize, unpaired

FEW = 6
MOST_DRAWN = 20_000
"""Samples of one row that are drawn; figures use all of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One instance in one measure. ``answered``: seconds, ascending; ``by_time``: as ``at_s`` goes."""

    instance: str
    summary: Summary | None
    answered: Floats
    at_s: Floats = field(default_factory=lambda: np.empty(0))
    by_time: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class Pair:
    """``b`` against ``a``; ``seconds``: the single differences, ascending, empty where nothing was paired."""

    a: str
    b: str
    difference: Difference | None
    seconds: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def verdict(self) -> str:
        """The result in words; a difference that is none is a result too."""
        found = self.difference
        if found is None:
            return f"{self.a} and {self.b}: too few samples for a difference"
        low, high = found.median.low, found.median.high
        assert low is not None
        assert high is not None
        what = "pairs" if found.paired else "samples of the smaller side"
        if not found.significant:
            told = f"95 % {low * 1e3:+.2f} to {high * 1e3:+.2f} ms, n = {found.n:,} {what}"
            return f"{self.a} and {self.b}: no significant difference ({told})"
        faster, slower = (self.a, self.b) if low > 0 else (self.b, self.a)
        least, most = sorted((abs(low) * 1e3, abs(high) * 1e3))
        told = f"95 % {least:.2f} to {most:.2f} ms, n = {found.n:,} {what}"
        return f"{faster} is faster than {slower} by {abs(found.median.value) * 1e3:.2f} ms (median; {told})"


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing measured at every instance, for example ``place``, from click to answer."""

    name: str
    meaning: str
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One rate at every instance: ``timeouts``, ``refused`` …; None: nothing was counted there."""

    name: str
    rows: tuple[tuple[str, Rate | None], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a comparison found.

    Attributes:
        source: What was measured and how, a line each.
        counts: Plain figures of each instance by name, shown as they are (reconnects per hour, uptime …).
        notes: What the reader must know before believing it.
    """

    title: str
    made_at: str
    venue: str
    instances: tuple[str, ...]
    brokers: Mapping[str, str]
    source: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    shares: tuple[Share, ...] = ()
    counts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    race: Race | None = None
    notes: tuple[str, ...] = ()

    def verdicts(self) -> list[str]:
        """One line for each pair of each measure, and for each pair of the tick race."""
        found = [f"{m.name}: {pair.verdict}" for m in self.measures for pair in m.pairs]
        for lead in self.race.leads if self.race else ():
            found.append(f"ticks: {Pair(lead.ahead, lead.behind, lead.difference).verdict}")
        return found


def measure_pairs(
    name: str,
    meaning: str,
    samples: Mapping[str, Floats],
    rng: np.random.Generator,
    at_s: Floats | None = None,
) -> Measure:
    """Samples of equal index belong to one round (``nan`` where a round has none at that instance)."""
    rows = tuple(_row(instance, values, at_s) for instance, values in samples.items())
    pairs = []
    for a, b in _combinations(list(samples)):
        both = np.isfinite(samples[a]) & np.isfinite(samples[b])
        late = np.sort(samples[b][both] - samples[a][both])
        pairs.append(Pair(a, b, paired(samples[a], samples[b], rng), late))
    return Measure(name, meaning, rows, tuple(pairs))


def measure_apart(
    name: str, meaning: str, samples: Mapping[str, tuple[Floats, Floats]], rng: np.random.Generator
) -> Measure:
    """Traffic that was not sent in pairs: ``(seconds, wall seconds of each)`` of every instance."""
    rows = tuple(_row(instance, values, at_s) for instance, (values, at_s) in samples.items())
    pairs = [Pair(a, b, unpaired(samples[a][0], samples[b][0], rng)) for a, b in _combinations(list(samples))]
    return Measure(name, meaning, rows, tuple(pairs))


def _row(instance: str, values: Floats, at_s: Floats | None) -> Row:
    answered = np.isfinite(values)
    lost = int(np.isposinf(values).sum())
    times = np.empty(0) if at_s is None else at_s[answered]
    in_time = np.empty(0) if at_s is None else values[answered]
    return Row(instance, summarize(values[answered], lost), np.sort(values[answered]), times, in_time)


def _combinations(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for at, a in enumerate(names) for b in names[at + 1 :]]


MEANINGS = {
    "place": "order placed, from its intended time to the answer with the broker's id",
    "modify": "price changed, from when it could be sent to the answer",
    "cancel": "order cancelled, from when it could be sent to the answer",
}


def of_shots(
    shots: Sequence[Shot],
    instances: Sequence[str],
    rounds: int,
    rng: np.random.Generator,
    began_s: float = 0.0,
    period_s: float = 1.0,
) -> tuple[tuple[Measure, ...], tuple[Share, ...]]:
    """Measures and rates of a probe run. ``began_s``: wall seconds of its start, for the time series."""
    measures, shares = [], []
    for op in OPS:
        values = {name: np.full(rounds, math.nan) for name in instances}
        for shot in shots:
            if shot.op == op:
                values[shot.instance][shot.round] = _seconds(shot)
        at_s = began_s + period_s * np.arange(rounds, dtype=np.float64)
        measures.append(measure_pairs(op, MEANINGS[op], values, rng, at_s))
    made = [shot for shot in shots if shot.outcome != sender.NOT_SENT]
    for word, outcomes in SHARES.items():
        rows = []
        for name in instances:
            own = [shot for shot in made if shot.instance == name]
            rows.append((name, rate(sum(shot.outcome in outcomes for shot in own), len(own))))
        shares.append(Share(word, tuple(rows)))
    return tuple(measures), tuple(shares)


SHARES = {
    "no answer": (sender.LOST,),
    "refused": (sender.REJECTED,),
    "too fast (429)": (sender.LIMITED,),
}


def unanswered(by_name: Mapping[str, Mapping[str, Floats]]) -> Share:
    """How often a broker itself did not answer, though evidence may have told the sender the outcome since.

    Args:
        by_name: Seconds of every request by instance and endpoint, ``inf`` where no answer came.
    """
    rows = []
    for instance, by_op in by_name.items():
        made = np.concatenate([values[~np.isnan(values)] for values in by_op.values()])
        rows.append((instance, rate(int(np.isposinf(made).sum()), len(made))))
    return Share("no answer from the broker", tuple(rows))


def _seconds(shot: Shot) -> float:
    if shot.outcome == sender.LOST:
        return math.inf
    found = shot.latency_s
    return math.nan if found is None else found


def lag_note(shots: Sequence[Shot]) -> str:
    """How late the sender itself was: what a latency from the intended time contains of our own making."""
    late = np.array([shot.sent_s - shot.due_s for shot in shots if shot.outcome != sender.NOT_SENT])
    if len(late) == 0:
        return "Nothing was sent."
    p50, p99 = np.percentile(late, [50, 99]) * 1e3
    return f"The sender was {p50:.2f} ms late at the median, {p99:.2f} ms at p99 ({len(late):,} requests)."
