"""Log files, merged and followed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervisor.logfile import CONTROL, Follower, last_lines, merged, parse


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
