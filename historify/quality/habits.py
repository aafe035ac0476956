"""How much silence is normal for an instrument. Pure.

An index prints every minute and a liquid share nearly so; an option far out of the money may trade twice a
day. So a stretch without bars counts only when it is long for the class *and* long for the instrument's own
days in the same stretch of history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class InstrumentClass(StrEnum):
    """What decides how long no trade is ordinary."""

    INDEX = "index"
    SHARE = "share"
    FUTURE = "future"
    OPTION = "option"


FLOOR_MINUTES = {
    InstrumentClass.INDEX: 3,
    InstrumentClass.SHARE: 15,
    InstrumentClass.FUTURE: 30,
    InstrumentClass.OPTION: 120,
}
"""Shorter stretches without a bar are never reported."""
DAILY_EVERY_DAY = frozenset({InstrumentClass.INDEX, InstrumentClass.SHARE})
"""Others may pass a whole day without a trade."""
HABIT = 3.0
"""A stretch counts from so many times the instrument's usual longest silence of a day."""
_OPTION = re.compile(r"\d(CE|PE)$")


def class_of(exchange: str, symbol: str) -> InstrumentClass:
    """From OpenAlgo's names: ``NSE_INDEX``, ``…25000CE``, ``…FUT``."""
    if exchange.endswith("_INDEX"):
        return InstrumentClass.INDEX
    if exchange in ("NSE", "BSE"):
        return InstrumentClass.SHARE
    return InstrumentClass.OPTION if _OPTION.search(symbol) else InstrumentClass.FUTURE


@dataclass(frozen=True, slots=True)
class Silence:
    """Minutes without a bar: ``[start_min, start_min + minutes)`` of a session."""

    start_min: int
    minutes: int


def silences(present: Sequence[int], session_min: int) -> list[Silence]:
    """Stretches without a bar, in a session of so many minutes.

    Args:
        present: Minutes since the open that have a bar, ascending, all within the session.
    """
    found: list[Silence] = []
    expected = 0
    for minute in [*present, session_min]:
        if minute > expected:
            found.append(Silence(expected, minute - expected))
        expected = minute + 1
    return found


def longest_usual(longest_by_day: Sequence[int], kind: InstrumentClass) -> int:
    """Silences from this many minutes on are worth a finding.

    Args:
        longest_by_day: The longest silence of each day that has bars.
    """
    if not longest_by_day:
        return FLOOR_MINUTES[kind]
    usual = sorted(longest_by_day)[len(longest_by_day) // 2]
    return max(FLOOR_MINUTES[kind], int(usual * HABIT) + 1)
