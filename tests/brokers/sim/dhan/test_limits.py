"""Rate limits: rolling windows per account and lane."""

from __future__ import annotations

from datetime import date

import pytest

from brokers.sim.dhan.limits import Lane, Limits

DAY = date(2026, 9, 16)


@pytest.mark.parametrize(
    ("lane", "most"), [(Lane.ORDER, 10), (Lane.DATA, 5), (Lane.QUOTE, 1), (Lane.OTHER, 20)]
)
def test_one_more_than_a_second_allows_is_refused(lane: Lane, most: int) -> None:
    limits = Limits()
    assert [limits.take("a", lane, 0.0, DAY) for _ in range(most + 1)] == [True] * most + [False]
    assert limits.take("b", lane, 0.0, DAY), "accounts do not share a limit"
    assert limits.take("a", lane, 1.0, DAY), "the second has passed"


def test_250_orders_a_minute() -> None:
    limits = Limits()
    taken = sum(limits.take("a", Lane.ORDER, n * 0.15, DAY) for n in range(399))
    assert taken == 250
    assert limits.take("a", Lane.ORDER, 60.0, DAY)


def test_7000_orders_a_day_and_a_new_day_begins_anew() -> None:
    limits = Limits()
    assert all(limits.take("a", Lane.ORDER, n * 4.0, DAY) for n in range(7000))
    assert not limits.take("a", Lane.ORDER, 28_000.0, DAY)
    assert limits.take("a", Lane.ORDER, 28_000.0, date(2026, 9, 17))


def test_a_refused_call_does_not_count() -> None:
    limits = Limits()
    assert limits.take("a", Lane.QUOTE, 0.0, DAY)
    assert not limits.take("a", Lane.QUOTE, 0.9, DAY)
    assert limits.take("a", Lane.QUOTE, 1.0, DAY)


def test_the_same_option_chain_once_in_three_seconds() -> None:
    limits = Limits()
    assert limits.take_chain("a", "IDX_I/13", 0.0)
    assert limits.take_chain("a", "IDX_I/25", 0.0)
    assert not limits.take_chain("a", "IDX_I/13", 2.9)
    assert limits.take_chain("a", "IDX_I/13", 3.0)
