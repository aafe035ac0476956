"""Pure: what is worth telling somebody, from how an instance was and how it is now.

Told on the edge only: a feed that stays mute is one event, and ``recovered`` ends what was told. Names are
``gateway.settings.hooks.EVENTS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor.children.policy import State

_OF_STATE = {State.FAILED: "failed", State.LOGIN_NEEDED: "login-needed", State.WEDGED: "wedged"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing told once.

    Attributes:
        seq: Counts from 1 in one supervisor's life.
        at: ISO-8601 UTC.
        reason: One line for a person; empty when the name says all.
    """

    seq: int
    at: str
    instance: str
    name: str
    reason: str

    def to_plain(self) -> dict[str, Any]:
        return {n: getattr(self, n) for n in ("seq", "at", "instance", "name", "reason")}


@dataclass(frozen=True, slots=True)
class Facts:
    """What of one instance is wrong now: event name -> reason. ``ready``: it serves and awaits nothing."""

    ready: bool = False
    wrong: Mapping[str, str] = field(default_factory=dict)


def facts_of(row: Mapping[str, Any], bodies: Mapping[str, Mapping[str, Any]], disk_low: str) -> Facts:
    """Facts from a status row and the children's last health answers.

    Args:
        row: One row of ``status.instance_row``.
        bodies: Role (``api``, ``feed``) -> body.
        disk_low: Why the disk is low; empty when it is not.
    """
    wrong: dict[str, str] = {}
    for child in row["children"]:
        name = _OF_STATE.get(State(child["state"]))
        if name is not None:
            wrong.setdefault(name, f"{child['key']}: {child['reason'] or child['state']}")
        if child.get("strain"):
            wrong.setdefault("over-limit", f"{child['key']}: {child['strain']}")
    feed = bodies.get("feed", {})
    told = feed.get("feed")
    if isinstance(told, Mapping) and told.get("state") == "silent":
        wrong["feed-mute"] = str(told.get("reason") or "the broker feed is silent")
    for alert in feed.get("alerts") or []:
        if alert.get("what") == "coverage":
            wrong["coverage-low"] = f"{alert.get('value')} % of the subscriptions live ({alert.get('level')})"
    unknown = bodies.get("api", {}).get("unknown") or 0
    if unknown:
        wrong["order-unknown"] = f"{unknown} orders whose outcome is not known; see: algo orders unknown"
    day = bodies.get("api", {}).get("broker_day")
    if isinstance(day, Mapping):
        for name, reason in (day.get("alarms") or {}).items():
            wrong.setdefault(str(name), str(reason))
    if row.get("late"):
        wrong["not-ready-before-open"] = str(row["late"])
    if disk_low:
        wrong["disk-low"] = disk_low
    return Facts(row["state"] == State.READY.value, wrong)


def between(before: Facts, after: Facts) -> list[tuple[str, str]]:
    """(name, reason) of everything that became so. ``recovered`` once nothing told is left."""
    told = [(name, reason) for name, reason in after.wrong.items() if name not in before.wrong]
    if before.wrong and not after.wrong and after.ready:
        told.append(("recovered", f"was: {', '.join(before.wrong)}"))
    elif after.ready and not before.ready and not before.wrong:
        told.append(("ready", ""))
    return told


def kept(before: Facts, after: Facts) -> Facts:
    """What to compare with next time.

    What is mended while the instance is not ready yet stays told, so ``recovered`` comes when it really has.
    """
    if before.wrong and not after.wrong and not after.ready:
        return Facts(False, before.wrong)
    return after
