"""What one instrument's packets add up to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers.dhan.feed.state import State, trade_time_ms
from brokers.dhan.wire import market as wire
from brokers.model import Mode, Tick
from tests.brokers.dhan.rows import table

GOLDEN = json.loads((Path(__file__).parent / "data" / "dhan-packets.json").read_text())
VECTORS: dict[str, Any] = {v["id"]: v for v in GOLDEN["vectors"]}
MALFORMED: dict[str, Any] = {v["id"]: v for v in GOLDEN["malformed"]}
NOON_NS = int(datetime(2026, 9, 18, 6, 30, tzinfo=UTC).timestamp()) * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000
OPTION, SHARE, INDEX = "NFO:NIFTY29SEP2624800CE", "NSE:DEMOBANK", "NSE_INDEX:NIFTY"


def packet(name: str) -> wire.Packet:
    found = VECTORS.get(name) or MALFORMED[name]
    return next(iter(wire.split(bytes.fromhex(found["hex"]))))


def feed(state: State, *names: str, at_ns: int = NOON_NS, is_open: bool = True) -> Tick | None:
    tick = None
    for name in names:
        tick = state.apply(packet(name), at_ns, is_open)
    return tick


def test_a_ticker_gives_price_and_true_utc_time() -> None:
    tick = feed(State(table()[SHARE], Mode.LTP), "ticker-nse-eq")
    assert tick is not None
    assert (tick.ltp, tick.mode, tick.received_ns) == (2845.550048828125, Mode.LTP, NOON_NS)
    assert tick.last_trade_ms == VECTORS["ticker-nse-eq"]["derived"]["ltt_utc_epoch"] * 1000
    assert (tick.volume, tick.prev_close, tick.depth) == (None, None, None)


TIMED = [v for v in GOLDEN["vectors"] if "ltt_utc_epoch" in v["derived"]]


@pytest.mark.parametrize("vector", TIMED, ids=lambda v: v["id"])
def test_feed_times_become_utc_and_sentinels_become_none(vector: dict[str, Any]) -> None:
    found = trade_time_ms(vector["expected"]["ltt_raw"])
    epoch = vector["derived"]["ltt_utc_epoch"]
    assert found == (epoch * 1000 if epoch and epoch > 946_684_800 else None)


def test_every_tick_carries_all_that_is_known() -> None:
    state = State(table()[OPTION], Mode.DEPTH)
    assert feed(state, "prevclose-nfo") is None  # no price yet
    tick = feed(state, "full-nfo-option", "oi-nfo")
    assert tick is not None
    expected = VECTORS["full-nfo-option"]["expected"]
    assert tick.mode is Mode.DEPTH
    assert (tick.open, tick.high, tick.low) == (
        expected["day_open"],
        expected["day_high"],
        expected["day_low"],
    )
    assert (tick.volume, tick.average_price) == (expected["volume"], expected["atp"])
    assert tick.total_buy_quantity == expected["total_buy_qty"]
    assert tick.total_sell_quantity == expected["total_sell_qty"]
    assert (tick.oi, tick.oi_day_high, tick.oi_day_low) == (3786445, 3912350, 3300115)
    assert tick.prev_close == VECTORS["prevclose-nfo"]["expected"]["prev_close"]
    best = expected["depth"][0]
    assert (tick.bid, tick.bid_quantity) == (best["bid_price"], best["bid_qty"])
    assert (tick.ask, tick.ask_quantity) == (best["ask_price"], best["ask_qty"])
    assert tick.depth is not None
    assert len(tick.depth().bids) == 5


def test_a_quote_tick_serves_quote_and_keeps_an_open_interest_packet() -> None:
    tick = feed(State(table()[OPTION], Mode.QUOTE), "quote-nfo-option", "oi-nfo")
    assert tick is not None
    assert (tick.mode, tick.oi, tick.depth) == (Mode.QUOTE, 3786445, None)


def test_an_index_serves_the_wanted_mode_with_what_it_gets() -> None:
    tick = feed(State(table()[INDEX], Mode.DEPTH), "prevclose-idx", "ticker-idx-nifty")
    assert tick is not None
    assert (tick.mode, tick.prev_close, tick.volume) == (Mode.DEPTH, 24751.25, None)


def test_day_close_is_the_previous_close_only_while_the_session_runs() -> None:
    in_session = feed(State(table()[SHARE], Mode.QUOTE), "quote-nse-eq")
    assert in_session is not None
    assert in_session.prev_close == VECTORS["quote-nse-eq"]["expected"]["day_close"]
    after = feed(State(table()[SHARE], Mode.QUOTE), "quote-nse-eq", is_open=False)
    assert after is not None
    assert after.prev_close is None


def test_after_the_close_the_previous_close_seen_in_session_stays() -> None:
    state = State(table()[SHARE], Mode.QUOTE)
    feed(state, "quote-nse-eq")
    tick = feed(state, "quote-bse-eq-after-close", is_open=False)
    assert tick is not None
    assert tick.prev_close == VECTORS["quote-nse-eq"]["expected"]["day_close"]


def test_a_previous_close_packet_wins_over_day_close_but_zero_is_no_price() -> None:
    state = State(table()[OPTION], Mode.QUOTE)
    tick = feed(state, "prevclose-nfo", "quote-untraded")
    assert tick is not None
    assert tick.prev_close == VECTORS["prevclose-nfo"]["expected"]["prev_close"]
    new_listing = feed(State(table()[OPTION], Mode.LTP), "prevclose-zero-new-listing", "ticker-nse-eq")
    assert new_listing is not None
    assert new_listing.prev_close is None


def test_a_previous_close_does_not_survive_into_the_next_session() -> None:
    state = State(table()[SHARE], Mode.LTP)
    feed(state, "prevclose-nfo", "ticker-nse-eq")
    tick = feed(state, "ticker-nse-eq", at_ns=NOON_NS + DAY_NS)
    assert tick is not None
    assert tick.prev_close is None


@pytest.mark.parametrize("bad", ["nan-price", "inf-price"])
def test_a_price_that_is_no_number_is_absent(bad: str) -> None:
    state = State(table()[SHARE], Mode.LTP)
    assert feed(state, bad) is None
    tick = feed(state, "ticker-nse-eq", bad)
    assert tick is not None
    assert tick.ltp == 2845.550048828125


def test_a_negative_price_is_a_price() -> None:
    tick = feed(State(table()[SHARE], Mode.LTP), "ticker-negative-price")
    assert tick is not None
    assert tick.ltp == -2884.0


def test_an_empty_side_of_the_book_has_no_best_price() -> None:
    state = State(table()[SHARE], Mode.DEPTH)
    feed(state, "full-nse-eq")
    tick = feed(state, "full-upper-circuit")
    assert tick is not None
    assert (tick.ask, tick.ask_quantity) == (None, None)
    assert tick.bid_quantity == 912345


def test_a_lower_mode_forgets_what_would_grow_stale() -> None:
    state = State(table()[OPTION], Mode.DEPTH)
    feed(state, "full-nfo-option")
    state.want(Mode.LTP)
    tick = feed(state, "ticker-nse-eq")
    assert tick is not None
    assert (tick.mode, tick.volume, tick.oi, tick.bid, tick.depth) == (Mode.LTP, None, None, None, None)


def test_v1_depth_and_packets_without_content() -> None:
    state = State(table()[SHARE], Mode.DEPTH)
    tick = feed(state, "v1depth-nse-eq")
    assert tick is not None
    assert (tick.mode, tick.bid) == (Mode.DEPTH, 2845.5)
    assert feed(state, "status-nse-eq") is None
