"""A PostgreSQL for whoever asks for it, one for a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.historify.server import Server, start


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = start()
    try:
        yield running
    finally:
        running.stop()
