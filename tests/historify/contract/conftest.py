"""Both stores behind the same claims: files, and a PostgreSQL started here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from historify import lease
from historify.contract import BarStore
from historify.control import Control
from historify.paths import StorePaths
from historify.store import open_store
from tests.historify.contract import rig as rigs
from tests.historify.contract.rig import Rig
from tests.historify.server import Server, has_timescale

POSTGRES = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgres"))
"""One group: one worker, one server."""
STORES = ["files", POSTGRES]
if has_timescale():
    STORES.append(pytest.param("timescale", marks=pytest.mark.xdist_group("postgres")))


@pytest.fixture(scope="session", params=STORES)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A store shared by all claims; each writes series of its own."""
    folder = tmp_path_factory.mktemp(str(request.param))
    if request.param == "files":
        one = _files(folder)
    else:
        one = _postgres(folder, request.getfixturevalue("server"), request.param)
    try:
        one.take()
        yield one
    finally:
        one.store.close()


def _files(folder: Path) -> Rig:
    sessions = rigs.calendar(folder)
    face = folder / "historify.duckdb"
    control = Control(StorePaths(face).control)
    clock = ManualClock(datetime(2025, 3, 20, 6, 0, tzinfo=UTC))

    def take() -> int:
        return lease.acquire(control, None, "contract", clock, force=True).epoch

    def opened() -> BarStore:
        return open_store(str(face), calendar=sessions)

    return Rig(opened(), sessions, opened, control, take)


def _postgres(folder: Path, server: Server, kind: str) -> Rig:
    sessions = rigs.calendar(folder)
    epochs = iter(range(1, 1_000_000))
    url = server.url(server.database(kind, "timescaledb" if kind == "timescale" else None))

    control = Control(folder / "control.db")

    def opened() -> BarStore:
        return open_store(url, calendar=sessions, control=lambda: control)

    return Rig(opened(), sessions, opened, control, lambda: next(epochs))
