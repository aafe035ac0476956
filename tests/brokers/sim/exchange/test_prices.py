"""Claims about the seeded market: pure in seed and time, consistent with itself, on tick, fast enough."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST
from brokers.sim.exchange.prices import STEP_MS, Prices
from brokers.sim.exchange.session import to_ms
from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import Universe
from tests.brokers.sim.exchange.world import SEED, make_universe

ROOT = Path(__file__).resolve().parents[4]
AT = datetime(2026, 11, 20, 9, 3, 7, 300_000, tzinfo=UTC)
STEP = timedelta(milliseconds=STEP_MS)
UNIVERSE = make_universe()
OPEN = Prices(SEED, UNIVERSE, AlwaysOpen())
NSE = Prices(SEED, UNIVERSE, FileCalendar())


def pick(name: str) -> Listing:
    """One listing of each sort."""
    nifty = [x for x in UNIVERSE.listings if x.root == "NIFTY" and x.expiry]
    middle = 20 * 2  # options come by strike, call then put
    return {
        "share": UNIVERSE.find("NSE", "SBIN"),
        "cheap share": UNIVERSE.find("NSE", "IDEA"),
        "index": UNIVERSE.find("NSE_INDEX", "NIFTY"),
        "future": nifty[0],
        "call": [x for x in nifty if x.strike_paise][middle],
        "put": [x for x in nifty if x.strike_paise][middle + 1],
        "far call": [x for x in nifty if x.strike_paise][80],
        "far put": [x for x in nifty if x.strike_paise][1],
    }[name]  # type: ignore[return-value]


SORTS = ["share", "cheap share", "index", "future", "call", "put", "far call", "far put"]


@pytest.mark.parametrize("sort", SORTS)
def test_a_snapshot_does_not_depend_on_what_was_asked_before(sort):
    listing = pick(sort)
    moments = [AT + STEP * n for n in range(0, 60_000, 577)]
    warm = {at: OPEN.snapshot(listing, at) for at in moments}
    shuffled = moments[:]
    random.Random(1).shuffle(shuffled)
    for at in shuffled:
        assert OPEN.snapshot(listing, at) == warm[at]
    cold = Prices(SEED, make_universe(), AlwaysOpen())
    assert cold.snapshot(listing, moments[-1]) == warm[moments[-1]]


def test_another_process_sees_the_same_market():
    script = (
        "import datetime as d, json, sys\n"
        "from brokers.calendar import AlwaysOpen\n"
        "from brokers.sim.exchange.prices import Prices\n"
        "from brokers.sim.exchange.universe import Universe\n"
        "u = Universe(7, d.date(2026, 11, 20)); p = Prices(7, u, AlwaysOpen())\n"
        f"at = d.datetime.fromisoformat({AT.isoformat()!r})\n"
        "print(json.dumps([repr(p.snapshot(x, at)) for x in u.listings[::40]]))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=60,
    )
    assert json.loads(done.stdout) == [repr(OPEN.snapshot(x, AT)) for x in UNIVERSE.listings[::40]]


def test_another_seed_is_another_market():
    other = Prices(8, Universe(8, date(2026, 11, 20)), AlwaysOpen())
    assert other.ltp(pick("share"), AT) != OPEN.ltp(pick("share"), AT)


@pytest.mark.parametrize("sort", SORTS)
def test_a_minute_candle_is_exactly_its_240_ticks(sort):
    listing = pick(sort)
    minute = AT.replace(second=0, microsecond=0)
    for start in (minute, minute + timedelta(minutes=44), minute + timedelta(hours=7)):
        ticks = [OPEN.ltp(listing, start + STEP * n) for n in range(240)]
        (bar,) = OPEN.candles(listing, start, start + timedelta(minutes=1), "1m")
        assert (bar.opens_at, bar.open_paise, bar.close_paise) == (start, ticks[0], ticks[-1])
        assert (bar.high_paise, bar.low_paise) == (max(ticks), min(ticks))
        before = OPEN.snapshot(listing, start - STEP).volume
        assert bar.volume == OPEN.snapshot(listing, start + STEP * 239).volume - before
        assert bar.oi == OPEN.snapshot(listing, start).oi


@given(st.integers(0, 40 * 24 * 3600 * 4), st.sampled_from(SORTS))
@settings(max_examples=150, deadline=None)
def test_a_snapshot_is_a_possible_market(steps, sort):
    listing = pick(sort)
    market = OPEN.snapshot(listing, AT - timedelta(days=30) + STEP * steps)
    tick = listing.tick_paise
    prices = [market.ltp_paise, market.open_paise, market.high_paise, market.low_paise]
    assert all(p % tick == 0 and p >= tick for p in prices)
    assert market.low_paise <= min(market.ltp_paise, market.open_paise)
    assert market.high_paise >= max(market.ltp_paise, market.open_paise)
    assert market.last_trade_at <= market.at
    if listing.kind is Kind.INDEX:
        assert (market.bids, market.asks, market.volume, market.upper_circuit_paise) == ((), (), 0, 0)
        return
    assert market.lower_circuit_paise <= market.low_paise
    assert market.high_paise <= market.upper_circuit_paise
    assert market.low_paise <= market.average_paise <= market.high_paise
    bids, asks = [x.price_paise for x in market.bids], [x.price_paise for x in market.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert not bids or not asks or bids[0] < asks[0]
    assert all(p % tick == 0 and p > 0 for p in bids + asks)
    assert all(x.quantity % listing.lot_size == 0 and x.quantity > 0 for x in market.bids + market.asks)
    assert market.oi_day_low <= market.oi <= market.oi_day_high
    assert market.volume % listing.lot_size == 0


@pytest.mark.parametrize("sort", SORTS)
def test_the_day_so_far_is_the_sum_of_its_minutes(sort):
    listing = pick(sort)
    midnight = datetime(2026, 11, 20, tzinfo=IST)
    bars = OPEN.candles(listing, midnight, AT, "1m", until=AT)
    market = OPEN.snapshot(listing, AT)
    assert len(bars) == 14 * 60 + 34  # 14:33:07 IST, the running minute included
    assert bars[-1].close_paise == market.ltp_paise
    assert bars[0].open_paise == market.open_paise
    assert max(b.high_paise for b in bars) == market.high_paise
    assert min(b.low_paise for b in bars) == market.low_paise
    assert sum(b.volume for b in bars) == market.volume


@pytest.mark.parametrize("prices", [OPEN, NSE], ids=["always", "nse"])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("interval", ["3m", "5m", "15m", "25m", "1h", "D"])
def test_longer_bars_are_aggregated_minutes(prices, sort, interval):
    listing = pick(sort)
    start, end = datetime(2026, 11, 16, tzinfo=IST), datetime(2026, 11, 20, tzinfo=IST)
    minutes = prices.candles(listing, start, end, "1m")
    bars = prices.candles(listing, start, end, interval)
    assert sum(b.volume for b in bars) == sum(m.volume for m in minutes)
    for bar, following in zip(bars, [*bars[1:], None], strict=True):
        own = [
            m
            for m in minutes
            if m.opens_at >= bar.opens_at and (not following or m.opens_at < following.opens_at)
        ]
        assert bar.opens_at == own[0].opens_at
        assert (bar.open_paise, bar.close_paise) == (own[0].open_paise, own[-1].close_paise)
        assert bar.high_paise == max(m.high_paise for m in own)
        assert bar.low_paise == min(m.low_paise for m in own)
        assert bar.volume == sum(m.volume for m in own)
        assert bar.oi == own[-1].oi


@pytest.mark.parametrize("sort", ["share", "index", "future", "call"])
def test_yesterdays_close_is_todays_previous_close(sort):
    listing = pick(sort)
    start = datetime(2026, 11, 18, tzinfo=IST)
    days = OPEN.candles(listing, start, start + timedelta(days=2), "D")
    noon = start + timedelta(days=1, hours=12)
    assert OPEN.snapshot(listing, noon).prev_close_paise == days[0].close_paise


def test_bars_are_those_that_open_in_the_window():
    share, start = pick("share"), datetime(2026, 11, 20, 10, 0, 30, tzinfo=IST)
    bars = OPEN.candles(share, start, start + timedelta(minutes=3), "1m")
    assert [b.opens_at.astimezone(IST).strftime("%H:%M") for b in bars] == ["10:01", "10:02", "10:03"]
    assert OPEN.candles(share, start, start, "1m") == []
    assert OPEN.candles(share, start, start + timedelta(minutes=3), "1m", until=start) == []


def test_the_running_bar_ends_where_the_market_stands():
    share = pick("share")
    start = AT.replace(second=0, microsecond=0)
    for n in (0, 3, 119, 238):
        now = start + STEP * n
        (bar,) = OPEN.candles(share, start, start + timedelta(hours=1), "1m", until=now)
        ticks = [OPEN.ltp(share, start + STEP * k) for k in range(n + 1)]
        assert (bar.high_paise, bar.low_paise, bar.close_paise) == (max(ticks), min(ticks), ticks[-1])


def test_an_unknown_interval_is_an_error():
    with pytest.raises(KeyError):
        OPEN.candles(pick("share"), AT, AT + timedelta(days=1), "7m")


def test_nse_hours_have_their_minutes_and_no_weekend():
    share, future = pick("share"), pick("future")
    week = datetime(2026, 11, 16, tzinfo=IST), datetime(2026, 11, 23, tzinfo=IST)
    assert len(NSE.candles(share, *week, "1m")) == 5 * 375
    assert len(NSE.candles(future, *week, "1m")) == 5 * 385
    days = NSE.candles(share, *week, "D")
    assert [d.opens_at.astimezone(IST).strftime("%a %H:%M") for d in days] == [
        f"{name} 09:15" for name in ("Mon", "Tue", "Wed", "Thu", "Fri")
    ]


def test_a_closed_market_stands_where_it_closed():
    share = pick("share")
    close = datetime(2026, 11, 20, 15, 29, 59, 750_000, tzinfo=IST)
    last = NSE.snapshot(share, close)
    sunday = NSE.snapshot(share, datetime(2026, 11, 22, 12, tzinfo=IST))
    assert (sunday.ltp_paise, sunday.seq, sunday.volume) == (last.ltp_paise, last.seq, last.volume)
    early = NSE.snapshot(share, datetime(2026, 11, 23, 9, 14, 59, tzinfo=IST))
    assert (early.ltp_paise, early.seq, early.high_paise) == (last.ltp_paise, last.seq, last.high_paise)
    monday = NSE.snapshot(share, datetime(2026, 11, 23, 9, 15, tzinfo=IST))
    assert monday.prev_close_paise == last.ltp_paise
    assert monday.seq > last.seq


def test_seq_grows_when_and_only_when_something_traded():
    share = pick("share")
    last = OPEN.snapshot(share, AT)
    quiet = 0
    for n in range(1, 400):
        at = AT + STEP * n
        market = OPEN.snapshot(share, at)
        printed = OPEN.trade_at(share, to_ms(at) // STEP_MS)
        if market.seq == last.seq:
            quiet += 1
            assert printed is None
            assert (market.ltp_paise, market.volume, market.bids) == (last.ltp_paise, last.volume, last.bids)
        else:
            assert market.seq > last.seq
            assert printed is not None
            assert printed[0] == market.ltp_paise
        last = market
    assert 10 < quiet < 200


def test_derivatives_keep_their_place_to_the_spot():
    spot = OPEN.ltp(pick("index"), AT)
    call, put, future = pick("call"), pick("put"), pick("future")
    assert OPEN.ltp(future, AT) >= spot
    # put-call parity within two ticks
    forward = OPEN.ltp(future, AT)
    parity = OPEN.ltp(call, AT) - OPEN.ltp(put, AT) - (forward - call.strike_paise)
    assert call.strike_paise == put.strike_paise
    assert abs(parity) <= 10
    assert OPEN.ltp(call, AT) > max(spot - call.strike_paise, 0)
    strikes = [
        x for x in UNIVERSE.listings if x.kind is Kind.CALL and x.root == "NIFTY" and x.expiry == call.expiry
    ]
    prices = [OPEN.ltp(x, AT) for x in strikes]
    assert prices == sorted(prices, reverse=True)


def test_twins_on_two_exchanges_trade_at_one_price():
    nse, bse = UNIVERSE.find("NSE", "RELIANCE"), UNIVERSE.find("BSE", "RELIANCE")
    assert nse is not None
    assert bse is not None
    assert OPEN.ltp(nse, AT) == OPEN.ltp(bse, AT)
    assert OPEN.snapshot(nse, AT).volume > OPEN.snapshot(bse, AT).volume > 0


def test_a_month_of_minutes_and_a_snapshot_are_cheap():
    """Ten times the time they take, in CPU seconds, so that a busy machine does not fail it."""
    prices = Prices(SEED, make_universe(), AlwaysOpen())
    for sort in ("share", "call"):
        began = process_time()
        bars = prices.candles(pick(sort), AT - timedelta(days=30), AT, "1m")
        assert len(bars) == 30 * 1440
        assert process_time() - began < 3
    began = process_time()
    for n in range(1000):
        prices.snapshot(pick("call"), AT + STEP * n)
    assert process_time() - began < 0.5
