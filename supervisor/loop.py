"""The running supervisor: carries out what ``policy`` decides.

Run as ``python -m supervisor.loop --home HOME --venue sim|live``; ``algo up`` starts it and talks to it
through ``control``. It may be killed at any moment: its children go on, and the next one adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers.errors import SettingsError
from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog, OwnLogHandler
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor import control, plan, preflight, services
from supervisor.children import child as processes
from supervisor.children import policy
from supervisor.children.caretaker import Caretaker
from supervisor.children.policy import Child, State
from supervisor.children.slot import Slot, older
from supervisor.lock import FolderLock
from supervisor.state import Record, RunFolder
from supervisor.status import instance_row, service_row, unsupervised
from supervisor.telling.hooks import Hooks
from supervisor.telling.openwatch import OpenWatch
from supervisor.telling.teller import Teller

log = logging.getLogger("supervisor")
SAVE_AGAIN_S = 5.0
EVENTS_MOST_S = 25.0
DISK_EVERY_S = 60.0
HOOKS_LAST_S = 2.0


class Supervisor(Caretaker):
    """Owns the children of one home and venue. Everything runs on one event loop."""

    def __init__(self, folder: RunFolder, rules: policy.Rules) -> None:
        super().__init__(rules)
        self._folder = folder
        self._instances: dict[str, Settings] = {}
        self._strays: dict[str, list[Record]] = {}
        self._options = plan.UpOptions()
        self._done = asyncio.Event()
        self._started_at = datetime.now(UTC)
        self._hooks = Hooks()
        self._teller = Teller(self._hooks)
        self._open = OpenWatch()
        self._saving: asyncio.TimerHandle | None = None
        self._settling = asyncio.Lock()
        self._chores: set[asyncio.Task[None]] = set()
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
        watching = loop.create_task(self._watch_open())
        await self._done.wait()
        watching.cancel()
        server.close()
        await self._hooks.finish(HOOKS_LAST_S)
        self._stop_saving()
        self._folder.clear_control()

    def is_quiet(self, now: datetime) -> bool:
        """Whether nothing trades on any instance's markets: the time to put the log aside."""
        sim_hours = self._options.sim_hours
        return all(self._open.is_quiet(one, sim_hours) for one in self._instances.values())

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
        self._adopt_services(records)
        self._start_what_may()

    def _adopt_services(self, records: list[Record]) -> None:
        try:
            specs = services.children(list(self._instances.values()), self._options)
        except SettingsError as exc:
            log.error("cannot look after what the instances share: %s", exc)
            return
        known = {record.key: record for record in records}
        for spec in specs:
            # what it was started with: it is started anew by the next `up` that would write another one
            self._adopt_one(services.as_written(spec), known.get(spec.key))

    def _take_over(self, name: str) -> None:
        one = self._load(name)
        self._instances[name] = one
        known = {record.key: record for record in self._strays.pop(name)}
        for spec in plan.ordered(plan.children([one], self._options)):
            if spec.key not in self._slots:
                self._adopt_one(spec, known.get(spec.key))

    def _adopt_one(self, spec: plan.ChildSpec, record: Record | None) -> None:
        slot = self._slots[spec.key] = Slot(spec)
        if record is None or record.identity.process() is None:
            return
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
                    self._teller.tell(name, command, reason, [self._instances[name].hooks])
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
        before = self._options
        options = replace(
            options, puller=options.puller or before.puller, route=options.route or before.route
        )
        shared = services.children(list(everyone.values()), options)
        specs = plan.ordered(plan.children(list(fresh.values()), options))
        new = [s for s in specs if s.key not in self._slots or not self._slots[s.key].child.state.is_running]
        preflight.check_ports([*new, *(s for s in shared if s.key not in self._slots)])
        self._instances = everyone
        self._options = options if fresh else replace(before, puller=options.puller, route=options.route)
        for spec in new:
            slot = self._slots.setdefault(spec.key, Slot(spec))
            slot.spec = spec
            slot.child = Child()
        for name in names:
            for key in self._keys_of(name):
                if self._slots[key].child.state is State.FAILED:
                    self._slots[key].child = Child()
        self._settle_soon(names)
        self._save()
        self._start_what_may()
        return {"started": sorted(fresh), "unchanged": sorted(set(names) - set(fresh))}

    async def _down(self, names: list[str]) -> dict[str, Any]:
        """Stop instances (all when none is named); a simulated broker goes with its last instance."""
        # a service that is just being started anew must be there to be stopped, or it would outlive us
        async with self._settling:
            leaving = [n for n in (names or list(self._instances)) if n in self._instances]
            staying = [n for n in self._instances if n not in leaving]
            needed = {key for name in staying for key in self._keys_of(name)}
            shared = [key for key, slot in self._slots.items() if slot.is_service]
            if staying:
                needed.update(shared)
            keys = [*shared, *(key for name in leaving for key in self._keys_of(name))]
            await self.stop([k for k in dict.fromkeys(keys) if k not in needed])
            for name in leaving:
                del self._instances[name]
                self._teller.forget(name)
                self._open.forget(name)
            for key in [k for k in self._slots if k not in needed]:
                del self._slots[key]
            if staying:
                self._settle_soon()
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
        self._settle_soon()
        self._start_what_may()
        busy = [n for n in chosen if not self._open.is_quiet(self._instances[n], self._options.sim_hours)]
        return {"restarted": chosen, "in_market_hours": busy}

    def _settle_soon(self, again: Sequence[str] = ()) -> None:
        """Have the services be those of the instances there are now.

        Stopping one may take its seconds, and nobody waits for that.

        Args:
            again: Instances asked for; a failed service is tried again for them.
        """
        for slot in self._slots.values():
            if again and slot.is_service and slot.child.state is State.FAILED:
                slot.child = Child()
        task = asyncio.get_running_loop().create_task(self._settle())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _settle(self) -> None:
        async with self._settling:
            try:
                specs = services.children(list(self._instances.values()), self._options)
            except SettingsError as exc:
                log.error("what the instances share stays as it is: %s", exc)
                return
            wanted = {spec.key: spec for spec in specs}
            ours = {key: slot for key, slot in self._slots.items() if slot.is_service}
            changed = [key for key, slot in ours.items() if not services.same(slot.spec, wanted.get(key))]
            await self.stop(changed)
            for key in changed:
                self._slots.pop(key, None)
            if not self._instances:  # all were stopped meanwhile
                return
            for key, spec in wanted.items():
                self._slots.setdefault(key, Slot(spec))
            self._save()
            self._start_what_may()

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
            "services": [self._service_row(key, now) for key, slot in self._slots.items() if slot.is_service],
        }

    def _service_row(self, key: str, now: float) -> dict[str, Any]:
        slot = self._slots[key]
        return service_row(slot.spec, slot.child, slot.body, slot.usage, now)

    def _row(self, name: str, now: float) -> dict[str, Any]:
        keys = self._keys_of(name)
        children = {k: self._slots[k].child for k in keys}
        bodies = {k: self._slots[k].body for k in keys}
        specs = [self._slots[k].spec for k in keys]
        usages = {k: self._slots[k].usage for k in keys}
        row = instance_row(self._instances[name], specs, children, bodies, now, usages)
        return row | {"late": self._open.late(self._instances[name], self._options.sim_hours, row)}

    async def _watch_open(self) -> None:
        """Time alone makes an instance late for the open."""
        while True:
            await asyncio.sleep(self._open.wait_s(self._instances.values(), self._options.sim_hours))
            for name in list(self._instances):
                self._tell(f"{name}.api")

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
                self._teller.look(self._row(name, now), bodies, self._disk_low, [one.hooks])
        if (slot := self._slots.get(key)) is not None and slot.is_service:
            everybody = list({id(one.hooks): one.hooks for one in self._instances.values()}.values())
            self._teller.look(self._service_row(key, now), {}, "", everybody)

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


def main(argv: list[str]) -> int:
    """Entry of the detached supervisor. Returns its exit code."""
    arguments = dict(zip(argv[::2], argv[1::2], strict=True))
    folder = RunFolder(Path(arguments["--home"]), Venue(arguments["--venue"]))
    supervisor = Supervisor(folder, policy.Rules())
    log_path = folder.path.parent / "log" / "supervisor.log"
    handler = OwnLogHandler(OwnLog(log_path, quiet=supervisor.is_quiet))
    handler.setFormatter(JsonLines({"process": "supervisor", "venue": folder.venue.value}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    folder.path.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder.lock_path) as lock:
        if not lock.held:
            log.info("another supervisor runs here")
            return 0
        preflight.raise_descriptor_limit()
        asyncio.run(supervisor.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
