"""``algo route``: keys and decisions of the one address for orders."""

from __future__ import annotations

import json
from pathlib import Path

import click

from supervisor.client import CommandFailed
from supervisor.routing.config import folder_of
from supervisor.routing.journal import NAME, decisions
from supervisor.routing.keys import RouteKeys
from supervisor.running import current_folder


@click.group()
def route() -> None:
    """One address for orders, which go to the best instance. ROUTE or `algo up --route` starts it."""


@route.group()
def key() -> None:
    """API keys of the route. A key of an instance is not one of the route, nor the other way round."""


@key.command()
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option("--quiet", is_flag=True, help="Print the key alone.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--sim", is_flag=True, help="Of simulated brokers, while nothing runs.")
@click.pass_obj
def create(home: Path, label: str, quiet: bool, as_json: bool, sim: bool) -> None:
    """Make a key and print it, once."""
    number, text = RouteKeys(_folder(home, sim)).create(label)
    if as_json:
        click.echo(json.dumps({"id": number, "key": text}))
    elif quiet:
        click.echo(text)
    else:
        click.echo(f"route key {number}: {text}")
        click.echo("Keep it; it is not shown again. It trades on every instance of the route.")


@key.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--sim", is_flag=True, help="Of simulated brokers, while nothing runs.")
@click.pass_obj
def list_keys(home: Path, as_json: bool, sim: bool) -> None:
    """Keys of the route, without their values."""
    rows = RouteKeys(_folder(home, sim)).list()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        ended = f"  revoked {row['revoked_at']}" if row["revoked_at"] else ""
        click.echo(f"{row['id']:>4}  {row['created_at']}  {row['label'] or '-'}{ended}")
    if not rows:
        click.echo("no keys; make one: algo route key create")


@key.command()
@click.argument("key_id", type=int)
@click.option("--sim", is_flag=True, help="Of simulated brokers, while nothing runs.")
@click.pass_obj
def revoke(home: Path, key_id: int, sim: bool) -> None:
    """End a key; the next request with it is refused."""
    if not RouteKeys(_folder(home, sim)).revoke(key_id):
        raise CommandFailed(f"no unrevoked key {key_id}")
    click.echo(f"route key {key_id} revoked")


@route.command()
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--sim", is_flag=True, help="Of simulated brokers, while nothing runs.")
@click.pass_obj
def orders(home: Path, count: int, as_json: bool, sim: bool) -> None:
    """The last decisions: where each order went, why, and what became of it."""
    rows = decisions(_folder(home, sim) / NAME, count)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        where = f"{row['instance']}:{row['orderid']}" if row["orderid"] else row["instance"] or "nowhere"
        click.echo(f"{row['at']}  {row['contract']}  {where}  {row['state']}  {row['reason']}")
    if not rows:
        click.echo("no order has been routed")


def _folder(home: Path, sim: bool) -> Path:
    folder = folder_of(home, current_folder(home, sim=sim).venue) / "route"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
