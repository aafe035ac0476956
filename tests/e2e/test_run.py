"""``algo run``: one process in the foreground, as a service manager would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path: Path):
    one = Fleet(tmp_path)
    one.init("dhan")
    yield one
    for process in one.processes():
        process.kill()


def start(home: Fleet, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "supervisor", "--home", str(home.home), "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")
def test_it_tells_the_service_manager_and_ends_with_its_process(home: Fleet, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process = start(
            home, "dhan", "sim", "--sim", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000"
        )
        assert manager.recv(100) == b"READY=1"
        assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        second = start(home, "dhan", "sim", "--sim")
        said, _ = second.communicate(timeout=30)
        assert second.returncode == 2, said
        assert "is held by" in said
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    until(lambda: not home.processes(), 5, "nothing left")


def test_wrong_settings_end_with_the_code_no_manager_restarts(home: Fleet) -> None:
    process = start(home, "dhan", "api")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is still the placeholder" in said
