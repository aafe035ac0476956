"""Claims about what is listed: grammar, expiries, identity, size."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.calendar import FileCalendar
from brokers.sim.exchange import catalog, expiries
from brokers.sim.exchange.types import Kind
from brokers.sim.exchange.universe import Universe, symbol_of
from tests.brokers.sim.exchange.world import make_universe

CALENDAR = FileCalendar()
DATES = st.dates(date(2025, 9, 1), date(2030, 12, 31))
GRAMMAR = {
    Kind.EQUITY: re.compile(r"[A-Z0-9&-]+"),
    Kind.INDEX: re.compile(r"[A-Z0-9]+"),
    Kind.FUTURE: re.compile(r"([A-Z0-9&-]+)(\d{2}[A-Z]{3}\d{2})FUT"),
    Kind.CALL: re.compile(r"([A-Z0-9&-]+)(\d{2}[A-Z]{3}\d{2})(\d+(?:\.\d*[1-9])?)CE"),
    Kind.PUT: re.compile(r"([A-Z0-9&-]+)(\d{2}[A-Z]{3}\d{2})(\d+(?:\.\d*[1-9])?)PE"),
}


@given(DATES)
@settings(max_examples=25, deadline=None)
def test_every_symbol_of_any_date_follows_the_grammar_and_names_its_own_terms(today):
    for listing in Universe(3, today).listings:
        match = GRAMMAR[listing.kind].fullmatch(listing.symbol)
        assert match, listing.symbol
        if listing.expiry is not None:
            assert match[1] == listing.root
            assert match[2] == listing.expiry.strftime("%d%b%y").upper()
        if listing.strike_paise:
            assert round(float(match[3]) * 100) == listing.strike_paise


@given(DATES)
@settings(max_examples=60, deadline=None)
def test_expiries_are_trading_days_from_today_on_in_order(today):
    for exchange in ("NFO", "BFO"):
        for found in (
            expiries.weeklies(today, 6, exchange, CALENDAR),
            expiries.monthlies(today, 4, exchange, CALENDAR),
        ):
            assert found == sorted(set(found))
            assert found[0] >= today
            assert all(CALENDAR.session(exchange, day) is not None for day in found)


@given(DATES)
@settings(max_examples=60, deadline=None)
def test_an_expiry_off_its_weekday_was_moved_back_over_closed_days_only(today):
    for exchange, weekday in (("NFO", 1), ("BFO", 3)):
        for day in expiries.weeklies(today, 6, exchange, CALENDAR):
            while day.weekday() != weekday:
                day += timedelta(days=1)
                assert CALENDAR.session(exchange, day) is None


@given(DATES)
@settings(max_examples=60, deadline=None)
def test_no_expiry_day_is_left_out_between_the_weeklies(today):
    found = expiries.weeklies(today, 6, "NFO", CALENDAR)
    assert (found[0] - today).days <= 7
    assert all((b - a).days <= 10 for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("today", "weekly", "monthly"),
    [
        # 24 Nov 2026, the last Tuesday, is closed: Monday it is
        (date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 23)),
        (date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 29)),
        (date(2026, 12, 1), date(2026, 12, 1), date(2026, 12, 29)),
        (date(2026, 12, 30), date(2027, 1, 5), date(2027, 1, 26)),
    ],
)
def test_nifty_expiries_of_known_dates(today, weekly, monthly):
    assert expiries.weeklies(today, 1, "NFO", CALENDAR) == [weekly]
    assert expiries.monthlies(today, 1, "NFO", CALENDAR) == [monthly]


def test_the_last_weekly_of_a_month_is_its_monthly():
    weeklies = expiries.weeklies(date(2026, 12, 2), 4, "NFO", CALENDAR)
    assert [expiries.is_monthly(day, "NFO", CALENDAR) for day in weeklies] == [False, False, False, True]


def test_keys_and_tokens_are_unique_and_lead_back_to_their_listing():
    universe = make_universe()
    assert max(Counter((x.exchange, x.symbol) for x in universe.listings).values()) == 1
    assert max(Counter((x.exchange, x.token) for x in universe.listings).values()) == 1
    for listing in universe.listings:
        assert universe.find(listing.exchange, listing.symbol) is listing
        assert universe.by_token(listing.exchange, listing.token) is listing
    assert universe.find("NSE", "NOSUCH") is None
    assert universe.by_token("NSE", 1) is None


def test_a_contract_keeps_its_token_from_day_to_day():
    today, tomorrow = make_universe(date(2026, 11, 30)), make_universe(date(2026, 12, 1))
    both = [(x, tomorrow.find(x.exchange, x.symbol)) for x in today.listings if x.expiry]
    kept = [(x, y) for x, y in both if y is not None]
    assert len(kept) > 400
    assert all(x.token == y.token for x, y in kept)


def test_the_small_universe_has_what_a_trader_expects():
    universe = make_universe()
    kinds = Counter((x.exchange, x.kind) for x in universe.listings)
    assert kinds["NSE", Kind.EQUITY] >= 50
    assert kinds["BSE", Kind.EQUITY] >= 5
    for exchange, symbol, token in (
        ("NSE_INDEX", "NIFTY", 26000),
        ("NSE_INDEX", "BANKNIFTY", 26009),
        ("BSE_INDEX", "SENSEX", 1),
    ):
        index = universe.find(exchange, symbol)
        assert index is not None
        assert (index.token, index.tradable) == (token, False)
    for root, exchange, lot, freeze in (
        ("NIFTY", "NFO", 65, 1800),
        ("BANKNIFTY", "NFO", 30, 600),
        ("SENSEX", "BFO", 20, 1000),
    ):
        own = [x for x in universe.listings if x.root == root and x.expiry]
        assert {(x.exchange, x.lot_size, x.freeze_qty) for x in own} == {(exchange, lot, freeze)}
        options = [x for x in own if x.strike_paise]
        assert len({x.expiry for x in options}) == 2
        assert Counter(x.expiry for x in options).most_common()[-1][1] == 82
    stocks = [x for x in universe.listings if x.kind is Kind.FUTURE and x.root == "M&M"]
    assert [x.exchange for x in stocks] == ["NFO"]


def test_a_derivative_leads_to_its_spot_and_a_share_to_itself():
    universe = make_universe()
    option = next(x for x in universe.listings if x.root == "SENSEX" and x.strike_paise)
    assert universe.spot(option) is universe.find("BSE_INDEX", "SENSEX")
    share = universe.find("BSE", "RELIANCE")
    assert share is not None
    assert universe.spot(share) is share


def test_a_strike_keeps_its_decimals_and_drops_zeros():
    assert symbol_of("VEDL", Kind.CALL, date(2024, 4, 25), 29250) == "VEDL25APR24292.5CE"
    assert symbol_of("NIFTY", Kind.PUT, date(2024, 3, 28), 2080000) == "NIFTY28MAR2420800PE"
    assert symbol_of("BANKNIFTY", Kind.FUTURE, date(2024, 4, 24)) == "BANKNIFTY24APR24FUT"


def test_isins_have_a_right_check_digit():
    assert catalog.isin(0)[:3] == "INE"
    for number in range(200):
        digits = "".join(str(int(c, 36)) for c in catalog.isin(number))
        doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
        assert sum(d // 10 + d % 10 for d in doubled) % 10 == 0
        assert len(catalog.isin(number)) == 12


def test_rolling_moves_expiries_and_forgets_yesterdays_contracts():
    universe = make_universe(date(2026, 12, 1))
    old = next(x for x in universe.listings if x.root == "NIFTY" and x.expiry == date(2026, 12, 1))
    universe.roll(date(2026, 12, 2))
    assert universe.find(old.exchange, old.symbol) is None
    assert all(x.expiry is None or x.expiry >= date(2026, 12, 2) for x in universe.listings)


def test_the_full_universe_is_as_large_as_a_broker_s():
    universe = make_universe(size="full")
    assert 190_000 < len(universe.listings) < 230_000
    assert max(Counter((x.exchange, x.token) for x in universe.listings).values()) == 1
    assert max(Counter((x.exchange, x.symbol) for x in universe.listings).values()) == 1
