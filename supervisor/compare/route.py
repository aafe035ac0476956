"""The route ``best``: which instance a new order should go to. Pure; nothing here sends.

The fastest median of the last hour among instances that are ready and whose feed is healthy; without enough
orders to know, the fixed order. An open position or working order stays where it is: its exit must meet it.
A lead must be more than chance: of instances whose difference is not significant the first in the fixed order
is taken, so that the route does not flap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from supervisor.compare.stats import MIN_UNPAIRED, Floats, unpaired

WINDOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One instance now.

    Attributes:
        recent: Seconds from sent to acknowledged of its places in the last hour; ``inf``: no answer.
        holds: It has a position or a working order in this contract.
        unfit: Why no entry can go there, empty when it can.
    """

    instance: str
    feed_healthy: bool
    recent: Floats
    holds: bool = False
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """``instance`` is empty when the order must not go anywhere; ``medians_ms`` are for the journal."""

    instance: str
    reason: str
    medians_ms: Mapping[str, float | None]


def pick(candidates: Sequence[Candidate], rng: np.random.Generator) -> Decision:
    """Choose for one new order. ``candidates`` stand in the fixed order."""
    medians = {one.instance: _median_ms(one.recent) for one in candidates}
    holders = [one for one in candidates if one.holds]
    if len(holders) > 1:
        names = ", ".join(one.instance for one in holders)
        return Decision("", f"{names} both hold this contract: name the instance yourself", medians)
    if holders:
        (one,) = holders
        if one.unfit:
            return Decision("", f"{one.instance} holds this contract and cannot trade: {one.unfit}", medians)
        return Decision(one.instance, f"{one.instance} holds this contract", medians)
    fit = [one for one in candidates if not one.unfit]
    if not fit:
        return Decision("", "no instance can trade: " + "; ".join(_why(one) for one in candidates), medians)
    healthy = [one for one in fit if one.feed_healthy]
    if not healthy:
        return Decision(fit[0].instance, "no feed is healthy: first of the fixed order", medians)
    if len(healthy) == 1:
        return Decision(healthy[0].instance, "the only one with a healthy feed", medians)
    known = [one for one in healthy if len(one.recent) >= MIN_UNPAIRED]
    if len(known) < len(healthy):
        least = f"fewer than {MIN_UNPAIRED} orders in the last hour somewhere"
        return Decision(healthy[0].instance, f"{least}: first of the fixed order", medians)
    return _fastest(healthy, medians, rng)


def _fastest(
    healthy: Sequence[Candidate], medians: Mapping[str, float | None], rng: np.random.Generator
) -> Decision:
    best = min(healthy, key=lambda one: float(np.median(one.recent)))
    for one in healthy:
        if one is best:
            break
        if medians[one.instance] is None:
            # more than half of its orders got no answer: no difference of answered ones excuses that
            continue
        found = unpaired(best.recent, one.recent, rng)
        if found is None or not found.significant:
            reason = f"no significant difference to {best.instance}: first of the fixed order"
            return Decision(one.instance, reason, medians)
    return Decision(best.instance, "fastest median of the last hour", medians)


def _median_ms(recent: Floats) -> float | None:
    if len(recent) == 0:
        return None
    found = float(np.median(recent))
    return round(found * 1e3, 3) if np.isfinite(found) else None


def _why(one: Candidate) -> str:
    return f"{one.instance} {one.unfit}"
