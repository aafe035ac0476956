"""The processes of one instance for the sandbox's tests and campaign: a simulated broker, an api, a feed."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from brokers.model import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.setup import envfile
from tests.ports import free_ports

LIMITS = ("API_RATE_LIMIT", "ORDER_RATE_LIMIT", "SMART_ORDER_RATE_LIMIT")
LOOK_EVERY_S = 0.01
BOOKS = {
    "dhan": ("GET /v2/orders", "GET /v2/positions"),
    "kotak": ("GET /quick/user/orders", "GET /portfolio/v2/positions"),
}


class Broken(AssertionError):
    """A promise does not hold."""


def promise(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


class Rig:
    """The processes of one instance under a home of its own."""

    def __init__(self, home: Path, broker: str, extra: tuple[str, ...] = ()) -> None:
        self.home = home
        self.broker = broker
        text = envfile.create(home, broker, None).read_text()
        lines = [f"{name}=100000 per second" for name in LIMITS]
        # the live account is reconciled by polling the broker: not now
        lines += ["RECONCILE_ORDERS_SECONDS=3600", "RECONCILE_POSITIONS_SECONDS=3600", *extra]
        ports = free_ports(4)
        names = ("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT")
        lines += [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
        taken = {line.partition("=")[0] for line in lines}
        kept = [line for line in text.splitlines() if line.partition("=")[0] not in taken]
        path = home / "instances" / f"{broker}.env"
        path.write_text("\n".join([*kept, *lines]) + "\n")
        path.chmod(0o600)
        self.settings: Settings = gateway_settings.load(home, broker, Venue.SIM)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.key = ""
        self.began_in = ""
        self._local = threading.local()

    # --- processes

    def start(self) -> None:
        port = str(self.settings.sim_port)
        self._spawn("sim", "brokers.sim", "--broker", self.broker, "--port", port, "--home", str(self.home))
        self.start_api()
        self._spawn("feed", "gateway", "feed", *self._instance())
        made = self.internal("keys", {"label": "campaign"})
        self.key = made["key"]
        self.began_in = self.ok("analyzer")["data"]["mode"]

    def start_api(self) -> None:
        self._spawn("api", "gateway", "api", *self._instance())
        self.until(self.ready, "the api is ready")

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def _instance(self) -> tuple[str, ...]:
        return ("--home", str(self.home), "--instance", self.broker, "--venue", "sim")

    def _spawn(self, name: str, *words: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, "-m", *words], stdout=log, stderr=log)

    def until(self, fact: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        ends = time.monotonic() + seconds
        while not (value := fact()):
            if time.monotonic() > ends:
                tails = [p.read_text()[-1500:] for p in sorted(self.home.glob("*.log"))]
                raise Broken(f"not within {seconds:g} s: {what}\n" + "\n".join(tails))
            time.sleep(0.05)
        return value

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.settings.url}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    # --- calls

    def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """One call on this thread's own connection."""
        data = json.dumps({"apikey": self.key, **body}).encode()
        for attempt in (1, 2):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=30)
                self._local.connection = connection
            try:
                connection.request("POST", f"/api/v1/{path}", data, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (http.client.HTTPException, OSError):
                connection.close()
                self._local.connection = None
                if attempt == 2 or self.processes["api"].poll() is not None:
                    raise
        raise AssertionError("unreachable")

    def ok(self, path: str, **body: Any) -> dict[str, Any]:
        status, answer = self.post(path, **body)
        promise(status == 200 and answer["status"] == "success", f"{path}: {status} {answer}")
        return answer

    def internal(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.settings.url}/internal/{path}", data)
        request.add_header("X-Algo-Internal", self.settings.internal_key.reveal())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def control(self, path: str) -> Any:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.settings.sim_port}/_sim/{path}", timeout=30
        ) as a:
            return json.load(a)

    def analyze(self, on: bool) -> None:
        answer = self.ok("analyzer/toggle", mode=on)["data"]
        promise(answer["analyze_mode"] is on, f"toggle answered {answer}")

    def order(self, **changes: Any) -> dict[str, Any]:
        base = {"strategy": "campaign", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "quantity": 1}
        return {**base, "pricetype": "MARKET", "product": "MIS", **changes}

    def price(self, symbol: str) -> float:
        found = self.control(f"snapshot?exchange=NSE&symbol={symbol}")["ltp"]
        assert isinstance(found, float)
        return found


@contextmanager
def running(broker: str = "dhan", extra: tuple[str, ...] = ()) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), broker, extra)
        try:
            rig.start()
            yield rig
        finally:
            rig.stop()


class Watch:
    """Looks at the api process's sockets to the broker all the time, and at the broker's own counters."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._process = psutil.Process(rig.processes["api"].pid)
        self._stop = threading.Event()
        self.before = self._sockets()
        self.seen: set[tuple[str, int]] = set()
        self.looks = 0
        self.calls = rig.control("calls")
        self.began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _sockets(self) -> set[tuple[str, int]]:
        port = self._rig.settings.sim_port
        return {
            (c.laddr.ip, c.laddr.port)
            for c in self._process.net_connections("tcp")
            if c.raddr and c.raddr.port == port
        }

    def _run(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._stop.wait(LOOK_EVERY_S):
                self.seen |= self._sockets()
                self.looks += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def end(self) -> None:
        """Raises ``Broken`` when the broker was called, or a new socket to it was seen."""
        self.stop()
        promise(self.looks > 0, "the sockets were looked at")
        promise(not self.seen - self.before, f"new sockets to the broker: {self.seen - self.before}")
        # in the background, whatever the mode: the feed asks every few seconds what the live account holds.
        # A leak would be many more, and in other calls too
        allowed = 2 + int(time.monotonic() - self.began)
        more = {
            call: count - self.calls.get(call, 0)
            for call, count in self._rig.control("calls").items()
            if count - self.calls.get(call, 0) > (allowed if call in BOOKS[self._rig.broker] else 0)
        }
        promise(not more, f"calls to the broker: {more}")


# --- quiet
