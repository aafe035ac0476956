"""``algo record``: asks a running feed process to keep what its market sockets hear."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click

from supervisor.client import CommandFailed, load_up

BEGIN_S = 15.0


@click.command()
@click.argument("name")
@click.option("--for", "seconds", type=click.FloatRange(min=0.1), help="Stop after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="The final state as JSON, nothing else.")
@click.pass_obj
def record(home: Path, name: str, seconds: float | None, as_json: bool) -> None:
    """Record the raw frames of a running instance's market sockets until Ctrl-C.

    The broker connection is made anew when it begins, so that the recording starts with its snapshots. Order
    updates are not recorded. Play it with: algo replay FOLDER
    """
    one = load_up(home, name)
    folder = one.log_dir.parent / "record"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    request, status = folder / f"{name}.request", folder / f"{name}.status"
    token = secrets.token_hex(8)
    if request.exists() and _state(status).get("recording"):
        raise CommandFailed(
            f"{name} is being recorded already, into {_state(status).get('folder')}; end that `algo record`, "
            f"or remove {request}"
        )
    # a closed terminal or a service manager ends the recording too
    for ending in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(ending, _stop)
    request.write_text(token)
    try:
        folder_now = _begun(status, token, name)
        if not as_json:
            until_when = f"for {seconds:g} s" if seconds else "until Ctrl-C"
            click.echo(f"recording {name} {until_when} into {folder_now}", err=True)
        until = time.monotonic() + seconds if seconds else None
        while until is None or time.monotonic() < until:
            time.sleep(min(1.0, max(0.05, (until or time.monotonic() + 1) - time.monotonic())))
            state = _state(status)
            if not as_json and sys.stdout.isatty():
                click.echo(f"\r{_line(state)}", nl=False)
            if not state.get("recording"):
                raise CommandFailed(f"the recording ended: {state.get('problem') or 'see the feed log'}")
    except KeyboardInterrupt:
        click.echo()
    finally:
        request.unlink(missing_ok=True)
    state = _ended(status)
    if as_json:
        click.echo(json.dumps(state))
    else:
        click.echo(f"{_line(state)}\n{state.get('folder', '')}")


def _state(status: Path) -> dict[str, Any]:
    try:
        found = json.loads(status.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stop(_signum: int, _frame: FrameType | None) -> None:
    """As Ctrl-C."""
    raise KeyboardInterrupt


def _begun(status: Path, token: str, name: str) -> str:
    deadline = time.monotonic() + BEGIN_S
    while time.monotonic() < deadline:
        state = _state(status)
        if state.get("request") == token and state.get("recording"):
            return str(state.get("folder", ""))
        time.sleep(0.1)
    raise CommandFailed(f"the feed process of {name} did not begin to record; see: algo status {name}")


def _ended(status: Path) -> dict[str, Any]:
    deadline = time.monotonic() + BEGIN_S
    while (state := _state(status)).get("recording") and time.monotonic() < deadline:
        time.sleep(0.1)
    return state


def _line(state: dict[str, Any]) -> str:
    lost = f", {state['lost']} LOST" if state.get("lost") else ""
    return (
        f"{state.get('frames', 0):,} frames, {state.get('bytes', 0) / 1e6:.1f} MB, "
        f"{state.get('written', 0) / 1e6:.1f} MB on disk{lost}"
    )
