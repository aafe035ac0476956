"""``algo panic``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.panicfile import NAME, POLICIES, PanicFile
from supervisor.client import CommandFailed, load_running
from supervisor.operations import panicking
from supervisor.running import current_folder

BY = "algo"


@click.command()
@click.option("--resume", is_flag=True, help="Allow new entries again.")
@click.option("--day-loss", is_flag=True, help="With --resume: also where RISK_DAY_LOSS stopped them.")
@click.option(
    "--policy",
    type=click.Choice(POLICIES),
    default="cancel",
    show_default=True,
    help="cancel open orders; block entries alone; or close every position too.",
)
@click.pass_obj
def panic(home: Path, resume: bool, day_loss: bool, policy: str) -> None:
    """Block new entries on every instance at once, then cancel open orders and GTT orders, on paper too.

    Also instances that do not run are blocked when they start. Entries stay blocked over restarts until
    `algo panic --resume`. Positions are left alone unless the policy is `close`.
    """
    folder = current_folder(home)
    # the block first: it counts from here on, whatever becomes of the questions below
    serial = panicking.speak(PanicFile(folder.path / NAME), not resume, policy, BY)
    names = sorted({row.instance for row, _ in folder.live_children() if row.instance})
    if not names:
        state = "allowed" if resume else "blocked"
        click.echo(
            f"nothing is running; entries are {state} on every instance ({folder.venue.value}) at start"
        )
        return
    instances = [load_running(home, name) for name in names]
    if resume:
        ends = panicking.resume(instances, day_loss=day_loss)
    else:
        ends = panicking.carry_out(instances, serial, policy, BY)
    for end in ends:
        click.echo(f"{end.instance}: {end.said}")
    if not resume:
        click.echo("entries stay blocked, over restarts too, until: algo panic --resume")
    if not all(end.done for end in ends):
        raise CommandFailed("not everything was done; look at the instances named above")
