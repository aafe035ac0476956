"""``algo status``."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from supervisor import failure
from supervisor.render import status_table
from supervisor.running import ask, current_folder
from supervisor.state import RunFolder


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.pass_obj
def status(home: Path, names: tuple[str, ...], as_json: bool, watch: bool) -> None:
    """Per instance: state, pids, ports, uptime, restarts, broker session, feed, last tick.

    With a NAME also the end of the log of a process that failed.
    """
    folder = current_folder(home)
    found = _status(folder, names)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    if not watch:
        console = Console()
        console.print(status_table(found, console.width))
        if names:
            for text in (text for row in found["instances"] for text in failure.of(row)):
                click.echo(text)
        return
    console = Console()
    with Live(status_table(found, console.width), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(1.0)
                live.update(status_table(_status(folder, names), console.width), refresh=True)
        except KeyboardInterrupt:
            return


def _status(folder: RunFolder, names: tuple[str, ...]) -> dict[str, Any]:
    found = ask(folder, "status") if folder.read_control() else _without_supervisor(folder)
    known = {row["name"] for row in found["instances"]}
    if not names:
        return found
    rows = [row for row in found["instances"] if row["name"] in names]
    for name in names:
        if name not in known:
            # loaded here: the usual call needs no settings, and reading them doubles its time
            settings = importlib.import_module("gateway.settings")
            one = settings.load(folder.home, name, folder.venue)  # raises for an unknown instance
            rows.append(
                {"name": one.name, "broker": one.broker, "venue": one.venue.value, "state": "stopped"}
            )
    return {**found, "instances": rows, "services": []}


def _without_supervisor(folder: RunFolder) -> dict[str, Any]:
    """What is left of a killed supervisor: its children, by their identities."""
    rows: dict[str, dict[str, Any]] = {}
    for record, process in folder.live_children():
        if not record.instance:
            continue
        row = rows.setdefault(
            record.instance,
            {
                "name": record.instance,
                "venue": folder.venue.value,
                "state": "unsupervised",
                "pids": {},
                "waiting_for": ["a supervisor: `algo up` adopts these processes"],
            },
        )
        row["pids"][record.key.rpartition(".")[2]] = process.pid
    return {
        "venue": folder.venue.value,
        "home": str(folder.home),
        "supervisor": None,
        "instances": list(rows.values()),
        "services": [],
    }
