"""Find, start and ask the supervisor of a home. Imports little: ``algo status`` is typed all day."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from brokers.errors import AlgoError, SettingsError
from brokers.venue import Venue
from supervisor.children.identity import nonce_option
from supervisor.lock import FolderLock
from supervisor.state import RunFolder, running_venue

SPAWN_DEADLINE_S = 10.0
LINE_LIMIT = 1 << 20
"""Longest line of a request or a reply, bytes."""


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
        reply = request(*where, command, arguments)
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


def request(
    port: int, token: str, command: str, arguments: dict[str, Any] | None = None, timeout_s: float = 30.0
) -> dict[str, Any]:
    """Ask the supervisor.

    Raises:
        OSError: It does not answer.
    """
    line = json.dumps({"token": token, "command": command, "arguments": arguments or {}}).encode() + b"\n"
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(line)
        with connection.makefile("rb") as stream:
            raw = stream.readline(LINE_LIMIT)
    if not raw:
        raise ConnectionError("the supervisor closed the connection")
    reply = json.loads(raw)
    return reply if isinstance(reply, dict) else {"error": "unreadable reply", "exit": 1}
