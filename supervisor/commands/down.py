"""``algo down`` and ``algo restart``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import psutil

from supervisor.operations import stopping
from supervisor.running import CommandFailed, ask, current_folder, ensure_supervisor
from supervisor.state import RunFolder

STOP_DEADLINE_S = 15.0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--open",
    "policy",
    type=click.Choice(stopping.POLICIES),
    help="What becomes of working orders and open positions. Default: refuse to stop a live instance "
    "while its market is open, keep otherwise.",
)
@click.option("--force", is_flag=True, help="Stop all the same, keeping what is open at the broker.")
@click.pass_obj
def down(home: Path, names: tuple[str, ...], policy: str | None, force: bool) -> None:
    """Stop instances (all when none is named). Leaves no process and no port behind.

    Each instance is first asked for its working orders and open positions: after it nobody watches them.

    \b
    Examples:
      algo down dhan --open cancel     cancel its working orders, then stop
      algo down --open flatten         cancel, send market exits for every position, then stop
      algo down --force                keep them at the broker and stop
    """
    folder = current_folder(home)
    if folder.read_control() is None:
        if not folder.live_children():
            click.echo("nothing is running")
            return
        # the supervisor was killed; a new one adopts what lives and stops it in order
        ensure_supervisor(folder)
    known = [row["name"] for row in ask(folder, "status")["instances"]]
    unknown = [n for n in names if n not in known]
    if unknown:
        raise click.UsageError(f"not running: {', '.join(unknown)} (running: {', '.join(known) or 'none'})")
    stopping.settle(folder, names or tuple(known), policy, force=force, say=click.echo)
    stop(folder, names)


def stop(folder: RunFolder, names: Sequence[str]) -> None:
    """Stop instances (all when none is named) and wait until no process of theirs is left."""
    before = [process for _, process in folder.live_children()]
    # it takes its control file away before it ends; "leaves no process" includes it
    supervisor = folder.supervisor()
    reply = ask(folder, "down", {"names": list(names)})
    if not reply["left"]:
        _wait_gone([*before, *([supervisor] if supervisor else [])])
    click.echo(f"stopped: {', '.join(reply['stopped']) or 'nothing'}")
    if reply["left"]:
        click.echo(f"still running: {', '.join(reply['left'])}")


def _wait_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + STOP_DEADLINE_S
    while left := [p for p in processes if _lives(p)]:
        if time.monotonic() > deadline:
            pids = ", ".join(str(p.pid) for p in left)
            raise CommandFailed(f"still there after {STOP_DEADLINE_S:.0f} s: pid {pids}")
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie (in a container without an init nobody may reap it) has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def restart(home: Path, names: tuple[str, ...]) -> None:
    """Stop and start instances with their env files read again (all when none is named).

    Each takes no order and hears no tick for some seconds; it says whose market was open.
    """
    folder = current_folder(home)
    reply = ask(folder, "restart", {"names": list(names)})
    click.echo(f"restarted: {', '.join(reply['restarted'])}; see: algo status")
    if busy := reply["in_market_hours"]:
        click.echo(
            f"note: in market hours {', '.join(busy)} took no order and heard no tick meanwhile; "
            "what can wait is better restarted after the close",
            err=True,
        )
