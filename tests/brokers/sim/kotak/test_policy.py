"""Kotak's own behaviour, on values: protection grid, statuses, what a request must look like."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.sim.exchange.types import Kind, Side, Status, Type
from brokers.sim.kotak import policy
from brokers.sim.kotak.answers import Answer
from brokers.sim.kotak.policy import Word
from tests.brokers.sim.kotak.test_hsm import make_listing, make_snapshot

PLACE = {
    "am": "NO", "dq": "0", "es": "nse_cm", "mp": "0", "pc": "MIS", "pf": "N", "pr": "1025.50", "pt": "L",
    "qt": "10", "rt": "DAY", "tp": "0", "ts": "DEMOIND-EQ", "tt": "B", "ig": "t1", "os": "NEOTRADEAPI",
}  # fmt: skip


def refused(body: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(Answer) as caught:
        policy.read_place(body)
    return dict(caught.value.body)


@pytest.mark.parametrize(
    ("ltp", "share"),
    [(9_995, "0.02"), (10_000, "0.01"), (50_000, "0.01"), (50_005, "0.005"), (900_000, "0.005")],
)
def test_shares_and_futures_follow_their_grid(ltp, share):
    for kind in (Kind.EQUITY, Kind.FUTURE):
        assert policy.protection_paise(make_listing(kind=kind), ltp) == Decimal(ltp) * Decimal(share)


@pytest.mark.parametrize(
    ("ltp", "room"),
    [(95, "10"), (100, "10.00"), (495, "49.5"), (500, "25"), (995, "49.75"), (1_000, "30"), (9_995, "299.85"),
     (10_000, "200"), (49_995, "999.9"), (50_000, "500")],
)  # fmt: skip
def test_options_follow_theirs(ltp, room):
    listing = make_listing(kind=Kind.CALL, exchange="NFO", expiry=datetime(2026, 11, 24, tzinfo=UTC).date())
    assert policy.protection_paise(listing, ltp) == Decimal(room)


@pytest.mark.parametrize(
    ("side", "ltp", "limit"),
    [
        (Side.BUY, 102_550, "1030.60"),  # 0.5 % is 5.1275: on tick, never beyond
        (Side.SELL, 102_550, "1020.40"),
        (Side.BUY, 112_000, "1124.00"),  # 0.5 % would pass the upper circuit
        (Side.SELL, 92_100, "920.00"),
    ],
)
def test_a_market_order_becomes_a_limit_inside_band_and_circuits(side, ltp, limit):
    assert policy.protected_limit(make_snapshot(ltp_paise=ltp), side) == Decimal(limit)


def test_order_numbers_are_date_and_nine_digits_of_the_indian_day():
    assert policy.order_id(datetime(2026, 11, 19, 19, 0, tzinfo=UTC), 7) == "261120000000007"


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        (None, Word.VALIDATION, [Word.RECEIVED, Word.VALIDATION]),
        (None, Word.REJECTED, [Word.RECEIVED, Word.VALIDATION, Word.REJECTED]),
        (Word.VALIDATION, Word.REJECTED, [Word.REJECTED]),
        (Word.VALIDATION, Word.OPEN, [Word.OPEN_PENDING, Word.OPEN]),
        (Word.VALIDATION, Word.TRIGGER_PENDING, [Word.OPEN_PENDING, Word.TRIGGER_PENDING]),
        (Word.VALIDATION, Word.COMPLETE, [Word.OPEN_PENDING, Word.OPEN, Word.COMPLETE]),
        (Word.OPEN, Word.COMPLETE, [Word.COMPLETE]),
        (Word.OPEN, Word.OPEN, [Word.OPEN]),
        (Word.TRIGGER_PENDING, Word.OPEN, [Word.OPEN]),
    ],
)
def test_an_order_shows_every_station(before, after, steps):
    assert policy.steps_to(before, after) == steps


def test_every_engine_status_has_a_word():
    words = {status: policy.word(status) for status in Status}
    assert words[Status.PARTIAL] is Word.OPEN
    assert words[Status.EXPIRED] is Word.CANCELLED
    for status, following in itertools.product(Status, Status):
        assert policy.steps_to(words[status], words[following])[-1] is words[following]


def test_a_plain_place_request_is_read():
    placing = policy.read_place(PLACE)
    assert (placing.segment, placing.symbol, placing.side) == ("nse_cm", "DEMOIND-EQ", Side.BUY)
    assert placing.tag == "t1"
    assert placing.terms == policy.Terms(Type.LIMIT, False, 10, Decimal("1025.50"), Decimal(0), 0, "DAY")


def test_nulls_are_as_good_as_absent():
    nulls = dict.fromkeys(["sot", "slt", "slv", "sov", "lat", "tlt", "tsv", "tk", "ig", "dq", "am"])
    assert policy.read_place(PLACE | nulls).tag == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"qt": 10}, 1007),
        ({"qt": "10.0"}, 1007),
        ({"qt": "0"}, 1007),
        ({"qt": "-5"}, 1007),
        ({"qt": None}, 1007),
        ({"pr": "0.0", "pt": "MKT"}, 1007),
        ({"tp": "0.0"}, 1007),
        ({"pr": "0"}, 1007),
        ({"pr": "NaN"}, 1007),
        ({"pr": "-1"}, 1007),
        ({"pt": "SL"}, 1007),
        ({"pt": "SL-M", "tp": "1000"}, 1017),
        ({"pt": "2L"}, 1007),
        ({"pc": "BO"}, 1007),
        ({"pc": "MTF"}, 1007),
        ({"rt": "GTC"}, 1007),
        ({"es": "mcx_fo", "rt": "IOC"}, 1007),
        ({"tt": "BUY"}, 1007),
        ({"am": "maybe"}, 1007),
        ({"ts": None}, 1007),
    ],
)
def test_what_kotak_refuses(change, code):
    body = refused(PLACE | change)
    assert body["stCode"] == code
    assert body["stat"] == "Not_Ok"


def test_stop_market_is_refused_in_the_broker_s_words():
    assert refused(PLACE | {"pt": "SL-M"})["emsg"] == "Market order with Algo Id not allowed"


def test_a_market_order_needs_no_price_and_a_limit_ignores_the_trigger():
    assert policy.read_place(PLACE | {"pt": "MKT", "pr": "0"}).terms.is_market
    assert policy.read_place(PLACE | {"tp": "1000"}).terms.trigger == 0


def test_the_tag_is_rewritten_once():
    assert policy.rewritten_tag("t1") == "t1-ADMINAPI"
    assert policy.rewritten_tag("t1-ADMINAPI") == "t1-ADMINAPI"


def test_finished_orders_answer_by_how_they_ended():
    assert policy.finished(Status.FILLED).body["stCode"] == 1021
    assert policy.finished(Status.CANCELLED).body["stCode"] == 1006
