"""Where the route ``best`` would send a new order, and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from supervisor.compare import routes
from supervisor.compare.route import Candidate, Decision, pick

N = 60


def broker(
    name: str, median_ms: float, seed: int, *, n: int = N, healthy: bool = True, **more: object
) -> Candidate:
    recent = np.random.default_rng(seed).normal(median_ms, 3.0, n) / 1e3
    return Candidate(name, healthy, recent, **more)  # type: ignore[arg-type]


def picked(*candidates: Candidate) -> Decision:
    return pick(candidates, np.random.default_rng(1))


def test_the_fastest_median_wins_also_from_behind() -> None:
    found = picked(broker("slow", 40, 1), broker("fast", 20, 2))
    assert (found.instance, found.reason) == ("fast", "fastest median of the last hour")
    assert found.medians_ms["fast"] == pytest.approx(20, abs=1.5)


def test_chance_does_not_move_an_order() -> None:
    found = picked(broker("first", 20.8, 1), broker("second", 20, 2))
    assert found.instance == "first"
    assert "no significant difference to second" in found.reason


def test_a_position_stays_at_its_broker() -> None:
    assert picked(broker("fast", 20, 1), broker("slow", 40, 2, holds=True)).instance == "slow"
    assert "holds this contract" in picked(broker("a", 20, 1), broker("b", 40, 2, holds=True)).reason


def test_nowhere_is_an_answer() -> None:
    stuck = picked(broker("fast", 20, 1), broker("slow", 40, 2, holds=True, unfit="not ready"))
    assert (stuck.instance, "cannot trade: not ready" in stuck.reason) == ("", True)
    both = picked(broker("a", 20, 1, holds=True), broker("b", 40, 2, holds=True))
    assert (both.instance, "name the instance yourself" in both.reason) == ("", True)
    none = picked(broker("a", 20, 1, unfit="not ready"), broker("b", 40, 2, unfit="panic"))
    assert (none.instance, none.reason) == ("", "no instance can trade: a not ready; b panic")


def test_a_silent_feed_or_too_few_orders_fall_back() -> None:
    assert picked(broker("slow", 40, 1), broker("fast", 20, 2, healthy=False)).instance == "slow"
    few = picked(broker("slow", 40, 1), broker("fast", 20, 2, n=19))
    assert (few.instance, "first of the fixed order" in few.reason) == ("slow", True)
    dark = picked(broker("slow", 40, 1, healthy=False), broker("fast", 20, 2, healthy=False))
    assert (dark.instance, dark.reason) == ("slow", "no feed is healthy: first of the fixed order")
    unfit = picked(broker("slow", 40, 1), broker("fast", 20, 2, unfit="not ready"))
    assert (unfit.instance, unfit.reason) == ("slow", "the only one with a healthy feed")


def test_unanswered_orders_count_against_a_broker() -> None:
    deaf = Candidate("deaf", True, np.concatenate((np.full(10, 0.01), np.full(30, np.inf))))
    found = picked(deaf, broker("answers", 40, 2))
    assert found.medians_ms["deaf"] is None
    assert found.instance == "answers"


def test_every_decision_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "compare" / "routes.jsonl"
    for name in ("dhan", "kotak"):
        routes.keep(path, "NSE:SBIN", Decision(name, "why", {"dhan": 20.0, "kotak": None}))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["instance"], row["reason"], row["contract"]) for row in rows] == [
        ("dhan", "why", "NSE:SBIN"),
        ("kotak", "why", "NSE:SBIN"),
    ]
