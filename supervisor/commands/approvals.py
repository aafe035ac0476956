"""``algo approvals``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from supervisor.client import CommandFailed, ask_api, load_running, message_of
from supervisor.commands.strategy import line_of

MODES = ("auto", "semi_auto")


@click.group()
def approvals() -> None:
    """Semi-auto mode: orders wait for your word before they leave."""


@approvals.command(name="list")
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Those decided and ended too.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def list_approvals(home: Path, name: str, everything: bool, as_json: bool) -> None:
    """Orders that wait, the newest last."""
    found = _ask(home, name, "GET", f"/internal/approvals{'?all=1' if everything else ''}")
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(f"{name}: order mode {found['mode']}")
    for row in reversed(found["orders"]):
        click.echo(line_of(row))
    if not found["orders"]:
        click.echo("nothing waits")


@approvals.command()
@click.argument("name")
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.pass_obj
def approve(home: Path, name: str, ids: tuple[int, ...]) -> None:
    """Send orders that wait, each once, and print what became of them."""
    rows = [_ask(home, name, "POST", f"/internal/approvals/{one}/approve") for one in ids]
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
        click.echo(line_of(_ask(home, name, "POST", f"/internal/approvals/{one}/reject")))


@approvals.command()
@click.argument("name")
@click.argument("new_mode", required=False, type=click.Choice(MODES), metavar="[auto|semi_auto]")
@click.pass_obj
def mode(home: Path, name: str, new_mode: str | None) -> None:
    """Show or set the order mode; it outlives restarts."""
    if new_mode is None:
        found = _ask(home, name, "GET", "/internal/order-mode")
    else:
        found = _ask(home, name, "POST", "/internal/order-mode", {"mode": new_mode})
    click.echo(f"{name}: order mode {found['mode']}")


def _ask(home: Path, name: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    status, answer = ask_api(load_running(home, name), method, path, body)
    if status != 200:
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    assert isinstance(answer, dict)
    return answer
