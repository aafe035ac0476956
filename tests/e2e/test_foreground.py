"""``algo up`` in the foreground: Ctrl-C leaves nothing behind; ten at once make one set."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    one.init("dhan")
    try:
        yield one
    finally:
        one.destroy()


def foreground(home: Fleet, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "supervisor", "--home", str(home.home), "up", "dhan", "--sim", *words]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a suite started in the background of a script has SIGINT ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_leaves_nothing_behind(home: Fleet) -> None:
    process = foreground(home)
    until(
        lambda: (
            process.poll() is None
            and home.status()["instances"]
            and home.instance("dhan")["state"] == "ready"
        ),
        60,
        "ready",
    )
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "stopped: dhan" in said
    until(lambda: not home.processes(), 5, f"no process left: {home.processes()}")


def test_ctrl_c_while_starting_leaves_nothing_behind(home: Fleet) -> None:
    process = foreground(home)
    until(lambda: len(home.processes()) >= 3, 30, "something started")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    until(lambda: not home.processes(), 5, f"no process left: {home.processes()}")


def test_many_at_once_make_one_set(home: Fleet) -> None:
    processes = [foreground(home, "-d") for _ in range(5)]
    ends = [process.communicate(timeout=120)[0] for process in processes]
    assert [p.returncode for p in processes] == [0] * len(processes), ends
    assert sum("already running" in said for said in ends) == len(processes) - 1
    children = [c for row in home.status()["instances"] for c in row["children"]]
    # the supervisor, the simulator, the api and the feed; beside them what the home has once
    assert len(children) == 3
    assert len(home.processes()) == 1 + len(children) + len(home.status()["services"])
    assert all(child["restarts"] == 0 for child in children), f"{children}\n{home.tails()}"
