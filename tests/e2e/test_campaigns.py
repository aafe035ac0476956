"""The campaigns of ``scripts/campaigns`` at small counts: kills, repeats, windows, starts, sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.campaigns import crash, expired, faults, limiter, reconcile, same_key
from tests.e2e.station import Station

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
Make = Callable[..., Station]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Make]:
    made: list[Station] = []

    def make(name: str, **more: object) -> Station:
        made.append(Station(tmp_path, name, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_kills_lose_and_double_nothing(station: Make) -> None:
    figures = crash.run(station("kotak"), kills=4, seed=7)
    assert figures.orders > 0


def test_one_id_posted_sixty_times_is_one_order(station: Make) -> None:
    same_key.run(station("kotak", **same_key.DEFAULTS), posts=60)


def test_no_window_of_the_broker_is_exceeded(station: Make) -> None:
    one = station("dhan", ORDER_DEADLINE_SECONDS=limiter.DEADLINE_S)
    limiter.run(one, clients=2, seconds=3.0)


def test_no_session_is_said_and_a_login_is_enough(station: Make) -> None:
    expired.run(station("dhan"), orders=5)


def test_a_start_settles_what_the_broker_has(tmp_path: Path) -> None:
    figures = reconcile.run("dhan", tmp_path, orders=500, positions=50)
    assert figures.positions == 50


@pytest.mark.parametrize("name", ["dhan", "kotak"])
def test_a_change_is_never_misreported(station: Make, name: str) -> None:
    told = faults.run(station(name))
    assert len(told) == 2 * len(faults.FAULTS)
