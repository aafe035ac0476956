"""The scrip master: exact header, expiry seconds, names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from brokers.sim.exchange.types import Kind
from brokers.sim.exchange.universe import Universe
from brokers.sim.kotak import master, names
from tests.brokers.sim.kotak.test_hsm import make_listing

TODAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def universe() -> Universe:
    return Universe(1, TODAY)


def rows(universe: Universe, seg: str) -> list[Mapping[str, str]]:
    lines = [line.rstrip("\n").split(",") for line in master.csv(universe, seg)]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[1:]]


def test_the_header_is_exact():
    columns = master.HEADER.split(",")
    assert len(columns) == 78
    for literal in (
        "dTickSize ",
        "lExpiryDate ",
        "lMultiplier ",
        "dStrikePrice;",
        "dPriceNum   ",
        "lFreezeQty",
    ):
        assert literal in columns


@pytest.mark.parametrize(
    ("expiry", "seg", "seconds"),
    [
        (date(2026, 11, 24), "nse_fo", 1479997800),
        (date(2026, 12, 29), "cde_fo", 1483021800),
        (date(2027, 1, 26), "nse_fo", 1485441000),
        (date(2026, 11, 26), "bse_fo", 1795651200),
        (date(2026, 12, 4), "mcx_fo", 1796408940),
    ],
)
def test_expiry_seconds_are_the_published_ones(expiry, seg, seconds):
    assert master.expiry_seconds(expiry, seg) == seconds


def test_nse_expiries_plus_the_correction_are_half_past_two_in_india():
    seconds = master.expiry_seconds(date(2026, 11, 24), "nse_fo") + master._CORRECTION
    assert datetime.fromtimestamp(seconds, UTC) == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "symbol", "reference"),
    [
        ({}, "DEMOIND-EQ", "DEMOIND"),
        ({"exchange": "BSE"}, "DEMOIND", "DEMOIND"),
        (
            {"exchange": "NFO", "root": "NIFTY", "kind": Kind.CALL, "strike_paise": 2_650_000,
             "expiry": date(2026, 2, 3), "weekly": True},
            "NIFTY2620326500CE",
            "NIFTY03FEB2626500.00CE",
        ),
        (
            {"exchange": "NFO", "root": "NIFTY", "kind": Kind.PUT, "strike_paise": 2_335_000,
             "expiry": date(2026, 11, 24)},
            "NIFTY26NOV23350PE",
            "NIFTY24NOV2623350.00PE",
        ),
        (
            {"exchange": "NFO", "root": "VEDL", "kind": Kind.CALL, "strike_paise": 29_250,
             "expiry": date(2026, 4, 28)},
            "VEDL26APR292.5CE",
            "VEDL28APR26292.50CE",
        ),
        (
            {"exchange": "NFO", "root": "TCS", "kind": Kind.FUTURE, "expiry": date(2026, 7, 28)},
            "TCS26JULFUT",
            "TCS28JUL26",
        ),
        (
            {"exchange": "NFO", "root": "NIFTY", "kind": Kind.FUTURE, "expiry": date(2026, 10, 6),
             "weekly": True},
            "NIFTY26O06FUT",
            "NIFTY06OCT26",
        ),
    ],
)  # fmt: skip
def test_trading_symbols(changes, symbol, reference):
    listing = make_listing(**changes)
    assert names.trading_symbol(listing) == symbol
    assert master.scrip_reference(listing) == reference


def test_cash_rows(universe):
    by_symbol = {r["pTrdSymbol"]: r for r in rows(universe, "nse_cm")}
    share, index = by_symbol["SBIN-EQ"], by_symbol["NIFTY"]
    assert (share["pSymbol"], share["pGroup"], share["pExchSeg"]) == ("3045", "EQ", "nse_cm")
    assert (share["pSymbolName"], share["dTickSize "], share["lLotSize"]) == ("SBIN", "5", "1")
    assert (share["lExpiryDate "], share["dStrikePrice;"], share["pExpiryDate"]) == ("-1", "-1", "")
    assert share["pISIN"]
    assert (index["pSymbol"], index["pGroup"], index["pISIN"], index["dTickSize "]) == ("26000", "", "", "-1")
    assert "INDIAVIX" not in by_symbol  # exists only as a name on the feeds
    bse = {r["pTrdSymbol"]: r for r in rows(universe, "bse_cm")}
    assert bse["SBIN"]["pSymbol"] == "500112"
    assert bse["SENSEX"]["pISIN"] == ""


def test_derivative_rows(universe):
    options = [r for r in rows(universe, "nse_fo") if r["pInstType"] == "OPTIDX"]
    futures = {r["pTrdSymbol"]: r for r in rows(universe, "nse_fo") if r["pInstType"] == "FUTSTK"}
    nifty = next(r for r in options if r["pSymbolName"] == "NIFTY")
    assert (nifty["pGroup"], nifty["lLotSize"], nifty["pISIN"]) == ("XX", "65", "")
    assert nifty["lExpiryDate "] == nifty["pExpiryDate"]
    assert int(nifty["dStrikePrice;"]) % 5000 == 0
    assert nifty["pOptionType"] in ("CE", "PE")
    sbin = futures["SBIN26NOVFUT"]
    assert (sbin["pOptionType"], sbin["dStrikePrice;"], sbin["pSymbolName"]) == ("XX", "-1", "SBIN")
    assert {r["pExchSeg"] for r in rows(universe, "bse_fo")} == {"bse_fo"}


def test_segments_without_listings_have_a_header_only(universe):
    assert list(master.csv(universe, "mcx_fo")) == [master.HEADER + "\n"]


def test_the_directory_finds_by_every_name(universe):
    directory = names.Directory(universe)
    sbin = universe.find("NSE", "SBIN")
    nifty = universe.find("NSE_INDEX", "NIFTY")
    assert sbin is not None
    assert directory.by_symbol("nse_cm", "SBIN-EQ") == sbin
    assert directory.by_token("nse_cm", "3045") == sbin
    assert directory.by_token("bse_cm", "3045") is None
    assert directory.index("nse_cm", "Nifty 50") == nifty
    assert directory.index("nse_cm", "NIFTY 50") is None
    assert directory.by_token("nse_cm", "26000") is None
    assert directory.by_feed_token("nse_cm", "Nifty 50") == nifty
    assert directory.by_feed_token("nse_cm", "26000") is None
    assert directory.anything("nse_cm", "26000") == nifty
    for odd in ("", "03045", "+3045", "٣", "x"):
        assert directory.by_token("nse_cm", odd) is None


def test_trading_symbols_are_unique_in_a_segment(universe):
    seen = [(names.segment(x), names.trading_symbol(x)) for x in universe.listings]
    assert len(seen) == len(set(seen))
