"""Rolling-window limits of one broker account, with slots kept for cancels and exits (O5)."""

from __future__ import annotations

from enum import StrEnum
from types import TracebackType

from brokers.clock import Clock
from brokers.contract import BrokerSpec


class Lane(StrEnum):
    """Who asks. ``ENTRY`` and ``EXIT`` share the order windows, only ``EXIT`` may use the reserved slots."""

    ENTRY = "entry"
    EXIT = "exit"
    DATA = "data"
    QUOTE = "quote"


class Grant:
    """Leave to send one request. ``with limiter.acquire(...)`` marks it as sent when the block ends."""

    def __enter__(self) -> Grant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Limiter:
    """One per broker account, shared by desk and market. Thread-safe."""

    def __init__(self, spec: BrokerSpec, clock: Clock) -> None: ...

    def acquire(self, lane: Lane, deadline_s: float) -> Grant:
        """Wait for a slot, at most ``deadline_s``.

        Raises:
            RateLimited: No slot before the deadline; at once when that is certain.
        """
        raise NotImplementedError

    def close(self, lane: Lane, seconds: float) -> None:
        """The broker said 429: nothing leaves on this lane's windows for ``seconds``."""
