from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.api import simrig
from tests.gateway.api.rig import Rig, running


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A ready instance with a free rate."""
    with running(tmp_path) as one:
        yield one


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A ready instance for tests whose requests are refused: nothing is ever placed on it."""
    with running(tmp_path_factory.mktemp("quiet")) as one:
        yield one
        assert one.rest.placed == []


@pytest.fixture(scope="session", params=["dhan", "kotak"])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[simrig.SimRig]:
    """An api process in front of a simulated broker. Shared: each test trades in symbols of its own."""
    with simrig.running(tmp_path_factory.mktemp("home"), request.param) as one:
        yield one
