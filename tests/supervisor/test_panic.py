"""``algo panic`` where nothing runs: what starts later is blocked all the same."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from gateway.panicfile import NAME, PanicFile
from supervisor.commands.panic import panic


def test_without_a_running_instance_the_flag_is_written_and_taken_back(tmp_path: Path) -> None:
    file = PanicFile(tmp_path / "db" / "run" / NAME)
    said = CliRunner().invoke(panic, [], obj=tmp_path)
    assert (said.exit_code, "blocked" in said.output) == (0, True)
    word = file.read()
    assert word is not None
    assert (word.active, word.policy, word.by) == (True, "cancel", "algo")
    said = CliRunner().invoke(panic, ["--resume"], obj=tmp_path)
    assert (said.exit_code, "allowed" in said.output) == (0, True)
    after = file.read()
    assert after is not None
    assert not after.active
    assert after.serial > word.serial


def test_a_flag_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("a file where the folder should be")
    said = CliRunner().invoke(panic, [], obj=tmp_path)
    assert said.exit_code != 0
