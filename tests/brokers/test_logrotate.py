"""A log file is put aside by size and day, and no line is lost on the way, whoever is killed when."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brokers.logrotate import LogRules, OwnLog, generations
from tests.clients import ROOT

MORNING = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


class Log:
    """A log file, a descriptor into it, and the time."""

    def __init__(self, path: Path, **rules: int) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.now = MORNING
        os.utime(path, (MORNING.timestamp(), MORNING.timestamp()))
        self.own = OwnLog(path, LogRules(**rules), lambda: self.now, (self.fd,))

    def write(self, text: str) -> None:
        os.write(self.fd, text.encode())
        self.own.look()

    def texts(self) -> list[str]:
        return [p.read_text() for p in (*generations(self.path), self.path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dhan.api.log"


def test_by_size_and_the_new_file_is_closed_to_others(path: Path) -> None:
    log = Log(path, max_bytes=10)
    for text in ("one\n", "two two two\n", "three\n"):
        log.write(text)
    assert log.texts() == ["one\ntwo two two\n", "three\n"]
    assert path.stat().st_mode & 0o077 == 0


def test_by_day_in_india_and_an_empty_file_stays(path: Path) -> None:
    log = Log(path)
    log.write("friday\n")
    log.now = datetime(2026, 11, 20, 18, 29, tzinfo=UTC)
    log.write("still friday\n")
    log.now += timedelta(minutes=1)
    log.write("the first of saturday\n")
    log.write("saturday\n")
    assert log.texts() == ["friday\nstill friday\nthe first of saturday\n", "saturday\n"]
    log.now += timedelta(days=1)
    log.own.look()
    log.own.look()
    assert log.texts()[1:] == ["saturday\n", ""]


def test_what_is_due_waits_for_a_quiet_time_but_not_until_the_disk_is_full(path: Path) -> None:
    log = Log(path, max_bytes=10)
    log.own.quiet = lambda now: (now - MORNING) % timedelta(days=1) >= timedelta(hours=8)
    log.write("market open\n")
    log.now += timedelta(hours=7)
    log.write("still\n")
    assert log.texts() == ["market open\nstill\n"]
    log.now += timedelta(hours=1)
    log.write("closed\n")
    assert log.texts() == ["market open\nstill\nclosed\n", ""]
    log.now += timedelta(hours=17)
    log.write("a new day, market open\n")
    assert log.texts()[1:] == ["a new day, market open\n"]
    log.write("and far too much for ten bytes\n")
    assert log.texts()[1:] == ["a new day, market open\nand far too much for ten bytes\n", ""]


def test_a_restart_on_a_later_day_begins_a_new_file(path: Path) -> None:
    Log(path).write("yesterday\n")
    os.utime(path, ((MORNING - timedelta(days=1)).timestamp(),) * 2)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    OwnLog(path, LogRules(), lambda: MORNING, (fd,)).look()
    os.write(fd, b"today\n")
    assert path.read_text() == "today\n"


def test_old_files_go_by_age_and_by_size(path: Path) -> None:
    log = Log(path, max_bytes=10, keep_days=5, keep_bytes=40)
    log.now = datetime.now(UTC)  # the age of a file is its file system's
    for number in range(8):
        log.now += timedelta(seconds=1)
        log.write(f"number {number} of 8\n"[:12] + "\n")
    assert [p.read_text()[:8] for p in generations(path)] == ["number 5", "number 6", "number 7"]
    log.now += timedelta(days=30)
    os.utime(generations(path)[2], (log.now.timestamp(),) * 2)
    log.write("much later\n")
    assert [p.read_text()[:8] for p in generations(path)] == ["number 7"]


def test_a_descriptor_that_leads_elsewhere_is_left_alone(path: Path, tmp_path: Path) -> None:
    path.write_text("somebody else's\n" * 10)
    fd = os.open(tmp_path / "journal", os.O_WRONLY | os.O_CREAT)
    OwnLog(path, LogRules(max_bytes=1), descriptors=(fd,)).look()
    assert generations(path) == []


def test_what_another_program_moved_away_is_followed(path: Path) -> None:
    log = Log(path)
    log.write("before\n")
    path.rename(path.with_name("moved"))
    log.write("between\n")
    log.write("after\n")
    assert path.with_name("moved").read_text() == "before\nbetween\n"
    assert path.read_text() == "after\n"


def test_where_no_new_file_can_be_made_the_old_one_goes_on(path: Path) -> None:
    log = Log(path, max_bytes=1)
    folder = path.parent
    held = folder.with_name("gone")
    folder.rename(held)
    log.write("one\n")
    log.write("two\n")
    held.rename(folder)
    assert path.read_text() == "one\ntwo\n"
    log.now += timedelta(minutes=2)
    log.write("three\n")
    log.write("four\n")
    assert log.texts()[-2:] == ["four\n", ""] or "".join(log.texts()) == "one\ntwo\nthree\nfour\n"


def acknowledged(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout.read().split(b"\n")[:-1]:
        yield line.decode()


@pytest.mark.parametrize("seed", [1])
def test_no_line_is_lost_by_kills_and_by_two_writers_of_one_file(path: Path, seed: int) -> None:
    """Twelve processes, two at a time, three threads each, put aside every 2,000 bytes."""
    chance = random.Random(seed)
    said: list[str] = []
    for round_ in range(6):
        pair = []
        for who in "xy":
            with path.open("ab") as log:
                argv = [sys.executable, "-m", "tests.brokers.log_writer", str(path), f"{round_}{who}", "3000"]
                pair.append(subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=log))
        end = time.monotonic() + 20
        while not path.exists() or len(generations(path)) < 5 * (round_ + 1):
            assert time.monotonic() < end, path.read_text()
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        for process in pair:
            process.kill()
        for process in pair:
            said += acknowledged(process)
            process.wait()
    text = "".join(p.read_text() for p in (*generations(path), path) if p.exists())
    found = Counter(re.findall(r"\d[xy][abc]-\d+", text))
    assert len(said) > 200
    assert [line for line in said if found[line] != 1] == []
    for line in text.splitlines():
        assert re.fullmatch(r"\d[xy]c-\d+", line) or json.loads(line), "a torn line"
