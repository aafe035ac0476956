"""Forever orders over real sockets: bodies, rows, and what a lost answer becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan.forever import DhanForever, gtts
from brokers.errors import BrokerDown, LoginRequired, OrderRejected, OutcomeUnknown, RateLimited, WireError
from brokers.model import Action, GttLeg, GttRequest, GttState, PriceType, Product
from brokers.secret import Secret
from brokers.transport import Transport
from tests.brokers.dhan.rows import table
from tests.brokers.dhan.server import Answer, State, reply, reset, truncated

AT = datetime(2026, 9, 18, 6, 30, tzinfo=UTC)
SHARE = table()["NSE:DEMOBANK"]
STOP = GttLeg(Decimal("2700.50"), Decimal("2695"), rises=False)
TARGET = GttLeg(Decimal("3000"), Decimal("2998.55"), rises=True)
SINGLE = GttRequest(SHARE.key, Action.SELL, 5, PriceType.LIMIT, Product.CNC, (STOP,))
OCO = GttRequest(SHARE.key, Action.SELL, 5, PriceType.LIMIT, Product.CNC, (STOP, TARGET))
ACK = {"orderId": "132", "orderStatus": "PENDING"}


def forever(url: str) -> DhanForever:
    session = BrokerSession("dhan", "1000000001", {"token": Secret("t")}, {}, AT, AT + timedelta(days=1), 1)
    context = BrokerContext({}, {"rest": f"{url}/v2", "auth": url}, {}, ManualClock(AT), table())
    return DhanForever(context, lambda: session, Transport(connect_timeout_s=1.0, read_timeout_s=0.4))


def row(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": "132",
        "orderStatus": "CONFIRM",
        "transactionType": "SELL",
        "exchangeSegment": SHARE.broker_exchange,
        "securityId": SHARE.token,
        "productType": "CNC",
        "orderType": "SINGLE",
        "tradingSymbol": SHARE.broker_symbol,
        "quantity": 5,
        "price": 2695.0,
        "triggerPrice": 2700.5,
        "legName": "ENTRY_LEG",
        "createTime": "2026-09-18 12:00:00",
        "updateTime": "2026-09-18 12:00:01",
    } | changes


def test_a_single_sends_one_leg_and_no_empty_key(server: State) -> None:
    server.on("POST", "/v2/forever/orders", reply(200, ACK))
    assert forever(server.url).place_gtt(SINGLE, SHARE, "TAG-1").trigger_id == "132"
    assert server.last().json == {
        "dhanClientId": "1000000001",
        "correlationId": "TAG-1",
        "orderFlag": "SINGLE",
        "transactionType": "SELL",
        "exchangeSegment": SHARE.broker_exchange,
        "productType": "CNC",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": SHARE.token,
        "quantity": 5,
        "price": 2695.0,
        "triggerPrice": 2700.5,
    }


def test_an_oco_sends_the_stop_first_and_the_target_as_the_second_pair(server: State) -> None:
    server.on("POST", "/v2/forever/orders", reply(200, ACK))
    forever(server.url).place_gtt(OCO, SHARE, "TAG-1")
    body = server.last().json
    assert (body["orderFlag"], body["triggerPrice"], body["price"]) == ("OCO", 2700.5, 2695.0)
    assert (body["triggerPrice1"], body["price1"], body["quantity1"]) == (3000.0, 2998.55, 5)


def test_a_market_leg_carries_no_price(server: State) -> None:
    server.on("POST", "/v2/forever/orders", reply(200, ACK))
    market = GttRequest(SHARE.key, Action.SELL, 5, PriceType.MARKET, Product.CNC, (STOP, TARGET))
    forever(server.url).place_gtt(market, SHARE, "TAG-1")
    body = server.last().json
    assert (body["orderType"], body["price"], body["price1"]) == ("MARKET", 0.0, 0.0)


@pytest.mark.parametrize(
    ("gtt", "leg", "name", "trigger"),
    [
        (SINGLE, 0, "ENTRY_LEG", 2700.5),
        (OCO, 0, "STOP_LOSS_LEG", 2700.5),
        (OCO, 1, "TARGET_LEG", 3000.0),
    ],
)
def test_a_change_names_its_leg(server: State, gtt: GttRequest, leg: int, name: str, trigger: float) -> None:
    server.on("PUT", "/v2/forever/orders/132", reply(200, ACK))
    forever(server.url).modify_gtt("132", gtt, leg, SHARE)
    body = server.last().json
    assert (body["orderId"], body["legName"], body["triggerPrice"]) == ("132", name, trigger)


def test_a_cancel_has_no_body(server: State) -> None:
    server.on("DELETE", "/v2/forever/orders/132", reply(202, {"orderId": "132", "orderStatus": "CANCELLED"}))
    forever(server.url).cancel_gtt("132")
    assert server.last().body == b""


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(500, b"oops"), OutcomeUnknown),
        (reply(200, b"not json"), OutcomeUnknown),
        (reply(200, {}), OutcomeUnknown),
        (reset, OutcomeUnknown),
        (truncated, OutcomeUnknown),
        (reply(429, {"errorCode": "DH-904", "errorMessage": "m"}), RateLimited),
        (reply(401, {"errorCode": "DH-901", "errorMessage": "m"}), LoginRequired),
        (reply(400, {"errorCode": "DH-906", "errorMessage": "m"}), OrderRejected),
    ],
)
def test_a_write_is_sent_once_and_ends_by_class(server: State, answer: Answer, error: type) -> None:
    server.on("POST", "/v2/forever/orders", answer)
    with pytest.raises(error):
        forever(server.url).place_gtt(SINGLE, SHARE, "TAG-1")
    assert len(server.calls) == 1


def test_the_rows_of_an_oco_become_one_with_the_lower_trigger_first(server: State) -> None:
    rows = [
        row(orderType="OCO", legName="TARGET_LEG", triggerPrice=3000.0, price=2998.55),
        row(orderType="OCO", legName="STOP_LOSS_LEG"),
        row(orderId="133", orderStatus="TRADED", correlationId="ours"),
    ]
    server.on("GET", "/v2/forever/orders", reply(200, rows))
    both, one = forever(server.url).gtts()
    assert (both.trigger_id, both.legs, both.key) == ("132", (STOP, TARGET), SHARE.key)
    assert (both.state, both.price_type, both.product, both.tag) == (GttState.ACTIVE, None, "CNC", "")
    assert (one.state, one.tag, one.legs) == (GttState.TRIGGERED, "ours", (STOP,))
    assert both.placed_at == datetime(2026, 9, 18, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("TRADED", "CANCELLED"), GttState.TRIGGERED),
        (("CONFIRM", "CANCELLED"), GttState.ACTIVE),
        (("CANCELLED", "CANCELLED"), GttState.CANCELLED),
        (("REJECTED", "CANCELLED"), GttState.REJECTED),
        (("SOMETHING", "CANCELLED"), GttState.UNKNOWN),
    ],
)
def test_the_leg_that_fired_tells_the_whole(words: tuple[str, str], state: GttState) -> None:
    rows = [row(orderStatus=words[0]), row(orderStatus=words[1], triggerPrice=3000.0)]
    assert gtts(rows, table())[0].state is state


@pytest.mark.parametrize("bad", [{"orderId": None}, {"transactionType": "HOLD"}])
def test_a_row_without_id_or_side_is_an_error(bad: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        gtts([row(**bad)], table())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(200, {"rows": []}), WireError),
        (reply(200, b"<html>"), WireError),
        (reply(500, b""), BrokerDown),
        (reply(200, {"errorCode": "DH-908", "errorMessage": "m"}), BrokerDown),
    ],
)
def test_a_list_that_cannot_be_read_is_never_empty(server: State, answer: Answer, error: type) -> None:
    server.on("GET", "/v2/forever/orders", answer)
    with pytest.raises(error):
        forever(server.url).gtts()
