"""``algo export systemd|compose|nginx``."""

from __future__ import annotations

import getpass
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from brokers.errors import SettingsError
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor import plan
from supervisor.client import chosen
from supervisor.operations import exports


@click.group()
def export() -> None:
    """The same processes for other service managers. Writes files, installs nothing."""


@export.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Default: print.")
@click.option("--user", help="Whom the processes run as (default: you).")
@click.pass_obj
def systemd(home: Path, names: tuple[str, ...], folder: Path | None, user: str | None) -> None:
    """A hardened unit per process, with watchdog.

    \b
    Then:
      sudo cp FOLDER/*.service /etc/systemd/system/ && sudo systemctl daemon-reload
      sudo systemctl enable --now algo-dhan-api algo-dhan-feed
    """
    found = shutil.which("algo")
    program = Path(found) if found else Path(sys.argv[0]).resolve()
    _write(exports.systemd(_loaded(home, names), program, user or getpass.getuser()), folder)


@export.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Default: print.")
@click.pass_obj
def compose(home: Path, names: tuple[str, ...], folder: Path | None) -> None:
    """A service per process, a network per instance, and the Containerfile for both."""
    _write(exports.compose(_loaded(home, names), home), folder)


@export.command()
@click.argument("names", nargs=-1, metavar="NAME=DOMAIN...", required=True)
@click.option("--certificate", default="/etc/letsencrypt/live/{domain}/fullchain.pem", show_default=True)
@click.option("--key", default="/etc/letsencrypt/live/{domain}/privkey.pem", show_default=True)
@click.option("--users", default="", help="htpasswd file for pages and streams.")
@click.option("--narrow", is_flag=True, help="Only the API and webhooks; no pages, no streams.")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Default: print.")
@click.pass_obj
def nginx(
    home: Path,
    names: tuple[str, ...],
    certificate: str,
    key: str,
    users: str,
    narrow: bool,
    folder: Path | None,
) -> None:
    """TLS in front of instances, one domain each: pages, /ws, /socket.io/, API and webhooks.

    \b
    Example:
      algo export nginx dhan=dhan.example.com --narrow
    """
    sites = []
    for pair in names:
        name, _, domain = pair.partition("=")
        if not domain:
            raise click.UsageError(f"{pair}: say NAME=DOMAIN")
        [one] = _loaded(home, (name,))
        paths = certificate.format(domain=domain), key.format(domain=domain)
        sites.append(exports.Site(one, domain, *paths, users=users, narrow=narrow))
    _write(exports.nginx(sites), folder)


def _loaded(home: Path, names: tuple[str, ...]) -> list[Settings]:
    loaded = [gateway_settings.load(home, name, Venue.LIVE) for name in chosen(home, names)]
    plan.check_clashes(loaded)
    return loaded


def _write(files: Mapping[str, str], folder: Path | None) -> None:
    if folder is None:
        for name, text in files.items():
            click.echo(f"# ---- {name}\n{text}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text() != text:
            raise SettingsError(f"{path} exists and differs; remove it or choose another folder")
        path.write_text(text)
        click.echo(str(path))
