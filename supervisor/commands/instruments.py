"""``algo instruments``."""

from __future__ import annotations

from pathlib import Path

import click

from supervisor.client import answered


@click.group()
def instruments() -> None:
    """The instrument table of an instance."""


@instruments.command()
@click.argument("name")
@click.option(
    "--csv", multiple=True, type=click.Path(path_type=Path, exists=True), help="Read this file instead."
)
@click.pass_obj
def sync(home: Path, name: str, csv: tuple[Path, ...]) -> None:
    """Download, check and swap in the broker's instruments; a bad file keeps the old table."""
    body = {"csv": [str(path.resolve()) for path in csv]}
    answer = answered(home, name, "POST", "/internal/instruments/sync", body, timeout_s=120.0)
    click.echo(
        f"{name}: {answer['total']} instruments, {answer['added']} added, {answer['changed']} changed, "
        f"{answer['expired']} expired"
    )
