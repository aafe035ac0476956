"""Turns what the supervisor sees into events: kept for ``algo watch``, handed to the hooks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.settings.hooks import HookRules
from supervisor.telling import events
from supervisor.telling.events import Event, Facts
from supervisor.telling.hooks import Hooks

KEPT = 1000


class Teller:
    """Events of one supervisor's life, newest last. ``algo watch`` waits for them by number."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._known: dict[str, Facts] = {}
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._seq = 0
        self._more = asyncio.Event()

    def look(
        self,
        row: Mapping[str, Any],
        bodies: Mapping[str, Mapping[str, Any]],
        disk_low: str,
        rules: Sequence[HookRules],
    ) -> None:
        """Tell what has changed about one instance or service since the last look.

        Args:
            rules: Whose hooks hear of it; equal ones once.
        """
        name = str(row["name"])
        before = self._known.get(name, Facts())
        after = events.facts_of(row, bodies, disk_low)
        self._known[name] = events.kept(before, after)
        for what, reason in events.between(before, after):
            self.tell(name, what, reason, rules)

    def tell(self, instance: str, name: str, reason: str, rules: Sequence[HookRules]) -> None:
        self._seq += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = Event(self._seq, at, instance, name, reason)
        self._kept.append(event)
        for number, one in enumerate(rules):
            if one not in rules[:number]:
                self._hooks.tell(one, event)
        self._more.set()

    def forget(self, name: str) -> None:
        """The instance was stopped on purpose: its next start begins anew."""
        self._known.pop(name, None)

    async def after(self, seq: int, wait_s: float) -> Sequence[Event]:
        """Events above ``seq``, as soon as there is one; empty after ``wait_s``."""
        ends = asyncio.get_running_loop().time() + wait_s
        while self._seq <= seq:
            self._more.clear()
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                return ()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                return ()
        return [event for event in self._kept if event.seq > seq]
