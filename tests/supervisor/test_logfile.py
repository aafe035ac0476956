"""Log files, merged and followed."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from brokers.clock import IST
from supervisor.children import child
from supervisor.commands.logs import logs, since_of
from supervisor.logfile import CONTROL, Follower, Wanted, last_lines, merged, parse
from supervisor.plan import ChildSpec


def row(at: str, message: str) -> str:
    return json.dumps({"time": at, "level": "INFO", "message": message}) + "\n"


def test_lines_of_all_files_come_by_time_and_tracebacks_stay_together(tmp_path: Path) -> None:
    one, two = tmp_path / "a.log", tmp_path / "b.log"
    one.write_text(row("T1", "a1") + "Traceback\n  more\n" + row("T4", "a4"))
    two.write_text(row("T2", "b2") + row("T3", "b3"))
    found = merged({"a": one, "b": two}, 50)
    assert [line.message for line in found] == ["a1", "Traceback", "  more", "b2", "b3", "a4"]
    assert [line.message for line in merged({"a": one, "b": two}, 2)] == ["b3", "a4"]


def test_extra_fields_follow_the_message() -> None:
    text = json.dumps(
        {"time": "T1", "level": "INFO", "logger": "x", "message": "request", "status": 200, "ms": 1.5}
    )
    assert parse("a", text).message == "request status=200 ms=1.5"


def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_text("".join(f"line {i}\n" for i in range(100_000)))
    assert last_lines(path, 2) == ["line 99998", "line 99999"]
    assert last_lines(tmp_path / "none.log", 2) == []


def test_the_last_words_of_a_child_are_found_when_its_file_was_put_aside_just_then(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("three\n")
    aside(path, "20261119T000000.000000", "zero\n")
    aside(path, "20261120T000000.000000", "one\ntwo\n")
    assert last_lines(path, 2) == ["two", "three"]
    path.write_text("")
    assert last_lines(path, 3) == ["zero", "one", "two"]


def test_a_follower_sees_whole_lines_and_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(row("T1", "old"))
    follower = Follower("a", path)
    assert list(follower.read()) == []
    with path.open("a") as file:
        file.write(row("T2", "new") + '{"time": "T3", ')
    assert [line.message for line in follower.read()] == ["new"]
    with path.open("a") as file:
        file.write('"message": "late"}\n')
    assert [line.message for line in follower.read()] == ["late"]
    path.rename(tmp_path / "a.log.1")
    path.write_text(row("T4", "rotated") * 50)
    assert [line.message for line in follower.read()] == ["rotated"] * 50


@pytest.mark.parametrize("field", ["message", "path", "time", "exception"])
def test_what_a_stranger_sent_moves_no_cursor_and_fakes_no_line(field: str) -> None:
    text = json.dumps({"time": "t", "level": "INFO", "message": "m", field: "\x1b]0;title\x07\x9b31m\r"})
    line = parse("dhan.api", text)
    assert not CONTROL.search(line.time + line.message)
    forged = parse(
        "dhan.api", json.dumps({"message": "request", "path": "/x\n20:00:00 dhan.api all is well"})
    )
    assert "\n" not in forged.message


def test_a_line_that_is_not_json_is_shown_without_its_escapes() -> None:
    assert parse("dhan.api", "\x1b[31mred").message == "�[31mred"


def aside(path: Path, stamp: str, text: str) -> None:
    path.with_name(f"{path.name}.{stamp}Z").write_text(text)


def test_what_was_put_aside_is_read_too_and_only_as_far_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    aside(path, "20261118T000000.000000", row("T1", "one"))
    aside(path, "20261119T000000.000000", row("T2", "two"))
    path.write_text("Traceback of three's predecessor\n" + row("T3", "three"))
    shown = [line.message for line in merged({"a": path}, 3)]
    assert shown == ["two", "Traceback of three's predecessor", "three"]


def test_a_crash_before_the_first_log_line_comes_at_its_time(tmp_path: Path) -> None:
    crashed, fine = tmp_path / "a.log", tmp_path / "b.log"
    crashed.write_text("Traceback\nImportError: no\n")
    fine.write_text(row("2020-01-01T00:00:00.000+00:00", "long ago"))
    shown = merged({"a": crashed, "b": fine}, 2)
    assert [line.message for line in shown] == ["Traceback", "ImportError: no"]


def test_lines_are_chosen_by_time_level_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    levels = (("01", "INFO"), ("02", "WARNING"), ("03", "ERROR"), ("04", "INFO"))
    path.write_text(
        "".join(
            json.dumps({"time": f"2026-11-20T04:{m}:00.000+00:00", "level": level, "message": f"{level} {m}"})
            + "\n"
            for m, level in levels
        )
        + "Traceback\n"
    )

    def shown(**wanted: Any) -> list[str]:
        return [line.message for line in merged({"a": path}, 50, Wanted(**wanted))]

    assert shown(level="WARNING") == ["WARNING 02", "ERROR 03", "Traceback"]
    assert shown(since=datetime(2026, 11, 20, 4, 3, tzinfo=UTC)) == ["ERROR 03", "INFO 04", "Traceback"]
    assert shown(pattern=re.compile("INFO.*4")) == ["INFO 04"]
    assert [x.message for x in merged({"a": path}, 1, Wanted(pattern=re.compile("INFO")))] == ["INFO 04"]


def test_a_follower_misses_nothing_of_files_put_aside_between_two_looks(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(row("T1", "old"))
    follower = Follower("a", path)
    with path.open("a") as file:
        file.write(row("T2", "two"))
        file.flush()
        path.rename(tmp_path / "a.log.20261120T000001.000000Z")
        aside(path, "20261120T000002.000000", row("T3", "three"))
        path.write_text(row("T4", "four"))
        assert [line.message for line in follower.read()] == ["two", "three", "four"]
    late = Follower("a", path)
    with path.open("a") as file:
        path.rename(tmp_path / "a.log.20261120T000003.000000Z")
        path.write_text("")
        assert list(late.read()) == []
        file.write(row("T6", "on its way"))
    assert [line.message for line in late.read()] == ["on its way"]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", "2026-11-20T09:58:30+05:30"),
        ("2h", "2026-11-20T08:00:00+05:30"),
        ("1d", "2026-11-19T10:00:00+05:30"),
        ("09:15", "2026-11-20T09:15:00+05:30"),
        ("15:30:10", "2026-11-19T15:30:10+05:30"),
        ("2026-11-18T09:15", "2026-11-18T09:15:00+05:30"),
        ("2026-11-18T09:15:00+00:00", "2026-11-18T09:15:00+00:00"),
    ],
)
def test_since_takes_what_people_write(text: str, at: str) -> None:
    assert since_of(text, datetime(2026, 11, 20, 10, 0, tzinfo=IST)) == datetime.fromisoformat(at)


def test_since_nonsense_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="expected 10m"):
        since_of("yesterday-ish", datetime(2026, 11, 20, 10, 0, tzinfo=IST))


def test_a_secret_of_a_crash_is_not_shown() -> None:
    assert "hunter22" not in parse("a", "KeyError: password='hunter22'").message


def test_a_crash_before_any_logging_stands_in_the_childs_log(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "print('so far', flush=True); raise RuntimeError('too early')")
    log, lock = tmp_path / "log" / "x.log", tmp_path / "run" / "x.lock"
    lock.parent.mkdir()
    spec = ChildSpec("x", "api", "x", argv, "http://127.0.0.1:1/", (), (), log, lock, tmp_path)
    assert child.spawn(spec).wait(20)
    assert log.read_text().startswith("so far\nTraceback")
    assert "RuntimeError: too early" in log.read_text()


def test_the_command_shows_and_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "db" / "log"
    folder.mkdir(parents=True)
    (folder / "dhan.api.log").write_text(row("2026-11-20T04:00:00.000+00:00", "hello"))
    (folder / "kotak.feed.log").write_text(row("2026-11-20T04:00:01.000+00:00", "goodbye"))
    run = CliRunner()
    both = run.invoke(logs, ["--since", "2026-11-19"], obj=tmp_path)
    assert re.search(r"dhan.api +hello\n.*kotak.feed +goodbye", both.output)
    assert "goodbye" not in run.invoke(logs, ["dhan", "-n", "5"], obj=tmp_path).output
    assert run.invoke(logs, ["nobody"], obj=tmp_path).exit_code == 2
    assert run.invoke(logs, ["--grep", "("], obj=tmp_path).exit_code == 2
