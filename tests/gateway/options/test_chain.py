"""Rows of a chain: windows, holes, labels, greeks only where a price says something."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from brokers.model import Instrument, InstrumentKey, Quote
from gateway.options import chain, greeks
from gateway.options.chain import Pricing

EXPIRY = date(2026, 11, 24)
PRICING = Pricing(26012.0, 5 / 365, 0.0)


def option(strike: str, kind: str) -> Instrument:
    key = InstrumentKey("NFO", f"NIFTY24NOV26{strike}{kind}")
    return Instrument(
        key, strike, "NSE_FNO", key.symbol, "NIFTY", kind, 65, Decimal("0.05"), EXPIRY, Decimal(strike)
    )


def quote(of: Instrument, ltp: float) -> Quote:
    return Quote(of.key, ltp, ltp, ltp, ltp, ltp, 10, 20, ltp - 0.05, ltp + 0.05, 65, 130)


ALL = [option(s, k) for s in ("25900", "25950", "26000", "26100", "26200") for k in ("CE", "PE")]


def test_the_window_is_counted_each_side_of_atm():
    found = chain.pairs(ALL, 26012.0, 1)
    assert [(int(p.strike), p.position) for p in found] == [(25950, -1), (26000, 0), (26100, 1)]
    assert len(chain.pairs(ALL, 26012.0, None)) == 5
    assert [int(p.strike) for p in chain.pairs(ALL, 1.0, 1)] == [25900, 25950]


def test_a_leg_that_is_not_listed_is_none():
    holes = [o for o in ALL if o.key.symbol != "NIFTY24NOV2626000PE"]
    [pair] = chain.pairs(holes, 26012.0, 0)
    row = chain.row(pair, {}, None)
    assert row["pe"] is None
    assert row["ce"]["symbol"] == "NIFTY24NOV2626000CE"
    assert row["strike"] == 26000.0


def test_a_row_holds_the_quote_and_the_contract():
    [pair] = chain.pairs(ALL, 26190.0, 0)
    call = pair.call
    assert call is not None
    row = chain.row(pair, {call.key: quote(call, 120.04999542236328)}, None)
    assert row["ce"] == {
        "symbol": "NIFTY24NOV2626200CE",
        "label": "ATM",
        "ltp": 120.05,
        "bid": 120.0,
        "ask": 120.1,
        "bid_qty": 65,
        "ask_qty": 130,
        "open": 120.05,
        "high": 120.05,
        "low": 120.05,
        "prev_close": 120.05,
        "volume": 10,
        "oi": 20,
        "lotsize": 65,
        "tick_size": 0.05,
    }
    assert row["pe"]["ltp"] == 0.0


def test_greeks_stand_only_on_legs_with_a_price():
    [pair] = chain.pairs(ALL, 26000.0, 0)
    call = pair.call
    assert call is not None
    paid = greeks.price(greeks.Contract("CE", PRICING.forward, 26000.0, PRICING.years), 0.131)
    row = chain.row(pair, {call.key: quote(call, paid)}, PRICING)
    assert row["ce"]["implied_volatility"] == 13.1
    assert row["ce"]["delta"] == pytest.approx(0.51, abs=0.02)
    assert row["ce"]["theta"] < 0 < row["ce"]["vega"]
    assert "delta" not in row["pe"]


@pytest.mark.parametrize("pricing", [Pricing(26012.0, 0.0, 0.0), Pricing(26012.0, -1.0, 0.0)])
def test_an_expired_chain_has_no_greeks(pricing):
    [pair] = chain.pairs(ALL, 26000.0, 0)
    call = pair.call
    assert call is not None
    assert "delta" not in chain.row(pair, {call.key: quote(call, 120.0)}, pricing)["ce"]


def test_a_price_beyond_any_volatility_has_no_greeks_and_one_without_time_value_has_flat_ones():
    [pair] = chain.pairs(ALL, 25900.0, 0)
    call = pair.call
    assert call is not None
    assert "delta" not in chain.row(pair, {call.key: quote(call, 27000.0)}, PRICING)["ce"]
    flat = chain.row(pair, {call.key: quote(call, 100.0)}, PRICING)["ce"]
    assert (flat["implied_volatility"], flat["delta"], flat["vega"]) == (0.0, 1.0, 0.0)


def test_the_synthetic_forward_needs_both_prices():
    [pair] = chain.pairs(ALL, 26000.0, 0)
    assert pair.call is not None
    assert pair.put is not None
    call, put = quote(pair.call, 130.0), quote(pair.put, 118.0)
    assert chain.synthetic_forward(pair.strike, call, put) == 26012.0
    assert chain.synthetic_forward(pair.strike, call, None) is None
    assert chain.synthetic_forward(pair.strike, call, quote(pair.put, 0.0)) is None
