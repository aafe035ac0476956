"""Carry events to a command or a URL of the user's. A hook that hangs or fails never holds anything up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shlex
import subprocess
import sys
import time

from gateway.settings.hooks import HookRules
from supervisor.telling.events import Event

log = logging.getLogger(__name__)
DEADLINE_S = 10.0
AT_ONCE = 4
LOOK_S = 0.05
POST = (sys.executable, "-m", "supervisor.telling.post")


class Hooks:
    """Delivers each event at most once per hook, in the background, a few at a time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.pids: set[int] = set()

    def tell(self, rules: HookRules, event: Event) -> None:
        """Start delivering; returns at once. A command gets the event as JSON on its standard input."""
        if rules.events and event.name not in rules.events:
            return
        plain = event.to_plain()
        if rules.command:
            self._start(tuple(shlex.split(rules.command)), plain, event.name)
        if rules.url is not None:
            self._start(POST, {"url": rules.url.reveal(), "event": plain}, event.name)

    def _start(self, argv: tuple[str, ...], given: object, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._run(argv, json.dumps(given).encode(), name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, argv: tuple[str, ...], given: bytes, name: str) -> None:
        async with self._slots:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as exc:
                log.warning("hook for %s cannot run: %s", name, exc)
                return
            self.pids.add(process.pid)
            try:
                await self._wait(process, given, name)
            finally:
                self.pids.discard(process.pid)

    async def _wait(self, process: subprocess.Popen[bytes], given: bytes, name: str) -> None:
        """An event is far smaller than a pipe: writing it does not wait for the reader."""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(given)
        ends = time.monotonic() + DEADLINE_S
        # looked at rather than asyncio's own child watching, which would race the supervisor's for exit codes
        while process.poll() is None:
            if time.monotonic() > ends:
                process.kill()
                process.wait()
                log.warning("hook for %s ended after %.0f s", name, DEADLINE_S)
                return
            await asyncio.sleep(LOOK_S)
        if process.returncode:
            log.warning("hook for %s failed, exit code %s", name, process.returncode)

    async def finish(self, seconds: float) -> None:
        """Let what is under way end, for a short while."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
