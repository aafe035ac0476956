"""``algo panic``."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from brokers.errors import AlgoError
from gateway.panicfile import NAME, POLICIES, PanicFile, spoken
from gateway.settings import Settings
from supervisor.client import CommandFailed, ask_api, load_running, message_of
from supervisor.running import current_folder

PATIENCE_S = 30.0
LOOK_S = 0.5


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
    """Block new entries on every instance at once, then cancel open orders.

    Also instances that do not run are blocked when they start. Entries stay blocked over restarts until
    `algo panic --resume`. Positions are left alone unless the policy is `close`.
    """
    folder = current_folder(home)
    # the block first: it counts from here on, whatever becomes of the questions below
    serial = _speak(PanicFile(folder.path / NAME), not resume, policy)
    names = sorted({row.instance for row, _ in folder.live_children() if row.instance})
    if not names:
        state = "allowed" if resume else "blocked"
        click.echo(
            f"nothing is running; entries are {state} on every instance ({folder.venue.value}) at start"
        )
        return
    instances = [load_running(home, name) for name in names]
    with ThreadPoolExecutor(len(instances)) as pool:
        if resume:
            ends = list(pool.map(lambda one: _resume(one, day_loss), instances))
        else:
            ends = list(pool.map(lambda one: _panic(one, serial, policy), instances))
    for name, (said, _) in zip(names, ends, strict=True):
        click.echo(f"{name}: {said}")
    if not all(ok for _, ok in ends):
        raise CommandFailed("not everything was done; look at the instances named above")


def _speak(file: PanicFile, active: bool, policy: str) -> int:
    before = file.read()
    after = before.serial if before else 0
    word = spoken(active, reason="algo panic", policy=policy, by="algo", after=after)
    try:
        file.write(word)
    except OSError as exc:
        raise CommandFailed(f"{file.path} could not be written: {exc.strerror or exc}") from exc
    return word.serial


def _panic(one: Settings, serial: int, policy: str) -> tuple[str, bool]:
    """What happened on one instance, and whether nothing is left to do."""
    body: dict[str, Any] = {"reason": "algo panic", "policy": policy, "serial": serial}
    ends = time.monotonic() + PATIENCE_S
    method = "POST"
    while True:
        try:
            status, answer = ask_api(one, method, "/internal/panic", body)
        except AlgoError as exc:
            return f"entries blocked; whether orders are cancelled is not known: {exc}", False
        if status != 200:
            return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
        if answer["done"] or time.monotonic() >= ends:
            return _told(answer)
        method, body = "GET", {}
        time.sleep(LOOK_S)


def _told(answer: dict[str, Any]) -> tuple[str, bool]:
    said = f"entries blocked, {len(answer['cancelled'])} orders cancelled"
    if answer["ended"]:
        said += f", {len(answer['ended'])} had ended"
    if answer["closed"]:
        said += f", {answer['closed']} exits sent"
    failed = [_row(row) for row in answer["failed"]]
    if failed:
        said += f"; not done: {', '.join(failed)}"
    if not answer["done"]:
        going = ", ".join(_row(row) for row in answer["going"]) or "the order book is not read yet"
        said += f"; goes on in the background: {going}"
        if answer["waiting"]:
            said += f" ({answer['waiting']})"
    return said, answer["done"] and not failed


def _row(row: dict[str, str]) -> str:
    return f"{row['what']} ({row['message']})" if row["message"] else row["what"]


def _resume(one: Settings, day_loss: bool) -> tuple[str, bool]:
    try:
        status, answer = ask_api(one, "POST", "/internal/resume", {"day_loss": day_loss})
    except AlgoError as exc:
        return str(exc), False
    if status != 200:
        return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
    return "entries allowed", True
