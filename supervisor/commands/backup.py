"""``algo backup`` and ``algo restore``."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import click

from brokers.errors import SettingsError
from brokers.secret import Secret
from brokers.venue import Venue
from gateway import settings as gateway_settings
from historify.paths import StorePaths
from supervisor.operations import archive
from supervisor.running import CommandFailed
from supervisor.state import running_venue


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt with it.")
@click.option("--no-history", is_flag=True, help="Without the market-data store, which can be large.")
@click.pass_obj
def backup(home: Path, file: Path | None, encrypt: bool, no_history: bool) -> None:
    """Copy env files, databases and market data into one file, consistently, also while instances run.

    The file holds broker credentials. Bars kept on a PostgreSQL server are not in it.
    """
    stamp, ending = f"{datetime.now(UTC):%Y%m%d-%H%M%S}", ".tar.gz.enc" if encrypt else ".tar.gz"
    target = file or Path(f"algo-backup-{stamp}{ending}")
    passphrase = None
    if encrypt:
        passphrase = Secret(click.prompt("passphrase", hide_input=True, confirmation_prompt=True))
    stores = [] if no_history else _stores(home)
    entries = archive.write(home, _elsewhere(home), target.absolute(), passphrase, stores)
    bars = [entry for entry in entries if entry.name.endswith(".parquet")]
    for entry in entries:
        if entry not in bars:
            click.echo(f"  {entry.size:>12,}  {entry.name}")
    if bars:
        click.echo(f"  {sum(entry.size for entry in bars):>12,}  {len(bars)} files of bars")
    click.echo(f"{target}: {len(entries)} files, {target.stat().st_size:,} bytes, readable by you only")


def _stores(home: Path) -> list[Path]:
    """Folders of the market-data stores of both venues, wherever the env files put them."""
    faces = {home / "db" / "historify.duckdb", home / "db" / "sim" / "historify.duckdb"}
    for name in gateway_settings.instance_names(home):
        with contextlib.suppress(SettingsError):  # `_elsewhere` says it
            faces.add(gateway_settings.load(home, name, Venue.LIVE).databases.historify)
    return sorted(StorePaths(face).root for face in faces)


def _elsewhere(home: Path) -> list[Path]:
    """Databases of live instances outside the home.

    An env that does not load is backed up, but its databases elsewhere cannot be known.
    """
    found: list[Path] = []
    for name in gateway_settings.instance_names(home):
        try:
            one = gateway_settings.load(home, name, Venue.LIVE)
        except SettingsError as exc:
            click.echo(f"note: {exc}", err=True)
            continue
        found += [path for path in one.databases.sqlite().values() if not path.is_relative_to(home)]
    return found


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(home: Path, file: Path, yes: bool) -> None:
    """Put a backup's env files and databases back.

    Everything must be stopped; what was there is kept aside.
    """
    if running_venue(home) is not None:
        raise CommandFailed("instances run here; first: algo down")
    with file.open("rb") as opened:
        sealed = opened.read(len(archive.MAGIC)) == archive.MAGIC
    passphrase = Secret(click.prompt("passphrase", hide_input=True)) if sealed else None
    if not yes:
        try:
            click.confirm(f"restore {file} into {home}?", abort=True)
        except click.Abort:
            raise CommandFailed("nothing was restored; --yes restores without asking") from None
    names, aside = archive.restore(file, home, passphrase)
    for name in names:
        if not name.endswith(".parquet"):
            click.echo(f"  {name}")
    click.echo(f"restored {len(names)} files" + (f"; what was there before: {aside}" if aside else ""))
