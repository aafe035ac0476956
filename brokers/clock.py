"""The one clock, handed to whoever needs the time. Tests hand in their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")


class Clock(Protocol):
    """Wall time as aware UTC, durations as monotonic seconds."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def time_ns(self) -> int:
        """Wall time in nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def time_ns(self) -> int:
        """Wall nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never step back; only differences mean something."""
        return time.monotonic()


class ManualClock:
    """A clock a test moves by hand. ``advance`` moves both times, ``set`` only the wall (a clock step)."""

    def __init__(self, at: datetime) -> None:
        self._now = at.astimezone(UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The set time, aware UTC."""
        return self._now

    def time_ns(self) -> int:
        """The set time, nanoseconds since the epoch."""
        whole = int(self._now.replace(microsecond=0).timestamp())
        return whole * 1_000_000_000 + self._now.microsecond * 1000

    def monotonic(self) -> float:
        """Seconds that only ``advance`` moves."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set(self, at: datetime) -> None:
        """Step the wall clock alone, as an operator would."""
        self._now = at.astimezone(UTC)
