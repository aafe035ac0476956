"""The real limiter under random arrivals in virtual time, saturated for long stretches."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace

from brokers import dhan
from brokers.contract import RateWindow
from brokers.errors import RateLimited
from gateway.trading.limiter import Lane, Limiter
from tests.simulation.checks import Sent, demand
from tests.simulation.scheduler import Life, Scheduler, SimClock, SimTasks

WINDOWS = (RateWindow(9, 1.1), RateWindow(240, 60.0), RateWindow(950, 3600.0))
EXIT_SHARE = 0.04
"""Few enough that the kept slots suffice: none of them may then be refused or wait for entries."""


@dataclass
class Outcome:
    """What became of every arrival; nothing else may become of one."""

    granted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    longest_s: dict[str, float] = field(default_factory=dict)
    virtual_s: float = 0.0

    @property
    def answered(self) -> int:
        return self.granted.total() + self.refused.total()


def run(arrivals: int, seed: int, windows: tuple[RateWindow, ...] = WINDOWS) -> Outcome:
    """Raises ``Broken`` when a window is exceeded, an answer late or missing, an exit crowded out."""
    dice = random.Random(seed)
    scheduler, life = Scheduler(dice), Life("limiter")
    tasks, clock = SimTasks(scheduler, life), SimClock(scheduler)
    spec = replace(dhan.SPEC, order_windows=windows)
    limiter = Limiter(spec, clock, tasks)
    sent, outcome = Sent(windows), Outcome()
    exits: list[float] = []

    def ask(lane: Lane, deadline_s: float, commit_s: float) -> None:
        began = scheduler.now
        try:
            grant = limiter.acquire(lane, deadline_s)
        except RateLimited as exc:
            outcome.refused[lane] += 1
            waited = scheduler.now - began
            demand(waited <= deadline_s + 0.001, f"refused after {waited} s, the deadline is {deadline_s}")
            demand(exc.retry_after_s > 0, "a refusal says when to try again")
            demand(lane is Lane.ENTRY or crowded(exits, scheduler.now), "an exit was refused its kept slot")
        else:
            waited = scheduler.now - began
            demand(waited <= deadline_s + 0.001, f"granted after {waited} s, the deadline is {deadline_s}")
            scheduler.sleep(commit_s)
            sent.check(scheduler.now, entry=lane is Lane.ENTRY)
            if lane is Lane.EXIT:
                exits.append(scheduler.now)
            if dice.random() < 0.05:
                sent.times.pop()
                if lane is Lane.ENTRY:
                    sent.entries.pop()
                grant.give_back()
            else:
                grant.sent()
            outcome.granted[lane] += 1
            outcome.longest_s[lane] = max(outcome.longest_s.get(lane, 0.0), waited)

    at, pace = 0.0, 1.0
    for number in range(arrivals):
        if number % 200 == 0:
            pace = dice.choice((0.001, 0.02, 0.1, 0.3, 2.0))
        at += dice.expovariate(1 / pace)
        lane = Lane.EXIT if dice.random() < EXIT_SHARE else Lane.ENTRY
        deadline_s, commit_s = dice.choice((0.0, 0.5, 5.0)), dice.choice((0.0, 0.002, 0.05))
        scheduler.at(
            at,
            lambda lane=lane, d=deadline_s, c=commit_s: scheduler.spawn(life, lambda: ask(lane, d, c)),  # type: ignore[misc]
        )
    scheduler.run(at + 60.0, most=50_000_000)
    demand(outcome.answered == arrivals, f"{arrivals - outcome.answered} of {arrivals} were never answered")
    outcome.virtual_s = scheduler.now
    return outcome


def crowded(exits: list[float], now: float) -> bool:
    """So many exits lately that they have used up their own kept slots."""
    return any(
        sum(at > now - seconds - 0.1 for at in exits) >= kept - 1
        for kept, seconds in ((2, 1.1), (12, 60.0), (48, 3600.0))
    )
