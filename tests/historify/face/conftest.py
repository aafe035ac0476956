from __future__ import annotations

import pytest

from brokers.calendar import FileCalendar
from tests.historify.reader.stores import HandMade


@pytest.fixture
def store(tmp_path):
    made = HandMade(tmp_path, FileCalendar())
    yield made
    made.control.close()
