"""``algo key``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.scopes import SAYS, Scope
from supervisor.client import CommandFailed, ask_api, load_running, message_of


@click.group()
def key() -> None:
    """API keys of an instance. A key is shown once, when it is made."""


@key.command()
@click.argument("name")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; several times for several. All, unless given. "
    + " ".join(f"{scope.value}: {said}." for scope, said in SAYS.items()),
)
@click.option("--quiet", is_flag=True, help="Print the key alone.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def create(home: Path, name: str, label: str, scopes: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Make a key and print it, once."""
    asked = {"label": label, **({"scopes": list(scopes)} if scopes else {})}
    status, answer = ask_api(load_running(home, name), "POST", "/internal/keys", asked)
    if status != 200:
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    if as_json:
        click.echo(json.dumps(answer))
    elif quiet:
        click.echo(answer["key"])
    else:
        click.echo(f"{name} key {answer['id']}: {answer['key']}")
        may = ", ".join(answer["scopes"])
        click.echo(f"Keep it; it is not shown again. What it may do on this instance: {may}.")


@key.command(name="list")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def list_keys(home: Path, name: str, as_json: bool) -> None:
    """Keys of an instance, without their values."""
    status, answer = ask_api(load_running(home, name), "GET", "/internal/keys")
    if status != 200:
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    rows = answer["keys"] if isinstance(answer, dict) else answer
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        ended = f"  revoked {row['revoked_at']}" if row.get("revoked_at") else ""
        may = ",".join(row.get("scopes", ()))
        click.echo(
            f"{row['id']:>4}  {row.get('created_at', '')}  {may:<22}  {row.get('label') or '-'}{ended}"
        )
    if not rows:
        click.echo(f"no keys; make one: algo key create {name}")


@key.command()
@click.argument("name")
@click.argument("key_id", type=int)
@click.pass_obj
def revoke(home: Path, name: str, key_id: int) -> None:
    """End a key; within a second no process accepts it."""
    status, answer = ask_api(load_running(home, name), "DELETE", f"/internal/keys/{key_id}")
    if status not in (200, 204):
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    click.echo(f"{name}: key {key_id} revoked")
