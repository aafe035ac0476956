"""Through which instance this process pulls, and under which lease: taken, renewed, handed on, let go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from brokers.clock import Clock
from brokers.errors import AlgoError
from historify import lease as leases
from historify.control import Control
from historify.errors import LeaseLost
from historify.jobs.work import Work
from historify.lease import Lease, PullerLock
from historify.puller.roster import Roster
from historify.puller.source import Capability, Source

log = logging.getLogger(__name__)

RENEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """What pulling needs, for as long as the lease is held."""

    lease: Lease
    source: Source
    capability: Capability
    work: Work


class Tenure:
    """``renewing`` runs in a thread of its own, ``held`` may be read from anywhere, the rest is the loop's.

    Args:
        ttl_s: Of the lease.
        on_epoch: Called with each new lease before anything is pulled under it.
    """

    def __init__(
        self,
        control: Control,
        lock: PullerLock,
        roster: Roster,
        clock: Clock,
        *,
        ttl_s: float,
        on_epoch: Callable[[Lease], None],
    ) -> None:
        self._control = control
        self._lock = lock
        self._roster = roster
        self._clock = clock
        self._ttl_s = ttl_s
        self._on_epoch = on_epoch
        self._renewed_at = clock.monotonic()
        self.held: Held | None = None
        self.refused = ""
        """What the last one was told who asked for an instance that may not pull."""

    @property
    def stale(self) -> bool:
        """Whether a lease is held and was not renewed within its time: the machine slept, or a disk hangs."""
        return self.held is not None and self._clock.monotonic() - self._renewed_at > self._ttl_s

    def take(self) -> Held | None:
        """Hold the lease for the first instance that can pull; None, and none held, when nobody can."""
        found = self._roster.choose()
        if found is None:
            self.release()
            return None
        source, capability = found
        name = source.candidate.instance
        if self.held is not None and self.held.lease.holder == name:
            self.held = replace(self.held, capability=capability)
            return self.held
        self.release()
        lease = leases.acquire(
            self._control,
            self._lock,
            name,
            self._clock,
            instance_url=source.candidate.api,
            ttl_s=self._ttl_s,
        )
        self._renewed_at = self._clock.monotonic()
        self.held = Held(lease, source, capability, Work(self._control, self._clock, lease.epoch))
        taken = self.held.work.take_over()
        self._on_epoch(lease)
        log.info("pulling through %s, epoch %d, %d jobs taken over", name, lease.epoch, taken)
        return self.held

    @contextmanager
    def any_lease(self) -> Iterator[Lease]:
        """The one held, or one of this process's own: writing needs no broker."""
        if self.held is not None:
            yield self.held.lease
            return
        lease = leases.acquire(self._control, self._lock, "upkeep", self._clock)
        try:
            yield lease
        finally:
            lease.release()

    def is_asked_to_move(self) -> bool:
        """Whether somebody politely asked for another instance to pull than the one that does.

        The one asked for comes first from here on. One that names no candidate is refused: this process is
        the one that writes, whoever its broker is.
        """
        asked = leases.requested(self._control)
        if asked is None:
            return False
        known = self._roster.prefer(asked.instance)
        self.refused = "" if known else self._refusal(asked)
        # last: whoever asked reads the answer once the question is gone
        leases.answered(self._control, asked)
        if not known:
            log.warning("%s", self.refused)
            return False
        if self.held is None or self.held.lease.holder == asked.instance:
            return False
        log.info("%s is asked to pull instead of %s", asked.instance, self.held.lease.holder)
        return True

    def _refusal(self, asked: leases.Request) -> str:
        names = ", ".join(self._roster.names) or "nobody"
        return f"{asked.wanted_by} asked for {asked.instance or 'nobody'} to pull, which may not: {names} may"

    def release(self) -> None:
        held, self.held = self.held, None
        if held is None:
            return
        try:
            held.lease.release()
            log.info("let go of the lease of %s, epoch %d", held.lease.holder, held.lease.epoch)
        except AlgoError as exc:
            log.warning("the lease could not be released: %s", exc)

    def forget(self) -> None:
        """It is somebody else's by now: there is nothing to release."""
        self.held = None

    def renewing(self, stop: threading.Event) -> None:
        """Keep the lease alive while the loop waits for a broker or a disk, until ``stop``."""
        while not stop.wait(RENEW_S):
            held = self.held
            if held is None:
                self._renewed_at = self._clock.monotonic()
                continue
            try:
                held.lease.renew()
                self._renewed_at = self._clock.monotonic()
            except LeaseLost as exc:
                if self.held is held:
                    log.error("%s", exc)
            except AlgoError as exc:
                log.warning("the lease could not be renewed: %s", exc)
            except Exception:
                # top of the thread: it must try again, or a busy disk would cost the lease
                log.exception("renewing the lease")
