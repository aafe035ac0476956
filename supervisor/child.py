"""Thin: spawn, recognise, signal and wait for one process."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil

from supervisor.plan import ChildSpec
from supervisor.state import Identity, nonce_option

GONE_POLL_S = 0.25


class Handle:
    """A running process of ours: spawned by this supervisor, or adopted from an earlier one."""

    def __init__(self, identity: Identity, popen: subprocess.Popen[bytes] | None) -> None:
        self.identity = identity
        self._popen = popen
        self._pidfd: int | None = None
        self._poll: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int:
        return self.identity.pid

    def watch(self, gone: Callable[[int | None], None]) -> None:
        """Call ``gone(exit code or None)`` once on the running loop when the process has ended.

        Linux tells through a pidfd, adopted processes included; elsewhere the process is polled.
        """
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                loop.call_soon(gone, self._reap())
                return
            loop.add_reader(self._pidfd, self._ended, loop, gone)
            return
        self._poll = loop.call_later(GONE_POLL_S, self._look, loop, gone)

    def _ended(self, loop: asyncio.AbstractEventLoop, gone: Callable[[int | None], None]) -> None:
        self.unwatch(loop)
        gone(self._reap())

    def _look(self, loop: asyncio.AbstractEventLoop, gone: Callable[[int | None], None]) -> None:
        code = self._reap()
        if code is not None or self.identity.process() is None:
            gone(code)
            return
        self._poll = loop.call_later(GONE_POLL_S, self._look, loop, gone)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pidfd is not None:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def _reap(self) -> int | None:
        """Exit code of our own child; an adopted one's goes to init."""
        return self._popen.poll() if self._popen is not None else None

    def wait(self, timeout_s: float) -> bool:
        """Block until the process is gone; kill it at the deadline. For commands without a loop."""
        if self._popen is None:
            return self.identity.process() is None
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait(timeout_s)
            return False
        return True

    def terminate(self) -> None:
        self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        self._signal_group(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)

    def _signal_group(self, number: int) -> None:
        """Signal the child's own process group; never a pid that is no longer ours."""
        if self.identity.process() is None:
            return
        try:
            if os.name == "posix":
                os.killpg(self.pid, number)
            else:  # Windows: untested
                psutil.Process(self.pid).terminate()
        except (ProcessLookupError, psutil.NoSuchProcess):
            return


def spawn(spec: ChildSpec) -> Handle:
    """Start one child in its own session, its output appended to its own file.

    Raises:
        OSError: The program or its log file cannot be opened.
    """
    nonce = secrets.token_hex(8)
    argv = [spec.argv[0], "-X", nonce_option(nonce), *spec.argv[1:]]
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(spec.log_path, "ab", opener=_for_the_owner_only) as log:
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.cwd,
            start_new_session=True,
            close_fds=True,
        )
    return Handle(identify(popen.pid, nonce), popen)


def _for_the_owner_only(path: str, flags: int) -> int:
    """A log names accounts, orders and addresses; other users of the machine have no business in it."""
    return os.open(path, flags, 0o600)


def identify(pid: int, nonce: str) -> Identity:
    return Identity(pid, psutil.Process(pid).create_time(), psutil.boot_time(), nonce)


def own_identity() -> Identity:
    """This process, found again by the option it was started with."""
    nonce = str(getattr(sys, "_xoptions", {}).get("algo", ""))
    return identify(os.getpid(), nonce)
