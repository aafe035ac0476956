"""``algo watch``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.settings.hooks import EVENTS
from supervisor.running import ask, current_folder

WAIT_S = 20.0


@click.command(
    help=f"""What happens to the instances, one JSON object a line, until Ctrl-C.

    The same events go to HOOK_COMMAND and HOOK_URL of an instance's env: {", ".join(EVENTS)}. Each is told
    once, on its edge.
    """
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--once", is_flag=True, help="Print what is known and end.")
@click.pass_obj
def watch(home: Path, names: tuple[str, ...], once: bool) -> None:
    folder, seq = current_folder(home), 0
    try:
        while True:
            reply = ask(folder, "events", {"after": seq, "wait_s": 0.0 if once else WAIT_S})
            for event in reply["events"]:
                seq = int(event["seq"])
                if not names or event["instance"] in names:
                    click.echo(json.dumps(event))
            if once:
                return
    except KeyboardInterrupt:
        return
