"""What commands share: find or start the supervisor, ask it, and ask an instance's api."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from brokers.errors import AlgoError, SettingsError
from brokers.model import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor import control, probe
from supervisor.lock import FolderLock
from supervisor.state import RunFolder, nonce_option, running_venue

SPAWN_DEADLINE_S = 10.0


class CommandFailed(AlgoError):
    """A command did what it could and it was not enough. Exit code 1."""

    code = "FAILED"


def ask(folder: RunFolder, command: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """One question to the running supervisor.

    Raises:
        SettingsError: It says the request or the settings are wrong.
        CommandFailed: It does not run, or says no.
    """
    where = folder.read_control()
    if where is None:
        raise CommandFailed("nothing is running here; start with: algo up")
    try:
        reply = control.request(*where, command, arguments)
    except OSError as exc:
        raise CommandFailed(f"the supervisor does not answer ({type(exc).__name__})") from exc
    if "error" in reply:
        if reply.get("exit") == 2:
            raise SettingsError(str(reply["error"]))
        raise CommandFailed(str(reply["error"]))
    return reply


def ensure_supervisor(folder: RunFolder) -> bool:
    """Start the supervisor unless it runs. Returns whether it was started. Safe to call ten times at once."""
    with FolderLock(folder.path / "up.lock", wait=True):
        if folder.read_control() is not None:
            return False
        nonce = secrets.token_hex(8)
        log_path = folder.path.parent / "log" / "supervisor.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-X", nonce_option(nonce), "-m", "supervisor.loop"]
        argv += ["--home", str(folder.home), "--venue", folder.venue.value]
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + SPAWN_DEADLINE_S
        while folder.read_control() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"the supervisor did not start; see {log_path}")
            time.sleep(0.02)
        return True


def current_folder(home: Path, *, sim: bool = False) -> RunFolder:
    """The run folder of what runs under this home; live (or ``sim``) when nothing does."""
    venue = running_venue(home) or (Venue.SIM if sim else Venue.LIVE)
    return RunFolder(home, venue)


def load_running(home: Path, name: str) -> Settings:
    """Settings of an instance in the venue that runs now (live when nothing runs)."""
    return gateway_settings.load(home, name, current_folder(home).venue)


def ask_api(
    one: Settings, method: str, path: str, body: object = None, timeout_s: float = 30.0
) -> tuple[int, Any]:
    """Call an instance's loopback interface; without a running api process, inside its lock.

    Raises:
        CommandFailed: The api process runs and does not answer, or the call could not be made.
        SettingsError: The instance cannot be opened.
    """
    headers = {"X-Algo-Internal": one.internal_key.reveal()}
    try:
        return probe.call(one.url + path, method, headers=headers, body=body, timeout_s=timeout_s)
    except ConnectionRefusedError:
        return _offline(one, method, path, body, timeout_s)
    except OSError as exc:
        raise CommandFailed(f"{one.name} does not answer on {one.url} ({type(exc).__name__})") from exc


def _offline(one: Settings, method: str, path: str, body: object, timeout_s: float) -> tuple[int, Any]:
    """The same call by a process of its own, which takes the instance's lock."""
    argv = [sys.executable, "-m", "gateway", "call", "--home", str(one.home), "--instance", one.name]
    argv += ["--venue", one.venue.value, "--method", method, "--path", path]
    done = subprocess.run(
        argv,
        input=json.dumps(body or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s + 30,
        cwd=one.home,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise (SettingsError if done.returncode == 2 else CommandFailed)(f"{one.name}: {said[0]}")
    answer = json.loads(done.stdout)
    return int(answer["status"]), answer["body"]


def message_of(answer: Any, default: str) -> str:
    return str(answer.get("message", default)) if isinstance(answer, dict) else default


def chosen(home: Path, names: tuple[str, ...]) -> list[str]:
    """The names given, else every instance that has an env file."""
    found = list(dict.fromkeys(names)) or gateway_settings.instance_names(home)
    if not found:
        raise click.UsageError("no instance named and none in instances/; try: algo up kotak dhan --sim")
    return found
