"""Quotes from ticks or the broker, history in turns, and honest refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.contract import Capabilities
from brokers.errors import InvalidRequest, LoginRequired, NotReady, NotSupported, RateLimited
from brokers.kotak import SPEC
from brokers.model import InstrumentKey, Quote, Venue
from gateway.marketdata.market import Market, MarketParts
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.trading.limiter import Limiter
from tests.gateway.api.rig import SBIN, ScriptedRest, instrument, quote, table

NOW = datetime(2026, 11, 20, 5, tzinfo=UTC)
TODAY = date(2026, 11, 20)
RELIANCE = InstrumentKey("NSE", "RELIANCE")


class Ticks:
    """What the cache would answer."""

    def __init__(self) -> None:
        self.quotes: dict[InstrumentKey, Quote] = {}
        self.prices: dict[InstrumentKey, float] = {}
        self.wanted: list[InstrumentKey] = []
        self.streamed: list[InstrumentKey] = []

    def want(self, keys):
        self.wanted += keys

    def stream(self, keys):
        self.streamed += keys

    def quote(self, key, max_age_s):
        return self.quotes.get(key)

    def last_price(self, key, max_age_s):
        return self.prices.get(key)


class Desk:
    """The market and what it was built from."""

    def __init__(self, path: Path, loaded: bool = True) -> None:
        self.clock = ManualClock(NOW)
        self.rest = ScriptedRest()
        self.ticks = Ticks()
        self.slept: list[float] = []
        self.logins = 0
        self.database = engine.open(path / "m.db", Venue.SIM)
        store = InstrumentStore(self.database, self.clock)
        if loaded:
            old = instrument("NFO", "NIFTY01JAN26FUT", "9", expiry=TODAY + timedelta(days=1), name="NIFTY")
            store.swap([*table(TODAY), old], TODAY)
            store.swap(table(TODAY), TODAY + timedelta(days=2))
        self.store = store
        self.market = Market(
            MarketParts(
                rest=self.rest,
                instruments=store,
                limiter=Limiter(SPEC, self.clock),
                capabilities=capabilities(),
                clock=self.clock,
                ticks=self.ticks,  # type: ignore[arg-type]
                on_login_required=self._login,
                sleep=self._sleep,
            )
        )

    def _login(self) -> None:
        self.logins += 1

    def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.clock.advance(seconds)


def capabilities() -> Capabilities:
    return SPEC.capabilities


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.database.close()


def test_a_fresh_tick_answers_without_the_broker(one):
    one.ticks.quotes[SBIN] = quote(SBIN)
    assert one.market.quote(SBIN).ltp == 801.5
    assert one.market.depth(SBIN)[1].bids[0].quantity == 10
    assert one.rest.quote_calls == []


def test_without_a_tick_the_broker_is_asked_and_the_symbol_is_heard_from_then_on(one):
    assert one.market.quote(SBIN).ltp == 801.5
    assert one.rest.quote_calls == [[SBIN]]
    assert SBIN in one.ticks.wanted


def test_what_was_asked_of_the_broker_is_streamed_from_then_on_but_a_scan_is_not(one):
    one.market.quotes([SBIN, RELIANCE])
    assert one.ticks.streamed == [SBIN, RELIANCE]
    one.market._rules = replace(one.market._rules, stream_at_most=1)
    one.market.quotes([SBIN, RELIANCE])
    assert one.ticks.streamed == [SBIN, RELIANCE]


def test_many_quotes_are_one_call_for_those_the_feed_does_not_have(one):
    one.ticks.quotes[SBIN] = quote(SBIN)
    unknown = InstrumentKey("NSE", "SBINN")
    tcs = InstrumentKey("NSE", "TCS")
    one.rest.no_quote = {tcs}
    found, errors = one.market.quotes([SBIN, RELIANCE, unknown, tcs, RELIANCE])
    assert set(found) == {SBIN, RELIANCE}
    assert "not found" in errors[unknown]
    assert "no quote" in errors[tcs]
    assert one.rest.quote_calls == [[RELIANCE, tcs]]


def test_an_unknown_symbol_names_the_nearest(one):
    with pytest.raises(InvalidRequest, match="Symbol 'SBINN' not found for exchange 'NSE'") as caught:
        one.market.quote(InstrumentKey("NSE", "SBINN"))
    assert caught.value.code == "SYMBOL_NOT_FOUND"
    assert caught.value.fields["suggestions"][0] == "SBIN"
    assert len(caught.value.fields["suggestions"]) <= 3
    assert one.rest.quote_calls == []


def test_an_expired_contract_says_so(one):
    with pytest.raises(InvalidRequest, match="expired on 2026-11-21"):
        one.market.quote(InstrumentKey("NFO", "NIFTY01JAN26FUT"))


def test_before_the_instruments_are_loaded_nothing_is_unknown(tmp_path):
    empty = Desk(tmp_path, loaded=False)
    with pytest.raises(NotReady):
        empty.market.quote(SBIN)
    empty.database.close()


def test_no_quote_of_the_broker_is_an_error_not_a_zero(one):
    one.rest.no_quote = {SBIN}
    with pytest.raises(InvalidRequest, match="no quote for NSE:SBIN"):
        one.market.quote(SBIN)


def test_a_refused_session_is_reported_and_renewed(one):
    one.rest.fail["quotes"] = [LoginRequired("expired")]
    with pytest.raises(LoginRequired):
        one.market.quote(SBIN)
    one.rest.fail["candles"] = [LoginRequired("expired")]
    with pytest.raises(LoginRequired):
        one.market.candles(SBIN, "5m", TODAY, TODAY)
    assert one.logins == 2


def test_history_calls_are_at_least_350_ms_apart(one):
    for _ in range(3):
        one.market.candles(SBIN, "5m", TODAY, TODAY)
    assert one.slept == [0.35, 0.35]


def test_concurrent_history_calls_take_turns(one):
    """Turns are handed out under one lock: four callers at the same moment wait 0, 0.35, 0.7 and 1.05 s."""
    waits: list[float] = []
    lock = threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            waits.append(round(seconds, 2))

    object.__setattr__(one.market._parts, "sleep", sleep)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: one.market.candles(SBIN, "D", TODAY, TODAY), range(4)))
    assert sorted(waits) == [0.35, 0.7, 1.05]


def test_a_429_of_the_broker_on_history_is_waited_out(one):
    one.rest.fail["candles"] = [RateLimited("slow down", retry_after_s=2.0)]
    assert len(one.market.candles(SBIN, "5m", TODAY, TODAY)) == 1
    assert 2.0 in one.slept


def test_an_interval_or_exchange_the_broker_does_not_offer_is_not_supported(one):
    with pytest.raises(NotSupported, match="interval 4h"):
        one.market.candles(SBIN, "4h", TODAY, TODAY)
    limited = Capabilities(
        exchanges=frozenset(),
        intervals={"D": "D"},
        history_exchanges=frozenset(),
        feed_instruments=1,
        quote_batch=1,
        tag_length=1,
    )
    object.__setattr__(one.market._parts, "capabilities", limited)
    with pytest.raises(NotSupported, match="no history for NSE"):
        one.market.candles(SBIN, "D", TODAY, TODAY)


def test_the_last_price_is_a_tick_else_a_recent_quote_else_nothing(one):
    assert one.market.last_price(SBIN) is None
    one.market.quote(SBIN)
    assert one.market.last_price(SBIN) == 801.5
    one.ticks.prices[SBIN] = 802.0
    assert one.market.last_price(SBIN) == 802.0
    one.ticks.prices.clear()
    one.clock.advance(10.5)
    assert one.market.last_price(SBIN) is None
