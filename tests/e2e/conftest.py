from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.fleet import Fleet
from tests.midnight import not_over_midnight

RUN_S = 100.0
"""Usual length of a module of end-to-end tests."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Kotak and Dhan, simulated, up and ready; shared by the tests of a module."""
    not_over_midnight(RUN_S)
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak", "dhan")
    try:
        one.ok("up", "kotak", "dhan", "--sim", "-d")
        yield one
    finally:
        one.destroy()
