"""One instance without its supervisor: a simulated broker and an api process to kill and start at will."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from brokers.model import Venue
from gateway import settings
from tests.e2e.books import Books
from tests.e2e.fleet import Fleet, until
from tests.e2e.trader import Trader

FAST = {
    "BROKER_TIMEOUT_SECONDS": 1,
    "ORDER_DEADLINE_SECONDS": 5,
    "ORDER_RATE_LIMIT": "10000 per second",
    "API_RATE_LIMIT": "10000 per second",
}


class Station(Books):
    """A home with one instance. ``trader`` trades through it and looks behind it."""

    def __init__(self, home: Path, name: str, **more: object) -> None:
        fleet = Fleet(home)
        fleet.init(name)
        super().__init__(Trader(fleet, name, ""))
        self.lives = 0
        self._api: subprocess.Popen[bytes] | None = None
        self._sim: subprocess.Popen[bytes] | None = None
        self._logs = home / "logs"
        self._logs.mkdir()
        path = home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + "".join(f"{k}={v}\n" for k, v in {**FAST, **more}.items()))

    @property
    def ports(self) -> dict[str, int]:
        return self.fleet.ports[self.name]

    def open(self, *, broker: bool = True) -> Trader:
        """Broker (unless it runs elsewhere) and instance, ready; a trader with a key. Once is enough."""
        if self.trader.key:
            return self.trader
        if broker:
            self.start_broker()
        if self._api is None:
            self.start()
        self.ready()
        self.trader.key = self._internal("keys", {"label": "station"})["key"]
        return self.trader

    def start(self) -> None:
        """A new life of the api process; does not wait."""
        self.lives += 1
        words = ("gateway", "api", "--instance", self.name, "--venue", "sim")
        self._api = self._spawn("api", *words)

    def start_broker(self) -> None:
        """The simulated broker, also after ``kill_broker``: its orders are as they were."""
        port = str(self.ports["SIM_PORT"])
        self._sim = self._spawn("sim", "brokers.sim", "--broker", self.name, "--port", port)
        until(self._sim_answers, 60, "the simulated broker answers")

    def kill_broker(self) -> None:
        """Nobody listens at the broker's address any more."""
        assert self._sim is not None
        self._sim.kill()
        self._sim.wait(10)

    def kill(self) -> None:
        """SIGKILL, wherever it stands."""
        assert self._api is not None
        os.kill(self._api.pid, signal.SIGKILL)
        self._api.wait(10)

    def ready(self, seconds: float = 60.0) -> dict[str, Any]:
        def look() -> Any:
            assert self._api is not None
            assert self._api.poll() is None, self.tail()
            found = self.trader.ready()
            return found if found.get("ready") else None

        found = until(look, seconds, f"{self.name} is ready")
        assert isinstance(found, dict)
        return found

    def login(self) -> None:
        """A login at the broker, as ``algo login`` asks for one."""
        self._internal("login", {"totp": None})

    def close(self) -> None:
        for process in (self._api, self._sim):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)

    def tail(self) -> str:
        return "\n".join((self._logs / "api.log").read_text().splitlines()[-20:])

    # -- processes

    def _internal(self, path: str, body: dict[str, Any]) -> Any:
        loaded = settings.load(self.fleet.home, self.name, Venue.SIM)
        headers = {"Content-Type": "application/json", "X-Algo-Internal": loaded.internal_key.reveal()}
        url = f"{self.fleet.url(self.name)}/internal/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def _sim_answers(self) -> bool:
        assert self._sim is not None
        assert self._sim.poll() is None, (self._logs / "sim.log").read_text()[-2000:]
        try:
            return bool(self.trader.sim("GET", "health"))
        except OSError:
            return False

    def _spawn(self, log: str, *words: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", *words, "--home", str(self.fleet.home)]
        with (self._logs / f"{log}.log").open("ab") as out:
            return subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
