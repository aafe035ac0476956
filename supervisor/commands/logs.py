"""``algo logs``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from supervisor.logfile import Follower, Line, merged
from supervisor.running import current_folder

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_black")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="Lines to begin with.")
@click.option("--sim", is_flag=True, help="Logs of simulated runs, when nothing is running.")
@click.pass_obj
def logs(home: Path, names: tuple[str, ...], follow: bool, lines: int, sim: bool) -> None:
    """What the processes wrote, merged by time."""
    folder = current_folder(home, sim=sim).path.parent / "log"
    files = {
        path.stem: path
        for path in sorted(folder.glob("*.log"))
        if not names or path.stem.split(".")[0] in names or path.stem in names
    }
    if not files:
        raise click.UsageError(f"no log of {', '.join(names) or 'anything'} in {folder}")
    width = max(len(name) for name in files)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(files)}
    followers = [Follower(name, path) for name, path in files.items()] if follow else []
    for line in merged(files, lines):
        _show(line, width, colours)
    try:
        while follow:
            for one in followers:
                for line in one.read():
                    _show(line, width, colours)
            time.sleep(0.2)
    except KeyboardInterrupt:
        return


def _show(line: Line, width: int, colours: dict[str, str]) -> None:
    source = click.style(line.source.ljust(width), fg=colours[line.source])
    level = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}.get(line.level)
    clock = line.time[11:23].ljust(12)
    click.echo(f"{clock} {source} {click.style(line.message, fg=level)}")
