"""Whom to pull through. The designated instance first, its named standbys after it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from brokers.clock import Clock
from brokers.errors import AlgoError
from historify.puller.source import Capability, Source

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""The api of a broker that refused its session logs in anew by itself; that long a standby waits."""
SICK_S = 20.0
"""An instance that could not do what it said it can is left alone for so long."""


class Roster:
    """Who can pull now, and why the others cannot. One thread's."""

    def __init__(self, sources: Sequence[Source], clock: Clock) -> None:
        # without named standbys there is no failover
        self._sources = [*sources[:1], *(one for one in sources[1:] if one.candidate.standby)]
        self._clock = clock
        self._sick: dict[str, tuple[float, str, bool]] = {}
        self.reasons: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Whom it may pull through, best first."""
        return tuple(one.candidate.instance for one in self._sources)

    @property
    def designated(self) -> str | None:
        """The one that pulls unless it cannot, or a person prefers another."""
        return next((one.candidate.instance for one in self._sources if not one.candidate.standby), None)

    @property
    def unanswered(self) -> bool:
        """Whether somebody is left alone because its broker does not answer."""
        now = self._clock.monotonic()
        return any(down and now < until for until, _, down in self._sick.values())

    def prefer(self, instance: str) -> bool:
        """A person wants this one to pull: it comes first from now on; False when it is no candidate."""
        if instance not in self.names:
            return False
        # a new list: another thread may be reading the names
        self._sources = sorted(self._sources, key=lambda one: one.candidate.instance != instance)
        return True

    def choose(self) -> tuple[Source, Capability] | None:
        """The first one that can pull; ``reasons`` says why each one before it, or all, cannot."""
        reasons: list[str] = []
        for source in self._sources:
            found = self.ask(source)
            if isinstance(found, Capability) and found.ready:
                self.reasons = tuple(reasons)
                return source, found
            reasons.append(found.reason if isinstance(found, Capability) else found)
        if not self._sources:
            reasons.append("no instance of this home may pull history")
        self.reasons = tuple(reasons)
        return None

    def ask(self, source: Source) -> Capability | str:
        """What an instance can do now, or why that is not known."""
        name = source.candidate.instance
        until, why, _ = self._sick.get(name, (float("-inf"), "", False))
        if self._clock.monotonic() < until:
            return why
        try:
            return source.capability()
        except AlgoError as exc:
            return str(exc)

    def able(self) -> list[tuple[Source, Capability]]:
        """All that can pull now, best first."""
        found = ((one, self.ask(one)) for one in self._sources)
        return [(one, said) for one, said in found if isinstance(said, Capability) and said.ready]

    def sick(self, source: Source, reason: str, *, unanswered: bool = False) -> None:
        """It said that it can pull, and could not. ``unanswered``: its broker does not answer."""
        name = source.candidate.instance
        log.warning("%s cannot pull: %s", name, reason)
        self._sick[name] = (self._clock.monotonic() + SICK_S, f"{name}: {reason}", unanswered)

    def close(self) -> None:
        for source in self._sources:
            source.close()
