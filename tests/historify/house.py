"""A home with its real processes for the store: simulated brokers, apis, and the one that pulls."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from brokers.calendar import AlwaysOpen
from brokers.clock import IST, SystemClock
from brokers.sim.app import make_exchange
from brokers.sim.exchange.types import Kind
from brokers.venue import Venue
from gateway.settings import load
from historify.control import Control
from historify.jobs.model import Job, JobRequest
from historify.jobs.queue import Queue
from historify.model import Row
from historify.paths import StorePaths
from historify.store import SegmentStore
from tests.e2e.fleet import Fleet, until

SEED = 1
CALLS = {"dhan": "/v2/charts/", "kotak": "/market-data/1.0/historical/details"}
LOGINS = {"dhan": "generateAccessToken|RenewToken", "kotak": "tradeApiLogin|tradeApiValidate"}


@dataclass
class House:
    """``start`` makes brokers and apis run, ``puller`` the process that pulls."""

    home: Path
    names: tuple[str, ...]
    fleet: Fleet = field(init=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    puller_port: int = 0
    store_name: str = "historify"

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.home)
        self.fleet.init(*self.names)
        self.puller_port = self.fleet.shared["HISTORIFY_PORT"]
        (self.home / "logs").mkdir()

    @property
    def paths(self) -> StorePaths:
        return StorePaths(self.home / "db" / "sim" / f"{self.store_name}.duckdb")

    def start(self) -> None:
        for name in self.names:
            port = str(self.fleet.ports[name]["SIM_PORT"])
            words = ("brokers.sim", "--broker", name, "--port", port, "--seed", str(SEED))
            self.spawn(f"sim.{name}", *words, "--home", str(self.home))
        for name in self.names:
            words = ("gateway", "api", "--instance", name, "--venue", "sim", "--home", str(self.home))
            self.spawn(f"{name}.api", *words, "--allow-host", f"{name}-api")
        for name in self.names:
            until(lambda name=name: self.is_ready(name), 60, f"{name} is ready")

    def is_ready(self, name: str) -> bool:
        status, found = get(f"{self.fleet.url(name)}/health/ready")
        return bool(status == 200 and found.get("ready"))

    def start_puller(self, *order: str, standbys: bool = True) -> None:
        """``order``: the designated instance, then its standbys."""
        run = self.home / "db" / "sim" / "run"
        run.mkdir(parents=True, exist_ok=True)
        config = {
            "store": str(self.paths.face),
            "venue": "sim",
            "hours": "always",
            "publish_seconds": 5,
            "port": self.puller_port,
            "secret_file": str(run / "historify.key"),
            "candidates": [
                {"instance": n, "broker": n, "api": self.fleet.url(n), "standby": standbys and n != order[0]}
                for n in order
            ],
        }
        (run / "historify.json").write_text(json.dumps(config))
        self.spawn("historify", "historify", "--config", str(run / "historify.json"))
        until(lambda: self.health()[0] == 200, 30, "the puller is ready")

    def health(self) -> tuple[int, dict[str, Any]]:
        return get(f"http://127.0.0.1:{self.puller_port}/health/ready")

    def spawn(self, name: str, *words: str) -> None:
        with (self.home / "logs" / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def end(self, name: str, sign: int = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        process.send_signal(sign)
        return process.wait(10)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(10)

    # --- the broker's side

    def sim(self, name: str, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.fleet.ports[name]['SIM_PORT']}/_sim/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def history_calls(self, name: str) -> int:
        found = self.sim(name, "GET", "calls")
        return sum(count for path, count in found.items() if CALLS[name] in path)

    def end_session(self, name: str) -> None:
        """Its token expires, and the broker takes no login: only a person could help."""
        status = get(f"{self.fleet.url(name)}/health/ready")[1]
        refused = {"kind": "status", "code": 503, "match": {"path": LOGINS[name]}}
        self.sim(name, "POST", "faults", refused)
        self.sim(name, "POST", "expire", {"account": status["broker_session"]["account"]})

    # --- the instances' side

    def ask(
        self, name: str, path: str, body: dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request of an instance's api; its status and its JSON."""
        data = None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.fleet.url(name)}{path}", data, told)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)

    def key(self, name: str) -> str:
        """A new API key of an instance."""
        internal = load(self.home, name, Venue.SIM).internal_key.reveal()
        status, made = self.ask(name, "/internal/keys", {"label": "test"}, **{"X-Algo-Internal": internal})
        assert status in (200, 201), made
        return str(made["key"])

    # --- jobs, as any process of the home queues them

    @contextmanager
    def store(self) -> Iterator[SegmentStore]:
        store = SegmentStore(self.paths, calendar=AlwaysOpen())
        try:
            yield store
        finally:
            store.close()

    def enqueue(self, request: JobRequest) -> Job:
        control = Control(self.paths.control)
        try:
            return Queue(control, SystemClock()).enqueue(request)[0]
        finally:
            control.close()

    def job(self, job_id: int) -> Job:
        control = Control(self.paths.control)
        try:
            return Queue(control, SystemClock()).show(job_id)
        finally:
            control.close()

    def done(self, job: Job, seconds: float) -> Job:
        def ended() -> Job | None:
            found = self.job(job.id)
            return None if found.state.is_open else found

        try:
            found = until(ended, seconds, f"job {job.id} has ended")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; {self.job(job.id)}; {self.log('historify')}") from exc
        assert isinstance(found, Job)
        return found

    def log(self, name: str) -> str:
        return "\n".join((self.home / "logs" / f"{name}.log").read_text().splitlines()[-25:])

    def exchange(self) -> Any:
        """The market as the seed computes it."""
        return make_exchange(seed=SEED, universe="small", hours="always", clock=SystemClock())


def shares(exchange: Any, count: int) -> list[str]:
    found = [
        one.symbol for one in exchange.universe.listings if one.exchange == "NSE" and one.kind is Kind.EQUITY
    ]
    return sorted(found)[:count]


def truth(exchange: Any, symbol: str, interval: str, start: date, end: date) -> list[Row]:
    """What the seed computes for the days start..end, as the store keeps it."""
    listing = exchange.universe.find("NSE", symbol)
    first = datetime.combine(start, time(0), IST)
    last = datetime.combine(end + timedelta(days=1), time(0), IST)
    bars = exchange.prices.candles(listing, first, last, interval)

    def ts(at: datetime) -> int:
        if interval == "D":
            return int(datetime.combine(at.astimezone(IST).date(), time(0), UTC).timestamp())
        return int(at.timestamp())

    return [
        (
            ts(b.opens_at),
            b.open_paise / 100,
            b.high_paise / 100,
            b.low_paise / 100,
            b.close_paise / 100,
            b.volume,
            b.oi,
        )
        for b in bars
    ]


def get(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)
    except (urllib.error.URLError, OSError):
        return 0, {}
