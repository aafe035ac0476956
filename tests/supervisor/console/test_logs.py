"""Log lines for a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brokers.errors import InvalidRequest
from supervisor.console import logs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def line(second: int, level: str, message: str) -> str:
        return json.dumps(
            {"time": f"2026-11-20T05:00:{second:02d}.000+00:00", "level": level, "message": message}
        )

    (tmp_path / "dhan.api.log").write_text(
        "\n".join([line(1, "INFO", "order (a+)+$ placed"), line(3, "ERROR", "lost")]) + "\n"
    )
    (tmp_path / "dhan.feed.log").write_text(
        "\n".join([line(2, "INFO", "heartbeat beat=1"), line(4, "WARNING", "silent")]) + "\n"
    )
    (tmp_path / "kotak.api.log").write_text(line(5, "INFO", "placed") + "\n")
    (tmp_path.parent / "secret.log").write_text(line(6, "INFO", "not for you") + "\n")
    return tmp_path


def shown(folder: Path, **wanted: object) -> list[str]:
    return [line["message"] for line in logs.recent(folder, **wanted)]  # type: ignore[arg-type]


def test_lines_are_merged_by_time_without_heartbeats(folder: Path) -> None:
    assert shown(folder) == ["order (a+)+$ placed", "lost", "silent", "placed"]
    assert shown(folder, beats=True)[1] == "heartbeat beat=1"


def test_they_are_chosen_by_process_level_and_words(folder: Path) -> None:
    assert shown(folder, source="dhan") == ["order (a+)+$ placed", "lost", "silent"]
    assert shown(folder, source="dhan.feed", level="WARNING") == ["silent"]
    assert shown(folder, text="(A+)+$") == ["order (a+)+$ placed"], "words, not a pattern"
    assert shown(folder, since="2026-11-20T05:00:04.000+00:00") == ["silent", "placed"]
    assert shown(folder, count=1) == ["placed"]


@pytest.mark.parametrize("source", ["../secret", "..", "/etc/passwd", "secret"])
def test_no_other_file_is_read(folder: Path, source: str) -> None:
    assert shown(folder, source=source) == []


@pytest.mark.parametrize("wanted", [{"level": "x"}, {"since": "now"}, {"since": "2026-11-20"}])
def test_what_is_not_understood_is_said(folder: Path, wanted: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        shown(folder, **wanted)
