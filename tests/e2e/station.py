"""One instance without its supervisor: a simulated broker and an api process to kill and start at will."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from brokers.model import Venue
from gateway import settings
from tests.e2e.fleet import Fleet, until
from tests.e2e.trader import OUR_WORDS, Trader

FAST = {
    "BROKER_TIMEOUT_SECONDS": 1,
    "ORDER_DEADLINE_SECONDS": 5,
    "ORDER_RATE_LIMIT": "10000 per second",
    "API_RATE_LIMIT": "10000 per second",
}
UNFINISHED = ("journaled", "sending", "unknown")


class Station:
    """A home with one instance. ``trader`` trades through it and looks behind it."""

    def __init__(self, home: Path, name: str, **more: object) -> None:
        self.name = name
        self.fleet = Fleet(home)
        self.fleet.init(name)
        self.lives = 0
        self._api: subprocess.Popen[bytes] | None = None
        self._sim: subprocess.Popen[bytes] | None = None
        self._logs = home / "logs"
        self._logs.mkdir()
        path = home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + "".join(f"{k}={v}\n" for k, v in {**FAST, **more}.items()))
        self.trader = Trader(self.fleet, name, "")

    @property
    def ports(self) -> dict[str, int]:
        return self.fleet.ports[self.name]

    def open(self, *, broker: bool = True) -> Trader:
        """Broker (unless it runs elsewhere) and instance, ready; a trader with a key. Once is enough."""
        if self.trader.key:
            return self.trader
        if broker:
            port = str(self.ports["SIM_PORT"])
            self._sim = self._spawn("sim", "brokers.sim", "--broker", self.name, "--port", port)
            until(self._sim_answers, 60, "the simulated broker answers")
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

    # -- what is true

    def rows(self) -> list[dict[str, Any]]:
        """Every journal row, also while no process has the file open."""
        path = self.fleet.home / "db" / "sim" / f"openalgo_{self.name}.db"
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM orders WHERE merged_into IS NULL")]

    def settled(self) -> bool:
        return not any(row["state"] in UNFINISHED or row["pending"] for row in self.rows())

    def check_rows(self) -> int:
        """Every order the broker saw has its journal row, and no intent has two; how many it saw."""
        tags = {row["tag"]: row for row in self.rows() if row["tag"]}
        seen: set[str] = set()
        orders = self.trader.at_broker()
        for order in orders:
            tag = order["tag"][:16]
            assert tag in tags, f"{self.name}: the broker saw {order}, the journal has no row of it"
            assert tag not in seen, f"{self.name}: two orders of one intent: {order}"
            seen.add(tag)
        return len(orders)

    def check_truth(self) -> dict[str, int]:
        """Journal and broker agree on every order; how many stand in each state."""
        self.check_rows()
        by_tag = {order["tag"][:16]: order for order in self.trader.at_broker()}
        counts: dict[str, int] = {}
        clients: set[str] = set()
        for row in self.rows():
            order = by_tag.get(row["tag"])
            true = OUR_WORDS[order["status"]] if order else "rejected"
            assert row["state"] == true, f"{self.name}: J{row['id']} is {row['state']}, really {true}: {row}"
            if order:
                assert row["order_id"] == order["id"]
                assert row["filled_quantity"] == order["filled"]
                if row["client_order_id"]:
                    assert row["client_order_id"] not in clients
                    clients.add(row["client_order_id"])
            counts[true] = counts.get(true, 0) + 1
        return counts

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
