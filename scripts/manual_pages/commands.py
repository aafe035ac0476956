"""The command line, from click."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from scripts.manual_pages.words import NOTE, code, joined, table
from supervisor.cli import COMMANDS, algo
from supervisor.helptexts import EXAMPLES

HEAD = """\
# Commands

`algo [--home FOLDER] COMMAND …`. The home holds `instances/` and `db/`; without the option it is
`ALGO_HOME`, else the nearest folder upward that has `instances/`, else `~/algo`. `-h` after any command
shows what stands here.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | something failed, or a finding of `algo doctor` stands |
| 2 | wrong use or wrong settings; nothing was started or changed |
| 3 | `algo run` only: its port is taken |
"""
BLOCK = re.compile(r"\x08\n(.*?)(?:\n\n|\Z)", re.DOTALL)


def page() -> str:
    lines = [NOTE, "", HEAD]
    root = click.Context(algo, info_name="algo")
    for name in COMMANDS:
        command = algo.get_command(root, name)
        assert command is not None
        lines += _described(command, click.Context(command, parent=root, info_name=name), 2)
    return joined(lines)


def _described(command: click.Command, ctx: click.Context, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} `{ctx.command_path}`"
    yield ""
    yield from _help(command.help or "")
    usage = " ".join(command.collect_usage_pieces(ctx))
    path = ctx.command_path.removeprefix("algo ")
    examples = EXAMPLES.get(path, ()) if "Example" not in (command.help or "") else ()
    yield from ["```text", f"{ctx.command_path} {usage}".strip(), "```", ""]
    rows = [
        (code(found[0]), found[1])
        for one in command.get_params(ctx)
        if (found := one.get_help_record(ctx)) is not None and not found[0].endswith("--help")
    ]
    if rows:
        yield from table(("Option", "Meaning"), rows)
    if examples:
        yield from ["```sh", *examples, "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            if inner is not None and not inner.hidden:
                yield from _described(inner, click.Context(inner, parent=ctx, info_name=name), depth + 1)


def _help(text: str) -> Iterator[str]:
    """Paragraphs as prose; what click is told to leave as it is becomes a code block."""
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.lstrip().startswith("\x08"):
            body = part.lstrip().removeprefix("\x08").strip("\n")
            yield from ["```text", *(line.rstrip() for line in body.splitlines()), "```", ""]
        else:
            yield from [re.sub(r"``([^`]+)``", r"`\1`", " ".join(part.split())), ""]
