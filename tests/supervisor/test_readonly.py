"""A home its user may read and not write: said before anything starts, and over when it is mended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.setup import envfile
from tests.ports import free_ports

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and users of POSIX")
NOBODY = 65534
# everything is loaded as who runs the tests: nobody may not even read the programs' folder
AS_NOBODY = f"""
import difflib, importlib, os, sys
from supervisor import cli
for name in ("up", "doctor", "status"):
    importlib.import_module("supervisor.commands." + name)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
sys.argv = ["algo", *sys.argv[1:]]
cli.main()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Not under pytest's own folder, which nobody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = envfile.create(Path(folder), "dhan", None)
        names = ("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT", "HISTORIFY_PORT", "CONSOLE_PORT")
        numbers = dict(zip(names, free_ports(len(names)), strict=True))
        path.write_text(envfile.fill(path.read_text(), {name: str(port) for name, port in numbers.items()}))
        (Path(folder) / "db").mkdir()
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        yield Path(folder)
        allow(Path(folder))


def forbid(home: Path) -> None:
    for folder in (home / "db", home / "instances", home):
        folder.chmod(0o555)


def allow(home: Path) -> None:
    for folder in (home, home / "db", home / "instances"):
        folder.chmod(0o755)
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)


def algo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", AS_NOBODY, "--home", str(home), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_a_home_that_cannot_be_written_is_said_and_nothing_starts(home: Path) -> None:
    forbid(home)
    up = algo(home, "up", "dhan", "--sim", "-d")
    assert up.returncode == 2, up.stderr
    assert f"{home}/db cannot be written by this user" in up.stderr
    assert "Traceback" not in up.stderr
    assert list((home / "db").iterdir()) == []
    found = algo(home, "doctor", "--sim", "dhan")
    assert found.returncode == 1
    assert f"{home}/db cannot be written by this user" in found.stdout
    assert algo(home, "status").returncode == 0
    allow(home)
    mended = algo(home, "doctor", "--sim", "dhan")
    assert "cannot be written" not in mended.stdout
    assert mended.returncode == 0, mended.stdout + mended.stderr
