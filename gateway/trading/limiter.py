"""Rolling-window limits of one broker account, with slots kept for cancels and exits (O5).

``Window`` and ``Gate`` are pure: the time is handed in. ``Limiter`` is the thread-safe shell that waits.

A grant counts from the moment it is given until it is marked as sent, and from then on at the moment of
sending. So a slow commit between the two cannot push more requests into a broker's window than it allows.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

from brokers.clock import Clock
from brokers.contract import BrokerSpec, RateWindow
from brokers.errors import RateLimited
from gateway.trading.tasks import THREADS, Tasks

SHORT_RESERVE = 2
LONG_RESERVE = 0.05
SHORT_S = 2.0
"""A window up to this long is a short one: it keeps two slots; longer ones keep 5 %."""


class Lane(StrEnum):
    """Who asks. ``ENTRY`` and ``EXIT`` share the order windows, only ``EXIT`` may use the reserved slots."""

    ENTRY = "entry"
    EXIT = "exit"
    DATA = "data"
    QUOTE = "quote"


class Window:
    """At most ``count`` in any rolling ``seconds``."""

    def __init__(self, rule: RateWindow) -> None:
        self.count = rule.count
        self.seconds = rule.seconds
        reserve = SHORT_RESERVE if rule.seconds <= SHORT_S else math.ceil(rule.count * LONG_RESERVE)
        # a window of one or two slots cannot keep any
        self.reserve = min(reserve, max(0, rule.count - 1))
        self._sent: deque[float] = deque()

    def add(self, at: float) -> None:
        self._sent.append(at)

    def used(self, now: float) -> int:
        """Requests in the window that ends now."""
        while self._sent and self._sent[0] <= now - self.seconds:
            self._sent.popleft()
        return len(self._sent)

    def free_at(self, now: float, outstanding: int, *, reserved: bool) -> float | None:
        """The earliest time at which one more fits; None when only a sent mark can tell.

        Args:
            outstanding: Grants not yet marked as sent.
            reserved: The asker may use the kept slots.
        """
        while self._sent and self._sent[0] <= now - self.seconds:
            self._sent.popleft()
        room = self.count - (0 if reserved else self.reserve)
        excess = len(self._sent) + outstanding + 1 - room
        if excess <= 0:
            return now
        if excess > len(self._sent):
            return None
        return self._sent[excess - 1] + self.seconds


class Gate:
    """Every window of one class of requests, and a time until which the broker wants nothing."""

    def __init__(self, rules: Iterable[RateWindow]) -> None:
        self.windows = [Window(rule) for rule in rules]
        self.outstanding = 0
        self.closed_until = float("-inf")

    def free_at(self, now: float, *, reserved: bool) -> float | None:
        """As ``Window.free_at``, over all windows and the broker's own refusal."""
        latest = max(now, self.closed_until)
        for window in self.windows:
            at = window.free_at(now, self.outstanding, reserved=reserved)
            if at is None:
                return None
            latest = max(latest, at)
        return latest

    def take(self) -> None:
        self.outstanding += 1

    def sent(self, at: float) -> None:
        self.outstanding -= 1
        for window in self.windows:
            window.add(at)

    def give_back(self) -> None:
        """Granted, but nothing was sent."""
        self.outstanding -= 1

    def prime(self, times: Sequence[float]) -> None:
        """What earlier runs sent, oldest first."""
        for window in self.windows:
            for at in times:
                window.add(at)


@dataclass(slots=True)
class Grant:
    """Leave to send one request. ``with limiter.acquire(...)`` marks it as sent when the block ends."""

    _limiter: Limiter
    _gate: Gate
    _open: bool = True

    def sent(self) -> None:
        """The request has left (or may have)."""
        if self._open:
            self._open = False
            self._limiter.settle(self._gate, sent=True)

    def give_back(self) -> None:
        """Nothing left, and nothing will."""
        if self._open:
            self._open = False
            self._limiter.settle(self._gate, sent=False)

    def __enter__(self) -> Grant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sent()


@dataclass(frozen=True, slots=True)
class Usage:
    """One window now. ``reserve``: slots of ``count`` that only cancels and exits may use."""

    count: int
    seconds: float
    used: int
    reserve: int


@dataclass(slots=True)
class LaneCounts:
    """One lane since the start: requests let through, those that waited and how long, those refused."""

    granted: int = 0
    waited: int = 0
    waited_s: float = 0.0
    refused: int = 0


class Limiter:
    """One per broker account, shared by desk and market. Thread-safe.

    Order, data and quote requests have windows of their own, so an order never waits behind market data.
    """

    def __init__(self, spec: BrokerSpec, clock: Clock, tasks: Tasks = THREADS) -> None:
        self._clock = clock
        orders = Gate(spec.order_windows)
        self._gates = {
            Lane.ENTRY: orders,
            Lane.EXIT: orders,
            Lane.DATA: Gate(spec.data_windows),
            Lane.QUOTE: Gate(spec.quote_windows),
        }
        self.counts = {lane: LaneCounts() for lane in Lane}
        self._title = spec.title
        self._changed = tasks.condition()

    def acquire(self, lane: Lane, deadline_s: float) -> Grant:
        """Wait for a slot, at most ``deadline_s``.

        Raises:
            RateLimited: No slot before the deadline; at once when that is certain.
        """
        gate = self._gates[lane]
        begun = self._clock.monotonic()
        deadline, counts, waited = begun + deadline_s, self.counts[lane], False
        with self._changed:
            while True:
                now = self._clock.monotonic()
                at = gate.free_at(now, reserved=lane is not Lane.ENTRY)
                if at is not None and at <= now:
                    gate.take()
                    counts.granted += 1
                    if waited:
                        counts.waited += 1
                        counts.waited_s += now - begun
                    return Grant(self, gate)
                if (at is not None and at > deadline) or now >= deadline:
                    counts.refused += 1
                    raise self._refusal(lane, at, now)
                waited = True
                # woken when a grant is marked as sent or given back
                self._changed.wait((deadline if at is None else at) - now)

    def close(self, lane: Lane, seconds: float) -> None:
        """The broker said 429: nothing leaves on this lane's windows for ``seconds``."""
        gate = self._gates[lane]
        with self._changed:
            gate.closed_until = max(gate.closed_until, self._clock.monotonic() + seconds)

    def prime(self, lane: Lane, ages_s: Iterable[float]) -> None:
        """Tell it what earlier runs sent (a day's window outlives a restart)."""
        now = self._clock.monotonic()
        with self._changed:
            self._gates[lane].prime(sorted(now - age for age in ages_s))

    def usage(self, lane: Lane) -> list[Usage]:
        """How full each window of a lane is."""
        gate = self._gates[lane]
        with self._changed:
            now = self._clock.monotonic()
            return [
                Usage(w.count, w.seconds, w.used(now) + gate.outstanding, w.reserve) for w in gate.windows
            ]

    def settle(self, gate: Gate, *, sent: bool) -> None:
        """For ``Grant`` only."""
        with self._changed:
            if sent:
                gate.sent(self._clock.monotonic())
            else:
                gate.give_back()
            self._changed.notify_all()

    def _refusal(self, lane: Lane, at: float | None, now: float) -> RateLimited:
        wait_s = round(max(0.1, (at if at is not None else now + 1.0) - now), 3)
        return RateLimited(
            f"{self._title}'s limit for {lane} requests is used up; nothing was sent, "
            f"try again in {wait_s:g} s",
            retry_after_s=wait_s,
        )
