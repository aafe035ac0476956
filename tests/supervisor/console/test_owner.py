"""The one account of the fleet page: argon2id, kept over restarts, for the owner's eyes only."""

from __future__ import annotations

import stat
from pathlib import Path, PurePath

import pytest

from brokers.clock import ManualClock
from brokers.errors import InvalidRequest, SettingsError
from supervisor.console.owner import OwnerFile, publish_code
from supervisor.operations.archive import KEPT
from tests.supervisor.console.rig import MORNING

CLOCK = ManualClock(MORNING)
PASSWORD = "correct horse battery"


def test_an_account_outlives_the_process_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "db" / "console.json"
    first = OwnerFile(path, CLOCK)
    first.create("asha", PASSWORD)
    first.keep({"sid": 5.0})
    again = OwnerFile(path, CLOCK)
    assert again.verify("asha", PASSWORD) == again.get(1)
    assert (again.load(), again.key.reveal()) == ({"sid": 5.0}, first.key.reveal())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "$argon2id$" in text
    assert PASSWORD not in text


def test_a_wrong_name_or_password_is_nobody(tmp_path: Path) -> None:
    file = OwnerFile(tmp_path / "console.json", CLOCK)
    assert file.verify("asha", PASSWORD) is None
    file.create("asha", PASSWORD)
    assert file.verify("asha", "wrong") is None
    assert file.verify("ravi", PASSWORD) is None
    assert file.get(2) is None


def test_there_is_one_owner(tmp_path: Path) -> None:
    file = OwnerFile(tmp_path / "console.json", CLOCK)
    file.create("asha", PASSWORD)
    with pytest.raises(InvalidRequest):
        file.create("ravi", "another password")
    assert file.verify("asha", PASSWORD) is not None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"key": 3}'])
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "console.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"console\.json"):
        OwnerFile(path, CLOCK)
    assert path.read_text() == text


def test_the_code_is_left_for_the_user_alone_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "run" / "console.code"
    publish_code(path, "ABCDE-FGHIJ")
    assert (path.read_text().strip(), stat.S_IMODE(path.stat().st_mode)) == ("ABCDE-FGHIJ", 0o600)
    publish_code(path, None)
    publish_code(path, None)
    assert not path.exists()


@pytest.mark.parametrize("path", ["db/console.json", "db/sim/console.json"])
def test_a_backup_holds_the_account(path: str) -> None:
    assert any(PurePath(path).match(pattern) for pattern in KEPT)
