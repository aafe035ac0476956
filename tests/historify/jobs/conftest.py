from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from historify.control import Control


@pytest.fixture
def clock() -> ManualClock:
    # Friday 2026-11-20, 10:30 IST
    return ManualClock(datetime(2026, 11, 20, 5, 0, tzinfo=UTC))


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(tmp_path / "h.d" / "control.db")
    yield made
    made.close()
