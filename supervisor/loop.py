"""The running supervisor: carries out what ``policy`` decides.

Run as ``python -m supervisor.loop --home HOME --venue sim|live``; ``algo up`` starts it and talks to it
through ``control``. It may be killed at any moment: its children go on, and the next one adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import secrets
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from brokers.errors import SettingsError
from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog, OwnLogHandler
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor import child as processes
from supervisor import control, plan, policy, preflight, probe
from supervisor.hooks import Hooks
from supervisor.identity import kill_tree
from supervisor.lock import FolderLock
from supervisor.policy import Child, Effect, Event, State
from supervisor.prober import Prober
from supervisor.slot import Slot, older
from supervisor.state import Record, RunFolder
from supervisor.status import health_of, instance_row, unsupervised
from supervisor.teller import Teller

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
SAVE_AGAIN_S = 5.0
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""A question that failed for want of something here says nothing about the child."""
EVENTS_MOST_S = 25.0
DISK_EVERY_S = 60.0
HOOKS_LAST_S = 2.0


class Supervisor:
    """Owns the children of one home and venue. Everything runs on one event loop."""

    def __init__(self, folder: RunFolder, rules: policy.Rules) -> None:
        self._folder = folder
        self._rules = rules
        self._slots: dict[str, Slot] = {}
        self._instances: dict[str, Settings] = {}
        self._strays: dict[str, list[Record]] = {}
        self._options = plan.UpOptions()
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()
        self._done = asyncio.Event()
        self._started_at = datetime.now(UTC)
        self._hooks = Hooks()
        self._teller = Teller(self._hooks)
        self._saving: asyncio.TimerHandle | None = None
        self._disk_low = ""
        self._disk_looked_at = float("-inf")

    # -- life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Adopt, serve commands, until told to end with nothing left."""
        token = secrets.token_hex(16)
        self._adopt()
        server = await control.serve(self._command, token)
        port = server.sockets[0].getsockname()[1]
        self._folder.write_control(port, token, processes.own_identity())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, self._done.set)
        if processes.become_subreaper():
            loop.add_signal_handler(signal.SIGCHLD, self._reap)
        await self._done.wait()
        server.close()
        await self._hooks.finish(HOOKS_LAST_S)
        self._stop_saving()
        self._folder.clear_control()

    def _adopt(self) -> None:
        """Take over what an earlier supervisor started, and finish what it was asked for.

        An instance whose settings cannot be read waits, running as it is, for the ``up`` after they are
        mended; the others must not wait with it.
        """
        names, options, records = self._folder.read_state()
        self._options = plan.UpOptions.from_plain(options)
        self._strays = {name: [r for r in records if r.instance in (name, "")] for name in names}
        for name in names:
            try:
                self._take_over(name)
            except SettingsError as exc:
                log.error("cannot adopt %s: %s", name, exc)
        self._start_what_may()

    def _take_over(self, name: str) -> None:
        one = self._load(name)
        self._instances[name] = one
        known = {record.key: record for record in self._strays.pop(name)}
        for spec in plan.ordered(plan.children([one], self._options)):
            if spec.key in self._slots:
                continue
            slot = self._slots[spec.key] = Slot(spec)
            record = known.get(spec.key)
            if record is None or record.identity.process() is None:
                continue
            slot.handle = processes.Handle(record.identity, None)
            slot.started_wall = record.started_at
            self._apply(spec.key, policy.Adopted(record.identity.pid))
            slot.child = older(slot.child, record)
            self._follow(spec.key)
            log.info("adopted %s, pid %s", spec.key, record.identity.pid)

    def _reap(self) -> None:
        ours = {slot.handle.pid for slot in self._slots.values() if slot.handle is not None}
        processes.reap_strangers(ours | self._hooks.pids)

    def _load(self, name: str) -> Settings:
        return gateway_settings.load(self._folder.home, name, self._folder.venue)

    # -- commands -----------------------------------------------------------------------------------------

    async def _command(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        names = [str(n) for n in arguments.get("names") or []]
        if command == "status":
            await self._refresh()
            return self._status()
        if command == "events":
            wait_s = min(float(arguments.get("wait_s") or 0.0), EVENTS_MOST_S)
            found = await self._teller.after(int(arguments.get("after") or 0), wait_s)
            return {"events": [event.to_plain() for event in found]}
        if command == "stop-refused":
            for name in names:
                if name in self._instances:
                    reason = str(arguments.get("reason", ""))
                    self._teller.tell(name, command, reason, self._instances[name].hooks)
            return {}
        if command == "up":
            return self._up(names, plan.UpOptions.from_plain(arguments.get("options") or {}))
        if command == "down":
            return await self._down(names)
        if command == "restart":
            return await self._restart(names)
        raise SettingsError(f"unknown command {command!r}")

    def _up(self, names: list[str], options: plan.UpOptions) -> dict[str, Any]:
        """Add instances; those already there stay as they are (a failed child is tried again)."""
        for name in [n for n in names if n in self._strays]:
            self._take_over(name)
        fresh = {n: self._load(n) for n in names if n not in self._instances}
        everyone = {**self._instances, **fresh}
        plan.check_clashes(list(everyone.values()))
        specs = plan.ordered(plan.children(list(fresh.values()), options))
        new = [s for s in specs if s.key not in self._slots or not self._slots[s.key].child.state.is_running]
        preflight.check_ports(new)
        self._instances = everyone
        if fresh:
            self._options = options
        for spec in new:
            slot = self._slots.setdefault(spec.key, Slot(spec))
            slot.spec = spec
            slot.child = Child()
        for name in names:
            for key in self._keys_of(name):
                if self._slots[key].child.state is State.FAILED:
                    self._slots[key].child = Child()
        self._save()
        self._start_what_may()
        return {"started": sorted(fresh), "unchanged": sorted(set(names) - set(fresh))}

    async def _down(self, names: list[str]) -> dict[str, Any]:
        """Stop instances (all when none is named); a simulated broker goes with its last instance."""
        leaving = [n for n in (names or list(self._instances)) if n in self._instances]
        staying = [n for n in self._instances if n not in leaving]
        needed = {key for name in staying for key in self._keys_of(name)}
        keys = [key for name in leaving for key in self._keys_of(name)]
        await self.stop([k for k in dict.fromkeys(keys) if k not in needed])
        for name in leaving:
            del self._instances[name]
            self._teller.forget(name)
        for key in [k for k in self._slots if k not in needed]:
            del self._slots[key]
        self._save()
        if not self._instances:
            self._folder.state_path.unlink(missing_ok=True)
            # let the answer leave before the loop ends
            asyncio.get_running_loop().call_later(0.05, self._done.set)
        return {"stopped": leaving, "left": staying}

    async def _restart(self, names: list[str]) -> dict[str, Any]:
        chosen = names or list(self._instances)
        missing = [n for n in chosen if n not in self._instances]
        if missing:
            raise SettingsError(f"not running: {', '.join(missing)}; start with: algo up {' '.join(missing)}")
        fresh = {n: self._load(n) for n in chosen}
        plan.check_clashes([fresh.get(n, one) for n, one in self._instances.items()])
        keys = [k for n in chosen for k in self._keys_of(n) if not k.startswith("sim.")]
        await self.stop(keys)
        self._instances.update(fresh)
        for spec in plan.children(list(fresh.values()), self._options):
            if spec.key in keys:
                self._slots[spec.key].spec = spec
                self._slots[spec.key].child = Child(restarts=self._slots[spec.key].child.restarts)
        self._start_what_may()
        return {"restarted": chosen}

    async def stop(self, keys: list[str]) -> None:
        """Dependants first, each level together."""
        nonces = [slot.handle.identity.nonce for k in keys if (slot := self._slots[k]).handle is not None]
        while left := [k for k in keys if self._slots[k].child.state is not State.STOPPED]:
            needed = {a for k in left for a in self._slots[k].spec.after}
            for key in left:
                if key not in needed:
                    self._apply(key, policy.Stop())
            if any(self._slots[k].child.state is not State.STOPPED for k in left if k not in needed):
                self._changed.clear()
                await self._changed.wait()
        deadline = time.monotonic() + self._rules.stop_deadline_s
        while any(any(kill_tree(n)) for n in nonces) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _keys_of(self, name: str) -> list[str]:
        specs = plan.children([self._instances[name]], self._options)
        return [s.key for s in specs if s.key in self._slots]

    def _status(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "venue": self._folder.venue.value,
            "home": str(self._folder.home),
            "supervisor": {
                "pid": processes.own_identity().pid,
                "started_at": self._started_at.isoformat(timespec="seconds"),
            },
            "instances": [self._row(name, now) for name in self._instances]
            + [unsupervised(name, self._folder.venue.value, found) for name, found in self._strays.items()],
        }

    def _row(self, name: str, now: float) -> dict[str, Any]:
        keys = self._keys_of(name)
        children = {k: self._slots[k].child for k in keys}
        bodies = {k: self._slots[k].body for k in keys}
        specs = [self._slots[k].spec for k in keys]
        return instance_row(self._instances[name], specs, children, bodies, now)

    def _tell(self, key: str) -> None:
        """Look whether something is worth telling about the instances this child belongs to."""
        now = time.monotonic()
        if now - self._disk_looked_at > DISK_EVERY_S:
            self._disk_looked_at = now
            self._disk_low = preflight.disk_low(self._folder.home)
        for name, one in self._instances.items():
            if key in self._keys_of(name):
                bodies = {
                    role: self._slots[k].body
                    for role in ("api", "feed")
                    if (k := f"{name}.{role}") in self._slots
                }
                self._teller.look(self._row(name, now), bodies, self._disk_low, one.hooks)

    def start(self, spec: plan.ChildSpec) -> Slot:
        """Take one process into care, outside any instance."""
        slot = self._slots.setdefault(spec.key, Slot(spec))
        self._start_what_may()
        return slot

    # -- carrying out -------------------------------------------------------------------------------------

    def _start_what_may(self) -> None:
        """Start every planned child whose dependencies are ready."""
        for key, slot in self._slots.items():
            if slot.child.state is not State.PLANNED:
                continue
            if all(self._is_up(a) for a in slot.spec.after):
                self._apply(key, policy.Start())

    def _is_up(self, key: str) -> bool:
        """Ready, or running and only waiting for something its dependants do not need (a broker login)."""
        slot = self._slots.get(key)
        if slot is None:
            return True
        starting = slot.child.state is State.STARTING and slot.child.answered
        alive = slot.child.state.is_serving or starting
        return slot.child.state is State.READY or (alive and slot.spec.role == "api")

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
                await slot.pause(_pause_s(slot.child))
        finally:
            prober.close()

    def _heard(self, key: str, slot: Slot, handle: processes.Handle, answer: probe.Answer) -> None:
        slot.body = answer.body
        slot.asked_at = time.monotonic()
        if answer.body.get("pid") in (None, handle.pid):
            self._apply(key, policy.Probed(*health_of(answer.ready, answer.reason, answer.body)))
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

    def _save(self) -> None:
        self._stop_saving()
        rows = [
            Record(
                key, slot.spec.instance, slot.handle.identity, slot.started_wall, restarts=slot.child.restarts
            )
            for key, slot in self._slots.items()
            if slot.handle is not None
        ]
        written = {row.key for row in rows}
        rows += [r for found in self._strays.values() for r in found if r.key not in written]
        try:
            self._folder.write_state([*self._instances, *self._strays], self._options.to_plain(), rows)
        except OSError as exc:
            # children live and die all the same; written as soon as the disk takes it
            log.error("what runs cannot be written down: %s; again in %.0f s", exc, SAVE_AGAIN_S)
            self._saving = asyncio.get_running_loop().call_later(SAVE_AGAIN_S, self._save)

    def _stop_saving(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None


def _pause_s(child: Child) -> float:
    """Until the next probe."""
    if child.state is State.STARTING:
        return STARTING_PROBE_S
    if child.missed:
        return AGAIN_S
    if child.state is State.DEGRADED:
        return DEGRADED_PROBE_S
    # all at the same moments: waking once for ten probes costs a third of waking ten times
    return RUNNING_PROBE_S - time.monotonic() % RUNNING_PROBE_S


def main(argv: list[str]) -> int:
    """Entry of the detached supervisor. Returns its exit code."""
    arguments = dict(zip(argv[::2], argv[1::2], strict=True))
    folder = RunFolder(Path(arguments["--home"]), Venue(arguments["--venue"]))
    handler = OwnLogHandler(OwnLog(folder.path.parent / "log" / "supervisor.log"))
    handler.setFormatter(JsonLines({"process": "supervisor", "venue": folder.venue.value}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    folder.path.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder.lock_path) as lock:
        if not lock.held:
            log.info("another supervisor runs here")
            return 0
        preflight.raise_descriptor_limit()
        asyncio.run(Supervisor(folder, policy.Rules()).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
