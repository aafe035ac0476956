"""REST calls over real sockets: what left the machine, and what became of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan.mapping import errors
from brokers.dhan.rest import DhanRest
from brokers.errors import (
    BrokerDown,
    BrokerError,
    IpNotAllowed,
    LoginRequired,
    NotFound,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    WireError,
)
from brokers.model import Action, OrderChange, OrderRequest, OrderStatus, PriceType, Product, SentTerms
from brokers.secret import Secret
from brokers.transport import Transport
from tests.brokers.dhan.rows import table
from tests.brokers.dhan.server import Answer, State, hang, reply, reset, truncated
from tests.brokers.dhan.test_mapping import QUOTE, ROW
from tests.ports import free_ports

AT = datetime(2026, 9, 18, 6, 30, tzinfo=UTC)
TOKEN = "eyJ-not-a-real-token"
ORDER_ROW = json.loads(json.dumps(ROW, default=float))
SHARE = table()["NSE:DEMOBANK"]
REQUEST = OrderRequest(SHARE.key, Action.BUY, 5, PriceType.LIMIT, Product.MIS, Decimal("2845.55"))
DAY = date(2026, 9, 18)


def rest(url: str, sleeps: list[float] | None = None) -> DhanRest:
    session = BrokerSession("dhan", "1000000001", {"token": Secret(TOKEN)}, {}, AT, AT + timedelta(days=1), 1)
    context = BrokerContext({}, {"rest": f"{url}/v2", "auth": url}, {}, ManualClock(AT), table())
    transport = Transport(connect_timeout_s=1.0, read_timeout_s=0.4, read_retries=1)
    naps = [] if sleeps is None else sleeps
    return DhanRest(context, lambda: session, transport, sleep=naps.append)


def place(broker: DhanRest) -> Any:
    return broker.place(REQUEST, SHARE, "algo-1", ltp=None)


def trading(code: str, message: str = "text") -> dict[str, str]:
    return {"errorType": "T", "errorCode": code, "errorMessage": message}


def test_a_placed_order_carries_headers_body_and_both_times(server: State) -> None:
    server.on("POST", "/v2/orders", reply(200, {"orderId": "112111182198", "orderStatus": "TRANSIT"}))
    placed = place(rest(server.url))
    assert (placed.order_id, placed.status) == ("112111182198", OrderStatus.OPEN)
    assert placed.sent == SentTerms(PriceType.LIMIT, Decimal("2845.55"), Decimal(0))
    assert 0 < placed.sent_ns <= placed.acknowledged_ns
    call = server.last()
    assert call.headers["access-token"] == TOKEN
    assert call.headers["client-id"] == "1000000001"
    assert call.headers["content-type"] == "application/json"
    assert (call.json["correlationId"], call.json["price"]) == ("algo-1", 2845.55)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"orderId": "1", "orderStatus": "PENDING"}, OrderStatus.OPEN),
        ({"orderId": "1", "orderStatus": "TRADED"}, OrderStatus.COMPLETE),
        ({"orderId": "1", "orderStatus": "REJECTED"}, OrderStatus.REJECTED),
        ({"orderId": "1", "orderStatus": "NEWWORD"}, OrderStatus.OPEN),
        ([{"orderId": "1", "orderStatus": "TRANSIT"}], OrderStatus.OPEN),
    ],
)
def test_acknowledgements(server: State, answer: object, status: OrderStatus) -> None:
    server.on("POST", "/v2/orders", reply(200, answer))
    assert place(rest(server.url)).status is status


OUTCOMES: list[tuple[str, Answer, type[BrokerError]]] = [
    ("reset after the request", reset, OutcomeUnknown),
    ("no answer in time", hang, OutcomeUnknown),
    ("half a body", truncated, OutcomeUnknown),
    ("500 without a body", reply(500, b""), OutcomeUnknown),
    ("502 of a proxy", reply(502, b"<html>"), OutcomeUnknown),
    ("503 with a code", reply(503, trading("DH-909")), OutcomeUnknown),
    ("500 with an id", reply(500, {"orderId": "1", "orderStatus": "TRANSIT"}), OutcomeUnknown),
    ("DH-908", reply(500, trading("DH-908")), OutcomeUnknown),
    ("success that is garbage", reply(200, b"\x00garbage"), OutcomeUnknown),
    ("success without an id", reply(200, {"orderStatus": "TRANSIT"}), OutcomeUnknown),
    ("success with a refusal in it", reply(200, trading("DH-906")), OutcomeUnknown),
    ("empty list", reply(200, []), OutcomeUnknown),
    ("a redirect", reply(302, b"", Location="/elsewhere"), OutcomeUnknown),
    ("400 that is garbage", reply(400, b"<html>"), OutcomeUnknown),
    ("429", reply(429, b""), RateLimited),
    ("DH-904", reply(429, trading("DH-904")), RateLimited),
    ("805", reply(429, {"data": {"805": "Too many"}, "status": "failed"}), RateLimited),
    ("401 without a body", reply(401, b""), LoginRequired),
    ("expired token", reply(401, trading("DH-901", "expired")), LoginRequired),
    ("807", reply(401, {"data": {"807": "expired"}, "status": "failed"}), LoginRequired),
    ("808", reply(401, {"data": {"808": "auth"}, "status": "failed"}), LoginRequired),
    ("809", reply(401, {"data": {"809": "bad"}, "status": "failed"}), LoginRequired),
    ("Invalid Token", reply(400, trading("DH-906", "Invalid Token")), LoginRequired),
    ("Invalid IP", reply(400, trading("DH-905", "Invalid IP")), IpNotAllowed),
    ("Invalid IP as users name it", reply(400, trading("DH-911", "Invalid IP.")), IpNotAllowed),
    ("a bad field", reply(400, trading("DH-905", "Missing required fields")), OrderRejected),
    ("market closed", reply(400, trading("DH-906", "Market is closed")), OrderRejected),
    ("no access", reply(401, trading("DH-902")), OrderRejected),
    ("account", reply(400, trading("DH-903")), OrderRejected),
    ("a code nobody knows", reply(400, trading("XX-1")), OrderRejected),
    ("Spring's 404", reply(404, {"timestamp": 1, "status": 404, "error": "Not Found"}), NotSupported),
]


@pytest.mark.parametrize(("answer", "kind"), [o[1:] for o in OUTCOMES], ids=[o[0] for o in OUTCOMES])
def test_every_other_outcome_of_a_write_has_its_class_and_one_request(
    server: State, answer: Answer, kind: type[BrokerError]
) -> None:
    server.on("POST", "/v2/orders", answer)
    with pytest.raises(BrokerError) as caught:
        place(rest(server.url))
    assert type(caught.value) is kind
    assert TOKEN not in str(caught.value)
    assert len(server.calls) == 1


def test_a_refused_connection_means_nothing_left() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BrokerDown, match="could not connect"):
        place(rest(f"http://127.0.0.1:{port}"))


def test_a_kept_connection_the_broker_closed_meanwhile_is_never_sent_on_twice(server: State) -> None:
    ack = reply(200, {"orderId": "1", "orderStatus": "TRANSIT"})
    server.on("POST", "/v2/orders", ack, reset, ack)
    broker = rest(server.url)
    place(broker)
    with pytest.raises(OutcomeUnknown):
        place(broker)
    assert len(server.calls) == 2


def test_retry_after_is_honoured(server: State) -> None:
    server.on("POST", "/v2/orders", reply(429, trading("DH-904"), Retry_After="7"))
    with pytest.raises(RateLimited) as caught:
        place(rest(server.url))
    assert (caught.value.retry_after_s, caught.value.broker_code) == (7.0, "DH-904")


def test_a_change_names_the_order_in_path_and_body(server: State) -> None:
    server.on("PUT", "/v2/orders/11", reply(200, {"orderId": "11", "orderStatus": "TRANSIT"}))
    broker = rest(server.url)
    server.on("GET", "/v2/orders", reply(200, [ORDER_ROW]))
    (order,) = broker.orders()
    change = OrderChange("11", 7, PriceType.SL_M, Decimal(0), Decimal(2800))
    placed = broker.modify(change, order, SHARE)
    assert placed.sent == SentTerms(PriceType.SL, Decimal(2814), Decimal(2800))
    body = server.last().json
    assert (body["orderId"], body["quantity"], body["price"]) == ("11", 7, 2814.0)


@pytest.mark.parametrize("status", [200, 202])
def test_a_cancel_is_a_delete_without_a_body(server: State, status: int) -> None:
    server.on("DELETE", "/v2/orders/11", reply(status, {"orderId": "11", "orderStatus": "CANCELLED"}))
    rest(server.url).cancel("11")
    assert (server.last().method, server.last().body) == ("DELETE", b"")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(400, trading("DH-906", "order is in transit")), OrderRejected),
        (reply(404, trading("DH-906", "no such order")), NotFound),
        (reply(202, b""), OutcomeUnknown),
        (hang, OutcomeUnknown),
    ],
)
def test_what_a_cancel_may_meet(server: State, answer: Answer, kind: type[BrokerError]) -> None:
    server.on("DELETE", "/v2/orders/11", answer)
    with pytest.raises(kind):
        rest(server.url).cancel("11")
    assert len(server.calls) == 1


@pytest.mark.parametrize("body", [ORDER_ROW, [ORDER_ROW]])
def test_an_order_is_found_by_its_tag(server: State, body: object) -> None:
    server.on("GET", "/v2/orders/external/algo-7f3a", reply(200, body))
    (order,) = rest(server.url).find_tag("algo-7f3a")
    assert order.order_id == "112111182198"


def test_a_tag_with_a_space_is_quoted(server: State) -> None:
    server.on("GET", "/v2/orders/external/a%20b", reply(200, [ORDER_ROW | {"correlationId": "a b"}]))
    assert len(rest(server.url).find_tag("a b")) == 1


@pytest.mark.parametrize("answer", [reply(404, trading("DH-906", "no order")), reply(200, [])])
def test_a_tag_dhan_does_not_know_is_an_empty_list(server: State, answer: Answer) -> None:
    server.on("GET", "/v2/orders/external/algo-1", answer)
    assert rest(server.url).find_tag("algo-1") == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(404, {"timestamp": 1, "status": 404, "error": "Not Found"}), NotSupported),
        (reply(404, b"<html>"), BrokerDown),
        (reply(500, b""), BrokerDown),
        (reply(200, b"garbage"), WireError),
        (reply(200, [ORDER_ROW]), WireError),  # another order's tag is no evidence
        (reply(400, trading("DH-906", "Invalid Token")), LoginRequired),
        (hang, BrokerDown),
    ],
)
def test_a_read_that_is_not_healthy_is_never_not_found(
    server: State, answer: Answer, kind: type[BrokerError]
) -> None:
    server.on("GET", "/v2/orders/external/algo-1", answer)
    with pytest.raises(kind):
        rest(server.url).find_tag("algo-1")


def test_one_order_by_id_and_the_empty_answer_for_an_unknown_one(server: State) -> None:
    server.on("GET", "/v2/orders/11", reply(200, [ORDER_ROW]), reply(200, []))
    broker = rest(server.url)
    assert broker.order("11").order_id == "112111182198"
    with pytest.raises(NotFound):
        broker.order("11")


BOOKS: list[tuple[str, Callable[[DhanRest], list[Any]]]] = [
    ("/v2/orders", DhanRest.orders),
    ("/v2/trades", DhanRest.trades),
    ("/v2/positions", DhanRest.positions),
    ("/v2/holdings", DhanRest.holdings),
]


@pytest.mark.parametrize(("path", "read"), BOOKS, ids=[b[0] for b in BOOKS])
def test_an_empty_book_is_empty_only_when_dhan_says_so(
    server: State, path: str, read: Callable[[DhanRest], list[Any]]
) -> None:
    server.on("GET", path, reply(200, []))
    assert read(rest(server.url)) == []
    for bad, kind in [
        (reply(200, b""), WireError),
        (reply(200, None), WireError),
        (reply(200, ["x"]), WireError),
        (reply(500, trading("DH-908")), BrokerDown),
        (reply(429, trading("DH-904")), RateLimited),
        (reply(401, trading("DH-901")), LoginRequired),
        (reply(200, trading("DH-907")), BrokerError),
    ]:
        server.on("GET", path, bad)
        with pytest.raises(kind):
            read(rest(server.url))


@pytest.mark.parametrize(
    "body",
    [
        {"errorType": "HOLDING_ERROR", "errorCode": "DH-1111", "errorMessage": "No holdings available"},
        {"errorCode": "DHOLDING_ERROR", "httpStatus": "x", "internalErrorCode": "DH-1111"},
    ],
)
def test_no_holdings_come_as_an_error_and_are_an_empty_list(server: State, body: object) -> None:
    server.on("GET", "/v2/holdings", reply(500, body))
    assert rest(server.url).holdings() == []


def test_a_read_is_repeated_on_a_gateway_error(server: State) -> None:
    server.on("GET", "/v2/orders", reply(503, b""), reply(200, [ORDER_ROW]))
    (order,) = rest(server.url).orders()
    assert order.price == Decimal("2845.55")
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"primaryIP": "203.0.113.9", "secondaryIP": ""}, ("203.0.113.9",)),
        ({"primaryIP": "203.0.113.9", "secondaryIP": "2001:DB8:0::1"}, ("203.0.113.9", "2001:db8::1")),
        ([{"message": "No IP set for the client", "status": "ERROR"}], ()),
    ],
)
def test_registered_addresses_in_their_usual_spelling(
    server: State, said: Any, wanted: tuple[str, ...]
) -> None:
    server.on("GET", "/v2/ip/getIP", reply(200, said))
    assert rest(server.url).registered_ips() == wanted


def test_funds_join_balances_and_the_days_profit(server: State) -> None:
    server.on("GET", "/v2/fundlimit", reply(200, {"availabelBalance": 98440.1, "collateralAmount": 0.1}))
    row = {"productType": "CNC", "realizedProfit": 1.5, "unrealizedProfit": -0.5, "netQty": 1}
    server.on("GET", "/v2/positions", reply(200, [row]))
    funds = rest(server.url).funds()
    assert funds.available_cash == Decimal("98440.0")
    assert (funds.m2m_realized, funds.m2m_unrealized) == (Decimal("1.5"), Decimal("-0.5"))


def test_quotes_ask_for_integers_and_miss_what_dhan_misses(server: State) -> None:
    data = {"NSE_EQ": {"910001": QUOTE}}
    server.on("POST", "/v2/marketfeed/quote", reply(200, {"data": data, "status": "success"}))
    found = rest(server.url).quotes([SHARE, table()["NSE_INDEX:NIFTY"]])
    assert list(found) == [SHARE.key]
    assert server.last().json == {"NSE_EQ": [910001], "IDX_I": [13]}
    assert server.last().headers["client-id"] == "1000000001"


def test_more_than_a_thousand_quotes_are_two_calls_a_second_apart(server: State) -> None:
    server.on("POST", "/v2/marketfeed/quote", reply(200, {"data": {}, "status": "success"}))
    sleeps: list[float] = []
    assert rest(server.url, sleeps).quotes([SHARE] * 1001) == {}
    assert [len(c.json["NSE_EQ"]) for c in server.calls] == [1000, 1]
    assert sleeps == [1.1]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(429, {"data": {"805": "Too many requests"}, "status": "failed"}), RateLimited),
        (reply(401, {"data": {"806": "no plan"}, "status": "failed"}), NotSupported),
        (reply(400, {"data": {"814": "Invalid Request"}, "status": "failed"}), BrokerError),
        (reply(401, {"data": {"810": "client id"}, "status": "failed"}), LoginRequired),
        (reply(200, {"status": "success"}), WireError),
        (reply(200, {"data": {"805": "Too many"}, "status": "failed"}), RateLimited),
    ],
)
def test_quote_refusals(server: State, answer: Answer, kind: type[BrokerError]) -> None:
    server.on("POST", "/v2/marketfeed/quote", answer)
    with pytest.raises(kind) as caught:
        rest(server.url).quotes([SHARE])
    assert type(caught.value) is kind


def _bars(*times: float) -> dict[str, list[float]]:
    return {name: list(times) for name in ("timestamp", "open", "high", "low", "close", "volume")}


def test_daily_candles_are_one_call_with_an_exclusive_end(server: State) -> None:
    # 18 and 19 September 2026, 00:00 IST
    server.on("POST", "/v2/charts/historical", reply(200, _bars(1789669800.0, 1789756200.0)))
    found = rest(server.url).candles(SHARE, "D", DAY, DAY)
    assert [c.opened_at_s for c in found] == [int(datetime(2026, 9, 18, tzinfo=UTC).timestamp())]
    assert (server.last().json["fromDate"], server.last().json["toDate"]) == ("2026-09-18", "2026-09-19")


def test_minute_candles_come_in_pieces_of_ninety_days(server: State) -> None:
    server.on(
        "POST", "/v2/charts/intraday", reply(200, _bars()), reply(400, trading("DH-907")), reply(200, _bars())
    )
    sleeps: list[float] = []
    assert rest(server.url, sleeps).candles(SHARE, "1m", date(2026, 1, 1), date(2026, 7, 1)) == []
    assert [(c.json["fromDate"][:10], c.json["toDate"][:10]) for c in server.calls] == [
        ("2026-01-01", "2026-03-31"),
        ("2026-04-01", "2026-06-29"),
        ("2026-06-30", "2026-07-01"),
    ]
    assert server.last().json["interval"] == "1"
    assert len(sleeps) == 2


def test_an_interval_dhan_does_not_have(server: State) -> None:
    with pytest.raises(NotSupported, match="3m"):
        rest(server.url).candles(SHARE, "3m", DAY, DAY)
    assert server.calls == []


def test_a_refused_candle_call_is_an_error_not_an_empty_list(server: State) -> None:
    server.on("POST", "/v2/charts/historical", reply(400, trading("DH-905", "bad date")))
    with pytest.raises(BrokerError, match="bad date"):
        rest(server.url).candles(SHARE, "D", DAY, DAY)


def test_calls_from_many_threads_do_not_mix(server: State) -> None:
    server.on("GET", "/v2/orders", reply(200, [ORDER_ROW]))
    broker, found = rest(server.url), []
    threads = [threading.Thread(target=lambda: found.append(len(broker.orders()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [1] * 8


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b'{"status":"failed","data":{}}', b'{"errorCode":null}']
)
def test_bodies_without_a_refusal_read_as_none(body: bytes) -> None:
    assert errors.read(errors.parse(body)).code == ""
