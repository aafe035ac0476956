"""Which process is ours. A pid alone says nothing: it is given out again, and a wall clock may be stepped."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PROC = Path("/proc")
TREE_VARIABLE = "ALGO_TREE"
"""In the environment of every child and so of everything it starts, whatever session or parent that has."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, not merely a pid: a recycled pid has another birth or no nonce.

    Attributes:
        birth: Boot id and start ticks since boot (Linux), which no step of the clock changes; elsewhere the
            start time in seconds since the epoch.
        nonce: A word only we put on its command line and in its environment.
    """

    pid: int
    birth: str
    nonce: str

    def process(self) -> psutil.Process | None:
        """The live process, or None when it is gone or the pid belongs to somebody else."""
        try:
            if birth(self.pid) != self.birth:
                return None
            found = psutil.Process(self.pid)
            words = found.cmdline()
            if not words and found.status() != psutil.STATUS_ZOMBIE:
                return found  # in the middle of its exec; a zombie has no command line left either
            return found if nonce_option(self.nonce) in words else None
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return None

    @classmethod
    def from_plain(cls, plain: Any) -> Identity | None:
        """Back from ``dataclasses.asdict``; None when it is not one (another version wrote it)."""
        try:
            return cls(int(plain["pid"]), str(plain["birth"]), str(plain["nonce"]))
        except (KeyError, TypeError, ValueError):
            return None


def identify(pid: int, nonce: str) -> Identity:
    """Raises ``psutil.NoSuchProcess`` or ``OSError`` when the process has ended."""
    return Identity(pid, birth(pid), nonce)


def birth(pid: int) -> str:
    """When a process began, as a text that is equal only for the same process."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except FileNotFoundError:
        if PROC.joinpath("self", "stat").exists():
            raise
        return f"{psutil.Process(pid).create_time():.2f}"
    # the name in parentheses may hold anything; field 22 is the 20th after it
    return f"{_boot_id()}:{int(stat.rpartition(b')')[2].split()[19])}"


@functools.cache
def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def nonce_option(nonce: str) -> str:
    """How the nonce stands on the command line: an interpreter option Python itself ignores."""
    return f"algo={nonce}"


def tree(nonce: str) -> Iterator[int]:
    """Pids of everything a child with this nonce has started and that still runs, itself included.

    By the environment, so that one in its own session, adopted by init, is found too. Only those whose
    environment this user may read (Linux); elsewhere nothing.
    """
    mark = f"{TREE_VARIABLE}={nonce}".encode()
    try:
        entries = os.listdir(PROC)
    except OSError:  # no such folder, or no descriptor left
        return
    for name in entries:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                found = file.read().split(b"\0")
        except OSError:
            continue
        if mark in found:
            yield int(name)


def kill_tree(nonce: str) -> list[int]:
    """Tell what a dead child left behind to end. Returns whom it signalled; they may take a moment."""
    ended = []
    for pid in tree(nonce):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended
