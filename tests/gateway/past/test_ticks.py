"""Candles as ticks: values only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST
from brokers.model import InstrumentKey, Tick
from gateway.past.ticks import playable, ticks, together
from historify.model import INTERVALS, Bars

SBIN = InstrumentKey("NSE", "SBIN")
OPENS = int(datetime(2024, 1, 2, 9, 15, tzinfo=IST).timestamp())
UP = (OPENS, 100.0, 103.0, 99.0, 102.0, 11, 5)
DOWN = (OPENS + 60, 102.0, 104.0, 98.0, 99.0, 3, 6)
NEXT_DAY = (OPENS + 86_400, 110.0, 111.0, 109.0, 110.0, 0, 7)


def made(*rows: tuple[float, ...], interval: str = "1m", prev_close: float = 97.0) -> list[Tick]:
    return list(ticks(SBIN, Bars.of(rows), interval, FileCalendar(), prev_close))


def test_a_candle_goes_through_its_low_first_when_it_rose_and_its_high_when_it_fell():
    found = made(UP, DOWN)
    assert [t.ltp for t in found] == [100, 99, 103, 102, 102, 104, 98, 99]
    assert [t.received_ns // 10**9 - OPENS for t in found] == [0, 20, 40, 59, 60, 80, 100, 119]
    assert [(t.bid, t.ask) for t in found] == [(t.ltp, t.ltp) for t in found]
    assert {t.last_trade_ms == t.received_ns // 10**6 for t in found} == {True}


def test_the_volume_is_split_and_the_day_sums_up():
    found = made(UP, DOWN, NEXT_DAY)
    assert [t.last_quantity for t in found] == [2, 2, 2, 5, 0, 0, 0, 3, 0, 0, 0, 0]
    assert [t.volume for t in found] == [2, 4, 6, 11, 11, 11, 11, 14, 0, 0, 0, 0]
    assert [(t.open, t.high, t.low) for t in found[4:9]] == [
        (100, 103, 99), (100, 104, 99), (100, 104, 98), (100, 104, 98), (110, 110, 110),
    ]  # fmt: skip
    assert [t.prev_close for t in found[::4]] == [97, 97, 99]
    assert [t.oi for t in found[::4]] == [5, 6, 7]
    assert made(UP, prev_close=0.0)[0].prev_close is None


def test_a_longer_candle_takes_longer_and_a_day_its_session():
    hour = [(t.received_ns // 10**9 - OPENS) for t in made(UP, interval="1h")]
    assert hour == [0, 1200, 2400, 3599]
    midnight = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())
    found = made((midnight, *UP[1:]), interval="D")
    assert [t.received_ns // 10**9 - OPENS for t in found] == [0, 7500, 15_000, 22_499]
    always = list(ticks(SBIN, Bars.of([(midnight, *UP[1:])]), "D", AlwaysOpen(), 0.0))
    assert always[-1].received_ns - always[0].received_ns == (86_400 - 1) * 10**9


def test_many_instruments_go_by_time_and_then_as_they_were_named():
    other = InstrumentKey("NSE", "INFY")
    two = list(ticks(other, Bars.of([UP]), "1m", FileCalendar(), 0.0))
    order = [t.key.symbol for t in together([made(UP), two])]
    assert order == ["SBIN", "INFY"] * 4
    assert [t.key.symbol for t in together([two, made(UP)])] == ["INFY", "SBIN"] * 4


@pytest.mark.parametrize("interval", INTERVALS)
def test_what_has_no_time_is_not_played(interval):
    assert playable(interval) is (interval not in ("W", "M", "Q", "Y"))
