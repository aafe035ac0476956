"""The instrument files: exact headers, odd units, odd rows."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal

import pytest

from brokers.sim.dhan import ids, instruments
from brokers.sim.dhan.ids import Directory
from brokers.sim.exchange.types import Listing
from tests.brokers.sim.dhan import world


@pytest.fixture(scope="module")
def compact() -> list[dict[str, str]]:
    return _rows(instruments.compact)


@pytest.fixture(scope="module")
def detailed() -> list[dict[str, str]]:
    return _rows(instruments.detailed)


def _rows(make: object) -> list[dict[str, str]]:
    universe = world.universe()
    lines = make(universe.listings, Directory(universe), universe.today)  # type: ignore[operator]
    return list(csv.DictReader(lines))


def one(rows: list[dict[str, str]], **wanted: str) -> dict[str, str]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


def line(listing: Listing) -> str:
    universe = world.universe()
    return list(instruments.compact((listing,), Directory(universe), universe.today))[1]


def test_the_headers_are_the_brokers() -> None:
    first = next(iter(instruments.compact((), Directory(world.universe()), world.universe().today)))
    assert first.startswith("SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,")
    assert first.count(",") == 15
    first = next(iter(instruments.detailed((), Directory(world.universe()), world.universe().today)))
    assert first.endswith(",SM_FREEZE_QTY,\n")
    assert first.count(",") == 32


def test_every_row_has_as_many_fields_as_the_header() -> None:
    universe = world.universe()
    for make, commas in ((instruments.compact, 15), (instruments.detailed, 32)):
        lines = list(make(universe.listings, Directory(universe), universe.today))
        assert {text.count(",") for text in lines} == {commas}
        assert len(lines) == 1 + len(universe.listings) + 3


@pytest.mark.parametrize(
    ("symbol", "exchange", "security_id"),
    [
        ("NIFTY", "NSE", "13"),
        ("BANKNIFTY", "NSE", "25"),
        ("FINNIFTY", "NSE", "27"),
        ("INDIA VIX", "NSE", "21"),
        ("SENSEX", "BSE", "51"),
    ],
)
def test_indices_have_the_ids_everybody_knows(
    compact: list[dict[str, str]], symbol: str, exchange: str, security_id: str
) -> None:
    row = one(compact, SEM_SEGMENT="I", SEM_TRADING_SYMBOL=symbol)
    assert (row["SEM_EXM_EXCH_ID"], row["SEM_SMST_SECURITY_ID"]) == (exchange, security_id)
    assert row["SEM_INSTRUMENT_NAME"] == "INDEX"
    assert row["SEM_TICK_SIZE"] == "0.0500"


def test_a_share_shows_its_tick_in_paise() -> None:
    assert line(world.listing("NSE", "SBIN")) == (
        "NSE,E,3045,EQUITY,0,SBIN,1.0,State Bank of India,,,,5.0000,NA,ES,EQ,STATE BANK OF INDIA\n"
    )


def test_a_hyphenated_root_survives() -> None:
    contract = world.future("BAJAJ-AUTO")
    assert contract.expiry is not None
    assert line(contract).split(",")[5] == f"BAJAJ-AUTO-{contract.expiry:%b%Y}-FUT"


def test_derivatives_carry_expiry_strike_and_side(compact: list[dict[str, str]]) -> None:
    option = world.option()
    assert option.expiry is not None
    row = one(compact, SEM_SEGMENT="D", SEM_SMST_SECURITY_ID=str(option.token), SEM_EXM_EXCH_ID="NSE")
    strike = ids.strike_text(option)
    assert row["SEM_TRADING_SYMBOL"] == f"NIFTY-{option.expiry:%b%Y}-{strike}-{option.kind.value}"
    assert row["SEM_EXPIRY_DATE"] == f"{option.expiry} 14:30:00"
    assert Decimal(row["SEM_STRIKE_PRICE"]) == Decimal(option.strike_paise) / 100
    assert row["SEM_INSTRUMENT_NAME"] == "OPTIDX"
    assert row["SEM_EXPIRY_FLAG"] == ("W" if option.weekly else "M")
    assert row["SM_SYMBOL_NAME"] == ""
    sensex = world.option("SENSEX", "BFO")
    row = one(compact, SEM_SEGMENT="D", SEM_SMST_SECURITY_ID=str(sensex.token), SEM_EXM_EXCH_ID="BSE")
    assert row["SM_SYMBOL_NAME"] == "BSXOPT"


def test_a_future_has_an_odd_strike(compact: list[dict[str, str]]) -> None:
    row = one(compact, SEM_SEGMENT="D", SEM_SMST_SECURITY_ID=str(world.future().token), SEM_EXM_EXCH_ID="NSE")
    assert (row["SEM_STRIKE_PRICE"], row["SEM_OPTION_TYPE"]) == ("-0.01000", "XX")


def test_the_detailed_underlying_id_is_the_exchanges(detailed: list[dict[str, str]]) -> None:
    row = one(detailed, SEGMENT="D", SECURITY_ID=str(world.option().token), EXCH_ID="NSE")
    assert (row["UNDERLYING_SECURITY_ID"], row["UNDERLYING_SYMBOL"]) == ("26000", "NIFTY")
    assert row["SM_EXPIRY_DATE"] == str(world.option().expiry)


@pytest.mark.parametrize("name", ["compact", "detailed"])
def test_odd_rows_ride_along(name: str, request: pytest.FixtureRequest) -> None:
    rows: list[dict[str, str]] = request.getfixturevalue(name)
    odd = {list(row.values())[2]: list(row.values()) for row in rows[-3:]}
    expired, test, commodity = odd["990001"], odd["990002"], odd["990003"]
    expiry = expired[8] if name == "compact" else expired[12]
    assert date.fromisoformat(expiry[:10]) < world.universe().today
    assert "011NSETEST" in test
    assert commodity[:2] == ["NSE", "M"]


def test_an_id_is_found_in_its_segment_only() -> None:
    directory = Directory(world.universe())
    nifty = world.listing("NSE_INDEX", "NIFTY")
    assert directory.find("IDX_I", 13) is nifty
    assert directory.find("NSE_EQ", 13) is None
    assert all(directory.find(ids.segment(x), directory.id(x)) is x for x in world.universe().listings)


def test_a_strike_in_paise_keeps_its_paise() -> None:
    vedl = [x for x in world.universe().listings if x.root == "TATASTEEL" and x.strike_paise % 100]
    assert vedl, "the small universe lists a strike of 2.50 steps"
    assert ids.strike_text(vedl[0]).endswith(".5")
    assert f"{vedl[0].strike_paise / 100:.2f}" in ids.display_name(vedl[0])
