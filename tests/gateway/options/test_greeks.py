"""Black-76 against vollib's values, a textbook, finite differences, and prices that say nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.clock import IST
from gateway.options import greeks
from gateway.options.greeks import Contract

TABLE = json.loads((Path(__file__).parent / "data" / "black76.json").read_text())
CASES = [dict(zip(TABLE["columns"], row, strict=True)) for row in TABLE["rows"]]
ATM = Contract("CE", 26000.0, 26000.0, 5 / 365, 0.0)


def contract(row: dict) -> Contract:
    kind = {"c": "CE", "p": "PE"}[row["flag"]]
    return Contract(kind, row["forward"], row["strike"], row["years"], row["rate"])


def test_the_table_is_a_table():
    assert len(CASES) > 300
    assert TABLE["source"] == "vollib 1.0.11"


def test_price_and_greeks_are_vollibs():
    for row in CASES:
        option = contract(row)
        assert greeks.price(option, row["sigma"]) == pytest.approx(row["price"], rel=1e-9, abs=1e-9)
        found = greeks.greeks(option, row["sigma"])
        for name in ("delta", "gamma", "theta", "vega", "rho"):
            assert getattr(found, name) == pytest.approx(row[name], rel=1e-9, abs=1e-12), (name, row)


def test_implied_volatility_is_vollibs():
    """Where vollib itself finds back what went in; deep in the money a price has too few digits left."""
    compared = 0
    for row in CASES:
        if abs(row["iv"] - row["sigma"]) < 1e-7 and row["price"] - contract(row).intrinsic > 1e-4:
            assert greeks.implied_volatility(contract(row), row["price"]) == pytest.approx(
                row["sigma"], abs=1e-6
            )
            compared += 1
    assert compared > 300


def test_a_textbook_example():
    """Hull, "Options, Futures and Other Derivatives", European put on a crude future: 1.12."""
    put = Contract("PE", 20.0, 20.0, 4 / 12, 0.09)
    assert greeks.price(put, 0.25) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize("kind", ["CE", "PE"])
def test_greeks_are_the_slopes_of_the_price(kind):
    option = Contract(kind, 26100.0, 26000.0, 20 / 365, 0.065)
    sigma, found = 0.14, greeks.greeks(Contract(kind, 26100.0, 26000.0, 20 / 365, 0.065), 0.14)

    def at(volatility: float = sigma, **changes: float) -> float:
        return greeks.price(replace(option, **changes), volatility)

    up, down, middle = at(forward=26101.0), at(forward=26099.0), at()
    assert found.delta == pytest.approx((up - down) / 2, rel=1e-5)
    assert found.gamma == pytest.approx(up - 2 * middle + down, rel=1e-3)
    assert found.vega == pytest.approx((at(sigma + 1e-4) - at(sigma - 1e-4)) / 0.02, rel=1e-5)
    day = 1e-3 / 365
    later, sooner = at(years=option.years - day), at(years=option.years + day)
    assert found.theta == pytest.approx((later - sooner) / 2e-3, rel=1e-5)
    dearer, cheaper = at(rate=0.0651), at(rate=0.0649)
    assert found.rho == pytest.approx((dearer - cheaper) / 0.02, rel=1e-5)


def test_a_price_without_time_value_has_volatility_zero():
    deep = replace(ATM, strike=24000.0)
    for paid in (1999.0, 2000.0, 1e-12 + 2000.0):
        assert greeks.implied_volatility(deep, paid) == 0.0
    assert greeks.without_time_value(replace(deep, kind="PE")).delta == -1.0


@pytest.mark.parametrize(("kind", "paid"), [("CE", 26000.0), ("CE", 30000.0), ("PE", 26000.0)])
def test_a_price_no_volatility_gives_is_none(kind, paid):
    assert greeks.implied_volatility(replace(ATM, kind=kind), paid) is None


@given(
    forward=st.floats(1, 200_000),
    moneyness=st.floats(0.3, 3),
    years=st.floats(1e-6, 5),
    rate=st.floats(0, 1),
    paid=st.floats(0.01, 300_000),
    kind=st.sampled_from(["CE", "PE"]),
)
def test_any_price_gives_a_volatility_that_reprices_it_or_none(forward, moneyness, years, rate, paid, kind):
    option = Contract(kind, forward, forward * moneyness, years, rate)
    found = greeks.implied_volatility(option, paid)
    if found:
        assert greeks.price(option, found) == pytest.approx(paid, rel=1e-6, abs=1e-6 * forward)
        moves = greeks.greeks(option, found)
        assert abs(moves.delta) <= 1
        assert moves.gamma >= 0


def test_time_is_counted_in_years_of_365_days():
    now = datetime(2026, 11, 20, 15, 30, tzinfo=IST)
    assert greeks.years_until(datetime(2027, 11, 20, 15, 30, tzinfo=IST), now) == 1.0
    assert greeks.years_until(now, datetime(2027, 11, 20, 15, 30, tzinfo=IST)) == -1.0


def test_the_mathematics_loads_no_big_library():
    big = {"numpy", "scipy", "pandas", "numba"}
    code = f"import sys, gateway.options.chain; print({big!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
