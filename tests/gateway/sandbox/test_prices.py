"""Ticks as a market to trade in."""

from __future__ import annotations

import msgspec
import pytest

from brokers.model import Mode
from gateway.sandbox.prices import touch_of
from tests.gateway.sandbox.world import SBIN


def payload(**fields) -> bytes:
    return msgspec.json.encode({"ltp": 100.0, "timestamp": 1, **fields})


@pytest.mark.parametrize("fields", [{"ltp": 0}, {"ltp": None}, {"ltp": -1.0}])
def test_a_tick_without_a_price_is_no_market(fields):
    assert touch_of(payload(**fields)) is None


def test_prices_are_exact_to_four_decimals():
    touch = touch_of(payload(ltp=83.4525, bid=83.45, ask=83.4525, bid_quantity=1, ask_quantity=1))
    assert touch is not None
    assert (touch.ltp_paise, touch.bids[0].price_paise, touch.asks[0].price_paise) == (834525, 834500, 834525)


def test_empty_levels_of_a_feed_are_none():
    book = {"buy": [{"price": 99.5, "quantity": 5, "orders": 1}, {"price": 0, "quantity": 0, "orders": 0}]}
    touch = touch_of(payload(depth={**book, "sell": [{"price": 0, "quantity": 0, "orders": 0}]}))
    assert touch is not None
    assert ([level.price_paise for level in touch.bids], touch.asks) == ([995000], ())


def test_the_richest_young_tick_is_the_market(world):
    world.tick(800.0, 799.0, 801.0)
    world.clock.advance(61)
    world.tick(810.0, mode=Mode.LTP)
    touch = world.prices.touch(SBIN)
    assert touch.ltp_paise == touch.bids[0].price_paise == 8_100_000
    assert world.prices.last_price(SBIN) == 810.0
    world.clock.advance(61)
    assert world.prices.touch(SBIN) is None
    assert world.prices.last_price(SBIN) is None
    assert world.prices.mark(SBIN) == 8_100_000


def test_a_symbol_is_asked_for_once_a_minute(world):
    for _ in range(5):
        world.prices.follow(SBIN)
    assert world.ticks.streamed == [SBIN]
    world.clock.advance(61)
    world.prices.follow(SBIN)
    assert world.ticks.streamed == [SBIN, SBIN]


def test_waiting_for_a_first_price_ends(world):
    began = world.clock.monotonic()
    assert world.prices.wait(SBIN, 1.5) is None
    assert 1.5 <= world.clock.monotonic() - began < 1.6
