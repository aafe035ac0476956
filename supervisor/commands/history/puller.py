"""``algo history puller``: through which instance the store is filled, and asking for another one."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from brokers.clock import IST
from historify import lease as leases
from historify.portable import plain
from supervisor.client import CommandFailed
from supervisor.commands.history.place import Place, place, sim_option
from supervisor.commands.printing import json_option, shown

LOOK_S = 0.1
SETTLED_S = 3.0
"""By then a puller without a lease has asked everybody again; one with a lease begins a new epoch."""
NOT_RUNNING = "the puller does not run (start it with: algo up)"


@click.command()
@click.argument("name", default="")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0, 600), default=10, show_default=True,
    help="Seconds to wait for the answer.",
)  # fmt: skip
@sim_option
@json_option
@click.pass_obj
def puller(home: Path, name: str, wait_s: float, sim: bool, as_json: bool) -> None:
    """Show through which instance the store is filled; with NAME, ask that one to go on.

    NAME is the designated instance or a standby that HISTORIFY_PULLER names. It takes over between two
    series of a download and stays first until the puller starts anew; one that cannot pull is passed over.
    """
    with place(home, sim=sim) as one:
        said = _asked(one, name, wait_s) if name else ""
        found = _standing(one)
    if as_json:
        shown({**found, **({"asked": name, "message": said} if name else {})})
        return
    for line in [said] if said else _lines(found):
        click.echo(line)


def _standing(one: Place) -> dict[str, Any]:
    """Who pulls, since when (ISO 8601), and who may."""
    alive = plain.puller(one.rules.port, one.control) or {}
    holder = leases.current(one.control)
    name = alive.get("puller")
    held = holder is not None and not holder.released and holder.name == name
    return {
        "running": bool(alive),
        "state": alive.get("state", ""),
        "puller": name,
        "since": datetime.fromtimestamp(holder.acquired_at_s, IST).isoformat() if holder and held else None,
        "epoch": holder.epoch if holder is not None else 0,
        "designated": alive.get("designated"),
        "candidates": alive.get("candidates", []),
        "passed_over": alive.get("passed_over", []),
        "refused": alive.get("refused", ""),
    }


def _lines(found: dict[str, Any]) -> list[str]:
    if not found["running"]:
        return [NOT_RUNNING]
    name = found["puller"]
    since = f"{datetime.fromisoformat(found['since']):%d %b %H:%M} IST" if found["since"] else "just now"
    lines = [f"{name} pulls since {since}, epoch {found['epoch']}" if name else f"nobody: {found['state']}"]
    others = [
        f"{one} (designated)" if one == found["designated"] else one
        for one in found["candidates"]
        if one != name
    ]
    lines.append(f"standing by: {', '.join(others) or 'nobody'}")
    return lines + [f"passed over: {reason}" for reason in found["passed_over"]]


def _asked(one: Place, name: str, wait_s: float) -> str:
    """Ask, and what came of it within ``wait_s``. Raises ``CommandFailed`` when it came to nothing."""
    before = _standing(one)
    if not before["running"]:
        raise CommandFailed(NOT_RUNNING)
    leases.request_release(one.control, "algo history puller", one.clock, instance=name)
    began = one.clock.monotonic()
    while True:
        if leases.requested(one.control) is None:
            now = _standing(one)
            if now["refused"]:
                raise CommandFailed(now["refused"])
            if now["puller"] == name:
                stays = " already" if before["puller"] == name else ""
                return f"{name} pulls{stays}, epoch {now['epoch']}"
            looked = now["epoch"] > before["epoch"] or one.clock.monotonic() >= began + SETTLED_S
            if looked and now["passed_over"]:
                goes_on = f"{now['puller']} goes on" if now["puller"] else "nobody pulls"
                raise CommandFailed(f"{name} cannot pull now: {now['passed_over'][0]}; {goes_on}")
        if one.clock.monotonic() >= began + wait_s:
            return f"{name} is asked to pull; it takes over between two series of the download under way"
        time.sleep(LOOK_S)


COMMANDS = (puller,)
