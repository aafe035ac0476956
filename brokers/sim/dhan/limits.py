"""Dhan's rate limits per account, as rolling windows. Pure: the times are handed in."""

from __future__ import annotations

from collections import deque
from datetime import date
from enum import StrEnum


class Lane(StrEnum):
    """Which limit a call counts against. The option chain has its own beside DATA."""

    ORDER = "order"
    DATA = "data"
    QUOTE = "quote"
    OTHER = "non-trading"


WINDOWS: dict[Lane, tuple[tuple[int, float], ...]] = {
    Lane.ORDER: ((10, 1.0), (250, 60.0), (1000, 3600.0)),
    Lane.DATA: ((5, 1.0),),
    Lane.QUOTE: ((1, 1.0),),
    Lane.OTHER: ((20, 1.0),),
}
DAILY = {Lane.ORDER: 7000, Lane.DATA: 100_000}
OPTION_CHAIN_S = 3.0


class Limits:
    """Counts what was let through; a refused call does not count."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, Lane], deque[float]] = {}
        self._days: dict[tuple[str, Lane], tuple[date, int]] = {}
        self._chains: dict[tuple[str, str], float] = {}

    def take(self, account: str, lane: Lane, now_s: float, today: date) -> bool:
        """Count one call; False (and nothing counted) when a window is full.

        Args:
            now_s: Monotonic seconds.
            today: The IST date, for the limit per day.
        """
        calls = self._calls.setdefault((account, lane), deque())
        longest = max(seconds for _, seconds in WINDOWS[lane])
        while calls and calls[0] <= now_s - longest:
            calls.popleft()
        for most, seconds in WINDOWS[lane]:
            if len(calls) >= most and calls[-most] > now_s - seconds:
                return False
        day, used = self._days.get((account, lane), (today, 0))
        used = used if day == today else 0
        if used >= DAILY.get(lane, used + 1):
            return False
        calls.append(now_s)
        self._days[account, lane] = (today, used + 1)
        return True

    def take_chain(self, account: str, what: str, now_s: float) -> bool:
        """One unique option-chain request (underlying and expiry) per 3 s."""
        last = self._chains.get((account, what))
        if last is not None and now_s - last < OPTION_CHAIN_S:
            return False
        self._chains[account, what] = now_s
        return True
