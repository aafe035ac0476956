"""2,000 seeds of the order path: whatever time, network, broker, disk and kills do, the promises hold.

A failing seed is printed with its trace, and ``scripts/campaign simulation --seed N --trace`` plays it again.
"""

from __future__ import annotations

import random

import pytest

from tests.simulation import runner
from tests.simulation.scheduler import Life, Scheduler, SimTasks, Stuck
from tests.simulation.world import World

SEEDS = 2000
PER_TEST = 50


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_the_promises_hold(first: int) -> None:
    found = runner.failures(range(first, first + PER_TEST))
    assert not found, runner.told(found)


@pytest.mark.parametrize("seed", [4, 34, 306])
def test_a_seed_is_the_same_run_every_time(seed: int) -> None:
    traces: list[list[str]] = [[], []]
    for trace in traces:
        assert runner.run(seed, trace) is None
    assert traces[0] == traces[1]
    assert len(traces[0]) > 20


def test_the_seeds_reach_what_they_are_for() -> None:
    """Crashes, lost answers, repeats, foreign orders, refused cancels: all of it happens often enough."""
    text: list[str] = []
    crashes = 0
    for seed in range(60):
        world = World(seed, [])
        world.run()
        crashes += world.crashes
        text += world.trace or []
    everything = "\n".join(text)
    assert crashes > 20
    for word, least in {
        "OUTCOME_UNKNOWN": 20,
        "repeated=True": 40,
        "three readings": 3,
        "AUTH_EXPIRED": 3,
        "RateLimited": 40,
        "was placed elsewhere": 10,
        "settled: ": 20,
        "again: the order was on its way": 3,
        "close_all answered": 10,
        "cancelled CANCELLED": 20,
        "PART_TRADED": 20,
    }.items():
        assert everything.count(word) >= least, f"{word}: {everything.count(word)}"


def test_a_deadlock_is_seen() -> None:
    scheduler = Scheduler(random.Random(1))
    life = Life("one")
    tasks = SimTasks(scheduler, life)
    lock = tasks.lock()
    done: list[str] = []

    def hold() -> None:
        with lock:
            tasks.sleep(1.0)
        done.append("held")

    def twice() -> None:
        with lock, lock:
            done.append("never")

    scheduler.spawn(life, hold)
    scheduler.spawn(life, twice)
    scheduler.run(10.0)
    assert done == ["held"]
    scheduler.kill(life)

    def spin() -> None:
        scheduler.after(0.0, spin)

    scheduler.after(0.0, spin)
    with pytest.raises(Stuck):
        scheduler.run(20.0, most=1000)
