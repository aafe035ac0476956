"""A fleet seen through its supervisor, asked in this process: a command for every look would be slow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil

from brokers.venue import Venue
from supervisor.running import CommandFailed, ask
from supervisor.state import RunFolder
from tests.e2e.fleet import Fleet, until


class Overseen:
    """``key`` is a child's: ``dhan.api``, ``sim.kotak``."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.folder = RunFolder(fleet.home, Venue.SIM)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Instance -> its row; empty while no supervisor answers."""
        return self._rows("instances")

    def _rows(self, *kinds: str) -> dict[str, dict[str, Any]]:
        try:
            status = ask(self.folder, "status")
        except CommandFailed:
            return {}
        return {row["name"]: row for kind in kinds for row in status[kind]}

    def children(self) -> dict[str, dict[str, Any]]:
        """What the instances share is among them."""
        rows = self._rows("instances", "services")
        return {child["key"]: child for row in rows.values() for child in row["children"]}

    def pids(self) -> dict[str, int]:
        return {key: child["pid"] for key, child in self.children().items()}

    def restarts(self) -> int:
        return sum(child["restarts"] for child in self.children().values())

    def all_ready(self) -> bool:
        rows = self._rows("instances", "services")
        return bool(rows) and all(row["state"] == "ready" for row in rows.values())

    def kill(self, key: str, number: int = signal.SIGKILL) -> int:
        """Signal one child; the pid it had."""
        pid = int(self.children()[key]["pid"])
        os.kill(pid, number)
        return pid

    def kill_supervisor(self) -> None:
        process = self.folder.supervisor()
        assert process is not None, "no supervisor to kill"
        process.kill()
        until(lambda: self.folder.supervisor() is None, 5, "the supervisor to be gone")

    def replaced(self, key: str, pid: int, seconds: float) -> float:
        """Seconds until another process of this child is ready."""
        begun = time.monotonic()

        def look() -> bool:
            child = self.children().get(key, {})
            return child.get("state") == "ready" and child.get("pid") not in (None, pid)

        until(look, seconds, f"{key} ready again\n{self.fleet.tails()}")
        return time.monotonic() - begun

    def zombies(self) -> list[int]:
        """Ended processes nobody collected, among what the supervisor and this process have started."""
        parents = [psutil.Process()]
        supervisor = self.folder.supervisor()
        parents += [supervisor] if supervisor else []
        return [p.pid for parent in parents for p in _children(parent) if _is_zombie(p)]

    def copies(self) -> dict[str, int]:
        """Command line role and instance -> how many processes; every one must be 1."""
        counts: dict[str, int] = {}
        for process in self.fleet.processes():
            words = process.info["cmdline"]
            name = " ".join(words[words.index("-m") + 1 :]) if "-m" in words else " ".join(words)
            # between fork and exec a child still has its parent's command line
            counts[name] = counts.get(name, 0) + 1
        return counts


def _children(parent: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
