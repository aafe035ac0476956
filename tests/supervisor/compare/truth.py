"""What a report must say of real processes: what was set, and what this machine added to these very requests.

A broker told to answer after 20 ± 5 ms answers later: its timers oversleep, and between its answer and the
gateway's stamp lie two processes that wait for a core. How much that was is known of every single request:
the simulated broker tells which delay it drew, the gateway stamps the whole. The truth is then the
distribution that was set, shifted by each of these parts in turn; its quantiles are what the report's
intervals must cover, on an idle machine as on a busy one. Milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from brokers.sim.exchange.session import STEP_MS
from supervisor.compare.stats import Floats
from tests.supervisor.compare.pipeline import Broker

POINTS, FEWER = 200, 60
ONE_IN_A_HUNDRED = 1.628
"""Kolmogorov's limit for the distance of a sample from its distribution, times the root of n."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as both sides saw it.

    Attributes:
        whole_ms: Bytes sent to answer read, by the gateway's stamps; ``inf`` where no answer came, ``nan``
            where it was a refusal.
        hand_ms: How long the broker had it in hand.
        drawn_ms: The delay that was drawn for it.
    """

    op: str
    round: int
    whole_ms: float
    hand_ms: float
    drawn_ms: float

    @property
    def answered(self) -> bool:
        return math.isfinite(self.whole_ms)

    @property
    def own_ms(self) -> float:
        """What the machine added: an overslept timer, two sockets, two processes waiting for a core."""
        return self.whole_ms - self.drawn_ms

    @property
    def between_ms(self) -> float:
        """The share of it that lies between broker and gateway."""
        return self.whole_ms - self.hand_ms


def requests(rows: Sequence[Mapping[str, Any]], times: Sequence[Mapping[str, Any]], op: str) -> list[Request]:
    """Every request of one kind that a gateway sent, joined with what the broker tells of it.

    Args:
        rows: Of the gateway's latency database, ``round`` added.
        times: Of the broker, ``/_sim/times``.

    Raises:
        AssertionError: The two sides do not tell of the same requests.
    """
    sent = sorted((row for row in rows if row["sent_ns"] is not None), key=_sent_ns)
    had = sorted(times, key=lambda one: int(one["began_ns"]))
    assert len(sent) == len(had), f"{op}: {len(sent)} were sent, the broker had {len(had)}"
    found = []
    for row, one in zip(sent, had, strict=True):
        lost, done = row["outcome"] == "lost", row["acknowledged_ns"]
        whole_ns = math.inf if lost or done is None else done - row["sent_ns"]
        inside = _sent_ns(row) <= one["began_ns"] and one["began_ns"] + one["ns"] <= _sent_ns(row) + whole_ns
        assert inside, f"{op}: the broker had it outside of the gateway's stamps: {row}, {one}"
        assert (one["fault"] == "drop_after") == lost, f"{op}: {one} became {row['outcome']}"
        drawn_ms = (one["drawn_s"] or 0.0) * 1e3
        assert one["ns"] / 1e6 >= drawn_ms - 1, f"{op}: not held back for what was drawn: {one}"
        whole_ms = whole_ns / 1e6 if lost or row["outcome"] == "acknowledged" else math.nan
        found.append(Request(op, row["round"], whole_ms, one["ns"] / 1e6, drawn_ms))
    return found


def _sent_ns(row: Mapping[str, Any]) -> int:
    return int(row["base_ns"] + row["sent_ns"])


def firsts(found: Iterable[Request]) -> dict[int, Request]:
    """Of each round the first request that was not refused: a cancel of the cleaning is no probe."""
    by_round: dict[int, Request] = {}
    for one in found:
        if not math.isnan(one.whole_ms):
            by_round.setdefault(one.round, one)
    return by_round


def set_delays(broker: Broker, points: int = POINTS) -> Floats:
    """The distribution that was set, as so many equally likely delays; nobody answers before the question."""
    normal = NormalDist(broker.delay_ms, broker.spread_ms)
    return np.array([max(0.0, normal.inv_cdf((k + 0.5) / points)) for k in range(points)])


def quantile(broker: Broker, own_ms: Iterable[float], q: float) -> float:
    """Of all requests; an unanswered one counts as longer than every answered one."""
    everything = np.add.outer(np.array(list(own_ms)), set_delays(broker))
    return float(np.quantile(everything, q / (1 - broker.lost)))


def difference(fast: Broker, slow: Broker, own_ms: Iterable[float]) -> float:
    """Median of the pairs' differences. ``own_ms``: by how much the machine held the slow side up longer."""
    apart = np.subtract.outer(set_delays(slow, FEWER), set_delays(fast, FEWER)).ravel()
    return float(np.median(np.add.outer(np.array(list(own_ms)), apart)))


def strangeness(drawn_ms: Iterable[float], broker: Broker) -> float:
    """How far the drawn delays are from what was set; above ``ONE_IN_A_HUNDRED`` it was something else."""
    drawn = np.sort(np.array(list(drawn_ms)))
    n, normal = len(drawn), NormalDist(broker.delay_ms, broker.spread_ms)
    share = np.array([normal.cdf(value) if value > 0 else 0.0 for value in drawn])
    seen = drawn > 0
    above, below = np.arange(1, n + 1) / n - share, share - np.arange(n) / n
    return float(max(above[seen].max(), below[seen].max()) * math.sqrt(n))


def chance(figures: int, misses: int, miss: float = 0.05) -> float:
    """How likely an honest report is to miss at most so many of its figures."""
    return sum(math.comb(figures, k) * miss**k * (1 - miss) ** (figures - k) for k in range(misses + 1))


# --- ticks


def lag(early: Sequence[Mapping[str, Any]], late: Sequence[Mapping[str, Any]], set_ms: float) -> float:
    """Median lag between two feeds that were told to hold frames back, from when each frame really went.

    Args:
        early: Frames of the feed in front, ``/_sim/frames``.
        set_ms: What the late feed was told. A step of the market it sent that much late, and what the steps
            were off besides, are both in the result.
    """
    first, second = _own_ms(early), _own_ms(late)
    both = first.keys() & second.keys()
    assert both, "the two feeds showed no step of the market in common"
    return set_ms + float(np.median([second[step] - first[step] for step in both]))


def _own_ms(frames: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Of each step of the market when its frames went, after the step and without the lag that was set."""
    by_step: dict[int, list[float]] = {}
    for one in frames:
        if one["held_ns"] is not None:
            step, ready_ns = divmod(int(one["ready_ns"]), STEP_MS * 1_000_000)
            went_ms = (ready_ns + one["held_ns"]) / 1e6
            by_step.setdefault(step, []).append(went_ms - one["late_s"] * 1e3)
    return {step: float(np.median(values)) for step, values in by_step.items()}


def way_ms(frames: Sequence[Mapping[str, Any]], arrived_ns: Iterable[int]) -> float:
    """Median way of a tick from the broker's socket to who listens: feed, bus, and the listener itself."""
    went = np.sort([one["ready_ns"] + one["held_ns"] for one in frames if one["held_ns"] is not None])
    arrived = np.array(list(arrived_ns))
    at = np.searchsorted(went, arrived, "right") - 1
    return float(np.median((arrived - went[at])[at >= 0])) / 1e6
