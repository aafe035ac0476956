from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.model import Exchange, InstrumentKey, Mode
from gateway.stream.topics import Name, parse, pin, split_levels, topic

SYMBOLS = st.from_regex(r"\A[A-Z0-9][A-Z0-9&_.\-]{0,20}(:20|:50)?\Z")


@given(st.sampled_from(sorted(Exchange)), SYMBOLS, st.sampled_from(Mode))
def test_a_topic_reads_back_as_what_it_was_made_from(exchange, symbol, mode):
    name = Name(exchange.value, symbol, mode)
    if f"{exchange.value}_INDEX" in Exchange.__members__ and symbol.startswith("INDEX_"):
        with pytest.raises(ValueError, match="no topic"):
            topic(name)
    else:
        assert parse(topic(name)) == name


def test_a_symbol_whose_topic_would_name_another_instrument_has_none():
    with pytest.raises(ValueError, match="no topic of its own"):
        topic(Name("NSE", "INDEX_NIFTY", Mode.LTP))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NSE_RELIANCE_QUOTE", Name("NSE", "RELIANCE", Mode.QUOTE)),
        ("NSE_INDEX_NIFTY_LTP", Name("NSE_INDEX", "NIFTY", Mode.LTP)),
        ("GLOBAL_INDEX_DOW_DEPTH", Name("GLOBAL_INDEX", "DOW", Mode.DEPTH)),
        ("CRYPTO_SOL_INR_LTP", Name("CRYPTO", "SOL_INR", Mode.LTP)),
        ("NSE_M&M_DEPTH", Name("NSE", "M&M", Mode.DEPTH)),
        ("NSE_TCS:20_DEPTH", Name("NSE", "TCS:20", Mode.DEPTH)),
        ("NFO_NIFTY24NOV2626000CE_LTP", Name("NFO", "NIFTY24NOV2626000CE", Mode.LTP)),
    ],
)
def test_topics_of_the_contract(text, name):
    assert parse(text) == name
    assert topic(name) == text


@pytest.mark.parametrize(
    "text",
    ["", "NSE", "NSE_", "NSE_SBIN", "NSE_LTP", "XYZ_SBIN_LTP", "NSE_SBIN_ltp", "DHAN_a_orders"],
)
def test_prefixes_and_other_topics_are_no_subscription(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("symbol", "parts"), [("TCS:20", ("TCS", 20)), ("M&M", ("M&M", None)), (":20", (":20", None))]
)
def test_depth_suffix_splits_off(symbol, parts):
    assert split_levels(symbol) == parts


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("SBIN", InstrumentKey("NSE", "SBIN")),
        (" nfo:NIFTY24NOV2626000CE ", InstrumentKey("NFO", "NIFTY24NOV2626000CE")),
        ("NSE_INDEX:NIFTY", InstrumentKey("NSE_INDEX", "NIFTY")),
        ("TCS:20", InstrumentKey("NSE", "TCS:20")),
    ],
)
def test_pinned_symbols_name_their_exchange_or_mean_nse(text, key):
    assert pin(text) == key
