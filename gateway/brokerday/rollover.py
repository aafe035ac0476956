"""Pure: what to do with a broker session now.

=============== ============================== ==================================================
session         when                           step
=============== ============================== ==================================================
none            always                         ``LOGIN``
refused         before its stated end          ``LOGIN``
valid           until ``lead_s`` before it     ``KEEP``
valid           within ``lead_s`` of its end   ``RENEW``; ``KEEP`` where renewing gains nothing
ended           less than ``SETTLE_S`` ago     ``WAIT``: the broker's new day may not have begun
ended           later                          ``LOGIN``
=============== ============================== ==================================================

The stated end is planned: it is no failure, spends nothing of the login budget while waiting, and nobody is
alarmed before a person would have to act.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SETTLE_S = 5.0
"""Brokers and we do not have the same clock; a login too early would be one for the day that ends."""


class Step(StrEnum):
    """What is to be done about the broker session now."""

    KEEP = "keep"
    RENEW = "renew"
    WAIT = "wait"
    LOGIN = "log in"


@dataclass(frozen=True, slots=True)
class Held:
    """The session in hand. ``refused``: the broker no longer takes it."""

    expires_at: datetime
    refused: bool = False


def step(held: Held | None, now: datetime, lead_s: float) -> Step:
    """``lead_s``: how long before its end it is lengthened; 0: it cannot be (a fixed end)."""
    if held is None:
        return Step.LOGIN
    if now >= held.expires_at:
        return Step.WAIT if is_settling(held.expires_at, now) else Step.LOGIN
    if held.refused:
        return Step.LOGIN
    ahead = now >= held.expires_at - timedelta(seconds=lead_s)
    return Step.RENEW if ahead else Step.KEEP


def is_settling(expires_at: datetime, now: datetime) -> bool:
    """The session has just reached its stated end."""
    return timedelta(0) <= now - expires_at < timedelta(seconds=SETTLE_S)
