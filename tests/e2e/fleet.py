"""A temporary home with real processes on free ports, driven through the command line as a user would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from supervisor.setup import envfile
from tests.ports import free_ports

PORT_SETTINGS = ("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT")
SHARED_PORTS = ("HISTORIFY_PORT", "CONSOLE_PORT", "ROUTE_PORT")
"""One for all instances of a home, the same in every file."""


@dataclass
class Fleet:
    """Instances under one home. ``ports[name]`` maps a setting to its port."""

    home: Path
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)

    def init(self, *names: str) -> None:
        """Write env files as ``algo init`` does, then give them free ports."""
        self.shared = self.shared or dict(zip(SHARED_PORTS, free_ports(len(SHARED_PORTS)), strict=True))
        for name in names:
            path = envfile.create(self.home, name, None)
            numbers = dict(zip(PORT_SETTINGS, free_ports(len(PORT_SETTINGS)), strict=True))
            self.ports[name] = numbers
            text = path.read_text()
            for setting, port in (numbers | self.shared).items():
                line = f"{setting}={port}"
                text, count = re.subn(rf"(?m)^{setting}=.*$", line, text)
                text = text if count else f"{text}{line}\n"
            path.write_text(text)

    def algo(self, *words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "supervisor", "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )

    def ok(self, *words: str) -> str:
        """Run a command that must succeed; its standard output."""
        done = self.algo(*words)
        assert done.returncode == 0, f"algo {' '.join(words)}: {done.stdout}\n{done.stderr}\n{self.tails()}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        found = json.loads(self.ok("status", "--json"))
        assert isinstance(found, dict)
        return found

    def instance(self, name: str) -> dict[str, Any]:
        return next(row for row in self.status()["instances"] if row["name"] == name)

    def key(self, name: str) -> str:
        return self.ok("key", "create", name, "--quiet").strip()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]['FLASK_PORT']}"

    def processes(self) -> list[psutil.Process]:
        """Every process that has this home on its command line."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(word == str(self.home) or word.startswith(f"{self.home}/") for word in words):
                found.append(process)
        return found

    def tails(self) -> str:
        logs = sorted((self.home / "db" / "sim" / "log").glob("*.log"))
        return "\n".join(f"--- {p.name}\n" + "\n".join(p.read_text().splitlines()[-12:]) for p in logs)

    def destroy(self) -> None:
        """End every process of this home, whatever state it is in."""
        self.algo("down", timeout_s=60)
        for process in self.processes():
            process.kill()


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until a condition is truthy; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
