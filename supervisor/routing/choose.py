"""Where a new order goes, from how the instances stand. Pure; the policy itself is ``compare.route.pick``.

A contract stays with the instance that holds it: by its books, by the books as last seen where it does not
answer, or by an order routed there whose trade the books may not show yet. An instance nobody has ever seen
the books of may hold anything, so nothing new is routed until it answers. Live and paper do not mix: while
the instances are in different modes only a contract that is held goes anywhere, to its holder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from supervisor.compare.collect import NOTHING
from supervisor.compare.route import Candidate, pick
from supervisor.compare.stats import Floats
from supervisor.routing.model import Chosen

FILLS_SHOW_S = 10.0
"""So long after a place its contract stays at its instance, whatever the books show (they may be 4 s old)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The books of an instance as last read: contracts of positions and working orders."""

    at: str
    mode: str
    contracts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Look:
    """One instance at this moment.

    Attributes:
        standing: What it says (``/internal/routed/standing``); empty when it does not answer.
        error: Why it does not.
        last: Its books as last read, perhaps by an earlier process; None: never.
    """

    instance: str
    standing: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    last: Seen | None = None
    feed_healthy: bool = False
    recent: Floats = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was sent."""

    code: str
    reason: str
    medians_ms: Mapping[str, float | None] = field(default_factory=dict)


def choose(
    looks: Sequence[Look], contract: str, routed: Collection[str], rng: np.random.Generator
) -> Chosen | Declined:
    """Decide one new order. ``looks`` stand in the fixed order.

    Args:
        routed: Instances to which an order of this contract went that may have traded meanwhile.
    """
    blind = [one for one in looks if _contracts(one) is None]
    if blind:
        said = "; ".join(f"{one.instance} does not show its books ({_why_blind(one)})" for one in blind)
        return Declined("NO_ROUTE", f"{said}, and nobody knows whether it holds {contract}")
    candidates = [_candidate(one, contract, routed) for one in looks]
    modes = {one.instance: mode_of(one) for one in looks}
    if not any(one.holds for one in candidates) and len({m for m in modes.values() if m}) > 1:
        shown = ", ".join(f"{name} {mode}" for name, mode in modes.items() if mode)
        return Declined("NO_ROUTE", f"live and paper do not mix ({shown}): put all instances into one mode")
    found = pick(candidates, rng)
    if not found.instance:
        blocked = all(one.standing.get("blocked") for one in looks)
        return Declined("ENTRIES_BLOCKED" if blocked else "NO_ROUTE", found.reason, found.medians_ms)
    notes = tuple(_note(look, one) for look, one in zip(looks, candidates, strict=True))
    return Chosen(found.instance, modes[found.instance], found.reason, found.medians_ms, notes)


def may_hold(looks: Sequence[Look], placed_ns: Mapping[str, int], now_ns: int) -> set[str]:
    """Instances whose books may not show yet what was routed to them.

    Args:
        placed_ns: When the last order of the contract was placed at each instance.
    """
    found = set()
    for look in looks:
        read_ns = now_ns
        if seen(look.standing, "") is None and look.last is not None:
            # what it did after its books were last read nobody has seen
            read_ns = int(datetime.fromisoformat(look.last.at).timestamp()) * 1_000_000_000
        if placed_ns.get(look.instance, 0) >= read_ns - int(FILLS_SHOW_S * 1e9):
            found.add(look.instance)
    return found


def mode_of(look: Look) -> str:
    """``live`` or ``analyze``; empty while it does not answer."""
    return str(look.standing.get("mode") or "")


def seen(standing: Mapping[str, Any], at: str) -> Seen | None:
    """The books in an answer; None where they could not be read."""
    books = standing.get("books")
    if not isinstance(books, Mapping):
        return None
    return Seen(at, str(standing["mode"]), frozenset((*books["positions"], *books["orders"])))


def _contracts(look: Look) -> frozenset[str] | None:
    now = seen(look.standing, "")
    if now is not None:
        return now.contracts
    return look.last.contracts if look.last is not None else None


def _candidate(look: Look, contract: str, routed: Collection[str]) -> Candidate:
    holds = contract in (_contracts(look) or ()) or look.instance in routed
    return Candidate(
        look.instance, look.feed_healthy, look.recent, holds=holds, unfit="; ".join(unfit(look, holds))
    )


def unfit(look: Look, holds: bool) -> list[str]:
    """Why no new order can go there.

    A holder is left to say no by itself where it can still say anything: an exit passes where an entry does
    not.
    """
    one = look.standing
    if not one:
        return [f"does not answer ({look.error})"]
    found = []
    if not one["ready"]:
        found.append(f"not ready ({', '.join(one['waiting_for']) or 'no reason given'})")
    if one["books"] is None and not holds:
        found.append(f"does not show its books ({one.get('books_error', '')})")
    if one["semi_auto"]:
        found.append("in semi-auto mode: orders wait there for approval")
    if holds:
        return found
    if not one["executes"]:
        found.append("has not the role to execute")
    if one["blocked"]:
        found.append(f"entries are blocked ({one['blocked']})")
    if one["market_open"] is False:
        found.append("the market is closed")
    return found


def _why_blind(look: Look) -> str:
    return look.error or str(look.standing.get("books_error") or "no reason given")


def _note(look: Look, one: Candidate) -> dict[str, Any]:
    """For the journal."""
    note: dict[str, Any] = {
        "instance": look.instance,
        "mode": mode_of(look),
        "feed": look.feed_healthy,
        "n": len(look.recent),
        "holds": one.holds,
        "unfit": one.unfit,
    }
    if seen(look.standing, "") is None and look.last is not None:
        note["books_of"] = look.last.at
    return note
