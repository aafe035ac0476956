"""``algo record`` leaves no recording behind that nobody asked for."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from supervisor.cli import algo
from supervisor.commands import record
from tests.supervisor.test_plan import make

ENDINGS = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the command and a feed process meet."""
    one = make(tmp_path, "dhan")
    monkeypatch.setattr(record, "load_up", lambda home, name: one)
    before = {ending: signal.getsignal(ending) for ending in ENDINGS}
    yield one.log_dir.parent / "record"
    for ending, handler in before.items():
        signal.signal(ending, handler)


def answer(folder: Path, *, recording: bool) -> None:
    """What a feed process says about the request it found."""
    state = {"request": (folder / "dhan.request").read_text(), "recording": recording, "folder": "db/now"}
    (folder / "dhan.part").write_text(json.dumps(state))
    (folder / "dhan.part").replace(folder / "dhan.status")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_closed_terminal_ends_the_recording(folder: Path, tmp_path: Path, ending: int) -> None:
    def feed() -> None:
        while not (folder / "dhan.request").exists():
            time.sleep(0.01)
        time.sleep(0.05)
        answer(folder, recording=True)
        time.sleep(0.3)
        os.kill(os.getpid(), ending)
        while (folder / "dhan.request").exists():
            time.sleep(0.01)
        (folder / "dhan.status").write_text(json.dumps({"recording": False, "folder": "db/now"}))

    # the command takes the signals over first, so that none ends the tests
    other = threading.Thread(target=feed)
    other.start()
    done = CliRunner().invoke(algo, ["--home", str(tmp_path), "record", "dhan", "--for", "20"])
    assert not (folder / "dhan.request").exists()
    other.join()
    assert done.exit_code == 0
    assert done.output.startswith("recording dhan for 20 s into db/now\n")


def test_a_second_recording_says_what_ends_the_first(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "dhan.request").write_text("other")
    answer(folder, recording=True)
    done = CliRunner().invoke(algo, ["--home", str(tmp_path), "record", "dhan"])
    assert done.exit_code == 1
    assert f"into db/now; end that `algo record`, or remove {folder / 'dhan.request'}" in str(done.exception)
