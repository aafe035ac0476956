"""History as raw bytes, and the pure mapping that reads them elsewhere."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from brokers import errors
from brokers.contract import RawHistory
from brokers.kotak.mapping import history
from brokers.kotak.rest import KotakRest
from tests.brokers.kotak.server import Server
from tests.brokers.kotak.test_rest import CANDLES, DEMO, bars, fault, says

DAY = date(2026, 11, 20)


def test_the_body_is_passed_on_and_read_by_the_mapping(server: Server, rest: KotakRest) -> None:
    server.on(CANDLES, bars("2026-11-20", "2026-11-19", "2026-11-21", "2026-11-20"))
    assert isinstance(rest, RawHistory)
    body = rest.raw_candles(DEMO, "D", date(2026, 11, 19), DAY)
    found = history.candles(body, "D", date(2026, 11, 19), DAY)
    # ascending, one for each day, none of a day that was not asked for
    days = [datetime.fromtimestamp(c.opened_at_s, UTC).date() for c in found]
    assert days == [date(2026, 11, 19), DAY]
    assert len(server.requests) == 1


def test_minutes_belong_to_their_day_in_india(server: Server) -> None:
    rows = ["2026-11-20T00:00:00+0530", "2026-11-20T23:59:00+0530", "2026-11-21T00:00:00+0530"]
    text = ",".join(f'["{at}",10,12,9,11.05,5,0]' for at in rows)
    body = f'{{"status":"success","data":{{"candles":[{text}]}}}}'.encode()
    found = history.candles(body, "1m", DAY, DAY)
    assert [c.close for c in found] == [11.05, 11.05]


@pytest.mark.parametrize("text", ["No data found", "Market is not yet open for the day"])
def test_no_data_is_an_answer_that_reads_as_none(server: Server, rest: KotakRest, text: str) -> None:
    server.on(CANDLES, fault(text))
    assert history.candles(rest.raw_candles(DEMO, "1m", DAY, DAY), "1m", DAY, DAY) == []


def test_a_refusal_is_raised_and_not_repeated(server: Server, rest: KotakRest, slept: list[float]) -> None:
    server.on(CANDLES, fault("Invalid interval value"))
    with pytest.raises(errors.BrokerError, match="Invalid interval"):
        rest.raw_candles(DEMO, "1m", DAY, DAY)
    server.on(CANDLES, says({"code": 429}, 429))
    with pytest.raises(errors.RateLimited):
        rest.raw_candles(DEMO, "1m", DAY, DAY)
    assert len(server.requests) == 2
    assert slept == []


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"data":{}}', b'{"data":{"candles":[[1]]}}', b"[" * 100_000]
)
def test_what_is_no_candle_answer_is_never_no_candles(body: bytes) -> None:
    with pytest.raises(errors.WireError):
        history.candles(body, "1m", DAY, DAY)
