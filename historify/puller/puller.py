"""The loop: takes lock and lease, pulls job after job through the first instance that can, and gives way.

The lock says that this process alone writes; the lease says through which instance it does, under an epoch. A
failover is the same process taking a new epoch for another instance: whatever the old one still had under
way cannot be published any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.errors import AlgoError
from historify import lease as leases
from historify.contract import BarStore
from historify.control import Control
from historify.errors import LeaseLost, PullerBusy
from historify.jobs.plan import Limits
from historify.jobs.queue import Queue
from historify.jobs.schedule import Schedules
from historify.jobs.work import note_waiting, waits
from historify.lease import Lease, PullerLock
from historify.puller.roster import GRACE_S, Roster
from historify.puller.runner import Bench, Incapable, Runner, Stopped, Unanswered
from historify.puller.source import Capability, Source
from historify.puller.tenure import Held, Tenure

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often the loop looks whether ``control.db`` has changed."""
SCHEDULES_S = 5.0
SESSION_S = 10.0
"""How often the idle puller looks whether its instance could still pull."""
WAITING_S = 0.5
"""How often an instance that cannot pull is asked whether it can now."""
TIDY_S = 60.0
ERROR_S = 5.0


class Moved(Incapable):
    """Nothing is wrong; another instance is to go on."""


class State(StrEnum):
    """What the process says of itself, word for word in ``/health/ready``."""

    STARTING = "starting"
    IDLE = "idle"
    PULLING = "pulling"
    WAITING = "waiting for capability"
    STALLED = "stalled"
    READER = "reader"


class Publisher(Protocol):
    """Whoever shows people what is new; see ``historify.puller.publisher``."""

    def dirty(self) -> None:
        """Something was published into the store."""
        ...

    def flush(self) -> None:
        """A job ended: show it soon."""
        ...


class Chores(Protocol):
    """Work besides pulling; see ``historify.puller.upkeep``."""

    def waits(self) -> bool:
        """Whether there is anything to ``drain``."""
        ...

    def drain(self, lease: Lease) -> int:
        """Do what waits; returns how many changes that made."""
        ...

    def tidy(self, lease: Lease, orphans: bool) -> None:
        """Delete what nobody needs any more; with ``orphans`` also files no manifest ever listed."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop is built from. ``ttl_s``: of the lease."""

    control: Control
    lock: PullerLock
    store: BarStore
    roster: Roster
    calendar: Calendar
    clock: Clock
    publisher: Publisher
    stop: threading.Event
    upkeep: Chores | None = None
    ttl_s: float = leases.TTL_S


class Puller:
    """``run`` is one thread's, ``renewing`` another's; ``report`` may be asked from anywhere."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._schedules = Schedules(parts.control, parts.clock, parts.calendar)
        self._queue = Queue(parts.control, parts.clock)
        self._state = State.STARTING
        self._waiting: tuple[str, ...] = ()
        self._tenure = Tenure(
            parts.control,
            parts.lock,
            parts.roster,
            parts.clock,
            ttl_s=parts.ttl_s,
            on_epoch=self._clear_up,
        )
        self._seen = -1
        self._next_tidy = parts.clock.monotonic() + TIDY_S
        self._chance: tuple[Source | None, float] = (None, float("-inf"))
        self._next_schedules = self._next_session = float("-inf")

    def run(self) -> None:
        """Until ``stop``; what goes wrong on the way is logged and tried again."""
        parts = self._parts
        while not parts.stop.is_set():
            wait_s = 0.0
            try:
                wait_s = self._turn()
            except Stopped:
                break
            except PullerBusy as exc:
                self._say(State.READER, (str(exc),))
                wait_s = WAITING_S
            except LeaseLost as exc:
                log.error("%s; stopped writing", exc)
                self._tenure.forget()
                parts.lock.release()
                wait_s = WAITING_S
            except AlgoError as exc:
                log.error("%s (%s); next try in %.0f s", exc, exc.code, ERROR_S)
                self._say(State.STALLED, (str(exc),))
                # under the next epoch a job that was left in the middle is taken over
                self._tenure.release()
                wait_s = ERROR_S
            except Exception:
                # top of the thread: a broken turn must not end the next one
                log.exception("puller")
                self._tenure.release()
                wait_s = ERROR_S
            if wait_s and parts.stop.wait(wait_s):
                break
        self._tenure.release()
        parts.lock.release()

    def renewing(self) -> None:
        """Keep the lease alive until ``stop``."""
        self._tenure.renewing(self._parts.stop)

    def report(self) -> dict[str, Any]:
        """What ``/health/ready`` answers."""
        held = self._tenure.held
        state = State.STALLED if self._tenure.stale else self._state
        with contextlib.suppress(AlgoError):
            jobs = self._queue.counts()
            return {
                "ready": self._parts.lock.held,
                "pid": os.getpid(),
                "store": self._parts.control.store_id,
                "state": str(state),
                "puller": held.source.candidate.instance if held is not None else None,
                "epoch": held.lease.epoch if held is not None else 0,
                "waiting_for": list(self._waiting),
                "refused": self._tenure.refused,
                "designated": self._parts.roster.designated,
                "candidates": list(self._parts.roster.names),
                "passed_over": list(self._parts.roster.reasons),
                "jobs": jobs,
            }
        return {
            "ready": False,
            "pid": os.getpid(),
            "store": self._parts.control.store_id,
            "state": str(State.STALLED),
            "waiting_for": ["control.db"],
        }

    # --- one turn of the loop; returns how long to wait before the next one

    def _turn(self) -> float:
        parts = self._parts
        if not parts.lock.held:
            parts.lock.acquire()
            log.info("this process fills the store")
        self._tick_schedules()
        self._drain()
        if self._tenure.is_asked_to_move():
            self._tenure.release()
            self._next_session = float("-inf")
        if waits(parts.control):
            return self._pull()
        self._look_at_session()
        if self._state is not State.WAITING:
            self._say(State.IDLE)
        self._await_change()
        return 0.0

    def _pull(self) -> float:
        """One job, or the reason why none can be pulled."""
        held = self._tenure.take()
        if held is None:
            self._say(State.WAITING, self._parts.roster.reasons)
            what = "the broker" if self._parts.roster.unanswered else "capability"
            note_waiting(self._parts.control, self._parts.clock, f"waiting for {what}: {self._why()}")
            return WAITING_S
        job = held.work.claim()
        if job is None:
            return 0.0
        self._say(State.PULLING)
        try:
            Runner(self._bench(held)).run(job)
        except Moved:
            self._tenure.release()
        except Incapable as exc:
            self._give_way(held.source, exc)
        finally:
            self._parts.publisher.flush()
        return 0.0

    def _bench(self, held: Held) -> Bench:
        parts = self._parts
        return Bench(
            store=parts.store,
            work=held.work,
            source=held.source,
            limits=held.capability.limits,
            fence=held.lease,
            calendar=parts.calendar,
            clock=parts.clock,
            stop=parts.stop,
            on_publish=parts.publisher.dirty,
            between=self._between,
            others=lambda: self._others(held.source),
        )

    def _others(self, first: Source) -> list[tuple[Source, Limits]]:
        """Whoever else can pull now, for a series the first one's broker does not have."""
        return [(one, able.limits) for one, able in self._parts.roster.able() if one is not first]

    def _give_way(self, source: Source, said: Incapable) -> None:
        """An instance that said it can pull could not.

        Its api may be logging in just now; when it does not come back soon, the next one has its turn.
        """
        parts = self._parts
        log.warning("%s: %s", source.candidate.instance, said)
        until = parts.clock.monotonic() + GRACE_S
        while parts.clock.monotonic() < until:
            if parts.stop.wait(LOOK_S):
                raise Stopped("the puller was stopped")
            found = parts.roster.ask(source)
            if isinstance(found, Capability) and found.tried:
                break
            if isinstance(found, Capability) and found.ready:
                if self._again(source):
                    # it says so once more, and it was not true a moment ago
                    parts.roster.sick(source, str(said), unanswered=isinstance(said, Unanswered))
                    break
                return
        self._tenure.release()

    def _again(self, source: Source) -> bool:
        """Whether it already had its second chance of late."""
        now = self._parts.clock.monotonic()
        last, self._chance = self._chance, (source, now)
        return last[0] is source and now - last[1] < 2 * GRACE_S

    def _look_at_session(self) -> None:
        """Idle: let go of the lease when its instance cannot pull any more, take it when one can."""
        now = self._parts.clock.monotonic()
        if now < self._next_session:
            return
        able = self._tenure.take() is not None
        # an api that is just starting is seen at once; one that can pull seldom stops to
        self._next_session = now + (SESSION_S if able else WAITING_S)
        if able:
            self._say(State.IDLE)
        else:
            self._say(State.WAITING, self._parts.roster.reasons)
        if now >= self._next_tidy and self._parts.upkeep is not None:
            self._next_tidy = now + TIDY_S
            with self._tenure.any_lease() as lease:
                self._parts.upkeep.tidy(lease, False)

    def _why(self) -> str:
        return "; ".join(self._parts.roster.reasons) or "nobody"

    def _tick_schedules(self) -> None:
        now = self._parts.clock.monotonic()
        if now < self._next_schedules:
            return
        self._next_schedules = now + SCHEDULES_S
        for run in self._schedules.tick():
            what = f"job {run.job}" if run.job is not None else f"nothing queued: {run.error}"
            log.info("schedule %s is due: %s", run.schedule, what)

    def _clear_up(self, lease: Lease) -> None:
        """A new epoch: what an earlier one left half written is nobody's."""
        if self._parts.upkeep is not None:
            self._parts.upkeep.tidy(lease, True)

    def _drain(self) -> None:
        """What other processes left for the one that writes."""
        upkeep = self._parts.upkeep
        if upkeep is None or not upkeep.waits():
            return
        with self._tenure.any_lease() as lease:
            if upkeep.drain(lease):
                self._parts.publisher.dirty()

    def _between(self) -> None:
        """Between two series of a job. Raises ``Moved`` when another instance is to go on with it."""
        self._drain()
        if self._tenure.is_asked_to_move():
            raise Moved("another instance was asked to pull")

    def _await_change(self) -> None:
        """Until somebody writes to ``control.db``, or something is due by time."""
        parts = self._parts
        until = min(self._next_schedules, self._next_session)
        while not parts.stop.is_set():
            with parts.control.read() as connection:
                seen = int(connection.execute("PRAGMA data_version").fetchone()[0])
            if seen != self._seen:
                self._seen = seen
                return
            if parts.clock.monotonic() >= until or self._has_chores():
                return
            parts.stop.wait(LOOK_S)

    def _has_chores(self) -> bool:
        return self._parts.upkeep is not None and self._parts.upkeep.waits()

    def _say(self, state: State, waiting: tuple[str, ...] = ()) -> None:
        if state is not self._state:
            log.info("%s%s", state, f": {'; '.join(waiting)}" if waiting else "")
        self._state, self._waiting = state, waiting
