from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.http.server import Server
from tests.gateway.api.rig import FREE, Rig, running


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An instance without an owner; tries are free."""
    with running(tmp_path, reconciled=False) as one:
        yield one


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Rig]:
    """The same with the real limits of sign-in."""
    rates = replace(FREE, login_minute="5 per minute", login_hour="25 per hour", api="3 per minute")
    with running(tmp_path, rates=rates, reconciled=False) as one:
        yield one


@pytest.fixture
def server(rig: Rig) -> Iterator[Server]:
    one = Server(rig.app, "127.0.0.1", 0)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.stop()
