"""REST calls against an HTTP server on loopback: what leaves, what comes back, what a failure means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest

from brokers import errors as house
from brokers.contract import BrokerContext, BrokerSession
from brokers.kotak.rest import KotakRest
from brokers.model import (
    Action,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
)
from tests.brokers.kotak.conftest import make
from tests.brokers.kotak.rows import (
    DEMO,
    DEMO_TWO,
    NIFTY,
    OPTION,
    holding_row,
    instrument,
    order_row,
    position_row,
    quote_row,
    trade_row,
)
from tests.brokers.kotak.server import Answer, Request, Server, says

D = Decimal
Make = Callable[..., BrokerContext]
PLACE, MODIFY, CANCEL = "/quick/order/rule/ms/place", "/quick/order/vr/modify", "/quick/order/cancel"
BOOK, TRADES, HISTORY = "/quick/user/orders", "/quick/user/trades", "/quick/order/history"
POSITIONS, HOLDINGS, LIMITS = "/portfolio/v2/positions", "/portfolio/v1/holdings", "/quick/user/limits"
QUOTES, CANDLES = "/script-details/1.0/quotes/neosymbol/", "/market-data/1.0/historical/details"
OK = {"nOrdNo": "261120000000001", "stat": "Ok", "stCode": 200}
NO_DATA = {"stat": "Not_Ok", "stCode": 5203, "errMsg": "No Data"}
ORDER = OrderRequest(DEMO.key, Action.BUY, 10, PriceType.LIMIT, Product.MIS, D("1025.50"))


def book(*rows: dict[str, Any]) -> Answer:
    return says({"stat": "Ok", "stCode": 200, "data": list(rows)})


# --- writes ------------------------------------------------------------------------------------------------


def test_a_new_order_leaves_once_and_names_its_number(server: Server, rest: KotakRest) -> None:
    server.on(PLACE, says(OK))
    placed = rest.place(ORDER, DEMO, "algo-1", ltp=1025.0)
    (request,) = server.asked(PLACE)
    assert (placed.order_id, placed.status) == ("261120000000001", OrderStatus.OPEN)
    assert placed.sent_ns <= placed.acknowledged_ns
    assert (request.jdata["ig"], request.jdata["ts"], request.jdata["pr"]) == (
        "algo-1",
        "DEMOIND-EQ",
        "1025.5",
    )
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    wanted = {"sid": "SID-1", "auth": "TRADE", "authorization": "app-token", "neo-fin-key": "neotradeapi"}
    assert {name: request.headers[name] for name in wanted} == wanted
    assert request.query == {}


def test_an_sl_m_says_what_was_really_sent(server: Server, rest: KotakRest) -> None:
    server.on(PLACE, says(OK))
    asked = OrderRequest(DEMO.key, Action.BUY, 10, PriceType.SL_M, Product.MIS, trigger_price=D(1000))
    placed = rest.place(asked, DEMO, "t", ltp=None)
    assert (placed.sent.price_type, placed.sent.price, placed.sent.trigger_price) == (
        PriceType.SL,
        D(1005),
        D(1000),
    )
    assert server.asked(PLACE)[0].jdata["pt"] == "SL"


def test_the_2_0_0_paths_carry_bearer_and_server_id(
    server: Server, context: Make, session: BrokerSession
) -> None:
    path = "/apim/orders/2.0/quick/order/rule/ms/place"
    server.on(path, says(OK))
    server.on("/apim/orders/2.0/quick/user/orders", book())
    rest = make(context(KOTAK_PATHS="apim"), session)
    rest.place(ORDER, DEMO, "t", ltp=None)
    rest.orders()
    place, orders = server.requests
    assert place.query == orders.query == {"sId": ["server2"]}
    assert place.headers["authorization"] == orders.headers["authorization"] == "Bearer app-token"
    assert place.jdata["os"] == "NEOFINTECH001"


def known_order() -> Order:
    return Order(
        "261120000000001",
        DEMO.key,
        Action.BUY,
        10,
        PriceType.LIMIT,
        "MIS",
        D("1025.5"),
        D(0),
        OrderStatus.OPEN,
        0,
        D(0),
    )


def test_a_change_and_a_cancel_name_their_order(server: Server, rest: KotakRest) -> None:
    server.on(MODIFY, says(OK))
    server.on(CANCEL, says({"stat": "Ok", "stCode": 200}))
    change = OrderChange("261120000000001", 12, PriceType.LIMIT, D("1020.00"), D(0))
    assert rest.modify(change, known_order(), DEMO).order_id == "261120000000001"
    rest.cancel("261120000000001")
    assert server.asked(MODIFY)[0].jdata["no"] == "261120000000001"
    assert server.asked(CANCEL)[0].jdata == {"on": "261120000000001", "am": "NO"}


def test_an_index_takes_no_orders_and_nothing_leaves(server: Server, rest: KotakRest) -> None:
    bcd = instrument("BCD", "USDINR29DEC26FUT", "bcs_fo", "1", "USDINR26DECFUT")
    with pytest.raises(house.NotSupported):
        rest.place(ORDER, bcd, "t", ltp=None)
    assert server.requests == []


SESSION_GONE = {"stCode": 100022, "errMsg": "invalid session token", "stat": "Not_Ok"}
OUTCOMES = [
    ("reset after the request", Answer(raw=b""), house.OutcomeUnknown),
    (
        "truncated answer",
        Answer(raw=b'HTTP/1.1 200 OK\r\ncontent-length: 80\r\n\r\n{"nOrdNo":'),
        house.OutcomeUnknown,
    ),
    ("no HTTP at all", Answer(raw=b"garbage\r\n\r\n"), house.OutcomeUnknown),
    ("500", says({"stat": "Not_Ok", "stCode": 1, "emsg": "x"}, 500), house.OutcomeUnknown),
    ("502", Answer(502, b"<html>bad gateway</html>"), house.OutcomeUnknown),
    ("503", Answer(503, b""), house.OutcomeUnknown),
    ("504", Answer(504, b"<html>"), house.OutcomeUnknown),
    ("200 with HTML", Answer(200, b"<html>"), house.OutcomeUnknown),
    ("200 with nothing", Answer(200, b""), house.OutcomeUnknown),
    ("200 with a list", Answer(200, b"[]"), house.OutcomeUnknown),
    ("200 with half JSON", Answer(200, b'{"nOrdNo":"2611200'), house.OutcomeUnknown),
    ("429", says({"code": 429, "message": "too many"}, 429, Retry_After="3"), house.RateLimited),
    ("session expired", says(SESSION_GONE), house.LoginRequired),
    (
        "session expired, 401",
        says({"code": "900901", "message": "Invalid Credentials"}, 401),
        house.LoginRequired,
    ),
    ("403 gateway text", Answer(403, b"Forbidden"), house.LoginRequired),
    (
        "address not listed",
        says({"stCode": 100008, "errMsg": "unauthorized", "stat": "Not_Ok"}),
        house.IpNotAllowed,
    ),
    ("address differs", says({"stCode": 1037, "errMsg": "session ip", "stat": "Not_Ok"}), house.IpNotAllowed),
    ("refused", says({"stat": "Not_Ok", "stCode": 1004, "emsg": "no money"}), house.OrderRejected),
    (
        "finished",
        says({"stCode": 1021, "errMsg": "order is completed", "stat": "please"}),
        house.OrderRejected,
    ),
]


@pytest.mark.parametrize(("answer", "kind"), [o[1:] for o in OUTCOMES], ids=[o[0] for o in OUTCOMES])
@pytest.mark.parametrize("call", ["place", "modify", "cancel"])
def test_what_a_failed_write_means(
    server: Server, rest: KotakRest, call: str, answer: Answer, kind: type[house.BrokerError]
) -> None:
    path = {"place": PLACE, "modify": MODIFY, "cancel": CANCEL}[call]
    server.on(path, answer)
    with pytest.raises(house.BrokerError) as caught:
        write(rest, call)
    assert type(caught.value) is kind
    assert len(server.asked(path)) == 1, "a write leaves once, whatever comes back"


def test_an_order_accepted_without_a_number_is_unknown(server: Server, rest: KotakRest) -> None:
    server.on(PLACE, says({"stat": "Ok", "stCode": 200}))
    with pytest.raises(house.OutcomeUnknown):
        rest.place(ORDER, DEMO, "t", ltp=None)


def write(rest: KotakRest, call: str) -> None:
    if call == "place":
        rest.place(ORDER, DEMO, "t", ltp=None)
    elif call == "modify":
        change = OrderChange("261120000000001", 12, PriceType.LIMIT, D("1020.00"), D(0))
        rest.modify(change, known_order(), DEMO)
    else:
        rest.cancel("261120000000001")


@pytest.mark.parametrize("call", ["place", "modify", "cancel"])
def test_a_write_without_an_answer_in_time_is_unknown(server: Server, rest: KotakRest, call: str) -> None:
    path = {"place": PLACE, "modify": MODIFY, "cancel": CANCEL}[call]
    server.on(path, Answer(wait=server.release))
    with pytest.raises(house.OutcomeUnknown):
        write(rest, call)
    assert len(server.asked(path)) == 1


@pytest.mark.parametrize("call", ["place", "modify", "cancel"])
def test_a_refused_connection_left_nothing(context: Make, session: BrokerSession, call: str) -> None:
    nowhere = BrokerSession(
        "kotak",
        "ABC12",
        session.secrets,
        {"base_url": "http://127.0.0.1:1"},
        session.issued_at,
        session.expires_at,
    )
    with pytest.raises(house.BrokerDown):
        write(make(context(), nowhere), call)


def test_retry_after_reaches_the_caller(server: Server, rest: KotakRest) -> None:
    server.on(PLACE, says({"code": 429}, 429, Retry_After="3"))
    with pytest.raises(house.RateLimited) as caught:
        rest.place(ORDER, DEMO, "t", ltp=None)
    assert caught.value.retry_after_s == 3.0


# --- books -------------------------------------------------------------------------------------------------


def test_books_in_our_words(server: Server, rest: KotakRest) -> None:
    server.on(BOOK, book(order_row()))
    server.on(TRADES, says({"stat": "ok", "stCode": 200, "data": [trade_row()]}))
    server.on(POSITIONS, says({"stat": "ok", "stCode": 200, "data": [position_row()]}))
    server.on(HOLDINGS, says({"data": [holding_row()]}))
    server.on(
        LIMITS,
        says({"stat": "Ok", "stCode": 200, "Net": "19.4", "CollateralValue": "100", "Collateral": "0"}),
    )
    assert rest.orders()[0].order_id == "261120000000001"
    assert rest.trades()[0].key == DEMO.key
    assert rest.positions()[0].quantity == 6
    assert rest.holdings()[0].average_price == D("900.5")
    assert rest.funds().available_cash == D(100)
    assert server.asked(LIMITS)[0].jdata == {"seg": "ALL", "exch": "ALL", "prod": "ALL"}
    for request in server.requests:
        assert "authorization" not in request.headers, "reports go by the session alone"


@pytest.mark.parametrize(
    ("path", "call"), [(BOOK, "orders"), (TRADES, "trades"), (POSITIONS, "positions"), (HOLDINGS, "holdings")]
)
@pytest.mark.parametrize(
    "answer", [says(NO_DATA), says(NO_DATA, 400), says({"stat": "Ok", "data": []})], ids=range(3)
)
def test_an_empty_book_is_an_empty_list(
    server: Server, rest: KotakRest, path: str, call: str, answer: Answer
) -> None:
    server.on(path, answer)
    assert getattr(rest, call)() == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says({"stat": "Ok", "stCode": 200}), house.WireError),
        (says({"stat": "Ok", "data": "none"}), house.WireError),
        (says({"stat": "Ok", "data": [1]}), house.WireError),
        (Answer(200, b"<html>"), house.WireError),
        (Answer(200, b'{"stat":"Ok","data":[{"nOrdNo":'), house.WireError),
        (Answer(503, b""), house.BrokerDown),
        (Answer(raw=b""), house.BrokerDown),
        (says(SESSION_GONE), house.LoginRequired),
        (says({"stCode": 100008, "errMsg": "unauthorized", "stat": "Not_Ok"}), house.LoginRequired),
        (says({"code": 429}, 429), house.RateLimited),
        (says({"stat": "Not_Ok", "stCode": 1007, "emsg": "body invalid"}), house.BrokerError),
    ],
    ids=range(11),
)
@pytest.mark.parametrize(
    ("path", "call"),
    [
        (BOOK, "orders"),
        (TRADES, "trades"),
        (POSITIONS, "positions"),
        (HOLDINGS, "holdings"),
        (LIMITS, "funds"),
    ],
)
def test_a_failed_read_is_never_an_empty_list(
    server: Server, rest: KotakRest, path: str, call: str, answer: Answer, kind: type[house.BrokerError]
) -> None:
    server.on(path, answer)
    with pytest.raises(house.BrokerError) as caught:
        getattr(rest, call)()
    assert type(caught.value) is kind


def test_a_read_is_tried_again_after_a_gateway_error(server: Server, rest: KotakRest) -> None:
    server.on(BOOK, Answer(502, b""), book(order_row()))
    assert len(rest.orders()) == 1
    assert len(server.asked(BOOK)) == 2


def test_our_orders_are_found_by_the_beginning_of_their_tag(server: Server, rest: KotakRest) -> None:
    rows = [
        order_row(nOrdNo=str(n), GuiOrdId=tag)
        for n, tag in enumerate(["a1b2", "a1b2-1795149930", "other", "--"])
    ]
    server.on(BOOK, book(*rows))
    assert [o.order_id for o in rest.find_tag("a1b2")] == ["0", "1"]


def test_no_tag_found_is_empty_only_from_a_healthy_read(server: Server, rest: KotakRest) -> None:
    server.on(BOOK, says(NO_DATA))
    assert rest.find_tag("a1b2") == []
    server.on(BOOK, Answer(500, b""))
    with pytest.raises(house.BrokerDown):
        rest.find_tag("a1b2")


def test_the_states_of_one_order(server: Server, rest: KotakRest) -> None:
    server.on(HISTORY, says({"data": {"stat": "Ok", "data": [order_row(ordSt="complete"), order_row()]}}))
    assert [o.status for o in rest.history("261120000000001")] == [OrderStatus.COMPLETE, OrderStatus.OPEN]
    assert server.asked(HISTORY)[0].jdata == {"nOrdNo": "261120000000001"}


def test_holdings_are_read_only_when_a_carried_cash_position_needs_its_cost(
    server: Server, rest: KotakRest
) -> None:
    carried = position_row(
        cfBuyQty="10", flBuyQty="0", flSellQty="0", buyAmt="0", sellAmt="0", cfBuyAmt="10220"
    )
    server.on(
        POSITIONS, says({"stat": "ok", "data": [position_row()]}), says({"stat": "ok", "data": [carried]})
    )
    server.on(HOLDINGS, says({"data": [holding_row()]}))
    rest.positions()
    assert server.asked(HOLDINGS) == []
    assert rest.positions()[0].average_price == D("900.5")


# --- market data -------------------------------------------------------------------------------------------


def asked_keys(request: Request) -> list[str]:
    return unquote(request.path.removeprefix(QUOTES).removesuffix("/all")).split(",")


def test_quotes_go_forty_a_call_and_need_no_session(server: Server, rest: KotakRest) -> None:
    def answer(request: Request) -> Answer:
        rows = [key.split("|") for key in asked_keys(request)]
        return says([quote_row(exchange=segment, exchange_token=token) for segment, token in rows])

    server.on(f"{QUOTES}*", answer)
    many = [instrument("NSE", f"S{n}", "nse_cm", str(n), f"S{n}-EQ") for n in range(85)]
    found = rest.quotes([*many, NIFTY])
    assert [len(asked_keys(r)) for r in server.requests] == [40, 40, 6]
    assert len(found) == 86
    assert asked_keys(server.requests[2])[-1] == "nse_cm|Nifty 50"
    assert found[NIFTY.key].ltp == 112.35
    assert server.requests[0].headers["authorization"] == "app-token"
    assert "auth" not in server.requests[0].headers


def test_one_unknown_instrument_does_not_hide_the_others(server: Server, rest: KotakRest) -> None:
    def answer(request: Request) -> Answer:
        keys = asked_keys(request)
        if "nse_cm|90002" in keys:
            return says({"stat": "Not_Ok", "emsg": "Invalid instrument/code", "stCode": 1009})
        return says([quote_row(exchange=k.split("|")[0], exchange_token=k.split("|")[1]) for k in keys])

    server.on(f"{QUOTES}*", answer)
    assert set(rest.quotes([DEMO, DEMO_TWO, OPTION, NIFTY])) == {DEMO.key, OPTION.key, NIFTY.key}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says({}), house.WireError),
        (says([1]), house.WireError),
        (says(SESSION_GONE), house.LoginRequired),
        (Answer(429, b""), house.RateLimited),
    ],
    ids=range(4),
)
def test_failed_quotes(
    server: Server, rest: KotakRest, answer: Answer, kind: type[house.BrokerError]
) -> None:
    server.on(f"{QUOTES}*", answer)
    with pytest.raises(kind):
        rest.quotes([DEMO])


def bars(*days: str) -> Answer:
    rows = [[f"{day}T09:15:00+0530", 10, 12, 9, 11, 5, 0] for day in days]
    return says({"status": "success", "interval": "D", "data": {"candles": rows}})


def test_candles_are_asked_for_in_ranges_and_joined(server: Server, rest: KotakRest) -> None:
    def answer(request: Request) -> Answer:
        return bars(request.query["todate"][0], request.query["fromdate"][0])

    server.on(CANDLES, answer)
    found = rest.candles(NIFTY, "D", date(2026, 1, 1), date(2026, 11, 20))
    ranges = [(r.query["fromdate"][0], r.query["todate"][0]) for r in server.requests]
    assert ranges == [("2026-01-01", "2026-06-29"), ("2026-06-30", "2026-11-20")]
    assert server.requests[0].query["neosymbol"] == ["nse_cm|Nifty 50"]
    assert server.requests[0].query["interval"] == ["D"]
    assert [c.opened_at_s for c in found] == sorted(c.opened_at_s for c in found)
    assert len(found) == 4


def fault(message: str) -> Answer:
    return says({"status": "ERROR", "fault": {"code": 400, "message": message}}, 400)


@pytest.mark.parametrize("text", ["No data found", "Market is not yet open for the day"])
def test_no_candles_is_an_empty_list(server: Server, rest: KotakRest, text: str) -> None:
    server.on(CANDLES, fault(text))
    assert rest.candles(DEMO, "1m", date(2026, 11, 20), date(2026, 11, 20)) == []


def test_another_fault_is_an_error(server: Server, rest: KotakRest) -> None:
    server.on(CANDLES, fault("Invalid interval value"))
    with pytest.raises(house.BrokerError, match="Invalid interval"):
        rest.candles(DEMO, "1m", date(2026, 11, 20), date(2026, 11, 20))


def test_a_429_of_the_history_is_waited_for(server: Server, rest: KotakRest, slept: list[float]) -> None:
    limited = says({"code": 429, "message": "too many"}, 429, Retry_After="2")
    server.on(CANDLES, limited, limited, bars("2026-11-20"))
    assert len(rest.candles(DEMO, "D", date(2026, 11, 20), date(2026, 11, 20))) == 1
    assert slept == [2.0, 4.0]


def test_a_429_that_stays_is_said(server: Server, rest: KotakRest, slept: list[float]) -> None:
    server.on(CANDLES, says({"code": 429}, 429))
    with pytest.raises(house.RateLimited):
        rest.candles(DEMO, "D", date(2026, 11, 20), date(2026, 11, 20))
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("exchange", "segment", "interval"),
    [("MCX", "mcx_fo", "1m"), ("CDS", "cde_fo", "D"), ("NSE", "nse_cm", "2m")],
)
def test_history_kotak_does_not_have(
    server: Server, rest: KotakRest, exchange: str, segment: str, interval: str
) -> None:
    with pytest.raises(house.NotSupported):
        rest.candles(
            instrument(exchange, "X", segment, "1", "X"), interval, date(2026, 11, 1), date(2026, 11, 20)
        )
    assert server.requests == []
