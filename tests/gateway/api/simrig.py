"""One api process in memory in front of a real simulated broker process, both over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brokers.clock import SystemClock
from brokers.model import Venue
from brokers.redact import Redactor
from gateway import settings as gateway_settings
from gateway.api.parts import Parts
from gateway.compose import Composed, compose
from gateway.http.server import Server
from tests.clients import ROOT, client_python
from tests.gateway.api.rig import FREE, write_env


@dataclass
class SimRig:
    """The process, its server, a key and the broker's control endpoint."""

    made: Composed
    server: Server
    base: str
    key: str

    @property
    def parts(self) -> Parts:
        return self.made.parts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def post(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        client = self.made.app.test_client()
        return client.post(f"/api/v1/{path}", json={"apikey": self.key, **body}, headers=headers)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return self.made.app.test_client().get(f"/api/v1/{path}", query_string=query, headers=headers)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/_sim/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def seen(self, symbol: str) -> list[dict[str, Any]]:
        """Orders of one symbol that reached the broker, oldest first."""
        return [row for row in self.control("GET", "orders") if row["symbol"] == symbol]

    def held(self, symbol: str, product: str = "MIS") -> int:
        return int(self.post("openposition", symbol=symbol, exchange="NSE", product=product).json["quantity"])


@contextmanager
def running(home: Path, name: str) -> Iterator[SimRig]:
    """Logged in, instruments loaded, reconciled; every limit of the surface is free."""
    write_env(home, name)
    settings = replace(gateway_settings.load(home, name, Venue.SIM), rate_limits=FREE)
    argv = [sys.executable, "-m", "brokers.sim", "--broker", name, "--port", str(settings.sim_port)]
    with (home / "sim.log").open("wb") as log:
        process = subprocess.Popen([*argv, "--home", str(home)], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{settings.sim_port}"
    made = compose(settings, Redactor(), SystemClock())
    server = Server(made.app, "127.0.0.1", 0)
    try:
        until(lambda: _answers(f"{base}/_sim/health"), 60)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.session.login()
        made.keeper.sync()
        made.desk.start()
        made.parts.gtt.start()
        until(lambda: made.desk.status().ready, 20)
        yield SimRig(made, server, base, made.parts.keys.create("test")[1].reveal())
    finally:
        server.stop(1.0)
        made.parts.gtt.stop()
        made.desk.stop()
        made.session.stop()
        made.database.close()
        process.terminate()
        process.wait(10)


def sdk(rig: SimRig, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """What the unmodified openalgo SDK returns for (method, arguments) in turn."""
    script = ROOT / "tests" / "judges" / "openalgo_calls.py"
    done = subprocess.run(
        [str(client_python("openalgo")), str(script), rig.url, rig.key, json.dumps(calls)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answers, list)
    return answers


def until(fact: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
