"""What the command line says of itself is true."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from brokers import registry
from supervisor.cli import algo
from supervisor.commands.brokers import brokers
from supervisor.helptexts import EXAMPLES
from tests.clients import ROOT


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


LEAVES = dict(leaves(algo))


def shown(*words: str) -> str:
    done = CliRunner().invoke(algo, [*words, "--help"], prog_name="algo")
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files that examples name are."""
    for name in ("openalgo/.env", "db/record/dhan.rec", "friday.tar.gz.enc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_examples_and_they_can_be_typed(path: str, folder: Path) -> None:
    text = shown(*path.split())
    found = re.findall(r"^  +(algo [a-z].*)$", text.partition("Example")[2], re.MULTILINE)
    assert found, text
    for line in found:
        words, own = shlex.split(line.split("  ")[0].replace("~", str(folder)))[1:], path.split()
        assert words[: len(own)] == own, line
        # the parser refuses unknown options, missing arguments and wrong choices
        LEAVES[path].make_context(path, words[len(own) :])


def test_no_example_stands_for_a_command_that_is_not_there() -> None:
    assert set(EXAMPLES) <= set(LEAVES)


def test_exit_codes_and_completion_are_told_and_work() -> None:
    text = shown()
    for word in (
        "Exit codes:",
        "0    done",
        "nothing was started",
        "_ALGO_COMPLETE=bash_source",
        "zsh",
        "fish",
    ):
        assert word in text
    env = {**os.environ, "_ALGO_COMPLETE": "bash_complete", "COMP_WORDS": "algo stat", "COMP_CWORD": "1"}
    argv = [sys.executable, "-m", "supervisor"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == "plain,status"


def test_brokers_stand_side_by_side() -> None:
    text = CliRunner(env={"COLUMNS": "160"}).invoke(brokers).output
    for spec in map(registry.spec, registry.names()):
        assert spec.title in text
        assert spec.login
        assert spec.session
    for fact in ("until 00:00 IST", "9 / 1.1 s", "25,000 instruments", "200 (NFO, NSE)", "950 / h"):
        assert fact in text
    rows = json.loads(CliRunner().invoke(brokers, ["dhan", "--json"]).output)
    assert [row["name"] for row in rows] == ["dhan"]
    assert rows[0]["order_windows"][0] == {"count": 9, "seconds": 1.1}
    assert rows[0]["native_gtt"] is True
    assert rows[0]["book_levels"]["20"] == ["NFO", "NSE"]


def test_a_file_is_told_by_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "instances").mkdir(parents=True)
    away = CliRunner().invoke(algo, ["--home", str(home), "init", "kotak", "--no-input"])
    assert away.output.startswith(f"{home / 'instances' / 'kotak.env'} written")
    monkeypatch.chdir(home)
    here = CliRunner().invoke(algo, ["--home", str(home), "init", "dhan", "--no-input"])
    assert here.output.startswith(f"{Path('instances') / 'dhan.env'} written")


def test_a_restore_that_cannot_ask_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "one.tar.gz").touch()
    done = CliRunner().invoke(algo, ["--home", str(tmp_path), "restore", str(tmp_path / "one.tar.gz")])
    assert "--yes" in str(done.exception)
