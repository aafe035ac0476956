"""Runs seeds and tells a failing one in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.simulation.world import World

TRACE_LINES = 80


@dataclass(frozen=True, slots=True)
class Failure:
    seed: int
    what: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.what}"


def run(seed: int, trace: list[str] | None = None) -> Failure | None:
    """One seed; None when every promise held."""
    try:
        World(seed, trace).run()
    except Exception as exc:  # noqa: BLE001 - told with its seed, whatever it is
        return Failure(seed, f"{type(exc).__name__}: {exc}")
    return None


def failures(seeds: Iterable[int], most: int = 5) -> list[Failure]:
    """The seeds that broke a promise, the first few."""
    found: list[Failure] = []
    for seed in seeds:
        failure = run(seed)
        if failure is not None:
            found.append(failure)
            if len(found) == most:
                break
    return found


def told(found: list[Failure]) -> str:
    """Every failure, and the end of the first one's trace: the same seed gives the same run."""
    if not found:
        return ""
    trace: list[str] = []
    run(found[0].seed, trace)
    lines = [*map(str, found), f"replay: scripts/campaign simulation --seed {found[0].seed} --trace"]
    return "\n".join([*lines, *trace[-TRACE_LINES:]])
