"""Every finding once, on a home made wrong in that one way; and none on a good one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from datetime import date, timedelta
from pathlib import Path

import pytest

from brokers.calendar import FileCalendar
from brokers.venue import Venue
from gateway.panicfile import NAME, PanicFile, spoken
from gateway.settings import load
from supervisor.operations import checkup
from supervisor.setup import envfile
from supervisor.state import RunFolder

TODAY = date(2026, 11, 20)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    envfile.create(tmp_path, "dhan", None)
    return tmp_path


def found(home: Path, venue: Venue = Venue.SIM) -> list[checkup.Finding]:
    return checkup.everything(home, ["dhan"], venue, TODAY)


def words(findings: list[checkup.Finding]) -> str:
    return "\n".join(f"{one.severe} {one.what} -> {one.mend}" for one in findings)


def disk(monkeypatch: pytest.MonkeyPatch, free_mb: int) -> None:
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: Usage(0, 0, free_mb * 1_000_000))


def test_a_good_home_has_nothing_to_say(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.preflight, "taken_ports", lambda specs: [])
    monkeypatch.setattr(checkup.preflight, "descriptor_limit", lambda: 4096)
    disk(monkeypatch, 100_000)
    assert found(home) == []


def test_placeholders_are_named_with_file_and_line(home: Path) -> None:
    said = words(found(home, Venue.LIVE))
    assert "True instances/dhan.env line" in said
    assert "is still the placeholder" in said


@pytest.mark.skipif(os.name != "posix", reason="no modes")
def test_a_loose_env_file_is_mended_on_request(home: Path) -> None:
    path = home / "instances" / "dhan.env"
    path.chmod(0o644)
    [one] = [f for f in found(home) if "readable by others" in f.what]
    assert one.severe
    assert one.fix is not None
    one.fix()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "readable by others" not in words(found(home))


@pytest.mark.parametrize(("free_mb", "severe"), [(900, False), (40, True)])
def test_a_full_disk_stops_a_start_a_filling_one_is_a_note(
    home: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, severe: bool
) -> None:
    disk(monkeypatch, free_mb)
    [one] = [f for f in checkup.machine(home) if "MB free" in f.what]
    assert one.severe is severe


def test_a_clock_set_back_is_seen_by_what_the_last_run_wrote(home: Path) -> None:
    path = home / "db" / "run" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert "set back" not in words(list(checkup.machine(home)))
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    assert "the clock was set back" in words(list(checkup.machine(home)))


def test_a_clock_long_before_this_program_stops_a_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.time, "time", lambda: 86_400.0)
    [one] = [f for f in checkup.machine(home) if "long passed" in f.what]
    assert one.severe


def test_a_synced_folder_is_named(tmp_path: Path) -> None:
    home = tmp_path / "Dropbox" / "algo"
    home.mkdir(parents=True)
    assert "synced folder (dropbox)" in words(list(checkup.machine(home)))


def test_few_descriptors_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.preflight, "descriptor_limit", lambda: 256)
    assert "may open 256 files" in words(list(checkup.machine(home)))


def test_a_panic_nobody_resumed_is_named(home: Path) -> None:
    folder = RunFolder(home, Venue.SIM)
    folder.path.mkdir(parents=True)
    PanicFile(folder.path / NAME).write(spoken(True, reason="testing"))
    said = words(found(home))
    assert "entries are blocked" in said
    assert "algo panic --resume" in said


def foreign(connection: sqlite3.Connection) -> None:
    connection.execute("create table orders (id)")


def of_the_other_venue(connection: sqlite3.Connection) -> None:
    connection.execute("create table meta (name, value)")
    connection.execute("insert into meta values ('venue', 'live')")


@pytest.mark.parametrize(
    ("make", "expected"), [(foreign, "not made by algo"), (of_the_other_venue, "of the other venue (live)")]
)
def test_a_database_that_is_not_ours_is_named_and_untouched(home: Path, make, expected: str) -> None:
    path = load(home, "dhan", Venue.SIM).databases.main
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    make(connection)
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert expected in words(found(home))
    assert path.read_bytes() == before


def test_a_damaged_database_is_named(home: Path) -> None:
    path = load(home, "dhan", Venue.SIM).databases.main
    path.parent.mkdir(parents=True)
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 32)
    assert "damaged" in words(found(home))


def test_an_old_calendar_is_named() -> None:
    last = max(day.on for day in FileCalendar().days())
    assert list(checkup.calendar(last)) == []
    assert "update_calendar" in words(list(checkup.calendar(last + timedelta(days=1))))


def test_an_empty_home_says_how_to_begin(tmp_path: Path) -> None:
    assert "algo init" in words(checkup.everything(tmp_path, [], Venue.LIVE, TODAY))


@pytest.mark.parametrize(("words_", "code"), [((), 1), (("--fix",), 0)])
def test_the_command_says_by_its_exit_code_whether_something_must_be_mended(home: Path, words_, code) -> None:
    (home / "instances" / "dhan.env").chmod(0o644)
    argv = [sys.executable, "-m", "supervisor", "--home", str(home), "doctor", "--sim", *words_]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    taken = "is held by" in done.stdout  # the usual ports belong to whoever runs on this machine
    assert done.returncode == (1 if taken else code), done.stdout + done.stderr
    assert "chmod 600" in done.stdout
