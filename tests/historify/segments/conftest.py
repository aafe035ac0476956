from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brokers.calendar import AlwaysOpen
from brokers.clock import ManualClock
from historify.lease import Lease, writing
from historify.paths import StorePaths
from historify.store import SegmentStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, 5, 0, tzinfo=UTC))


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SegmentStore]:
    made = SegmentStore(StorePaths(tmp_path / "historify.duckdb"), calendar=AlwaysOpen(), clock=clock)
    yield made
    made.close()


@pytest.fixture
def fence(store: SegmentStore, clock: ManualClock) -> Iterator[Lease]:
    with writing(store.control, store.paths.lock, "dhan", clock) as lease:
        yield lease
