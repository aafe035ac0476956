"""Pure: where an instance stands in the broker's day, and what of it is an alarm.

================== =========================================================== ========= =======
phase              means                                                       planned   alarm
================== =========================================================== ========= =======
``running``        the session is valid                                        yes       no
``rolling-over``   it reached its stated end; the next one is made by itself   yes       no
``rolled-over``    likewise, but a person must log in, in good time            yes       no
``login-overdue``  a person must log in, and the open is near or past          no        yes
``login-needed``   the broker refused it, or there was none yet                no        no
================== =========================================================== ========= =======
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from brokers.clock import IST

ROLLS_FOR = timedelta(minutes=2)
"""A session that is made by itself is there by then, or something is wrong."""
STARTS_FOR = timedelta(seconds=60)
"""An instance that has just been started may still be starting."""
AFTER_OPEN = timedelta(minutes=5)


class Phase(StrEnum):
    """Where an instance stands in the broker's day."""

    RUNNING = "running"
    ROLLING_OVER = "rolling-over"
    ROLLED_OVER = "rolled-over"
    LOGIN_OVERDUE = "login-overdue"
    LOGIN_NEEDED = "login-needed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one api process.

    Attributes:
        session: ``valid``, ``none``, ``expired`` or ``refused``.
        expires_at: The session's stated end.
        alone: It can log in by itself.
        market_open: One of its exchanges trades now.
        next_open: Their next first open; None when there is no such thing.
        stale: The instrument table is older than this trading day.
        egress: Why the address orders leave from will be refused; empty when it will not, or nobody knows.
    """

    session: str
    expires_at: datetime | None
    alone: bool
    market_open: bool
    next_open: datetime | None
    stale: bool = False
    egress: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """Where it stands. ``alarms``: event name -> reason, what a person should be told now."""

    phase: Phase
    planned: bool
    rolls_over_at: datetime | None
    next_open: datetime | None
    ready_by: datetime | None
    message: str = ""
    alarms: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""

        def shown(at: datetime | None) -> str | None:
            return at.isoformat(timespec="seconds") if at is not None else None

        return {
            "phase": self.phase.value,
            "planned": self.planned,
            "rolls_over_at": shown(self.rolls_over_at),
            "next_open": shown(self.next_open),
            "ready_by": shown(self.ready_by),
            "message": self.message,
            "alarms": dict(self.alarms),
        }


def judge(facts: Facts, now: datetime, deadline: timedelta) -> Day:
    """``deadline``: how long before the open everything must be ready."""
    ready_by = facts.next_open - deadline if facts.next_open is not None else None
    near = facts.market_open or (ready_by is not None and now >= ready_by)
    phase, message = _phase(facts, now, near, ready_by)
    alarms = {}
    if facts.stale and near and facts.next_open is not None:
        alarms["instruments-stale"] = "the instrument table is of an earlier day; see: algo instruments sync"
    if facts.egress:
        alarms["egress-mismatch"] = facts.egress
    if phase is Phase.LOGIN_OVERDUE:
        alarms["login-needed"] = message
    planned = phase in (Phase.RUNNING, Phase.ROLLING_OVER, Phase.ROLLED_OVER)
    rolls = facts.expires_at if facts.session == "valid" else None
    return Day(phase, planned, rolls, facts.next_open, ready_by, message, alarms)


def _phase(facts: Facts, now: datetime, near: bool, ready_by: datetime | None) -> tuple[Phase, str]:
    if facts.session == "valid":
        return Phase.RUNNING, ""
    ended = facts.expires_at
    if facts.session != "expired" or ended is None or now < ended:
        return Phase.LOGIN_NEEDED, ""
    since = f"the session ended as planned at {ended.astimezone(IST):%H:%M} IST"
    if facts.alone and now - ended < ROLLS_FOR:
        return Phase.ROLLING_OVER, f"{since}; the next one is being made"
    if near:
        return Phase.LOGIN_OVERDUE, f"{since}; log in now"
    by = f" by {ready_by.astimezone(IST):%a %H:%M} IST" if ready_by is not None else ""
    return Phase.ROLLED_OVER, f"{since}; log in{by}"


def late_for_open(
    ready: bool,
    now: datetime,
    opens: datetime | None,
    deadline: timedelta,
    started_at: datetime | None,
    *,
    waits_for: str = "",
) -> str:
    """Why an instance is late for the open; empty when it is not.

    Args:
        opens: The first open that is ahead, or less than ``AFTER_OPEN`` past.
        started_at: When somebody asked for it; it is given ``STARTS_FOR``.
    """
    if ready or opens is None or not opens - deadline <= now < opens + AFTER_OPEN:
        return ""
    if started_at is not None and now - started_at < STARTS_FOR:
        return ""
    ahead = "opens" if now < opens else "opened"
    why = f": {waits_for}" if waits_for else ""
    return f"the market {ahead} at {opens.astimezone(IST):%H:%M} IST and this instance is not ready{why}"
