"""What commands print alike: rows as lines or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``, handed to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Machine-readable.")(command)


def from_here(path: Path) -> str:
    """A path as it is typed in this folder; whole when it lies elsewhere."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def shown(value: object) -> None:
    """As indented JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def listed(
    rows: Sequence[dict[str, Any]], line: Callable[[dict[str, Any]], str], none: str, *, as_json: bool
) -> None:
    """One line a row, ``none`` where there is no row, or all of them as JSON."""
    if as_json:
        shown(rows)
        return
    for row in rows:
        click.echo(line(row))
    if not rows:
        click.echo(none)
