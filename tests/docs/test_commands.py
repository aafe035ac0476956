"""Every command line in the manual and in the README is one the program understands."""

from __future__ import annotations

import copy
import re
import shlex

import click
import pytest

from supervisor.cli import algo
from tests.docs.said import ROOT

MANUAL = ROOT / "docs" / "manual"
PAGES = [ROOT / "README.md", *(p for p in sorted(MANUAL.rglob("*.md")) if p.parent.name != "reference")]
CUT = re.compile(r"\s#\s|\s{2,}#|\s&&\s|\s\|\s|\)$")
"""Where a command ends and a remark or another command begins."""


def lines() -> list[tuple[str, str, bool]]:
    """Page, command line, and whether it is one to type as it stands (else it only names a command)."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"(?s)```(?:sh|text)\n(.*?)```", text):
            found += [(page.name, line.strip(), True) for line in block.splitlines()]
        found += [(page.name, one, False) for one in re.findall(r"`(algo [^`…|\[]+)`", text)]
    every = [
        (name, CUT.split(one.removeprefix("export ALGO_KEY=$("))[0].strip(), typed)
        for name, one, typed in found
    ]
    return sorted({row for row in every if re.match(r"algo [a-z-]", row[1])})


@pytest.mark.parametrize(("page", "line", "typed"), lines(), ids=str)
def test_it_is_understood(page, line, typed):
    words = shlex.split(line)[1:]
    command: click.Command = algo
    context = click.Context(algo, info_name="algo")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = command.get_command(context, name)
        assert inner is not None, f"{page}: {line}: no command {name}"
        command, context = inner, click.Context(inner, parent=context, info_name=name)
    if isinstance(command, click.Group) or "--help" in words:
        return
    if typed:
        command = copy.copy(command)
        command.params = [with_any_file(one) for one in command.params]
        command.make_context(command.name, words, parent=context.parent)
    else:
        command.make_parser(context).parse_args(args=words)


def with_any_file(param: click.Parameter) -> click.Parameter:
    """The reader's files are not here."""
    if not isinstance(param.type, click.Path):
        return param
    copied = copy.copy(param)
    copied.type = click.Path()
    return copied


def test_there_are_many():
    assert len(lines()) > 60
