"""Real processes: recognised, adopted, never confused with a stranger."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from brokers.model import Venue
from supervisor.children.child import Handle, spawn
from supervisor.plan import ChildSpec
from supervisor.state import Record, RunFolder

FOREVER = "import time\nprint('hello', flush=True)\nwhile True: time.sleep(0.05)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER


def spec(folder: Path, code: str) -> ChildSpec:
    return ChildSpec(
        key="t.api",
        role="api",
        instance="t",
        argv=(sys.executable, "-c", code),
        health_url="",
        ports=(),
        after=(),
        log_path=folder / "t.api.log",
        lock_path=folder / "t.api.lock",
        cwd=folder,
    )


def watched(handle: Handle, act: str) -> int | None:
    """Signal the process and return the code ``watch`` reports."""

    async def run() -> int | None:
        gone: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        handle.watch(gone.set_result)
        getattr(handle, act)()
        return await asyncio.wait_for(gone, 10)

    return asyncio.run(run())


def test_its_end_is_heard_with_the_exit_code(tmp_path: Path) -> None:
    handle = spawn(spec(tmp_path, "import sys; sys.exit(7)"))
    assert watched(handle, "terminate") in (7, -15)


def test_kill_ends_a_process_deaf_to_term(tmp_path: Path) -> None:
    handle = spawn(spec(tmp_path, DEAF))
    assert watched(handle, "kill") == -9
    assert handle.identity.process() is None


def test_an_identity_is_not_a_pid(tmp_path: Path) -> None:
    handle = spawn(spec(tmp_path, FOREVER))
    try:
        identity = handle.identity
        assert identity.process() is not None
        assert dataclasses.replace(identity, birth=identity.birth + "0").process() is None
        assert dataclasses.replace(identity, nonce="other").process() is None
    finally:
        handle.kill()
        handle.wait(5)
    assert identity.process() is None


def test_a_stranger_with_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    one = spec(tmp_path, FOREVER)
    handle = spawn(one)
    try:
        # in the middle of its exec a process has no command line, and passes for ours
        deadline = time.monotonic() + 10
        while b"hello" not in one.log_path.read_bytes():
            assert time.monotonic() < deadline, "it never ran"
            time.sleep(0.02)
        stale = Handle(dataclasses.replace(handle.identity, nonce="of a dead process"), None)
        stale.kill()
        time.sleep(0.3)
        assert handle.identity.process() is not None
    finally:
        handle.kill()
        handle.wait(5)


def test_a_process_that_ended_and_was_not_reaped_is_gone(tmp_path: Path) -> None:
    handle = spawn(spec(tmp_path, "pass"))
    deadline = time.monotonic() + 10
    while handle.identity.process() is not None:
        assert time.monotonic() < deadline, "a zombie counts as alive"
        time.sleep(0.02)
    handle.wait(5)


def test_an_adopted_process_is_found_on_disk_and_its_end_is_heard(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, Venue.SIM)
    handle = spawn(spec(tmp_path, FOREVER))
    try:
        folder.write_state(["t"], {}, [Record("t.api", "t", handle.identity, "", 3)])
        [(record, process)] = folder.live_children()
        assert (record.restarts, process.pid) == (3, handle.pid)
        adopted = Handle(record.identity, None)
        assert watched(adopted, "terminate") is None
    finally:
        handle.kill()
        handle.wait(5)
    assert folder.live_children() == []


def test_output_goes_to_its_own_file_and_is_appended(tmp_path: Path) -> None:
    for _ in range(2):
        spawn(spec(tmp_path, "print('hello', flush=True)")).wait(10)
    assert (tmp_path / "t.api.log").read_text() == "hello\nhello\n"


@pytest.mark.skipif(os.name != "posix", reason="no modes")
def test_other_users_of_the_machine_cannot_read_its_output(tmp_path: Path) -> None:
    spawn(spec(tmp_path, "print('account 1100000001')")).wait(10)
    assert stat.S_IMODE((tmp_path / "t.api.log").stat().st_mode) == 0o600


def test_a_torn_state_file_is_no_state(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, Venue.LIVE)
    folder.path.mkdir(parents=True)
    folder.state_path.write_text('{"children": [')
    assert folder.read_state() == ([], {}, [])
    assert folder.read_control() is None


@pytest.mark.parametrize("venue", list(Venue))
def test_control_of_a_dead_supervisor_is_none(tmp_path: Path, venue: Venue) -> None:
    folder = RunFolder(tmp_path, venue)
    handle = spawn(spec(tmp_path, FOREVER))
    folder.write_control(1234, "token", handle.identity)
    assert folder.read_control() == (1234, "token")
    handle.kill()
    handle.wait(5)
    assert folder.read_control() is None
