"""The last day at hand: what comes out is what went in, and only while it is the newest."""

from __future__ import annotations

import pytest

from historify import tail
from historify.days import day_start
from historify.model import Bars, Series
from tests.historify.reader.stores import HandMade, at, daily, days, minutes


def test_a_packed_day_comes_back_bit_by_bit():
    bars = Bars.of([(5, 0.1, 150000.15, -1.0, 2.5, 2**62, 0), (6, 1e-9, 2.0, 1.0, 1.5, 0, -1)])
    assert tail.unpack(tail.pack(bars), 2) == bars
    assert tail.unpack(tail.pack(Bars()), 0) == Bars()


def test_the_last_day_is_that_of_the_exchange():
    """08:00 IST is still the day before in UTC."""
    rows = minutes("2026-11-02", "23:00", 5) + minutes("2026-11-03", "04:00", 3)
    assert list(tail.last_day(Bars.of(rows), "1m").ts) == [row[0] for row in rows[5:]]
    assert len(tail.last_day(Bars.of(days([("2026-11-02", 1), ("2026-11-03", 2)])), "D")) == 1
    assert tail.last_day(Bars(), "1m") == Bars()
    assert day_start(at("2026-11-03", "04:00"), "1m") == at("2026-11-03", "00:00")
    assert day_start(daily("2026-11-03"), "D") == daily("2026-11-03")


@pytest.fixture
def store(tmp_path):
    made = HandMade(tmp_path)
    yield made
    made.control.close()


def test_a_row_counts_while_its_segment_is_the_newest(store):
    series = Series("NSE", "SBIN", "1m")
    old = store.add(series, minutes("2026-11-02", "09:15", 5), hot=True)
    with store.control.read() as connection:
        assert len(tail.read(connection, [("NSE", "SBIN"), ("NSE", "X")], "1m")["NSE", "SBIN"]) == 5
        assert tail.read(connection, [("NSE", "SBIN")], "D") == {}
    store.add(series, minutes("2026-11-03", "09:15", 5))
    with store.control.read() as connection:
        assert tail.read(connection, [("NSE", "SBIN")], "1m") == {}
    assert old.hi == at("2026-11-02", "09:19")


def test_what_ended_long_ago_is_forgotten(store):
    store.add(Series("NFO", "NIFTY27OCT26FUT", "1m"), minutes("2026-10-27", "09:15", 5), hot=True)
    store.add(Series("NFO", "NIFTY24NOV26FUT", "1m"), minutes("2026-11-03", "09:15", 5), hot=True)
    with store.control.transaction() as tx:
        assert tail.drop(tx, at("2026-11-01", "00:00")) == 1
        kept = tail.read(tx, [("NFO", "NIFTY27OCT26FUT"), ("NFO", "NIFTY24NOV26FUT")], "1m")
    assert list(kept) == [("NFO", "NIFTY24NOV26FUT")]
