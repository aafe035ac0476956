"""One at a time for each key, and nothing kept of keys nobody uses."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers.errors import RateLimited
from gateway.trading.turns import Turns


def test_a_key_is_held_by_one_and_others_are_free():
    turns = Turns()
    with turns.take("a", 1):
        with pytest.raises(RateLimited, match="nothing was sent"), turns.take("a", 0.05):
            pytest.fail("two hold the same turn")
        with turns.take("b", 0.05):
            pass
    with turns.take("a", 0.05):
        pass


def test_nothing_is_lost_between_many_threads():
    turns, total = Turns(), [0, 0]

    def add(number: int) -> None:
        with turns.take(number % 2, 10):
            seen = total[number % 2]
            threading.Event().wait(0.0005)
            total[number % 2] = seen + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert total == [40, 40]
    assert turns._lines == {}


def test_a_failure_inside_gives_the_turn_back():
    turns = Turns()
    with pytest.raises(ValueError, match="inside"), turns.take("a", 1):
        raise ValueError("inside")
    with turns.take("a", 0.05):
        assert list(turns._lines) == ["a"]
