"""Thin: carries out what ``policy`` decides for each child: spawns, follows, probes, signals, reaps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import time
from datetime import UTC, datetime

import psutil

from supervisor import plan
from supervisor.children import child as processes
from supervisor.children import policy
from supervisor.children.answer import Answer
from supervisor.children.identity import kill_tree
from supervisor.children.policy import Effect, Event, State
from supervisor.children.prober import Prober
from supervisor.children.slot import Slot
from supervisor.children.usage import Usage
from supervisor.status import health_of

log = logging.getLogger("supervisor")
STARTING_PROBE_S = 0.05
RUNNING_PROBE_S = 4.5
AGAIN_S = 0.5
"""After an unanswered probe."""
DEGRADED_PROBE_S = 1.0
PROBE_TIMEOUT_S = 2.0
FRESH_S = 1.0
"""``algo status`` asks the children again when their last answer is older."""
STATUS_WAIT_S = 0.5
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""A question that failed for want of something here says nothing about the child."""


class Caretaker:
    """The children and what is done to them, on one event loop. A subclass remembers and tells."""

    def __init__(self, rules: policy.Rules) -> None:
        self._rules = rules
        self._slots: dict[str, Slot] = {}
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()

    def _save(self) -> None:
        """A process began or ended: write down which there are."""
        raise NotImplementedError

    def _tell(self, key: str) -> None:
        """A child's state or answer is new: tell whom it concerns."""
        raise NotImplementedError

    def start(self, spec: plan.ChildSpec) -> Slot:
        """Take one process into care, outside any instance."""
        slot = self._slots.setdefault(spec.key, Slot(spec))
        self._start_what_may()
        return slot

    async def stop(self, keys: list[str]) -> None:
        """Dependants first, each level together."""
        # held here: another command may take a stopped one away meanwhile
        slots = {k: self._slots[k] for k in keys if k in self._slots}
        nonces = [slot.handle.identity.nonce for slot in slots.values() if slot.handle is not None]
        while left := [k for k in slots if slots[k].child.state is not State.STOPPED]:
            needed = {a for k in left for a in slots[k].spec.after}
            for key in left:
                if key not in needed:
                    self._apply(key, policy.Stop())
            if any(slots[k].child.state is not State.STOPPED for k in left if k not in needed):
                self._changed.clear()
                await self._changed.wait()
        deadline = time.monotonic() + self._rules.stop_deadline_s
        while any(any(kill_tree(n)) for n in nonces) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _start_what_may(self) -> None:
        """Start every planned child whose dependencies are ready."""
        for key, slot in self._slots.items():
            if slot.child.state is not State.PLANNED:
                continue
            if slot.spec.patient or all(self._is_up(a) for a in slot.spec.after):
                self._apply(key, policy.Start())

    def _is_up(self, key: str) -> bool:
        """Ready, or running and only waiting for something its dependants do not need (a broker login)."""
        slot = self._slots.get(key)
        if slot is None:
            return True
        starting = slot.child.state is State.STARTING and slot.child.answered
        alive = slot.child.state.is_serving or starting
        return slot.child.state is State.READY or (alive and (slot.spec.role == "api" or bool(slot.strain)))

    def _apply(self, key: str, event: Event) -> None:
        slot = self._slots[key]
        before = slot.child
        slot.child, effects = policy.step(before, event, time.monotonic(), self._rules)
        if slot.child.state is not before.state:
            log.info("%s: %s -> %s %s", key, before.state, slot.child.state, slot.child.reason)
            self._changed.set()
        for effect in effects:
            self._carry_out(key, slot, effect)
        self._arm(key, slot)
        if slot.child.state is not before.state:
            self._start_what_may()
            self._tell(key)

    def _carry_out(self, key: str, slot: Slot, effect: Effect) -> None:
        match effect:
            case policy.Spawn():
                self._spawn(key, slot)
            case policy.Terminate():
                if slot.handle is not None:
                    slot.handle.terminate()
            case policy.Kill(why):
                log.warning("%s: killed, %s", key, why)
                if slot.handle is not None:
                    slot.handle.kill()
                    kill_tree(slot.handle.identity.nonce)

    def _spawn(self, key: str, slot: Slot) -> None:
        slot.body = {}
        try:
            slot.handle = processes.spawn(slot.spec)
        except (OSError, psutil.Error) as exc:
            self._apply(key, policy.SpawnFailed(f"cannot start: {exc}"))
            return
        slot.started_wall = datetime.now(UTC).isoformat(timespec="seconds")
        self._apply(key, policy.Spawned(slot.handle.pid))
        self._save()
        self._follow(key)

    def _follow(self, key: str) -> None:
        """Hear of the end of a process and ask it how it is until then."""
        slot = self._slots[key]
        handle = slot.handle
        if handle is None:
            return

        def gone(code: int | None) -> None:
            if slot.handle is not handle:
                return
            slot.handle = None
            slot.body = {}
            slot.usage = Usage()
            if slot.probing is not None:
                slot.probing.cancel()
            left = kill_tree(handle.identity.nonce)
            if left:
                log.warning("%s: ended, and left pids %s behind; killed", key, left)
            self._apply(key, policy.Exited(code, random.random()))
            self._save()

        handle.watch(gone)
        slot.probing = asyncio.get_running_loop().create_task(self._probe(key, handle))

    async def _probe(self, key: str, handle: processes.Handle) -> None:
        slot = self._slots[key]
        prober = Prober(slot.spec.health_url)
        try:
            while slot.handle is handle:
                try:
                    answer = await prober.ask(PROBE_TIMEOUT_S)
                except OSError as exc:
                    if exc.errno in OURS:
                        log.warning("cannot ask %s: %s", key, exc)
                    else:
                        self._apply(key, policy.Missed(f"no answer: {type(exc).__name__}"))
                else:
                    self._heard(key, slot, handle, answer)
                await slot.pause(_pause_s(slot))
        finally:
            prober.close()

    def _heard(self, key: str, slot: Slot, handle: processes.Handle, answer: Answer) -> None:
        slot.body = answer.body
        slot.asked_at = time.monotonic()
        if answer.body.get("pid") in (None, handle.pid):
            slot.sample(slot.asked_at)
            ready, reason, need = health_of(answer.ready, answer.reason, answer.body)
            if ready and slot.strain:
                ready, reason = False, slot.strain
            self._apply(key, policy.Probed(ready, reason, need))
            if slot.child.state is not State.STARTING:
                self._tell(key)
        else:
            self._apply(key, policy.Missed("another process answers on its port"))
        self._answered.set()

    async def _refresh(self) -> None:
        """Ask every child whose last answer is old, at once; none is waited for long."""
        asked = time.monotonic()
        serving = [s for s in self._slots.values() if s.child.state.is_serving]
        stale = [s for s in serving if asked - s.asked_at > FRESH_S]
        for slot in stale:
            slot.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_WAIT_S):
                while any(s.asked_at < asked and s.handle is not None for s in stale):
                    self._answered.clear()
                    await self._answered.wait()

    def _arm(self, key: str, slot: Slot) -> None:
        """One timer per child, for the moment at which time alone changes something."""
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        wake = policy.next_wake(slot.child, self._rules)
        if wake is not None:
            delay = max(0.0, wake - time.monotonic())
            slot.timer = asyncio.get_running_loop().call_later(delay, self._tick, key, slot)

    def _tick(self, key: str, slot: Slot) -> None:
        if self._slots.get(key) is slot:
            self._apply(key, policy.Tick())


def _pause_s(slot: Slot) -> float:
    """Until the next probe."""
    if slot.child.state is State.STARTING:
        return STARTING_PROBE_S
    if slot.child.missed:
        return AGAIN_S
    if slot.child.state is State.DEGRADED and not slot.strain:
        return DEGRADED_PROBE_S
    # all at the same moments: waking once for ten probes costs a third of waking ten times
    return RUNNING_PROBE_S - time.monotonic() % RUNNING_PROBE_S
