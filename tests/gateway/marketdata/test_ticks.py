"""The tick cache hears the real bus socket, only what was asked about, and never calls a part a quote."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import zmq

from brokers.clock import ManualClock
from brokers.model import InstrumentKey
from gateway.marketdata.ticks import TickCache

SBIN = InstrumentKey("NSE", "SBIN")
NIFTY = InstrumentKey("NSE_INDEX", "NIFTY")
NOW = datetime(2026, 11, 20, 5, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
WHOLE = {"ltp": 801.5, "open": 799, "high": 805, "low": 798, "close": 800, "volume": 9, "oi": 4}


class Bus:
    """An XPUB as the feed process binds it; remembers what was subscribed."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.topics: list[bytes] = []

    def hear(self, count: int) -> None:
        """Wait until that many subscriptions and cancellations arrived."""
        while len(self.topics) < count:
            assert self.socket.poll(5000), f"only {self.topics}"
            self.topics.append(self.socket.recv())

    def send(self, topic: str, **data: Any) -> None:
        payload = {"timestamp": NOW_MS, **data}
        self.socket.send_multipart([topic.encode(), json.dumps(payload).encode()])


@pytest.fixture
def bus() -> Iterator[Bus]:
    one = Bus()
    yield one
    one.socket.close(0)
    one.context.term()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def cache(bus: Bus, clock: ManualClock) -> Iterator[TickCache]:
    one = TickCache("127.0.0.1", bus.port, clock)
    one.start()
    yield one
    one.stop()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 5
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.002)
    return value


def test_only_the_prefix_of_a_wanted_symbol_is_subscribed(bus, cache):
    cache.want([SBIN])
    cache.want([SBIN])
    bus.hear(1)
    assert bus.topics == [b"\x01NSE_SBIN_"]


def test_a_whole_quote_tick_is_a_quote(bus, cache):
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_QUOTE", **WHOLE, bid=801.45, ask=801.55, bid_quantity=3)
    quote = until(lambda: cache.quote(SBIN, 2.0))
    assert (quote.ltp, quote.prev_close, quote.bid, quote.ask) == (801.5, 800.0, 801.45, 801.55)
    assert (quote.volume, quote.oi, quote.bid_quantity) == (9, 4, 3)


def test_an_old_tick_is_no_quote(bus, cache, clock):
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_QUOTE", **WHOLE, bid=801.45, ask=801.55)
    until(lambda: cache.quote(SBIN, 2.0))
    clock.advance(2.1)
    assert cache.quote(SBIN, 2.0) is None
    assert cache.last_price(SBIN, 10.0) == 801.5
    clock.advance(10)
    assert cache.last_price(SBIN, 10.0) is None


@pytest.mark.parametrize("missing", ["open", "high", "low", "close"])
def test_a_tick_with_a_zero_where_the_broker_said_nothing_is_no_quote(bus, cache, missing):
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_QUOTE", **{**WHOLE, missing: 0}, bid=801.45, ask=801.55)
    until(lambda: cache.last_price(SBIN, 2.0))
    assert cache.quote(SBIN, 2.0) is None


def test_without_bid_and_ask_only_an_index_is_a_quote(bus, cache):
    cache.want([SBIN, NIFTY])
    bus.hear(2)
    bus.send("NSE_SBIN_QUOTE", **WHOLE)
    bus.send("NSE_INDEX_NIFTY_QUOTE", **WHOLE)
    until(lambda: cache.quote(NIFTY, 2.0))
    assert cache.quote(SBIN, 2.0) is None


def test_a_depth_tick_brings_the_book_and_its_best_prices(bus, cache):
    cache.want([SBIN])
    bus.hear(1)
    book = {"buy": [{"price": 801.4, "quantity": 7, "orders": 2}], "sell": [{"price": 801.6, "quantity": 1}]}
    bus.send("NSE_SBIN_DEPTH", **WHOLE, depth=book)
    quote = until(lambda: cache.quote(SBIN, 2.0))
    assert quote.depth.bids[0].orders == 2
    assert (quote.bid, quote.ask) == (801.4, 801.6)


def test_the_newest_of_the_modes_is_the_last_price(bus, cache):
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_QUOTE", ltp=1.0, timestamp=NOW_MS - 500)
    bus.send("NSE_SBIN_LTP", ltp=2.0, timestamp=NOW_MS - 100)
    assert until(lambda: cache.heard == 2)
    assert cache.last_price(SBIN, 10.0) == 2.0


def test_the_least_recently_wanted_symbol_makes_room(bus, cache, monkeypatch):
    monkeypatch.setattr("gateway.marketdata.ticks.MOST_SYMBOLS", 1)
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_LTP", ltp=2.0)
    until(lambda: cache.last_price(SBIN, 10.0))
    cache.want([NIFTY])
    bus.hear(3)
    assert set(bus.topics[1:]) == {b"\x01NSE_INDEX_NIFTY_", b"\x00NSE_SBIN_"}
    assert cache.last_price(SBIN, 10.0) is None


def test_a_page_sees_the_last_tick_of_each_symbol(bus, cache):
    cache.want([SBIN, NIFTY])
    bus.hear(2)
    bus.send("NSE_SBIN_LTP", ltp=2.0)
    rows = until(lambda: cache.newest(10))
    assert rows == [{"exchange": "NSE", "symbol": "SBIN", "ltp": 2.0, "timestamp": NOW_MS}]


def test_a_streamed_symbol_is_a_full_topic_until_nobody_asks(bus, cache, clock):
    cache.stream([SBIN])
    cache.stream([SBIN])
    bus.hear(1)
    assert bus.topics == [b"\x01NSE_SBIN_DEPTH"]
    clock.advance(200)
    cache.want([SBIN])
    clock.advance(200)
    cache.stream([NIFTY])
    bus.hear(3)
    assert bus.topics[1:] == [b"\x01NSE_SBIN_", b"\x01NSE_INDEX_NIFTY_DEPTH"], "asked for 200 s ago"
    clock.advance(150)
    cache.want([NIFTY])
    bus.hear(5)
    assert set(bus.topics[3:]) == {b"\x00NSE_SBIN_DEPTH", b"\x01NSE_INDEX_NIFTY_"}
    assert cache.streamed == 1


def test_the_oldest_streamed_symbol_makes_room(bus, cache, monkeypatch):
    monkeypatch.setattr("gateway.marketdata.ticks.MOST_STREAMED", 1)
    cache.stream([SBIN])
    bus.hear(1)
    cache.stream([NIFTY])
    bus.hear(3)
    assert set(bus.topics[1:]) == {b"\x01NSE_INDEX_NIFTY_DEPTH", b"\x00NSE_SBIN_DEPTH"}


def test_ticks_missing_by_their_numbers_are_counted_and_a_new_feed_is_no_gap(bus, cache):
    cache.want([SBIN])
    bus.hear(1)
    for number in (1, 2, 5, 1, 2):
        bus.send("NSE_SBIN_LTP", ltp=801.5, seq=number)
    bus.send("NSE_SBIN_QUOTE", ltp=801.5)  # a channel of its own, without a number
    until(lambda: cache.heard == 6)
    assert cache.gaps == 2


def test_a_quote_is_made_once_of_a_tick_anew_of_the_next_and_never_of_an_old_one(bus, cache, clock):
    cache.want([SBIN])
    bus.hear(1)
    bus.send("NSE_SBIN_QUOTE", bid=801, ask=802, **WHOLE)
    first = until(lambda: cache.quote(SBIN, 2.0))
    assert cache.quote(SBIN, 2.0) is first
    bus.send("NSE_SBIN_QUOTE", bid=801, ask=802, **{**WHOLE, "ltp": 803})
    until(lambda: cache.quote(SBIN, 2.0) is not first)
    assert cache.quote(SBIN, 2.0).ltp == 803
    clock.advance(2.5)
    assert cache.quote(SBIN, 2.0) is None
