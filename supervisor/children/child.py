"""Thin: spawn, recognise, signal and wait for one process."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Container

import psutil

from gateway.home import inherited
from supervisor.children.identity import TREE_VARIABLE, Identity, identify, nonce_option
from supervisor.lock import FolderLock
from supervisor.plan import ChildSpec
from supervisor.state import write_private

GONE_POLL_S = 0.25
PR_SET_CHILD_SUBREAPER = 36


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
            except OSError:  # no descriptor left: look instead
                self._pidfd = None
            else:
                loop.add_reader(self._pidfd, self._ended, loop, gone)
                return
        self._poll = loop.call_later(GONE_POLL_S, self._look, loop, gone)

    def _ended(self, loop: asyncio.AbstractEventLoop, gone: Callable[[int | None], None]) -> None:
        self.unwatch(loop)
        gone(self._reap())

    def _look(self, loop: asyncio.AbstractEventLoop, gone: Callable[[int | None], None]) -> None:
        code = self._reap()
        if code is not None or (self._popen is None and self.identity.process() is None):
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

    def code(self) -> int | None:
        """Exit code of our own child, negative for a signal; None while it runs."""
        return self._reap()

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
        # an own child that was not reaped keeps its pid; that is known without opening anything
        if self._popen is not None and self._popen.poll() is not None:
            return
        if self._popen is None and self.identity.process() is None:
            return
        try:
            if os.name == "posix":
                os.killpg(self.pid, number)
            else:  # Windows: untested
                psutil.Process(self.pid).terminate()
        except (ProcessLookupError, psutil.NoSuchProcess):
            return


def spawn(spec: ChildSpec, *, own_log: bool = True) -> Handle:
    """Start one child in its own session, its output appended to its own file (or left where ours goes).

    It inherits a locked descriptor, which lives as long as any process of its tree that keeps it: while the
    lock is held no second copy is started.

    Raises:
        OSError: The program, its log or its lock file cannot be opened, or an earlier copy still runs.
    """
    nonce = secrets.token_hex(8)
    argv = [spec.argv[0], "-X", nonce_option(nonce), *spec.argv[1:]]
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(spec.log_path, "ab", opener=_for_the_owner_only)) if own_log else None
        lock = stack.enter_context(FolderLock(spec.lock_path))
        if not lock.held:
            raise BlockingIOError(f"an earlier {spec.key} still runs: {spec.lock_path} is locked")
        if spec.config is not None:
            write_private(spec.config.path, spec.config.text)
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.cwd,
            # the one variable added is how everything the child starts is found again
            env=inherited(**{TREE_VARIABLE: nonce}),
            start_new_session=True,
            close_fds=True,
            pass_fds=(lock.fileno(),) if os.name == "posix" else (),
        )
    return Handle(identify(popen.pid, nonce), popen)


def _for_the_owner_only(path: str, flags: int) -> int:
    """A log names accounts, orders and addresses; other users of the machine have no business in it."""
    return os.open(path, flags, 0o600)


def own_identity() -> Identity:
    """This process, found again by the option it was started with."""
    nonce = str(getattr(sys, "_xoptions", {}).get("algo", ""))
    return identify(os.getpid(), nonce)


def become_subreaper() -> bool:
    """Orphaned grandchildren come to this process instead of init (Linux). Returns whether that holds."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def reap_strangers(ours: Container[int]) -> None:
    """Collect ended orphans that came to this process; its own children are left to their handles."""
    for process in psutil.Process().children():
        if process.pid in ours:
            continue
        with contextlib.suppress(ChildProcessError, psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
