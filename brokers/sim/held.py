"""What a simulated broker held back, and how long it really did: a timer oversleeps on a busy machine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Held:
    """One frame of a feed on its way out.

    Attributes:
        late_s: How much later than it was ready it is to be sent.
        ready_ns: Wall time at which it was ready: it names the step of the market that the frame shows.
        ready_s: The same moment by the event loop's clock.
        held_ns: How long it was held back in truth, by the monotonic clock; None until it went.
    """

    socket: str
    late_s: float
    ready_ns: int = field(default_factory=time.time_ns)
    ready_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    held_ns: int | None = None

    @property
    def left_s(self) -> float:
        """How long it still has to wait; not above zero once it may go."""
        return self.ready_s + self.late_s - asyncio.get_running_loop().time()

    def goes(self) -> None:
        self.held_ns = round((asyncio.get_running_loop().time() - self.ready_s) * 1e9)

    def view(self) -> dict[str, object]:
        return {
            "socket": self.socket,
            "late_s": self.late_s,
            "ready_ns": self.ready_ns,
            "held_ns": self.held_ns,
        }
