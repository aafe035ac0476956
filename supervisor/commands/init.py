"""``algo init``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from brokers import registry
from brokers.contract import CredentialField
from brokers.errors import SettingsError
from brokers.secret import Secret
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import NAME
from supervisor.commands.printing import from_here
from supervisor.running import CommandFailed
from supervisor.setup import envfile, openalgo, takeover

IMPORT_S = 120.0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--broker", help="Broker of the instance, when its name is not the broker's.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True),
    help="Take over an OpenAlgo folder, or one .env of it. It is only read.",
)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting; may be repeated.")
@click.option("--no-input", is_flag=True, help="Ask nothing, also on a terminal.")
@click.pass_obj
def init(
    home: Path,
    names: tuple[str, ...],
    broker: str | None,
    source: Path | None,
    given: tuple[str, ...],
    no_input: bool,
) -> None:
    """Write instances/NAME.env with fresh secrets and free ports.

    On a terminal it asks for the credentials and says where the broker shows each; Enter leaves one open.
    Without a name: one file for each known broker.

    --from takes over OpenAlgo's settings and, from its database, the API key, webhook addresses and
    strategies with their symbols, so that strategies and alerts go on as they are.

    \b
    Examples:
      algo init kotak dhan
      algo init dhan2 --broker dhan --set DHAN_CLIENT_ID=1000000001
      algo init --from ~/openalgo
      algo init kotak --from ~/openalgo/.env
    """
    asks = _on_terminal() and not no_input
    values = dict(_pair(text) for text in given)
    if source is not None:
        for name, one in _named(names, openalgo.find(source)):
            _take_over(home, name, one, values, asks)
        return
    for name in names or registry.names():
        path = envfile.create(home, name, broker, {**values, **_asked(name, broker, values, asks)})
        _made(path)


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--set {text}: expected NAME=VALUE")
    return name, value


def _named(
    names: tuple[str, ...], found: list[openalgo.Installation]
) -> list[tuple[str, openalgo.Installation]]:
    """Each installation with its instance's name: the one given, else the file's ending, else its broker."""
    if len(found) == 1 and len(names) == 1:
        if not NAME.match(names[0]):
            raise click.UsageError(f"'{names[0]}' is not an instance name (lower case letters, digits and _)")
        return [(names[0], found[0])]
    known = {one.name: one for one in found}
    if "" in known:
        raise click.UsageError(f"{known[''].env_path}: say what to call it: algo init NAME --from FILE")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no .env.{unknown[0]} there; found: {', '.join(sorted(known))}")
    return [(name, one) for name, one in known.items() if not names or name in names]


def _asked(name: str, broker: str | None, values: dict[str, str], asks: bool) -> dict[str, str]:
    if not asks:
        return {}
    spec = envfile.spec_of(name, broker)
    click.echo(f"{name} ({spec.title}): Enter leaves a line open; it can be filled in later.")
    found = {one.env: _prompt(one) for one in spec.credentials if one.required and one.env not in values}
    return {key: value for key, value in found.items() if value}


def _prompt(one: CredentialField) -> str:
    click.echo(f"  {one.env}: {one.where}")
    answer = click.prompt(f"  {one.env}", default="", show_default=False, hide_input=one.secret)
    return str(answer).strip()


def _asker(asks: bool) -> Callable[[str], str]:
    fields = {field.env: field for broker in registry.names() for field in registry.spec(broker).credentials}
    return (lambda env: _prompt(fields[env])) if asks else (lambda _: "")


def _take_over(
    home: Path, name: str, source: openalgo.Installation, values: dict[str, str], asks: bool
) -> None:
    held = openalgo.holdings(source)
    made = takeover.draft(home, name, source, semi_auto=held.semi_auto)
    made.text = envfile.fill(made.text, values)
    takeover.missing(made, name, _asker(asks))
    path = takeover.finish(home, name, made)
    click.echo(f"{from_here(path)} written (mode 0600) from {source.env_path}, which was only read")
    for note in (*made.notes, *held.notes):
        click.echo(f"  - {note}")
    if held.keys or held.strategies:
        for line in _import(home, name, held.keys, held.strategies):
            click.echo(f"  - {line}")
    try:
        gateway_settings.load(home, name, Venue.SIM)
    except SettingsError as exc:
        click.echo(f"  - to be mended before it starts: {exc}")
    _next(name)


def _import(home: Path, name: str, keys: list[Secret], strategies: list[dict[str, object]]) -> list[str]:
    """Into the instance's databases, by a process that may write them. Returns what to say of it."""
    argv = [
        sys.executable,
        "-m",
        "gateway",
        "import",
        "--home",
        str(home),
        "--instance",
        name,
        "--venue",
        "sim",
    ]
    body = json.dumps({"keys": [key.reveal() for key in keys], "strategies": strategies})
    done = subprocess.run(argv, input=body, capture_output=True, text=True, timeout=IMPORT_S, cwd=home)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CommandFailed(f"{name}: keys and strategies were not taken over: {said[0]}")
    report = json.loads(done.stdout)
    lines = ["its API key goes on working; nothing to change in your strategies"] if report["keys"] else []
    if report["strategies"]:
        lines.append(f"strategies with their webhook addresses: {', '.join(report['strategies'])}")
    return [*lines, *report["notes"]]


def _made(path: Path) -> None:
    click.echo(f"{from_here(path)} written (mode 0600). Fill in what starts with YOUR_, then:")
    _next(path.stem)


def _next(name: str) -> None:
    click.echo(f"  algo up {name}        or, without an account:  algo up {name} --sim")
