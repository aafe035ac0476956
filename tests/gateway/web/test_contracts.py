"""Which contract a link and a strike picker mean, on an instance with a small option chain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey
from gateway.options import strikes
from gateway.web import contracts
from tests.gateway.api.rig import Rig, instrument, running, table
from tests.gateway.web.people import make_owner, sign_in

STRIKES = (25900, 26000, 26100)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home")) as one:
        day = one.parts.clock.now().astimezone(IST).date()
        rows = [*table(day), *options(day + timedelta(days=7)), *options(day + timedelta(days=14))]
        one.parts.instruments.swap(rows, day)
        yield one


def options(expiry: date) -> list[Any]:
    text = strikes.compact(expiry)
    return [
        instrument(
            "NFO", f"NIFTY{text}{strike}{kind}", f"9{expiry:%d}{strike}{kind}", name="NIFTY",
            instrument_type=kind, lot_size=65, expiry=expiry, strike=Decimal(strike), display_name="",
        )
        for strike in STRIKES
        for kind in ("CE", "PE")
    ]  # fmt: skip


def days(rig: Rig) -> list[date]:
    today = rig.parts.clock.now().astimezone(IST).date()
    return [today + timedelta(days=7), today + timedelta(days=14)]


def test_underlyings_are_named_with_their_exchange(listed):
    assert contracts.underlyings(listed.parts) == [{"underlying": "NIFTY", "exchange": "NFO"}]


@pytest.mark.parametrize("form", [strikes.compact, lambda day: day.strftime("%d-%b-%y"), date.isoformat])
def test_a_link_names_a_contract_by_its_terms(listed, form):
    second = days(listed)[1]
    words = {"underlying": "nifty", "expiry": form(second), "strike": "26100", "type": "pe"}
    found = contracts.chosen(listed.parts, words)
    assert found.instrument is not None, found.problem
    assert found.instrument.key == InstrumentKey("NFO", f"NIFTY{strikes.compact(second)}26100PE")
    assert (found.underlying, found.exchange, found.kind) == ("NIFTY", "NFO", "PE")


def test_what_a_link_leaves_out_is_the_next_expiry_at_the_money_and_the_call(listed):
    found = contracts.chosen(listed.parts, {"underlying": "NIFTY"})
    spot = listed.parts.market.quote(InstrumentKey("NSE_INDEX", "NIFTY")).ltp
    nearest = min(STRIKES, key=lambda strike: abs(strike - spot))
    assert found.instrument is not None, found.problem
    assert found.instrument.key.symbol == f"NIFTY{strikes.compact(days(listed)[0])}{nearest}CE"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"strike": "26050"}, "near it: 25900, 26000, 26100"),
        ({"strike": "NaN"}, "expected a number or ATM"),
        ({"strike": "1e400"}, "expected a number or ATM"),
        ({"strike": "26000", "type": "XX"}, "expected CE or PE"),
        ({"strike": "26000", "expiry": "31FEB26"}, "expected DDMMMYY"),
        ({"strike": "26000", "expiry": "01JAN30"}, "listed:"),
        ({"underlying": "TCS"}, "TCS has no options"),
        ({"exchange": "MOON"}, "no exchange MOON"),
        ({"exchange": "NSE", "symbol": "SBI"}, "Did you mean SBIN"),
    ],
)
def test_a_link_that_cannot_be_followed_says_why_and_opens_nothing(listed, words, said):
    found = contracts.chosen(listed.parts, {"underlying": "NIFTY", **words})
    assert found.instrument is None
    assert said in found.problem


def test_a_symbol_brings_the_options_of_its_underlying(listed):
    index = contracts.chosen(listed.parts, {"exchange": "NSE_INDEX", "symbol": "NIFTY"})
    assert (index.underlying, index.exchange) == ("NIFTY", "NFO")
    future = f"NIFTY{strikes.compact(days(listed)[0])}FUT"
    assert contracts.chosen(listed.parts, {"exchange": "NFO", "symbol": future}).underlying == "NIFTY"
    assert contracts.chosen(listed.parts, {"exchange": "NSE", "symbol": "TCS"}).underlying == ""


def test_a_ladder_holds_every_strike_and_marks_the_one_at_the_money(listed):
    found = contracts.ladder(listed.parts, "NIFTY", "", "")
    assert found["expiries"] == [strikes.compact(day) for day in days(listed)]
    assert [row["strike"] for row in found["strikes"]] == [float(strike) for strike in STRIKES]
    assert found["strikes"][0]["CE"] == f"NIFTY{found['expiry']}25900CE"
    assert found["atm"] == min(STRIKES, key=lambda strike: abs(strike - found["ltp"]))


def test_a_ladder_without_a_price_has_its_strikes_all_the_same(listed):
    listed.rest.no_quote.add(InstrumentKey("NSE_INDEX", "NIFTY"))
    try:
        found = contracts.ladder(listed.parts, "NIFTY", "NFO", strikes.compact(days(listed)[1]))
    finally:
        listed.rest.no_quote.clear()
    assert (found["ltp"], found["atm"], len(found["strikes"])) == (None, None, 3)
    assert "no quote" in found["problem"]
    with pytest.raises(InvalidRequest, match="no options"):
        contracts.ladder(listed.parts, "TCS", "", "")


def test_the_pages_are_for_the_owner_and_carry_what_a_link_said(listed):
    client = listed.app.test_client()
    for path in ("/scalping", "/option-chain"):
        assert client.get(path).headers["Location"].endswith("/sign-in") or listed.code.current()
    make_owner(listed)
    client = sign_in(listed)
    text = client.get("/scalping?underlying=NIFTY&strike=1").get_data(as_text=True)
    assert "has no CE at 1; near it" in text
    assert "expected a number" in client.get("/scalping?underlying=NIFTY&strike=<b>").get_data(as_text=True)
    assert "<b>" not in client.get("/option-chain?underlying=<b>").get_data(as_text=True)
    answer = client.get("/web/api/ladder?underlying=nifty")
    assert (answer.status_code, answer.json["exchange"]) == (200, "NFO")
    assert client.get("/web/api/ladder?underlying=TCS").status_code == 400
    assert client.get("/web/api/ladder").status_code == 400
