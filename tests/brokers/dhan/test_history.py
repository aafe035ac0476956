"""History as raw bytes, and the pure mapping that reads them elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from brokers.contract import RawHistory
from brokers.dhan.mapping import history
from brokers.errors import BrokerError, LoginRequired, RateLimited, WireError
from tests.brokers.dhan.server import State, reply
from tests.brokers.dhan.test_rest import DAY, SHARE, rest, trading

BARS = {name: [1789669800.0] for name in ("timestamp", "open", "high", "low", "close", "volume")}
RAW = b' {"timestamp":[1.7896698E9],"open":[1],"high":[1.5],"low":[1],"close":[1],"volume":[2.0E3]}\n'


def test_the_body_is_passed_on_byte_for_byte(server: State) -> None:
    server.on("POST", "/v2/charts/historical", reply(200, RAW))
    one = rest(server.url)
    assert isinstance(one, RawHistory)
    assert one.raw_candles(SHARE, "D", DAY, DAY) == RAW
    assert server.last().json["toDate"] == "2026-09-19"
    [candle] = history.candles(RAW, "D", DAY, DAY)
    assert candle.opened_at_s == int(datetime(2026, 9, 18, tzinfo=UTC).timestamp())
    assert (candle.open, candle.high, candle.volume) == (1.0, 1.5, 2000)


def test_a_range_is_one_call(server: State) -> None:
    server.on("POST", "/v2/charts/intraday", reply(200, BARS))
    rest(server.url).raw_candles(SHARE, "1m", date(2026, 6, 21), DAY)
    [call] = server.calls
    assert call.json["fromDate"] == "2026-06-21 00:00:00"
    assert call.json["toDate"] == "2026-09-18 23:59:59"


def test_no_data_is_an_answer_that_reads_as_none(server: State) -> None:
    server.on("POST", "/v2/charts/historical", reply(400, trading("DH-907")))
    body = rest(server.url).raw_candles(SHARE, "D", DAY, DAY)
    assert history.candles(body, "D", DAY, DAY) == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(400, "DH-905", BrokerError), (401, "DH-901", LoginRequired), (429, "DH-904", RateLimited)],
)
def test_a_refusal_is_raised_and_not_repeated(server: State, status: int, code: str, error: type) -> None:
    server.on("POST", "/v2/charts/historical", reply(status, trading(code)))
    with pytest.raises(error):
        rest(server.url).raw_candles(SHARE, "D", DAY, DAY)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"null",
        json.dumps(trading("DH-905")).encode(),
        b'{"timestamp":[1],"open":[]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_candle_answer_is_never_no_candles(body: bytes) -> None:
    with pytest.raises(WireError):
        history.candles(body, "D", DAY, DAY)
