"""``algo panic``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from brokers.errors import AlgoError
from gateway.settings import Settings
from supervisor.client import CommandFailed, ask_api, load_running, message_of
from supervisor.running import current_folder


@click.command()
@click.option("--resume", is_flag=True, help="Allow new entries again.")
@click.pass_obj
def panic(home: Path, resume: bool) -> None:
    """Block new entries on every running instance at once, then cancel its open orders.

    Entries stay blocked over restarts until `algo panic --resume`. Positions are left alone.
    """
    names = sorted({row.instance for row, _ in current_folder(home).live_children() if row.instance})
    if not names:
        raise CommandFailed("nothing is running; there is nothing to stop")
    instances = [load_running(home, name) for name in names]
    with ThreadPoolExecutor(len(instances)) as pool:
        ends = list(pool.map(_resume if resume else _panic, instances))
    for name, (said, _) in zip(names, ends, strict=True):
        click.echo(f"{name}: {said}")
    if not all(ok for _, ok in ends):
        raise CommandFailed("not everything was done; look at the instances named above")


def _panic(one: Settings) -> tuple[str, bool]:
    """What happened on one instance, and whether nothing is left to do."""
    try:
        status, answer = ask_api(one, "POST", "/internal/panic", {"reason": "algo panic"})
    except AlgoError as exc:
        return str(exc), False
    if status != 200:
        return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
    failed = [f"{row['what']} ({row['message']})" for row in answer["failed"]]
    said = f"entries blocked, {len(answer['cancelled'])} orders cancelled"
    return (f"{said}; not cancelled: {', '.join(failed)}", False) if failed else (said, True)


def _resume(one: Settings) -> tuple[str, bool]:
    try:
        status, answer = ask_api(one, "POST", "/internal/resume", {})
    except AlgoError as exc:
        return str(exc), False
    if status != 200:
        return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
    return "entries allowed", True
