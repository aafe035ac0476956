"""A loopback server and the pieces that talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.brokers.dhan import restserver


@pytest.fixture
def server() -> Iterator[restserver.State]:
    with restserver.running() as state:
        yield state
