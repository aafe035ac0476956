"""One simulated broker process and its adapter, per broker, shared by the claims."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers import registry
from brokers.clock import IST, SystemClock
from brokers.contract import Broker, BrokerContext, BrokerSession, Rest
from brokers.errors import LoginRequired
from brokers.model import Instrument, InstrumentKey
from brokers.secret import Secret
from brokers.sim import settings as sim
from tests.midnight import not_over_midnight
from tests.ports import free_ports

RUN_S = 75.0
"""Usual length of one broker's claims."""


class Table:
    """An instrument table in memory."""

    def __init__(self, rows: list[Instrument]) -> None:
        self.rows = rows
        self._by_key = {row.key: row for row in rows}
        self._by_token = {(row.broker_exchange, row.token): row for row in rows}
        self._by_symbol = {(row.broker_exchange, row.broker_symbol): row for row in rows}

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._by_key.get(key)

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        return self._by_token.get((broker_exchange, token))

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        return self._by_symbol.get((broker_exchange, broker_symbol))


@dataclass
class Bench:
    """An adapter in front of its simulated broker."""

    name: str
    broker: Broker
    base: str
    instance: str = "contract"
    table: Table = field(default_factory=lambda: Table([]))
    session: BrokerSession | None = None

    def context(self, instance: str | None = None, **options: str) -> BrokerContext:
        spec = self.broker.spec
        who = instance or self.instance
        known = sim.credentials(self.name, who)
        port = int(self.base.rsplit(":", 1)[1])
        return BrokerContext(
            credentials={k: Secret(v) for k, v in known.items()},
            endpoints=sim.endpoints(spec.sim_paths, port),
            options={**spec.options, **options},
            clock=SystemClock(),
            instruments=self.table,
        )

    def current(self) -> BrokerSession:
        if self.session is None:
            raise LoginRequired("no session")
        return self.session

    def login(self) -> BrokerSession:
        generation = self.session.generation + 1 if self.session else 1
        self.session = self.broker.auth(self.context()).login().with_generation(generation)
        return self.session

    def rest(self) -> Rest:
        return self.broker.rest(self.context(), self.current)

    def instrument(self, exchange: str, symbol: str) -> Instrument:
        found = self.table.by_key(InstrumentKey(exchange, symbol))
        assert found is not None, f"{exchange}:{symbol}"
        return found

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/_sim/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None


def start(name: str, home: Path, seed: int = 1) -> tuple[subprocess.Popen[bytes], str]:
    """A simulated broker process, answering."""
    [port] = free_ports(1)
    argv = [sys.executable, "-m", "brokers.sim", "--broker", name, "--port", str(port), "--home", str(home)]
    with (home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([*argv, "--seed", str(seed)], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{base}/_sim/health", timeout=2) as answer:
                if answer.status == 200:
                    return process, base
        except OSError:
            assert process.poll() is None, (home / f"{name}.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the simulated broker did not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module", params=sorted(sim.PORTS))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    not_over_midnight(RUN_S)
    name = str(request.param)
    process, base = start(name, tmp_path_factory.mktemp(name))
    try:
        one = Bench(name, registry.open_broker(name), base)
        one.login()
        source = one.broker.instruments(one.context(), one.current)
        one.table.__init__(source.parse(source.download(), ist_today()).rows)  # type: ignore[misc]
        yield one
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def rest(bench: Bench) -> Iterator[Rest]:
    """The adapter's REST half with a live session and no faults left behind."""
    bench.control("DELETE", "faults")
    yield bench.rest()
    bench.control("DELETE", "faults")


def ist_today() -> date:
    return datetime.now(UTC).astimezone(IST).date()
