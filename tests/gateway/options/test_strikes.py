"""From words to a strike: underlyings, expiries, offsets, ladders with holes."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

import pytest

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey
from gateway.options import strikes
from gateway.options.strikes import Underlying

LADDER = [Decimal(n) for n in (25800, 25850, 25900, 25950, 26000, 26100, 26200)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NIFTY", Underlying("NIFTY")),
        (" nifty ", Underlying("NIFTY")),
        ("NIFTY28MAR24", Underlying("NIFTY", date(2024, 3, 28))),
        ("NIFTY28MAR24FUT", Underlying("NIFTY", date(2024, 3, 28), is_future=True)),
        ("M&M28MAR24FUT", Underlying("M&M", date(2024, 3, 28), is_future=True)),
        ("BAJAJ-AUTO28MAR24", Underlying("BAJAJ-AUTO", date(2024, 3, 28))),
        ("NIFTYNXT5028MAR24", Underlying("NIFTYNXT50", date(2024, 3, 28))),
        ("NIFTY31FEB24", Underlying("NIFTY31FEB24")),
        ("NIFTY28MAR2420800CE", Underlying("NIFTY28MAR2420800CE")),
    ],
)
def test_an_underlying_may_hold_an_expiry(text, found):
    assert strikes.underlying(text) == found


@pytest.mark.parametrize("text", ["28MAR24", "28-MAR-24", "28mar24"])
def test_expiries_are_read_as_requests_and_as_answers_spell_them(text):
    assert strikes.expiry_date(text) == date(2024, 3, 28)
    assert strikes.compact(strikes.expiry_date(text)) == "28MAR24"


@pytest.mark.parametrize("text", ["", "28MAR2024", "31FEB24", "28XXX24", "2024-03-28", "٢٨MAR24"])
def test_other_expiries_are_refused_by_name(text):
    with pytest.raises(InvalidRequest, match="DDMMMYY") as caught:
        strikes.expiry_date(text)
    assert "expiry_date" in caught.value.fields


@pytest.mark.parametrize(
    ("exchange", "options"),
    [
        ("NSE", "NFO"),
        ("NSE_INDEX", "NFO"),
        ("BSE_INDEX", "BFO"),
        ("BFO", "BFO"),
        ("MCX", "MCX"),
        ("CDS", "CDS"),
    ],
)
def test_options_are_listed_beside_their_underlying(exchange, options):
    assert strikes.option_exchange(exchange) == options


@pytest.mark.parametrize("exchange", ["MCX_INDEX", "GLOBAL_INDEX"])
def test_some_exchanges_have_no_options(exchange):
    with pytest.raises(InvalidRequest, match=exchange):
        strikes.option_exchange(exchange)


@pytest.mark.parametrize(
    ("root", "exchange", "key"),
    [
        ("NIFTY", "NSE_INDEX", InstrumentKey("NSE_INDEX", "NIFTY")),
        ("NIFTY", "NFO", InstrumentKey("NSE_INDEX", "NIFTY")),
        ("SBIN", "NFO", InstrumentKey("NSE", "SBIN")),
        ("SENSEX50", "BFO", InstrumentKey("BSE_INDEX", "SENSEX50")),
        ("SBIN", "BFO", InstrumentKey("BSE", "SBIN")),
        ("CRUDEOIL", "MCX", None),
        ("USDINR", "CDS", None),
    ],
)
def test_what_prices_an_underlying(root, exchange, key):
    assert strikes.spot_key(root, exchange) == key


@pytest.mark.parametrize(
    ("price", "strike"), [(25974.9, 25950), (25975.0, 25950), (25975.1, 26000), (1, 25800), (99999, 26200)]
)
def test_atm_is_the_nearest_listed_strike_the_lower_of_two(price, strike):
    assert strikes.nearest(LADDER, price) == strike


@pytest.mark.parametrize(
    ("offset", "kind", "strike"),
    [
        ("ATM", "CE", 26000),
        ("ATM", "PE", 26000),
        ("ITM1", "CE", 25950),
        ("OTM1", "CE", 26100),
        ("OTM2", "CE", 26200),
        ("ITM2", "PE", 26200),
        ("OTM4", "PE", 25800),
        ("otm1", "PE", 25950),
    ],
)
def test_offsets_count_listed_strikes_not_rupees(offset, kind, strike):
    assert strikes.pick(LADDER, 26012.4, offset, kind) == strike


@pytest.mark.parametrize(
    ("offset", "kind"), [("OTM3", "CE"), ("ITM5", "CE"), ("ITM3", "PE"), ("OTM50", "PE")]
)
def test_beyond_the_ladder_is_an_error(offset, kind):
    with pytest.raises(InvalidRequest, match="25800 to 26200") as caught:
        strikes.pick(LADDER, 26012.4, offset, kind)
    assert caught.value.code == "OUT_OF_LADDER"


@pytest.mark.parametrize("offset", ["", "OTM", "OTM0", "OTM51", "ITM01", "ATM1", "XTM1"])
def test_an_offset_that_is_none_is_named(offset):
    with pytest.raises(InvalidRequest, match="expected ATM, ITM1 to ITM50"):
        strikes.steps(offset, "CE")


def test_the_older_way_rounds_the_price_to_the_step():
    assert strikes.pick_by_step(26012.4, 50, "ATM", "CE") == 26000
    assert strikes.pick_by_step(26025.0, 50, "ATM", "CE") == 26050
    assert strikes.pick_by_step(26012.4, 50, "OTM2", "PE") == 25900


@pytest.mark.parametrize(
    ("position", "kind", "text"),
    [
        (0, "CE", "ATM"),
        (0, "PE", "ATM"),
        (2, "CE", "OTM2"),
        (2, "PE", "ITM2"),
        (-1, "CE", "ITM1"),
        (-1, "PE", "OTM1"),
    ],
)
def test_labels_say_which_side_of_atm(position, kind, text):
    assert strikes.label(position, kind) == text


def test_an_offset_and_its_label_agree():
    for offset in strikes.OFFSETS:
        for kind in ("CE", "PE"):
            assert strikes.label(strikes.steps(offset, kind), kind) == offset


def test_contracts_end_when_their_exchange_says():
    day = date(2026, 11, 24)
    assert strikes.ends_at(day, "NFO").timetz() == time(15, 30, tzinfo=IST)
    assert strikes.ends_at(day, "CDS").timetz() == time(12, 30, tzinfo=IST)
    assert strikes.ends_at(day, "MCX").timetz() == time(23, 30, tzinfo=IST)
    assert strikes.ends_at(day, "MCX", time(17)).timetz() == time(17, tzinfo=IST)
    assert int(strikes.ends_at(day, "NFO").timestamp()) == 1795514400


def test_strikes_are_written_plainly():
    assert [strikes.plain(Decimal(t)) for t in ("26000", "2.6E+4", "292.50")] == ["26000", "26000", "292.5"]
