from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.kotak.rest import KotakRest
from brokers.secret import Secret
from brokers.transport import Transport
from tests.brokers.kotak.rows import Table
from tests.brokers.kotak.server import CREDENTIALS, Server, running

NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def context(server: Server, clock: ManualClock) -> Callable[..., BrokerContext]:
    """A context whose every address is the test's server; options are given by name."""

    def make(credentials: dict[str, Secret] | None = None, **options: Any) -> BrokerContext:
        ws = server.url.replace("http", "ws")
        return BrokerContext(
            credentials=CREDENTIALS if credentials is None else credentials,
            endpoints={
                "login": server.url,
                "config": f"{server.url}/5config/config",
                "hsm": f"{ws}/hsm",
                "sfeed": f"{ws}/apifeed",
            },
            options=options,
            clock=clock,
            instruments=Table(),
        )

    return make


@pytest.fixture
def session(server: Server) -> BrokerSession:
    return BrokerSession(
        broker="kotak",
        account="ABC12",
        secrets={"token": Secret("TRADE"), "sid": Secret("SID-1"), "access_token": Secret("app-token")},
        attributes={"base_url": server.url, "ucc": "ABC12", "server_id": "server2", "feed": ""},
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=10),
        generation=1,
    )


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def rest(context: Callable[..., BrokerContext], session: BrokerSession, slept: list[float]) -> KotakRest:
    return make(context(), session, slept)


def make(context: BrokerContext, session: BrokerSession, slept: list[float] | None = None) -> KotakRest:
    transport = Transport(connect_timeout_s=1, read_timeout_s=0.5, read_retries=1)
    return KotakRest(context, lambda: session, transport, sleep=(slept if slept is not None else []).append)
