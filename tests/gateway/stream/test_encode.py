from __future__ import annotations

import struct
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.model import Depth, InstrumentKey, Level, Mode
from gateway.stream.encode import Coder, Grid, text_frame
from gateway.stream.topics import Name
from tests.gateway.stream.rig import SBIN, instrument, tick

KEY = InstrumentKey("NSE", "SBIN")


def data(one, mode=Mode.DEPTH, of=SBIN, seq=1):
    coder = Coder(Name(of.key.exchange, of.key.symbol, mode), of, "dhan")
    return msgspec.json.decode(coder.payload(one, seq))


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


@pytest.mark.parametrize(
    ("size", "sent", "meant"),
    [
        ("0.05", float32(150000.15), 150000.15),
        ("0.05", float32(2456.35), 2456.35),
        ("0.0025", float32(83.1275), 83.1275),
        ("0.1", 1005.13, 1005.1),
        ("5", 52343.0, 52345.0),
        ("0.03", 1.0, 0.99),
        ("0", float32(24853.15), 24853.15),
        ("0", float32(13.4725), 13.4725),
    ],
)
def test_prices_go_to_the_instruments_tick(size, sent, meant):
    assert Grid(instrument("NSE", "X", size)).price(sent) == meant


@given(st.integers(1, 4_000_000), st.sampled_from(["0.05", "0.01", "0.1", "1"]))
def test_a_price_on_the_grid_survives_a_32_bit_float(steps, size):
    price = float(Decimal(size) * steps)
    # below the point where neighbouring ticks share a 32-bit float
    if price * 2**-24 < float(size) / 2:
        assert Grid(instrument("NSE", "X", size)).price(float32(price)) == price


def test_average_is_not_forced_onto_the_grid_but_close_is_where_it_can_be():
    got = data(tick(KEY, average_price=812.3349, prev_close=float32(790.05)), Mode.QUOTE)
    assert got["average_price"] == got["avg_trade_price"] == 812.33
    assert got["close"] == 790.05
    # yesterday's tick was finer than today's
    assert Grid(instrument("NSE", "X", "0.1")).close(float32(1005.05)) == 1005.05


def test_ltp_has_exactly_the_contracts_keys():
    got = data(tick(KEY, 801.5), Mode.LTP, seq=7)
    assert set(got) == {"symbol", "exchange", "mode", "ltp", "ltt", "timestamp", "seq"}
    assert got["seq"] == 7
    assert got["ltt"] == 1795150000000
    assert got["timestamp"] > 1_700_000_000_000


def test_quote_carries_both_spellings_and_change():
    got = data(tick(KEY, 801.5, last_quantity=25, average_price=800.0, oi=9, open=795.0, high=805.0, low=1.0))
    assert got["last_quantity"] == got["last_trade_quantity"] == 25
    assert got["average_price"] == got["avg_trade_price"] == 800.0
    assert got["oi"] == got["open_interest"] == 9
    assert (got["open"], got["high"], got["low"], got["close"]) == (795.0, 805.0, 1.0, 790.0)
    assert (got["change"], got["change_percent"]) == (11.5, 1.46)
    assert got["volume"] == 1000


def test_what_the_broker_never_sent_is_zero_in_a_quote_and_an_unknown_trade_time_is_left_out():
    got = data(tick(KEY, 801.5, Mode.QUOTE, prev_close=None, last_trade_ms=None, volume=None), Mode.QUOTE)
    assert (got["volume"], got["close"], got["change"], got["change_percent"]) == (0, 0.0, 0.0, 0.0)
    assert "ltt" not in got


def test_depth_has_levels_with_orders_and_says_how_many():
    book = Depth(tuple(Level(800 - i * 0.05, 5, 1) for i in range(20)), (Level(float32(800.1), 7, 3),))
    got = data(tick(KEY, depth=lambda: book))
    assert got["depth"]["sell"] == [{"price": 800.1, "quantity": 7, "orders": 3}]
    assert len(got["depth"]["buy"]) == got["depth_level"] == 20


@pytest.mark.parametrize("price", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("of", [SBIN, instrument("NSE_INDEX", "NIFTY", "0"), instrument("MCX", "G", "5")])
def test_a_price_that_is_no_number_is_never_encoded(price, of):
    with pytest.raises((ValueError, OverflowError)):
        data(tick(of.key, price), Mode.LTP, of)


def test_index_prices_keep_what_the_broker_sent():
    nifty = instrument("NSE_INDEX", "NIFTY", "0")
    assert data(tick(nifty.key, float32(24853.15)), Mode.LTP, nifty)["ltp"] == 24853.15


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_a_frame_is_what_rfc_6455_says(size):
    frame = text_frame(b"x" * size)
    assert frame[0] == 0x81
    if size < 126:
        length, rest = frame[1], frame[2:]
    elif size < 65536:
        assert frame[1] == 126
        length, rest = int.from_bytes(frame[2:4], "big"), frame[4:]
    else:
        assert frame[1] == 127
        length, rest = int.from_bytes(frame[2:10], "big"), frame[10:]
    assert length == size == len(rest)


def test_the_envelope_has_an_integer_mode_around_the_same_bytes():
    coder = Coder(Name("NSE", "M&M", Mode.QUOTE), instrument("NSE", "M&M"), "dhan")
    payload = coder.payload(tick(InstrumentKey("NSE", "M&M")), 3)
    frame = coder.frame(payload)
    assert payload in frame
    message = msgspec.json.decode(frame[4:])
    assert {k: message[k] for k in ("type", "symbol", "exchange", "mode", "broker")} == {
        "type": "market_data",
        "symbol": "M&M",
        "exchange": "NSE",
        "mode": 2,
        "broker": "dhan",
    }
    assert message["data"]["mode"] == "quote"


def test_spread_mid_and_imbalance_are_there_when_both_sides_are():
    book = {
        "bid": float32(801.45),
        "ask": float32(801.6),
        "total_buy_quantity": 90,
        "total_sell_quantity": 140,
    }
    got = data(tick(KEY, 801.5, **book), Mode.QUOTE)
    assert (got["spread"], got["mid"], got["imbalance"]) == (0.15, 801.525, -50)
    # upper circuit: nobody sells
    got = data(tick(KEY, 801.5, **book | {"ask": None, "total_sell_quantity": 0}), Mode.QUOTE)
    assert (got["spread"], got["mid"], got["imbalance"]) == (None, None, 90)
    got = data(tick(KEY, 801.5), Mode.QUOTE)
    assert (got["spread"], got["mid"], got["imbalance"]) == (None, None, None)


def test_open_interest_comes_with_its_day_high_and_low():
    got = data(tick(KEY, 801.5, oi=5, oi_day_high=9, oi_day_low=3), Mode.QUOTE)
    assert (got["oi"], got["oi_day_high"], got["oi_day_low"]) == (5, 9, 3)
