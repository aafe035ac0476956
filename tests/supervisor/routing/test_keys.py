"""The route's own keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from brokers.errors import StoreError
from supervisor.routing.keys import NAME, RouteKeys

TEXT = "a" * 64


def test_a_key_is_good_until_it_is_revoked_also_for_another_process(tmp_path: Path) -> None:
    ours, theirs = RouteKeys(tmp_path), RouteKeys(tmp_path)
    assert not theirs.verify(TEXT)
    number = ours.add("bot", TEXT, "dhan", 7)
    assert theirs.verify(TEXT)
    assert not theirs.verify("b" * 64)
    assert not theirs.verify("")
    row = ours.revoke(number)
    assert row is not None
    assert (row["instance"], row["instance_key"]) == ("dhan", 7)
    assert not theirs.verify(TEXT)
    assert ours.revoke(number) is None


def test_the_file_is_private_and_holds_no_key(tmp_path: Path) -> None:
    keys = RouteKeys(tmp_path)
    keys.add("bot", TEXT, "dhan", 7)
    path = tmp_path / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TEXT not in path.read_text()
    [row] = keys.list()
    assert (row["label"], row["instance"], row["instance_key"], "digest" in row) == ("bot", "dhan", 7, False)


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(StoreError):
        RouteKeys(tmp_path).verify(TEXT)
