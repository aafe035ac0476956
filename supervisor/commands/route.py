"""``algo route``: keys and decisions of the one address for orders."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway import settings as gateway_settings
from supervisor.client import CommandFailed, ask_api, message_of
from supervisor.routing import config
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
    keys = RouteKeys(_folder(home, sim))
    one = gateway_settings.load(home, _data(home, sim), current_folder(home, sim=sim).venue)
    asked = {"label": f"route: {label}"[:100], "scopes": ["data"]}
    status, answer = ask_api(one, "POST", "/internal/keys", asked)
    if status != 200:
        raise CommandFailed(f"{one.name}: {message_of(answer, f'HTTP {status}')}")
    text = str(answer["key"])
    number = keys.add(label, text, one.name, int(answer["id"]))
    if as_json:
        click.echo(json.dumps({"id": number, "key": text}))
    elif quiet:
        click.echo(text)
    else:
        click.echo(f"route key {number}: {text}")
        click.echo(
            "Keep it; it is not shown again. It trades on every instance of the route, by the route alone,"
        )
        click.echo(f"and reads market data and ticks of {one.name}.")


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
    row = RouteKeys(_folder(home, sim)).revoke(key_id)
    if row is None:
        raise CommandFailed(f"no unrevoked key {key_id}")
    one = gateway_settings.load(home, row["instance"], current_folder(home, sim=sim).venue)
    status, answer = ask_api(one, "DELETE", f"/internal/keys/{row['instance_key']}")
    if status not in (200, 204, 404):
        said = message_of(answer, f"HTTP {status}")
        raise CommandFailed(f"revoked at the route, but not for the data of {one.name}: {said}")
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


def _data(home: Path, sim: bool) -> str:
    """The instance whose data the route uses: of the one that runs, else as the env files say."""
    folder = current_folder(home, sim=sim)
    written = folder.path / "route.json"
    if written.exists():
        return config.read(written).data
    everyone = [gateway_settings.load(home, n, folder.venue) for n in gateway_settings.instance_names(home)]
    rules = next((one.route for one in everyone if one.route.names), None)
    if rules is None:
        raise CommandFailed("there is no route; start one with: algo up --route dhan,kotak")
    return rules.data or rules.names[0]


def _folder(home: Path, sim: bool) -> Path:
    folder = folder_of(home, current_folder(home, sim=sim).venue)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
