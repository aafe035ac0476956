"""``algo logs``."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from pathlib import Path

import click

from supervisor.logfile import LEVELS, Follower, Line, Wanted, merged
from supervisor.running import current_folder

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_black")
LEVEL_COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}
AGO = re.compile(r"(\d+)\s*(s|m|h|d)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
FAR = 1_000_000
"""Lines shown at most when ``--since`` says where to begin."""
LOOK_S = 0.2


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Lines to begin with.  [default: 50]")
@click.option("--since", metavar="TIME", help="10m, 2h, 1d; 09:15 (today); 2026-11-20T09:15.")
@click.option(
    "--level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="DEBUG",
    help="This one or worse; crashes and tracebacks always show.",
)
@click.option("--grep", metavar="REGEX", help="Only lines it is found in.")
@click.option("--sim", is_flag=True, help="Logs of simulated runs, when nothing is running.")
@click.pass_obj
def logs(
    home: Path,
    names: tuple[str, ...],
    follow: bool,
    lines: int | None,
    since: str | None,
    level: str,
    grep: str | None,
    sim: bool,
) -> None:
    """What the processes wrote, merged by time (this machine's), files put aside included.

    NAME is an instance (dhan) or one process (dhan.feed, sim.kotak, supervisor).

    \b
    Examples:
      algo logs -f
      algo logs dhan --since 09:15 --level warning
      algo logs kotak.api --since 2d --grep 'order.*rejected'
    """
    wanted = Wanted(
        since=since_of(since, datetime.now().astimezone()) if since else None,
        level=level.upper(),
        pattern=_pattern(grep) if grep else None,
    )
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
    count = lines if lines is not None else FAR if since else 50
    for line in merged(files, count, wanted):
        _show(line, width, colours)
    try:
        while follow:
            fresh = [line for one in followers for line in one.read() if wanted.has(line)]
            for line in sorted(fresh, key=lambda line: line.at):
                _show(line, width, colours)
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return


def since_of(text: str, now: datetime) -> datetime:
    """The moment a person means.

    Args:
        now: Aware; times without a zone are in its zone, times of day are the last ones before it.

    Raises:
        click.BadParameter: It is none of the forms.
    """
    text = text.strip()
    if ago := AGO.fullmatch(text):
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    if clock := CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        at = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return at if at <= now else at - timedelta(days=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter(f"--since {text}: expected 10m, 2h, 1d, 09:15 or 2026-11-20T09:15") from exc
    return at if at.tzinfo else at.replace(tzinfo=now.tzinfo)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        raise click.BadParameter(f"--grep {text}: {exc}") from exc


def _show(line: Line, width: int, colours: dict[str, str]) -> None:
    source = click.style(line.source.ljust(width), fg=colours[line.source])
    message = click.style(line.message, fg=LEVEL_COLOURS.get(line.level))
    click.echo(f"{_clock(line.time).ljust(12)} {source} {message}")


def _clock(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:12]
    except ValueError:
        return text[:12]
