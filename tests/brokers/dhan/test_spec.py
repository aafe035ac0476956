"""The light half, and the door to the heavy one."""

from __future__ import annotations

import subprocess
import sys

from brokers import registry
from brokers.dhan import SPEC
from brokers.dhan.feed.feed import PER_SOCKET, SOCKETS
from brokers.dhan.wire import market as wire

CHECK = """
import sys
before = set(sys.modules)
import brokers.dhan
heavy = {"urllib3", "websockets", "msgspec", "asyncio", "ssl", "pyotp", "aiohttp"} & set(sys.modules)
print(sorted(heavy - before))
"""


def test_the_spec_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_registry_opens_the_heavy_half() -> None:
    broker = registry.open_broker("dhan")
    assert broker.spec is SPEC


def test_the_spec_says_what_the_rooms_do() -> None:
    assert SPEC.capabilities.feed_instruments == SOCKETS * PER_SOCKET
    assert set(SPEC.endpoints) == set(SPEC.sim_paths)
    assert wire.INSTRUMENTS_PER_MESSAGE == 100


def test_every_window_stays_below_what_dhan_publishes() -> None:
    published = {1.1: 10, 60.0: 250, 3600.0: 1000, 86400.0: 7000}
    assert {w.seconds for w in SPEC.order_windows} == set(published)
    assert all(w.count < published[w.seconds] for w in SPEC.order_windows)
