"""``algo approvals``."""

from __future__ import annotations

from pathlib import Path

import click

from supervisor.client import CommandFailed, answered
from supervisor.commands.printing import json_option, listed, shown
from supervisor.commands.strategy import line_of

MODES = ("auto", "semi_auto")


@click.group()
def approvals() -> None:
    """Semi-auto mode: orders wait for your word before they leave."""


@approvals.command(name="list")
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Those decided and ended too.")
@json_option
@click.pass_obj
def list_approvals(home: Path, name: str, everything: bool, as_json: bool) -> None:
    """Orders that wait, the newest last."""
    found = answered(home, name, "GET", f"/internal/approvals{'?all=1' if everything else ''}")
    if as_json:
        shown(found)
        return
    click.echo(f"{name}: order mode {found['mode']}")
    listed(found["orders"][::-1], line_of, "nothing waits", as_json=False)


@approvals.command()
@click.argument("name")
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.pass_obj
def approve(home: Path, name: str, ids: tuple[int, ...]) -> None:
    """Send orders that wait, each once, and print what became of them."""
    rows = [answered(home, name, "POST", f"/internal/approvals/{one}/approve") for one in ids]
    for row in rows:
        click.echo(line_of(row))
    if any(row["state"] != "done" for row in rows):
        raise CommandFailed("not every order was taken; see the lines above")


@approvals.command()
@click.argument("name")
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.pass_obj
def reject(home: Path, name: str, ids: tuple[int, ...]) -> None:
    """Drop orders that wait."""
    for one in ids:
        click.echo(line_of(answered(home, name, "POST", f"/internal/approvals/{one}/reject")))


@approvals.command()
@click.argument("name")
@click.argument("new_mode", required=False, type=click.Choice(MODES), metavar="[auto|semi_auto]")
@click.pass_obj
def mode(home: Path, name: str, new_mode: str | None) -> None:
    """Show or set the order mode; it outlives restarts."""
    if new_mode is None:
        found = answered(home, name, "GET", "/internal/order-mode")
    else:
        found = answered(home, name, "POST", "/internal/order-mode", {"mode": new_mode})
    click.echo(f"{name}: order mode {found['mode']}")
