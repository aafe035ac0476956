"""One simulated instance for a benchmark: its own home, free ports, limits raised, real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from brokers.model import Venue  # noqa: E402
from gateway import settings as instance_settings  # noqa: E402
from supervisor.setup import envfile  # noqa: E402

RAISED = {
    "API_RATE_LIMIT": "1000000 per second",
    "ORDER_RATE_LIMIT": "1000000 per second",
    "SMART_ORDER_RATE_LIMIT": "1000000 per second",
}
"""Only the REST limits: the broker's own windows stay as they are."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rig:
    """A simulated broker, an api and a feed process. Use as a context manager; everything is removed."""

    def __init__(self, broker: str, env: Mapping[str, str] | None = None, *, feed: bool = True) -> None:
        self.name = broker
        self.home = Path(tempfile.mkdtemp(prefix="algo-bench-"))
        self.ports = {p: free_port() for p in ("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT")}
        self._feed = feed
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        path = envfile.create(self.home, broker, None)
        lines = [line for line in path.read_text().splitlines() if line.split("=")[0] not in self.ports]
        lines += [f"{k}={v}" for k, v in {**self.ports, **RAISED, **(env or {})}.items()]
        path.write_text("\n".join(lines) + "\n")
        self.settings = instance_settings.load(self.home, broker, Venue.SIM)
        self.port = self.ports["FLASK_PORT"]
        self.sim_port = self.ports["SIM_PORT"]
        self.key = ""

    def __enter__(self) -> Rig:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(list(self._children.values())):
            child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(8)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def pid(self, role: str) -> int:
        return self._children[role].pid

    def restart(self, role: str) -> None:
        """Start a process that has ended or was killed, and wait until it is ready."""
        child = self._children.pop(role)
        child.wait(8)
        ready = {
            "api": (self.port, ["gateway", "api"]),
            "feed": (self.ports["WEBSOCKET_PORT"], ["gateway", "feed"]),
        }
        port, module = ready[role]
        self.spawn(role, [*module, "--home", str(self.home), "--instance", self.name, "--venue", "sim"])
        self._until(port, "/health/ready", lambda body: bool(body["ready"]))

    def _start(self) -> None:
        home = str(self.home)
        sim = ["brokers.sim", "--broker", self.settings.broker, "--port", str(self.sim_port), "--home", home]
        self.spawn("sim", sim)
        self._until(self.sim_port, "/_sim/health", lambda _: True)
        one = ["--home", home, "--instance", self.name, "--venue", "sim"]
        self.spawn("api", ["gateway", "api", *one])
        self._until(self.port, "/health/ready", lambda body: bool(body["ready"]))
        if self._feed:
            self.spawn("feed", ["gateway", "feed", *one])
            self._until(self.ports["WEBSOCKET_PORT"], "/health/ready", lambda body: bool(body["ready"]))
        self.key = str(self.internal("POST", "/internal/keys", {"label": "bench"})["key"])

    def spawn(self, role: str, module: Sequence[str]) -> None:
        log = (self.home / f"{role}.log").open("ab")
        self._children[role] = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def tail(self, role: str, lines: int = 15) -> str:
        return "\n".join((self.home / f"{role}.log").read_text().splitlines()[-lines:])

    def _until(self, port: int, path: str, good: Any, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                status, body = call("GET", port, path)
                if status == 200 and good(body):
                    return
            except (OSError, ValueError):
                pass
            gone = [role for role, child in self._children.items() if child.poll() is not None]
            if gone or time.monotonic() > end:
                logs = "\n".join(f"--- {role}\n{self.tail(role)}" for role in self._children)
                raise SystemExit(f"not ready: port {port} {path} (ended: {gone})\n{logs}")
            time.sleep(0.1)

    def internal(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        header = {"X-Algo-Internal": self.settings.internal_key.reveal()}
        status, answer = call(method, self.port, path, body, header)
        if status != 200 or not isinstance(answer, dict):
            raise SystemExit(f"{path}: HTTP {status} {answer}")
        return answer

    def api(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        return call("POST", self.port, f"/api/v1/{path}", {"apikey": self.key, **body})

    def sim(self, method: str, path: str, body: object = None) -> Any:
        return call(method, self.sim_port, path, body)[1]


def call(
    method: str, port: int, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """One plain call; status and decoded JSON. Not for measuring."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=data,
        method=method,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read() or b"null")


def listening(port: int, seconds: float = 20.0) -> None:
    """Wait until something accepts on a loopback port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


def commit() -> str:
    """The commit measured, with ``+`` when the tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    tree = [*git, "status", "--porcelain", "-uno"]
    dirty = subprocess.run(tree, capture_output=True, text=True, check=False)
    return name.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def quiet(below: float, patience_s: float) -> None:
    """Wait until the machine's one-minute load is below a number, at most ``patience_s``."""
    end = time.monotonic() + patience_s
    while below > 0 and os.getloadavg()[0] >= below and time.monotonic() < end:
        time.sleep(2)
