"""What the supervisor keeps of one child."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any

from supervisor import plan
from supervisor.children import child as processes
from supervisor.children.policy import Child
from supervisor.children.usage import EVERY_S, Usage, judged, look
from supervisor.state import Record

ADOPTED_SERVING_S = 15.0
"""An adopted process of this age has surely served before; a mute one is hung, not starting."""


@dataclass(slots=True)
class Slot:
    """One child: what it is, what the policy knows, what runs."""

    spec: plan.ChildSpec
    child: Child = field(default_factory=Child)
    handle: processes.Handle | None = None
    body: dict[str, Any] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    probing: asyncio.Task[None] | None = None
    pausing: asyncio.Future[None] | None = None
    asked_at: float = 0.0
    started_wall: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def is_service(self) -> bool:
        """One of what all instances share, simulated brokers apart."""
        return not self.spec.instance and self.spec.role != "sim"

    @property
    def strain(self) -> str:
        """What the process has used too much of for a while; empty when nothing."""
        return self.usage.strain

    def sample(self, now: float) -> None:
        """Look at what the process uses, when the last look is old enough."""
        if self.handle is None:
            return
        if self.usage.samples and now - self.usage.samples[-1].at < EVERY_S:
            return
        found = look(self.handle.pid, now)
        if found is not None:
            self.usage = judged(self.usage, found, self.spec.limits)

    async def pause(self, seconds: float) -> None:
        """Sleep until the next probe is due or somebody wants it now."""
        loop = asyncio.get_running_loop()
        self.pausing = loop.create_future()
        timer = loop.call_later(seconds, self.hurry)
        try:
            await self.pausing
        finally:
            timer.cancel()

    def hurry(self) -> None:
        if self.pausing is not None and not self.pausing.done():
            self.pausing.set_result(None)


def older(child: Child, record: Record) -> Child:
    """An adopted child keeps its age and its count of restarts."""
    process = record.identity.process()
    age_s = max(0.0, time.time() - process.create_time()) if process is not None else 0.0
    began = time.monotonic() - age_s
    answered = child.answered or age_s > ADOPTED_SERVING_S
    return replace(child, started_at=began, restarts=record.restarts, answered=answered)
