from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.sandbox.world import World, make


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = make(tmp_path / "sandbox.db")
    yield one
    one.database.close()
