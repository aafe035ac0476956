"""A third broker: what ``scripts/new_broker.py`` writes, filled in, keeps the promises of the two real ones.

``zenith/`` is that folder; ``brokers.zenith`` while this module runs. Its protocol is ``simulator.py``'s.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import brokers
from brokers import registry
from brokers.clock import SystemClock
from brokers.contract import BrokerContext
from brokers.secret import Secret
from brokers.sim import settings as sim
from brokers.sim.app import assemble, listen, make_exchange, serve_app
from brokers.sim.faults import Faults
from tests.contract.conftest import Bench, ist_today
from tests.contract.test_brokers import *  # noqa: F403  the claims
from tests.contract.third import simulator
from tests.midnight import not_over_midnight

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("contract")]
HERE = Path(__file__).parent
MOST_LINES = 1200


class ZenithBench(Bench):
    def context(self, instance: str | None = None, **options: str) -> BrokerContext:
        spec = self.broker.spec
        account = sim.account_id(self.name, instance or self.instance)
        known = {"ZENITH_CLIENT_ID": account, "ZENITH_API_KEY": "k", "ZENITH_TOTP_SECRET": sim.TOTP_SECRET}
        return BrokerContext(
            credentials={name: Secret(value) for name, value in known.items()},
            endpoints=sim.endpoints(spec.sim_paths, int(self.base.rsplit(":", 1)[1])),
            options=options,
            clock=SystemClock(),
            instruments=self.table,
        )


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """The folder is where brokers are, for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brokers, "__path__", [*brokers.__path__, str(HERE)])
        patch.setattr(registry, "_SPECS", registry._specs())
        yield


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The simulated broker, on a thread; its address."""
    clock = SystemClock()
    exchange = make_exchange(seed=1, universe="small", hours="always", clock=clock)
    faults = Faults(clock, 1)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = assemble(simulator.make(exchange, faults, clock, ""), exchange, faults, clock)
    server = asyncio.run_coroutine_threadsafe(serve_app(app, listen(0)), loop).result(30)
    yield server.base_url
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def bench(installed: None, served: str) -> Bench:
    not_over_midnight(30)
    one = ZenithBench("zenith", registry.open_broker("zenith"), served)
    one.login()
    source = one.broker.instruments(one.context(), one.current)
    one.table.__init__(source.parse(source.download(), ist_today()).rows)  # type: ignore[misc]
    return one


def test_it_is_one_folder_within_the_limit() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (HERE / "zenith").rglob("*.py"))
    assert 0 < lines <= MOST_LINES
    assert not any("missing(" in path.read_text() for path in (HERE / "zenith").rglob("*.py"))
