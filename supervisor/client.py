"""What commands share that speak to an instance: its settings, and its api over loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from brokers.errors import SettingsError
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.children import probe
from supervisor.running import CommandFailed as CommandFailed
from supervisor.running import current_folder
from supervisor.state import RunFolder

STARTING_S = 20.0
AGAIN_S = 0.1


def load_running(home: Path, name: str) -> Settings:
    """Settings of an instance in the venue that runs now (live when nothing runs)."""
    return gateway_settings.load(home, name, current_folder(home).venue)


def load_up(home: Path, name: str) -> Settings:
    """As ``load_running``, of an instance that is up. Raises ``CommandFailed`` when nothing of it runs."""
    folder = current_folder(home)
    if not any(row.instance == name for row, _ in folder.live_children()):
        raise CommandFailed(f"{name} does not run; start it: algo up {name}  (simulated: --sim)")
    return gateway_settings.load(home, name, folder.venue)


def ask_api(
    one: Settings, method: str, path: str, body: object = None, timeout_s: float = 30.0
) -> tuple[int, Any]:
    """Call an instance's loopback interface; without a running api process, inside its lock.

    One that is just starting is given its moment.

    Raises:
        CommandFailed: The api process runs and does not answer, or the call could not be made.
        SettingsError: The instance cannot be opened.
    """
    deadline = time.monotonic() + STARTING_S
    while True:
        try:
            return _call(one, method, path, body, timeout_s)
        except ConnectionRefusedError:
            if not _api_lives(one):
                return _offline(one, method, path, body, timeout_s)
        if time.monotonic() > deadline:
            raise CommandFailed(f"{one.name}: its api process runs but does not listen yet; see: algo status")
        time.sleep(AGAIN_S)


def _api_lives(one: Settings) -> bool:
    key = f"{one.name}.api"
    return any(row.key == key for row, _ in RunFolder(one.home, one.venue).live_children())


def ask_running(
    one: Settings, method: str, path: str, body: object = None, timeout_s: float = 30.0
) -> tuple[int, Any]:
    """As ``ask_api``, of a running api process only. Raises ``CommandFailed`` when there is none."""
    try:
        return _call(one, method, path, body, timeout_s)
    except ConnectionRefusedError as exc:
        raise CommandFailed(f"its api process does not run (nothing listens on {one.url})") from exc


def _call(one: Settings, method: str, path: str, body: object, timeout_s: float) -> tuple[int, Any]:
    headers = {"X-Algo-Internal": one.internal_key.reveal()}
    try:
        return probe.call(one.url + path, method, headers=headers, body=body, timeout_s=timeout_s)
    except ConnectionRefusedError:
        raise
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


def answered(
    home: Path, name: str, method: str, path: str, body: object = None, timeout_s: float = 30.0
) -> dict[str, Any]:
    """What an instance answers when all is well.

    Raises:
        CommandFailed: It said no, or as ``ask_api``; the instance is named.
    """
    status, answer = ask_api(load_running(home, name), method, path, body, timeout_s)
    if status != 200 or not isinstance(answer, dict):
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    return answer


def message_of(answer: Any, default: str) -> str:
    """What an error answer says to a person; ``default`` where it says nothing."""
    return str(answer.get("message", default)) if isinstance(answer, dict) else default


def chosen(home: Path, names: tuple[str, ...]) -> list[str]:
    """The names given, else every instance that has an env file."""
    found = list(dict.fromkeys(names)) or gateway_settings.instance_names(home)
    if not found:
        raise click.UsageError("no instance named and none in instances/; try: algo up kotak dhan --sim")
    return found
