"""The shell around the policy: real processes, one supervisor in this process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.venue import Venue
from supervisor.children import policy
from supervisor.children.child import spawn
from supervisor.children.identity import tree
from supervisor.children.policy import State
from supervisor.loop import Slot, Supervisor
from supervisor.plan import ChildSpec
from supervisor.state import RunFolder
from tests.ports import free_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds trees through /proc")

SERVER = """
import http.server, os, sys
{before}
class Health(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{{"ready": true, "pid": %d}}' % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Health).serve_forever()
"""
DEAF_IN_ITS_OWN_SESSION = """
import subprocess
code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
"""
RULES = policy.Rules(long_life_s=0.0, wedged_after_s=0.2, wedged_most_s=1.5, stop_deadline_s=1.0)


def spec(folder: Path, before: str = "") -> ChildSpec:
    [port] = free_ports(1)
    return ChildSpec(
        key="t.api",
        role="api",
        instance="t",
        argv=(sys.executable, "-c", SERVER.format(before=before, port=port)),
        health_url=f"http://127.0.0.1:{port}/health/ready",
        ports=(),
        after=(),
        log_path=folder / "t.api.log",
        lock_path=folder / "run" / "t.api.lock",
        cwd=folder,
    )


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


def supervised(one: ChildSpec, act: Callable[[Supervisor, Slot], Awaitable[None]]) -> None:
    """Run one child under a supervisor until it is ready, act, and stop it whatever happened."""

    async def run() -> None:
        boss = Supervisor(RunFolder(one.cwd, Venue.SIM), RULES)
        slot = boss.start(one)
        try:
            await until(lambda: slot.child.state is State.READY)
            await act(boss, slot)
        finally:
            await boss.stop([one.key])
            assert slot.child.state is State.STOPPED

    asyncio.run(run())


def test_a_killed_child_is_back_and_the_old_one_left_nothing(tmp_path: Path) -> None:
    async def act(boss: Supervisor, slot: Slot) -> None:
        assert slot.handle is not None
        first = slot.handle.identity
        assert len(list(tree(first.nonce))) == 2
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: slot.child.state is State.READY and slot.child.pid != first.pid)
        assert list(tree(first.nonce)) == []

    supervised(spec(tmp_path, DEAF_IN_ITS_OWN_SESSION), act)


def test_a_grandchild_deaf_to_term_in_its_own_session_goes_with_its_tree(tmp_path: Path) -> None:
    nonces = []

    async def act(boss: Supervisor, slot: Slot) -> None:
        assert slot.handle is not None
        nonces.append(slot.handle.identity.nonce)
        assert len(list(tree(nonces[0]))) == 2

    supervised(spec(tmp_path, DEAF_IN_ITS_OWN_SESSION), act)
    assert list(tree(nonces[0])) == []


def test_a_stopped_process_is_wedged_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("RUNNING_PROBE_S", 0.05), ("AGAIN_S", 0.05), ("PROBE_TIMEOUT_S", 0.2)):
        monkeypatch.setattr(f"supervisor.children.caretaker.{name}", seconds)

    async def act(boss: Supervisor, slot: Slot) -> None:
        assert slot.handle is not None
        first = slot.handle.pid
        os.kill(first, signal.SIGSTOP)
        await until(lambda: slot.child.state is State.WEDGED)
        await until(lambda: slot.child.state is State.READY and slot.child.pid != first)
        assert slot.child.restarts == 1

    supervised(spec(tmp_path), act)


def test_a_process_that_accepts_and_never_answers_is_wedged_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("RUNNING_PROBE_S", 0.05), ("AGAIN_S", 0.05), ("PROBE_TIMEOUT_S", 0.2)):
        monkeypatch.setattr(f"supervisor.children.caretaker.{name}", seconds)
    deaf = tmp_path / "deaf"
    pause = f"import time\n        while os.path.exists({str(deaf)!r}): time.sleep(0.05)"
    one = spec(tmp_path)
    words = (*one.argv[:2], one.argv[2].replace("        body =", f"        {pause}\n        body ="))

    async def act(boss: Supervisor, slot: Slot) -> None:
        first = slot.child.pid
        deaf.touch()
        await until(lambda: slot.child.state is State.WEDGED)
        deaf.unlink()
        os.kill(first or 0, signal.SIGSTOP)  # its old requests must not make it well again
        await until(lambda: slot.child.state is State.READY and slot.child.pid != first)

    supervised(replace(one, argv=words), act)


def test_a_disk_that_takes_nothing_loses_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.loop.SAVE_AGAIN_S", 0.05)
    full = [True]
    write = RunFolder.write_state

    def refuse(folder: RunFolder, *what: object) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFolder, "write_state", refuse)

    async def act(boss: Supervisor, slot: Slot) -> None:
        first = slot.child.pid
        os.kill(first or 0, signal.SIGKILL)
        await until(lambda: slot.child.state is State.READY and slot.child.pid != first)
        full[0] = False
        folder = RunFolder(tmp_path, Venue.SIM)
        await until(lambda: [row.identity.pid for row in folder.read_state()[2]] == [slot.child.pid])

    supervised(spec(tmp_path), act)


def test_a_patient_child_is_started_beside_what_it_needs_and_others_after_it(tmp_path: Path) -> None:
    mute = (sys.executable, "-c", "import time; time.sleep(600)")
    first = replace(spec(tmp_path), key="t.sim", role="sim", argv=mute, lock_path=tmp_path / "sim.lock")
    beside = replace(spec(tmp_path), after=("t.sim",), patient=True)
    behind = replace(spec(tmp_path), key="t.feed", after=("t.sim",), lock_path=tmp_path / "feed.lock")

    async def run() -> None:
        boss = Supervisor(RunFolder(tmp_path, Venue.SIM), RULES)
        slots = [boss.start(one) for one in (first, beside, behind)]
        try:
            await until(lambda: slots[1].child.state is State.READY)
            assert [slot.child.state for slot in slots] == [State.STARTING, State.READY, State.PLANNED]
        finally:
            await boss.stop(["t.sim", "t.api", "t.feed"])

    asyncio.run(run())


def test_no_second_copy_while_one_of_the_tree_lives(tmp_path: Path) -> None:
    one = spec(tmp_path)
    first = spawn(one)
    try:
        with pytest.raises(BlockingIOError, match=r"an earlier t\.api still runs"):
            spawn(one)
    finally:
        first.kill()
        first.wait(5)
    again = spawn(one)
    again.kill()
    again.wait(5)


def test_a_clock_step_does_not_lose_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start times derived from the wall clock move with it; ours count from boot."""
    handle = spawn(spec(tmp_path))
    try:
        monkeypatch.setattr("psutil.boot_time", lambda: 0.0)
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 0.0, raising=False)
        assert handle.identity.process() is not None
    finally:
        handle.kill()
        handle.wait(5)
