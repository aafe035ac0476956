"""Processes of one instance that start at once, and what they do not load."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

from brokers.model import Venue
from gateway import together
from gateway.settings import Settings, load
from supervisor.setup import envfile
from tests.ports import free_ports


def settings(home: Path, port: int) -> Settings:
    envfile.create(home, "dhan", None)
    return replace(load(home, "dhan", Venue.SIM), sim_port=port, port=port)


def test_it_waits_until_the_broker_listens_and_not_longer(tmp_path: Path) -> None:
    [port] = free_ports(1)
    one, looks = settings(tmp_path, port), 0
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def look(_: float) -> bool:
            nonlocal looks
            looks += 1
            if looks == 3:
                server.bind(("127.0.0.1", port))
                server.listen()
            return False

        assert not together.broker_listens(one)
        together.wait_for_broker(one, look)
        assert looks == 3
        assert together.broker_listens(one)


def test_a_process_that_is_to_end_waits_no_longer(tmp_path: Path) -> None:
    [port] = free_ports(1)
    stop = threading.Event()
    stop.set()
    together.wait_for_broker(settings(tmp_path, port), stop.wait)


def test_a_live_broker_is_not_waited_for(tmp_path: Path) -> None:
    [port] = free_ports(1)
    assert together.broker_listens(replace(settings(tmp_path, port), venue=Venue.LIVE))


def test_the_api_process_loads_no_http_client_it_does_not_use() -> None:
    heavy = ("aiohttp", "duckdb", "pyarrow")
    code = f"import sys, gateway.runtime; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]
