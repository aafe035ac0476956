"""A loopback server and the pieces that talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.brokers.dhan.server import State, running


@pytest.fixture
def server() -> Iterator[State]:
    with running() as state:
        yield state
