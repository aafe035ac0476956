"""Dhan's words <-> ours, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.dhan.mapping import books, market, orders, words
from brokers.errors import InvalidRequest, WireError
from brokers.model import (
    Action,
    Instrument,
    InstrumentKey,
    Level,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
    SentTerms,
)
from tests.brokers.dhan.rows import Table, table

ROW: dict[str, Any] = {
    "dhanClientId": "1000000001",
    "orderId": "112111182198",
    "exchangeOrderId": "1400000000404591",
    "correlationId": "algo-7f3a",
    "orderStatus": "PENDING",
    "transactionType": "BUY",
    "exchangeSegment": "NSE_EQ",
    "productType": "INTRADAY",
    "orderType": "LIMIT",
    "validity": "DAY",
    "tradingSymbol": "DEMOBANK",
    "securityId": "910001",
    "quantity": 5,
    "disclosedQuantity": 0,
    "price": Decimal("2845.55"),
    "triggerPrice": Decimal("0.0"),
    "afterMarketOrder": False,
    "legName": "NA",
    "createTime": "2026-09-18 11:42:07",
    "updateTime": "2026-09-18 11:42:08",
    "exchangeTime": "0001-01-01 00:00:00",
    "drvExpiryDate": None,
    "omsErrorCode": "0",
    "omsErrorDescription": "CONFIRMED",
    "filledQty": 0,
    "remainingQuantity": 5,
    "averageTradedPrice": 0,
}


def test_an_order_row_becomes_our_order() -> None:
    order = orders.order(ROW, table())
    assert order.order_id == "112111182198"
    assert order.key == InstrumentKey("NSE", "DEMOBANK")
    assert (order.action, order.quantity, order.price_type) == (Action.BUY, 5, PriceType.LIMIT)
    assert (order.product, order.price) == ("MIS", Decimal("2845.55"))
    assert (order.status, order.raw_status) == (OrderStatus.OPEN, "PENDING")
    assert (order.tag, order.exchange_order_id) == ("algo-7f3a", "1400000000404591")
    assert order.rejection_reason == ""
    assert order.placed_at == datetime(2026, 9, 18, 6, 12, 7, tzinfo=UTC)
    assert order.updated_at == datetime(2026, 9, 18, 6, 12, 8, tzinfo=UTC)


def test_every_spelling_of_none_is_none() -> None:
    row = ROW | {"correlationId": "NA", "exchangeOrderId": "0", "averageTradedPrice": None, "updateTime": ""}
    order = orders.order(row, table())
    assert (order.tag, order.exchange_order_id, order.average_price) == ("", "", Decimal(0))
    assert order.updated_at is None


@pytest.mark.parametrize(
    ("word", "order_type", "filled", "ours"),
    [
        ("TRANSIT", "LIMIT", 0, "open"),
        ("PENDING", "LIMIT", 0, "open"),
        ("PENDING", "MARKET", 0, "open"),
        ("PENDING", "STOP_LOSS", 0, "trigger pending"),
        ("PENDING", "STOP_LOSS_MARKET", 0, "trigger pending"),
        ("PENDING", "STOP_LOSS", 2, "open"),
        ("TRANSIT", "STOP_LOSS", 0, "open"),
        ("PART_TRADED", "LIMIT", 2, "open"),
        ("Part Traded", "LIMIT", 2, "open"),
        ("PARTIALLY_TRADED", "LIMIT", 2, "open"),
        ("TRADED", "LIMIT", 5, "complete"),
        ("REJECTED", "LIMIT", 0, "rejected"),
        ("CANCELLED", "LIMIT", 2, "cancelled"),
        ("EXPIRED", "LIMIT", 0, "cancelled"),
        ("MODIFIED", "LIMIT", 0, "open"),
        ("INACTIVE", "LIMIT", 0, "open"),
        ("CONFIRM", "LIMIT", 0, "open"),
        ("TRIGGERED", "LIMIT", 0, "open"),
        ("CLOSED", "LIMIT", 0, "complete"),
        ("SOMETHING_NEW", "LIMIT", 0, "unknown"),
        (None, "LIMIT", 0, "unknown"),
    ],
)
def test_statuses(word: str | None, order_type: str, filled: int, ours: str) -> None:
    row = ROW | {"orderStatus": word, "orderType": order_type, "filledQty": filled}
    assert orders.order(row, table()).status == ours


@pytest.mark.parametrize(("word", "is_in"), [("TRANSIT", True), ("Transit", True), ("PENDING", False)])
def test_transit_is_on_its_way_to_the_exchange(word: str, is_in: bool) -> None:
    assert orders.order(ROW | {"orderStatus": word}, table()).in_transit is is_in


def test_only_a_rejection_has_a_reason() -> None:
    row = ROW | {"orderStatus": "REJECTED", "omsErrorDescription": "RMS: margin short"}
    assert orders.order(row, table()).rejection_reason == "RMS: margin short"
    assert orders.order(row | {"orderStatus": "TRADED"}, table()).rejection_reason == ""


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("CNC", "CNC"), ("MARGIN", "NRML"), ("INTRADAY", "MIS"), ("MTF", "MTF"), ("BO", "BO")],
)
def test_products(theirs: str, ours: str) -> None:
    assert orders.order(ROW | {"productType": theirs}, table()).product == ours


def test_an_instrument_the_table_does_not_know_keeps_dhans_words() -> None:
    row = ROW | {"exchangeSegment": "NSE_FNO", "securityId": "13", "tradingSymbol": "ODD-1"}
    assert orders.order(row, table()).key == InstrumentKey("NSE_FNO", "ODD-1")
    assert orders.order(row | {"tradingSymbol": ""}, table()).key == InstrumentKey("NSE_FNO", "13")


@pytest.mark.parametrize("change", [{"orderId": ""}, {"transactionType": "HOLD"}, {"orderType": None}])
def test_a_row_without_its_essentials_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        orders.order(ROW | change, table())


CAMEL: dict[str, Any] = {
    "exchange": "NSE",
    "segment": "E",
    "source": "P",
    "securityId": "910001",
    "clientId": "1000000001",
    "exchOrderNo": "1400000000404591",
    "orderNo": "112111182198",
    "product": "C",
    "txnType": "S",
    "orderType": "LMT",
    "validity": "DAY",
    "quantity": 5,
    "tradedQty": 2,
    "remainingQuantity": 3,
    "price": 2845.55,
    "triggerPrice": 0,
    "tradedPrice": 2845.6,
    "avgTradedPrice": 2845.6,
    "correlationId": "algo-7f3a",
    "orderDateTime": "2026-09-18 11:42:07",
    "lastUpdatedTime": "2026-09-18 11:42:09",
    "status": "Pending",
    "reasonDescription": "CONFIRMED",
    "symbol": "DEMOBANK",
}
PASCAL = {name[0].upper() + name[1:]: value for name, value in CAMEL.items()}


@pytest.mark.parametrize(
    "data", [CAMEL, PASCAL, {"status": "", "orderNo": None, **PASCAL}], ids=["camel", "pascal", "both"]
)
def test_an_order_alert_reads_in_either_spelling(data: dict[str, Any]) -> None:
    update = orders.update(data, table(), 17)
    order = update.order
    assert (update.seen_ns, update.trade_price) == (17, Decimal("2845.6"))
    assert (order.order_id, order.tag) == ("112111182198", "algo-7f3a")
    assert order.key == InstrumentKey("NSE", "DEMOBANK")
    assert (order.action, order.product, order.price_type) == (Action.SELL, "CNC", PriceType.LIMIT)
    assert (order.quantity, order.filled_quantity, order.average_price) == (5, 2, Decimal("2845.6"))
    assert (order.status, order.raw_status) == (OrderStatus.OPEN, "Pending")
    assert order.updated_at == datetime(2026, 9, 18, 6, 12, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ({"status": "Traded", "tradedQty": 5}, OrderStatus.COMPLETE),
        ({"status": "Cancelled"}, OrderStatus.CANCELLED),
        ({"status": "Expired"}, OrderStatus.CANCELLED),
        ({"status": "Rejected"}, OrderStatus.REJECTED),
        ({"status": "Transit"}, OrderStatus.OPEN),
        ({"status": "Pending", "orderType": "SL", "tradedQty": 0}, OrderStatus.TRIGGER_PENDING),
        ({"status": "Pending", "orderType": "SLM", "tradedQty": 0}, OrderStatus.TRIGGER_PENDING),
    ],
)
def test_statuses_of_an_order_alert(change: dict[str, Any], ours: OrderStatus) -> None:
    assert orders.update(CAMEL | change, table(), 0).order.status is ours


@pytest.mark.parametrize(
    ("exchange", "segment", "security_id", "key"),
    [
        ("NSE", "D", "920101", "NFO:NIFTY29SEP2624800CE"),
        ("BSE", "E", "930001", "BSE:DEMOBANK"),
        ("BSE", "D", "930101", "BFO:SENSEX24SEP2681000PE"),
        ("MCX", "M", "910045", "MCX:CRUDEOIL19OCT26FUT"),
        ("NSE", "C", "910077", "CDS:USDINR28SEP26FUT"),
        ("BSE", "C", "930077", "BCD:USDINR25SEP2684.5CE"),
        ("NSE", "M", "1", "NSE_COMM:DEMOBANK"),
    ],
)
def test_an_alerts_segment_letters(exchange: str, segment: str, security_id: str, key: str) -> None:
    change = {"exchange": exchange, "segment": segment, "securityId": security_id}
    assert str(orders.update(CAMEL | change, table(), 0).order.key) == key


def test_an_alert_without_a_number_is_an_error() -> None:
    with pytest.raises(WireError, match="order number"):
        orders.update({"status": "Traded"}, table(), 0)


@pytest.mark.parametrize(
    ("action", "trigger", "tick", "is_option", "price"),
    [
        (Action.SELL, "99", "0.05", False, "97"),  # 2 %: 97.02, floored
        (Action.BUY, "99", "0.05", False, "101"),  # 2 %: 100.98, ceiled
        (Action.SELL, "100", "0.05", False, "99"),
        (Action.SELL, "500", "0.05", False, "495"),
        (Action.SELL, "501", "0.05", False, "498.45"),  # 0.5 %
        (Action.BUY, "9.95", "0.05", True, "10.45"),
        (Action.BUY, "10", "0.05", True, "10.3"),
        (Action.BUY, "100", "0.05", True, "102"),
        (Action.BUY, "500", "0.05", True, "505"),
        (Action.BUY, "0.10", "0.05", False, "0.15"),  # at least one tick
        (Action.SELL, "0.10", "0.05", False, "0.05"),
        (Action.SELL, "0.05", "0.05", True, "0.05"),  # nothing below one tick exists
        (Action.SELL, "84.50", "0.0025", False, "82.81"),
    ],
)
def test_protective_price(action: Action, trigger: str, tick: str, is_option: bool, price: str) -> None:
    found = orders.protective_price(action, Decimal(trigger), Decimal(tick), is_option)
    assert found == Decimal(price)
    assert found % Decimal(tick) == 0


def _request(**change: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "key": InstrumentKey("NSE", "DEMOBANK"),
        "action": Action.BUY,
        "quantity": 5,
        "price_type": PriceType.LIMIT,
        "product": Product.MIS,
        "price": Decimal("2845.55"),
    }
    return OrderRequest(**(fields | change))


def _sent(request: OrderRequest) -> tuple[SentTerms, dict[str, Any]]:
    instrument = table()["NSE:DEMOBANK"]
    sent = orders.terms(request.price_type, request.price, request.trigger_price, request.action, instrument)
    return sent, orders.place_body("1000000001", request, instrument, "algo-7f3a", sent)


def test_a_limit_order_on_the_wire() -> None:
    _, body = _sent(_request(disclosed_quantity=2))
    assert body == {
        "dhanClientId": "1000000001",
        "correlationId": "algo-7f3a",
        "transactionType": "BUY",
        "exchangeSegment": "NSE_EQ",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": "910001",
        "quantity": 5,
        "price": 2845.55,
        "afterMarketOrder": False,
        "disclosedQuantity": 2,
    }


def test_a_market_order_carries_no_price_of_ours() -> None:
    sent, body = _sent(_request(price_type=PriceType.MARKET, price=Decimal(99), trigger_price=Decimal(98)))
    assert sent == SentTerms(PriceType.MARKET, Decimal(0), Decimal(0))
    assert (body["orderType"], body["price"]) == ("MARKET", 0.0)
    assert "triggerPrice" not in body


def test_a_stop_market_goes_out_as_a_stop_with_a_protective_price() -> None:
    sent, body = _sent(
        _request(price_type=PriceType.SL_M, action=Action.SELL, price=Decimal(0), trigger_price=Decimal(2800))
    )
    assert sent == SentTerms(PriceType.SL, Decimal(2786), Decimal(2800))
    assert (body["orderType"], body["price"], body["triggerPrice"]) == ("STOP_LOSS", 2786.0, 2800.0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Product.CNC, "CNC"), (Product.NRML, "MARGIN"), (Product.MIS, "INTRADAY")]
)
def test_products_on_the_wire(ours: Product, theirs: str) -> None:
    assert _sent(_request(product=Product(ours)))[1]["productType"] == theirs


def test_a_modification_names_the_whole_order() -> None:
    change = OrderChange("11", 7, PriceType.SL, Decimal("10.5"), Decimal(10))
    sent = orders.terms(
        change.price_type, change.price, change.trigger_price, Action.BUY, table()["NSE:DEMOBANK"]
    )
    assert orders.modify_body("1000000001", change, sent) == {
        "dhanClientId": "1000000001",
        "orderId": "11",
        "orderType": "STOP_LOSS",
        "legName": "ENTRY_LEG",
        "quantity": 7,
        "price": 10.5,
        "validity": "DAY",
        "triggerPrice": 10.0,
    }


@pytest.mark.parametrize("tag", ["", "x" * 26, "a.b", "é", "a\n"])
def test_a_tag_dhan_would_not_keep_is_refused_not_altered(tag: str) -> None:
    with pytest.raises(InvalidRequest):
        orders.correlation_id(tag)


def test_a_tag_of_25_characters_passes_unchanged() -> None:
    assert orders.correlation_id("aZ09 _-" + "x" * 18) == "aZ09 _-" + "x" * 18


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-09-18 11:42:07", datetime(2026, 9, 18, 6, 12, 7, tzinfo=UTC)),
        ("2026-01-01T00:00:00.000", datetime(2025, 12, 31, 18, 30, tzinfo=UTC)),
        ("18/09/2026 11:42:07", datetime(2026, 9, 18, 6, 12, 7, tzinfo=UTC)),
        ("30/03/2025 15:37", datetime(2025, 3, 30, 10, 7, tzinfo=UTC)),
        ("01/01/1980 00:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("NA", None),
        (None, None),
        ("soon", None),
    ],
)
def test_ist_times(text: str | None, utc: datetime | None) -> None:
    assert words.time_of(text) == utc


@pytest.mark.parametrize("value", ["twelve", "nan", float("inf")])
def test_an_amount_that_is_no_number_is_an_error(value: object) -> None:
    with pytest.raises(WireError):
        words.money(value)


def test_a_trade() -> None:
    trade = orders.trade(
        ROW | {"exchangeTradeId": "15112111182045", "tradedQuantity": 40, "tradedPrice": Decimal("33.05")},
        table(),
    )
    assert (trade.trade_id, trade.order_id, trade.quantity) == ("15112111182045", "112111182198", 40)
    assert trade.price == Decimal("33.05")
    assert trade.traded_at == datetime(2026, 9, 18, 6, 12, 8, tzinfo=UTC)


def test_a_position() -> None:
    row = {
        "exchangeSegment": "NSE_FNO",
        "securityId": "920101",
        "tradingSymbol": "x",
        "productType": "MARGIN",
        "netQty": -65,
        "costPrice": Decimal("118.35"),
        "realizedProfit": Decimal("12.5"),
        "unrealizedProfit": Decimal("-2.25"),
        "buyQty": 0,
        "sellQty": 65,
    }
    position = books.position(row, table())
    assert str(position.key) == "NFO:NIFTY29SEP2624800CE"
    assert (position.product, position.quantity, position.average_price) == ("NRML", -65, Decimal("118.35"))
    assert (position.pnl, position.ltp) == (Decimal("10.25"), None)
    assert (position.buy_quantity, position.sell_quantity) == (0, 65)


def test_a_holding_of_exchange_all_is_found_by_id_and_symbol() -> None:
    row = {
        "exchange": "ALL",
        "tradingSymbol": "DEMOBANK",
        "securityId": "910001",
        "totalQty": 10,
        "avgCostPrice": Decimal(200),
        "lastTradedPrice": Decimal(250),
    }
    holding = books.holding(row, table())
    assert holding.key == InstrumentKey("NSE", "DEMOBANK")
    assert (holding.quantity, holding.pnl, holding.pnl_percent) == (10, Decimal(500), Decimal(25))
    bse = books.holding(row | {"securityId": "930001", "lastTradedPrice": None}, table())
    assert bse.key == InstrumentKey("BSE", "DEMOBANK")
    assert (bse.ltp, bse.pnl, bse.pnl_percent) == (None, None, None)
    unknown = books.holding(row | {"securityId": "5", "tradingSymbol": "NEW"}, table())
    assert unknown.key == InstrumentKey("NSE", "NEW")


def test_funds_take_the_collateral_out_of_the_balance() -> None:
    row = {"availabelBalance": Decimal("98440.5"), "collateralAmount": Decimal(440), "utilizedAmount": 7}
    positions = [
        books.position(
            {"netQty": 1, "realizedProfit": 5, "unrealizedProfit": -3, "productType": "CNC"}, table()
        )
    ] * 2
    funds = books.funds(row, positions)
    assert funds.available_cash == Decimal("98000.5")
    assert (funds.collateral, funds.utilised_debits) == (Decimal(440), Decimal(7))
    assert (funds.m2m_realized, funds.m2m_unrealized) == (Decimal(10), Decimal(-6))
    with pytest.raises(WireError, match="availabelBalance"):
        books.funds({}, [])


QUOTE = {
    "average_price": 33.05,
    "buy_quantity": 10,
    "sell_quantity": 20,
    "depth": {
        "buy": [{"quantity": 7, "orders": 1, "price": 33.0}, {"quantity": 0, "orders": 0, "price": 0.0}],
        "sell": [{"quantity": 0, "orders": 0, "price": 0.0}],
    },
    "last_price": 33.1,
    "last_quantity": 3,
    "last_trade_time": "18/09/2026 11:42:07",
    "lower_circuit_limit": 30.0,
    "upper_circuit_limit": 36.0,
    "ohlc": {"open": 32.0, "close": 31.5, "high": 34.0, "low": 31.0},
    "volume": 123456,
    "oi": 0,
}


def test_a_quote() -> None:
    instrument = table()["NSE:DEMOBANK"]
    found = market.quotes({"NSE_EQ": {"910001": QUOTE}}, [instrument, table()["NSE_INDEX:NIFTY"]])
    assert list(found) == [instrument.key]
    quote = found[instrument.key]
    assert (quote.ltp, quote.open, quote.high, quote.low, quote.prev_close) == (33.1, 32.0, 34.0, 31.0, 31.5)
    assert (quote.bid, quote.bid_quantity, quote.ask) == (33.0, 7, 0.0)
    assert quote.last_trade_ms == 1789711927000
    assert quote.depth is not None
    assert quote.depth.bids == (Level(33.0, 7, 1),)
    assert quote.depth.asks == ()
    untraded = market.quote(QUOTE | {"last_trade_time": "01/01/1980 00:00:00"}, instrument.key)
    assert untraded.last_trade_ms is None


def test_ids_of_a_quote_call_are_integers_by_segment() -> None:
    rows = table()
    body = market.quote_body([rows["NSE:DEMOBANK"], rows["NSE_INDEX:NIFTY"], rows["BSE_INDEX:SENSEX"]])
    assert body == {"NSE_EQ": [910001], "IDX_I": [13, 51]}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("NSE:DEMOBANK", "EQUITY"),
        ("NSE_INDEX:NIFTY", "INDEX"),
        ("NFO:NIFTY29SEP26FUT", "FUTIDX"),
        ("NFO:NIFTY29SEP2624800CE", "OPTIDX"),
        ("BFO:SENSEX24SEP2681000PE", "OPTIDX"),
        ("MCX:CRUDEOIL19OCT26FUT", "FUTCOM"),
        ("CDS:USDINR28SEP26FUT", "FUTCUR"),
        ("BCD:USDINR25SEP2684.5CE", "OPTCUR"),
    ],
)
def test_the_history_calls_word_for_an_instrument(name: str, word: str) -> None:
    assert market.instrument_word(table()[name], table()) == word


def test_a_derivative_of_a_share_is_told_by_the_share() -> None:
    rows = table()
    option = rows["NFO:DEMOMETAL29SEP26292.5PE"]
    assert market.instrument_word(option, rows) == "OPTIDX"
    share = _share("DEMOMETAL")
    assert market.instrument_word(option, Table([option, share])) == "OPTSTK"


def _share(symbol: str) -> Instrument:
    return replace(table()["NSE:DEMOBANK"], key=InstrumentKey("NSE", symbol), token="77")


def test_history_bodies() -> None:
    share, option = table()["NSE:DEMOBANK"], table()["NFO:NIFTY29SEP2624800CE"]
    day = date(2026, 9, 18)
    assert market.history_body(share, "EQUITY", "D", date(2026, 9, 1), day) == (
        "/charts/historical",
        {
            "securityId": "910001",
            "exchangeSegment": "NSE_EQ",
            "instrument": "EQUITY",
            "expiryCode": 0,
            "oi": False,
            "fromDate": "2026-09-01",
            "toDate": "2026-09-19",
        },
    )
    path, body = market.history_body(option, "OPTIDX", "5", day, day)
    assert path == "/charts/intraday"
    assert (body["interval"], body["oi"]) == ("5", True)
    assert (body["fromDate"], body["toDate"]) == ("2026-09-18 00:00:00", "2026-09-18 23:59:59")


def _arrays(*times: float, **change: Any) -> dict[str, Any]:
    size = len(times)
    arrays: dict[str, Any] = {name: [1.5] * size for name in ("open", "high", "low", "close")}
    return arrays | {"volume": [1.7454579e7] * size, "timestamp": list(times)} | change


def test_a_daily_bar_carries_its_trading_date() -> None:
    # 1326220200 is 2012-01-11 00:00 IST
    (candle,) = market.candles(_arrays(1326220200.0), True, date(2012, 1, 11), date(2012, 1, 11))
    assert candle.opened_at_s == int(datetime(2012, 1, 11, tzinfo=UTC).timestamp())
    assert candle.volume == 17454579


def test_minute_bars_keep_their_utc_time_in_order_once_and_inside_the_dates() -> None:
    first = int(datetime(2026, 9, 18, 3, 45, tzinfo=UTC).timestamp())
    arrays = _arrays(first + 60, first, first, first + 86_400, open_interest=[4, 3, 3, 9])
    found = market.candles(arrays, False, date(2026, 9, 18), date(2026, 9, 18))
    assert [(c.opened_at_s, c.oi) for c in found] == [(first, 3), (first + 60, 4)]
    # 23:30 UTC of the 17th is 05:00 IST of the 18th
    late = int(datetime(2026, 9, 17, 23, 30, tzinfo=UTC).timestamp())
    assert len(market.candles(_arrays(late), False, date(2026, 9, 18), date(2026, 9, 18))) == 1


def test_empty_and_broken_candle_arrays() -> None:
    day = date(2026, 9, 18)
    assert market.candles({}, True, day, day) == []
    for bad in (_arrays(1.0, volume=[]), _arrays(1789703100.0, close=[None]), _arrays("x")):  # type: ignore[arg-type]
        with pytest.raises(WireError):
            market.candles(bad, False, day, day)
