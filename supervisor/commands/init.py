"""``algo init``."""

from __future__ import annotations

from pathlib import Path

import click

from brokers import registry
from gateway.settings import NAME
from supervisor import envfile


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--broker", help="Broker of the instance, when its name is not the broker's.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Take over this OpenAlgo .env (it is only read).",
)
@click.pass_obj
def init(home: Path, names: tuple[str, ...], broker: str | None, source: Path | None) -> None:
    """Write instances/NAME.env with fresh secrets and free ports.

    Without a name: one file for each known broker. Ports are chosen once and written down.

    \b
    Examples:
      algo init kotak dhan
      algo init dhan2 --broker dhan
      algo init --from ~/openalgo/.env.kotak kotak
    """
    if source is not None:
        name = names[0] if names else source.name.removeprefix(".env").strip(".") or source.stem
        if len(names) > 1 or not NAME.match(name):
            raise click.UsageError("--from takes one instance name: algo init --from FILE NAME")
        _made(envfile.adopt(home, name, source))
        return
    for name in names or registry.names():
        _made(envfile.create(home, name, broker))


def _made(path: Path) -> None:
    click.echo(f"{path.parent.name}/{path.name} written (mode 0600). Fill in what starts with YOUR_, then:")
    click.echo(f"  algo up {path.stem}        or, without an account:  algo up {path.stem} --sim")
