"""How the feed process is: one record a second, what is wrong with it, what a sister instance proves. Pure.

Thresholds come in two levels, warning and critical, and are settings. A value that is not known is not
judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

WINDOW_S = 10
"""Seconds over which errors and latencies are counted."""
MUTE_S, NEW_SOCKET_S = 10.0, 12.0
FRESH_S = 3.0
LIQUID_TICKS = 5
"""A sister's symbol is liquid when it ticked in so many of the last ``WINDOW_S`` seconds."""
REST_FIRST_S, REST_MOST_S = 60.0, 600.0
JUMP_S = 2.0
SLEPT_S = 5.0


class Level(StrEnum):
    """How bad a value beyond its limit is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Limit:
    """``low``: small values are bad."""

    warning: float
    critical: float
    low: bool = False

    def level(self, value: float) -> Level | None:
        if value < self.critical if self.low else value > self.critical:
            return Level.CRITICAL
        if value < self.warning if self.low else value > self.warning:
            return Level.WARNING
        return None


@dataclass(frozen=True, slots=True)
class Alert:
    """One value of a record beyond its threshold."""

    what: str
    level: Level
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Beat:
    """One second of a feed process. Totals count since its start; None: not known now.

    Attributes:
        coverage_pct: Live among the subscribed instruments whose exchange is in session.
        parse_errors_pct: Unreadable among all frames of the last ``WINDOW_S``.
        latency_p99_ms: From a frame's arrival to its tick being handed to every consumer, sampled over the
            last ``WINDOW_S``. What lies before the arrival nobody here can measure.
        drops: Values a slow client did not get because a newer one came, and overflows of the ZeroMQ bus.
        ticking: Symbols and in how many of the last ``WINDOW_S`` seconds they ticked, the liveliest first.
    """

    at_ms: int
    instance: str
    broker: str
    feed: str
    subscribed: int
    live: int
    coverage_pct: float | None
    ticks_per_s: float
    last_tick_age_s: float | None
    reconnects: int
    drops: int
    parse_errors: int
    parse_errors_pct: float | None
    latency_p99_ms: float | None
    memory_mb: float
    cpu_pct: float
    clock_jumps: int = 0
    roused: int = 0
    ticking: Mapping[str, int] | None = None


VALUES = {
    "coverage": "coverage_pct",
    "parse_errors": "parse_errors_pct",
    "latency": "latency_p99_ms",
    "memory": "memory_mb",
    "cpu": "cpu_pct",
}
"""Name of a threshold -> the field of ``Beat`` it judges."""


def judge(beat: Beat, limits: Mapping[str, Limit]) -> list[Alert]:
    """Every threshold a record is beyond."""
    found = []
    for what, limit in limits.items():
        value = getattr(beat, VALUES[what])
        level = limit.level(value) if value is not None else None
        if level is not None:
            beyond = limit.critical if level is Level.CRITICAL else limit.warning
            found.append(Alert(what, level, value, beyond))
    return found


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


class Window:
    """A counter's growth over the last ``WINDOW_S`` looks."""

    def __init__(self) -> None:
        self._seen: deque[int] = deque([0], maxlen=WINDOW_S + 1)

    def look(self, count: int) -> int:
        self._seen.append(count)
        return count - self._seen[0]


class Liveliness:
    """In how many of the last ``WINDOW_S`` seconds each symbol ticked."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._seconds: deque[frozenset[str]] = deque(maxlen=WINDOW_S)

    def look(self, ticked: Iterable[str]) -> dict[str, int]:
        """``ticked``: the symbols of the second just past. The liveliest first, cut to ``most``."""
        self._seconds.append(frozenset(ticked))
        counts: dict[str, int] = {}
        for second in self._seconds:
            for symbol in second:
                counts[symbol] = counts.get(symbol, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return dict(ranked[: self._most])


class Step(StrEnum):
    """What a mute feed is told to do."""

    RESUBSCRIBE = "resubscribe"
    NEW_SOCKET = "new socket"


class SisterWatch:
    """Tells a feed that is mute from a market that is quiet: a sister instance ticks what it does not.

    At ``MUTE_S`` everything is subscribed again, at ``NEW_SOCKET_S`` there is a new socket; then it rests,
    longer each time, because a symbol that one broker never sends must not reconnect it for ever.
    """

    def __init__(self) -> None:
        self._told: Step | None = None
        self._rest_until_s = 0.0
        self._rest_s = REST_FIRST_S
        self.proof = ""

    def step(
        self, now_s: float, silent_s: Mapping[str, float], sisters: Sequence[Mapping[str, Any]], now_ms: int
    ) -> Step | None:
        """What to do now, None for nothing.

        Args:
            silent_s: Seconds since the last tick of each symbol wanted here, refused ones left out.
            sisters: Their newest records (``Beat`` as plain values); old ones prove nothing.
        """
        mute_s, proof = 0.0, ""
        for sister in sisters:
            if now_ms - int(sister.get("at_ms", 0)) > FRESH_S * 1000:
                continue
            for symbol, seconds in (sister.get("ticking") or {}).items():
                if seconds >= LIQUID_TICKS and silent_s.get(symbol, 0.0) > mute_s:
                    mute_s = silent_s[symbol]
                    proof = f"{symbol} ticks at {sister.get('instance')} and not here for {mute_s:.0f} s"
        if mute_s < MUTE_S:
            if self._told is not None or now_s >= self._rest_until_s + REST_MOST_S:
                self._rest_s = REST_FIRST_S
            self._told = None
            return None
        self.proof = proof
        if now_s < self._rest_until_s:
            return None
        if self._told is None:
            self._told = Step.RESUBSCRIBE
            return self._told
        if self._told is Step.RESUBSCRIBE and mute_s >= NEW_SOCKET_S:
            self._told = None
            self._rest_until_s = now_s + self._rest_s
            self._rest_s = min(REST_MOST_S, self._rest_s * 2)
            return Step.NEW_SOCKET
        return None


class ClockWatch:
    """Wall clock against monotonic clock: a set clock, or a machine that slept."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self.jumps = 0

    def look(self, wall_s: float, monotonic_s: float) -> float:
        """Seconds the wall clock jumped since the last look, 0 when it did not."""
        last, self._last = self._last, (wall_s, monotonic_s)
        if last is None:
            return 0.0
        jump_s = (wall_s - last[0]) - (monotonic_s - last[1])
        if abs(jump_s) < JUMP_S:
            return 0.0
        self.jumps += 1
        return jump_s
