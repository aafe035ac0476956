"""What the client knows of a symbol, how fresh it is, and what it says when it knows nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from brokers.model import InstrumentKey
from gateway.client.book import Book, from_depth, from_quotes, key_of, topic_of

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SBIN, NIFTY = InstrumentKey("NSE", "SBIN"), InstrumentKey("NSE_INDEX", "NIFTY")


def tick(seq: int, age_s: float = 0.0, **more: Any) -> bytes:
    at = int((NOW - timedelta(seconds=age_s)).timestamp() * 1000)
    data = {"symbol": "SBIN", "exchange": "NSE", "mode": "depth", "ltp": 812.35, "timestamp": at, "seq": seq}
    book = {"bid": 812.3, "ask": 812.4, "bid_quantity": 10, "ask_quantity": 20, "volume": 5, "oi": 0}
    return json.dumps({**data, **book, **more}, separators=(",", ":")).encode()


def book() -> Book:
    one = Book(max_age_s=5.0)
    assert one.add([SBIN]) == [b"NSE_SBIN_DEPTH"]
    return one


def test_a_fresh_tick_is_the_quote() -> None:
    one = book()
    one.take(b"NSE_SBIN_DEPTH", tick(7, age_s=4.9))
    quote = one.fresh(SBIN, NOW)
    assert quote is not None
    assert (quote.ltp, quote.bid, quote.ask, quote.bid_quantity, quote.ask_quantity) == (
        812.35,
        812.3,
        812.4,
        10,
        20,
    )
    assert (quote.volume, quote.oi, quote.seq, quote.source) == (5, 0, 7, "stream")
    assert quote.last_update == NOW - timedelta(seconds=4.9)


def test_a_stale_tick_gives_way_to_a_fresh_answer_of_rest() -> None:
    one = book()
    one.take(b"NSE_SBIN_DEPTH", tick(7, age_s=5.1))
    assert one.fresh(SBIN, NOW) is None
    answer = {"ltp": 812.5, "bids": [{"price": 812.4, "quantity": 3}], "asks": [], "volume": 9, "oi": 0}
    one.keep(SBIN, from_depth(SBIN, answer, NOW))
    quote = one.fresh(SBIN, NOW + timedelta(seconds=4))
    assert quote is not None
    assert (quote.source, quote.ltp, quote.bid, quote.bid_quantity, quote.ask, quote.seq) == (
        "rest", 812.5, 812.4, 3, None, None,
    )  # fmt: skip
    assert one.fresh(SBIN, NOW + timedelta(seconds=6)) is None
    one.take(b"NSE_SBIN_DEPTH", tick(8))
    fresh = one.fresh(SBIN, NOW)
    assert fresh is not None
    assert fresh.source == "stream", "the stream is preferred when both are fresh"


def test_a_zero_of_the_stream_is_not_a_bid() -> None:
    one = book()
    one.take(b"NSE_SBIN_DEPTH", tick(1, bid=0.0, bid_quantity=0))
    quote = one.fresh(SBIN, NOW)
    assert quote is not None
    assert (quote.bid, quote.bid_quantity, quote.ask) == (None, None, 812.4)


def test_missing_numbers_are_counted_and_a_restart_of_the_numbers_is_not() -> None:
    one = book()
    for seq in (5, 6, 9, 9, 11, 1, 2):
        one.take(b"NSE_SBIN_DEPTH", tick(seq))
    assert one.gaps == 3
    assert one.received == 7
    one.take(b"NSE_TCS_DEPTH", tick(100))
    assert one.received == 7


def test_subscribing_twice_asks_once_and_letting_go_forgets() -> None:
    one = book()
    assert one.add([SBIN, NIFTY]) == [b"NSE_INDEX_NIFTY_QUOTE"]
    one.take(b"NSE_SBIN_DEPTH", tick(1))
    assert one.remove([SBIN]) == [b"NSE_SBIN_DEPTH"]
    assert one.remove([SBIN]) == []
    assert one.fresh(SBIN, NOW) is None
    one.take(b"NSE_SBIN_DEPTH", tick(2))
    assert one.newest(SBIN) is None


def test_the_error_says_what_is_known() -> None:
    one = book()
    assert "no tick yet" in str(one.explain(SBIN, NOW, "HTTP 503"))
    one.take(b"NSE_SBIN_DEPTH", tick(1, age_s=60))
    said = str(one.explain(SBIN, NOW, "HTTP 503"))
    assert "NSE:SBIN" in said
    assert "60.0 s old" in said
    assert "HTTP 503" in said
    assert "not subscribed" in str(one.explain(NIFTY, NOW, "x"))


def test_an_index_has_no_book() -> None:
    quote = from_quotes(NIFTY, {"ltp": 26000.5, "bid": 0, "ask": 0, "volume": 0}, NOW)
    assert (quote.ltp, quote.bid, quote.ask, quote.source) == (26000.5, None, None, "rest")


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("SBIN", b"NSE_SBIN_DEPTH"),
        ("NFO:NIFTY28MAR2420800CE", b"NFO_NIFTY28MAR2420800CE_DEPTH"),
        ("NSE_INDEX:NIFTY", b"NSE_INDEX_NIFTY_QUOTE"),
    ],
)
def test_symbols_are_spelled_as_everywhere(text: str, topic: bytes) -> None:
    assert topic_of(key_of(text)) == topic
