"""Kotak's words and ours, as tables."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from brokers import errors as house
from brokers.errors import InvalidRequest, WireError
from brokers.kotak.mapping import books, errors, market, orders, words
from brokers.model import (
    Action,
    InstrumentKey,
    OrderChange,
    OrderRequest,
    OrderStatus,
    PriceType,
    Product,
)
from tests.brokers.kotak.rows import (
    DEMO,
    NIFTY,
    OPTION,
    Table,
    holding_row,
    instrument,
    order_row,
    position_row,
    quote_row,
    trade_row,
)

D = Decimal
LOOKUP = Table()


# --- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("put order req received", OrderStatus.OPEN),
        ("validation pending", OrderStatus.OPEN),
        ("open pending", OrderStatus.OPEN),
        ("open", OrderStatus.OPEN),
        ("trigger pending", OrderStatus.TRIGGER_PENDING),
        ("modify validation pending", OrderStatus.OPEN),
        ("modify pending", OrderStatus.OPEN),
        ("modified", OrderStatus.OPEN),
        ("cancel pending", OrderStatus.OPEN),
        ("after market order req received", OrderStatus.OPEN),
        ("modify after market order req received", OrderStatus.OPEN),
        ("complete", OrderStatus.COMPLETE),
        ("traded", OrderStatus.COMPLETE),
        ("rejected", OrderStatus.REJECTED),
        ("cancelled", OrderStatus.CANCELLED),
        ("canceled", OrderStatus.CANCELLED),
        ("cancelled after market order", OrderStatus.CANCELLED),
        ("COMPLETE", OrderStatus.COMPLETE),
        ("frozen by the moon", OrderStatus.UNKNOWN),
        ("", OrderStatus.UNKNOWN),
    ],
)
def test_statuses(word: str, status: OrderStatus) -> None:
    assert words.status_of(word) is status


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (D("0"), "0"),
        (D("0.00"), "0"),
        (0, "0"),
        (D("100"), "100"),
        (D("100.50"), "100.5"),
        (D("1E+3"), "1000"),
        (75, "75"),
    ],
)
def test_numbers_leave_as_plain_text_and_zero_as_0(number: Decimal, text: str) -> None:
    assert words.text_of(number) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0.00", D(0)),
        ("", D(0)),
        (None, D(0)),
        ("--", D(0)),
        ("NA", D(0)),
        (19.5, D("19.5")),
        ("1,025.50", D("1025.50")),
    ],
)
def test_numbers_arrive_in_any_form(value: Any, number: Decimal) -> None:
    assert words.money(value) == number


@pytest.mark.parametrize("value", ["abc", "NaN", "Infinity", [], {}])
def test_what_is_no_number_is_an_error_not_a_zero(value: Any) -> None:
    with pytest.raises(WireError, match="expected a number"):
        words.money(value)


@pytest.mark.parametrize("text", ["22-Jan-2025 14:28:01", "2025/01/22 14:28:01", "22-Jan-2025 14: 28: 01"])
def test_times_are_ist_wall_times(text: str) -> None:
    assert words.time_of(text) == datetime(2025, 1, 22, 8, 58, 1, tzinfo=UTC)


# --- price protection --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "kind", "band"),
    [
        ("99.99", "EQ", "1.9998"),
        ("100", "EQ", "1.00"),
        ("500", "EQ", "5.00"),
        ("500.05", "FUT", "2.50025"),
        ("0.95", "CE", "0.10"),
        ("1", "PE", "0.10"),
        ("4", "PE", "0.40"),
        ("5", "CE", "0.25"),
        ("10", "CE", "0.30"),
        ("100", "CE", "2.00"),
        ("500", "CE", "10.00"),
        ("501", "CE", "5.01"),
    ],
)
def test_protection_bands(price: str, kind: str, band: str) -> None:
    assert orders.protection_band(D(price), kind) == D(band)


@pytest.mark.parametrize(
    ("action", "trigger", "limit"),
    [
        (Action.BUY, "1000", "1005.00"),
        (Action.SELL, "1000", "995.00"),
        (Action.BUY, "1001.30", "1006.30"),
        (Action.SELL, "0.05", "0.05"),
    ],
)
def test_sl_m_leaves_as_sl_with_a_limit_one_band_beyond(action: Action, trigger: str, limit: str) -> None:
    terms = orders.terms(PriceType.SL_M, D(0), D(trigger), action, DEMO)
    assert terms.price_type is PriceType.SL
    assert (terms.price, terms.trigger_price) == (D(limit), D(trigger))


def test_a_protected_limit_sits_on_the_tick() -> None:
    coarse = instrument("MCX", "GOLD04DEC26FUT", "mcx_fo", "80001", "GOLD26DECFUT", tick_size=D(1))
    terms = orders.terms(PriceType.SL_M, D(0), D("71234"), Action.BUY, coarse)
    assert terms.price % 1 == 0
    assert terms.price == D(71590)


@pytest.mark.parametrize(
    ("kind", "price", "trigger"),
    [(PriceType.MARKET, "0", "0"), (PriceType.LIMIT, "10.5", "0"), (PriceType.SL, "10.5", "10")],
)
def test_other_price_types_leave_as_asked(kind: PriceType, price: str, trigger: str) -> None:
    terms = orders.terms(kind, D("10.5"), D(10), Action.BUY, DEMO)
    assert (terms.price_type, terms.price, terms.trigger_price) == (kind, D(price), D(trigger))


def test_sl_m_without_a_trigger_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest) as caught:
        orders.terms(PriceType.SL_M, D(0), D(0), Action.BUY, DEMO)
    assert "trigger_price" in caught.value.fields


# --- orders out --------------------------------------------------------------------------------------------


def request(
    price_type: PriceType = PriceType.LIMIT, price: str = "112.50", trigger: str = "0"
) -> OrderRequest:
    return OrderRequest(
        key=OPTION.key,
        action=Action.SELL,
        quantity=130,
        price_type=price_type,
        product=Product.NRML,
        price=D(price),
        trigger_price=D(trigger),
    )


def test_a_new_order_is_all_strings() -> None:
    asked = request()
    terms = orders.terms(asked.price_type, asked.price, asked.trigger_price, asked.action, OPTION)
    fields = orders.place_body(asked, OPTION, terms, "tag1", "current")
    assert fields == {
        "am": "NO",
        "dq": "0",
        "es": "nse_fo",
        "mp": "0",
        "pc": "NRML",
        "pf": "N",
        "pr": "112.5",
        "pt": "L",
        "qt": "130",
        "rt": "DAY",
        "tp": "0",
        "ts": "NIFTY26NOV24000CE",
        "tt": "S",
        "ig": "tag1",
        "os": "NEOTRADEAPI",
    }


@pytest.mark.parametrize(
    ("kind", "word", "price", "trigger"),
    [
        (PriceType.MARKET, "MKT", "0", "0"),
        (PriceType.LIMIT, "L", "112.5", "0"),
        (PriceType.SL, "SL", "112.5", "110"),
        (PriceType.SL_M, "SL", "107.8", "110"),
    ],
)
def test_price_words_and_the_zero_rule(kind: PriceType, word: str, price: str, trigger: str) -> None:
    asked = request(kind, trigger="110")
    terms = orders.terms(asked.price_type, asked.price, asked.trigger_price, asked.action, OPTION)
    fields = orders.place_body(asked, OPTION, terms, "t", "current")
    assert (fields["pt"], fields["pr"], fields["tp"]) == (word, price, trigger)


def test_the_form_body_is_one_field_of_json_text() -> None:
    body = orders.encode({"a b": "x/y", "n": None}).decode()
    assert body.startswith("jData=")
    assert "+" in body
    assert json.loads(parse_qs(body, keep_blank_values=True)["jData"][0]) == {"a b": "x/y", "n": None}


@pytest.mark.parametrize(
    ("family", "extra"), [("current", set()), ("apim", {"tk", "es", "ts", "tt", "pc", "dd", "fq"})]
)
def test_a_change_resends_every_term(family: str, extra: set[str]) -> None:
    change = OrderChange("261120000000001", 130, PriceType.LIMIT, D("111.00"), D(0))
    order = orders.order(order_row(tok="50001", exSeg="nse_fo", trnsTp="S"), LOOKUP)
    terms = orders.terms(change.price_type, change.price, change.trigger_price, order.action, OPTION)
    fields = orders.modify_body(change, order, OPTION, terms, family)
    base = {"no", "pr", "pt", "qt", "tp", "dq", "vd", "mp", "am", "os"}
    assert set(fields) == base | extra
    assert (fields["no"], fields["pr"], fields["qt"]) == ("261120000000001", "111", "130")


# --- orders in ---------------------------------------------------------------------------------------------


def test_a_book_row_in_our_words() -> None:
    order = orders.order(order_row(), LOOKUP)
    assert order.key == DEMO.key
    assert (order.action, order.quantity, order.filled_quantity) == (Action.BUY, 10, 4)
    assert (order.price_type, order.product) == (PriceType.LIMIT, "MIS")
    assert (order.price, order.average_price) == (D("1025.50"), D("1025.45"))
    assert (order.status, order.raw_status) == (OrderStatus.OPEN, "open")
    assert (order.tag, order.rejection_reason) == ("t1", "")
    assert order.placed_at == datetime(2026, 11, 20, 4, 45, 29, tzinfo=UTC)
    assert order.updated_at == datetime(2026, 11, 20, 4, 45, 30, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("word", "is_in"),
    [
        ("put order req received", True),
        ("Validation Pending", True),
        ("open pending", True),
        ("modify pending", True),
        ("open", False),
        ("trigger pending", False),
        ("cancel pending", False),
        ("after market order req received", False),
        ("complete", False),
    ],
)
def test_what_the_exchange_has_not_answered_to_is_in_transit(word: str, is_in: bool) -> None:
    assert orders.order(order_row(ordSt=word), LOOKUP).in_transit is is_in


def test_an_unknown_status_is_unknown_and_keeps_its_word() -> None:
    order = orders.order(order_row(ordSt="Put On Ice"), LOOKUP)
    assert (order.status, order.raw_status) == (OrderStatus.UNKNOWN, "Put On Ice")


def test_an_instrument_not_in_the_table_keeps_the_brokers_words() -> None:
    order = orders.order(order_row(tok="1", trdSym="NEWCO-EQ"), LOOKUP)
    assert order.key == InstrumentKey("NSE", "NEWCO-EQ")


def test_a_history_row_has_other_names() -> None:
    row = order_row(
        exOrdId=None, exchOrdId="11", updRecvTm=None, hsUpTm="", exchTmstp="22-Jan-2025 14: 32: 53"
    )
    order = orders.order(row, LOOKUP)
    assert order.exchange_order_id == "11"
    assert order.updated_at == datetime(2025, 1, 22, 9, 2, 53, tzinfo=UTC)


@pytest.mark.parametrize("changes", [{"nOrdNo": ""}, {"trnsTp": "X"}, {"prcTp": "??"}, {"qty": "many"}])
def test_an_order_row_that_cannot_be_read_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        orders.order(order_row(**changes), LOOKUP)


@pytest.mark.parametrize(
    ("shown", "ours"),
    [
        ("algo-1", True),
        ("algo-1-1795149930", True),
        ("algo-1-ADMINAPI", True),
        ("algo-2", False),
        ("", False),
    ],
)
def test_a_tag_counts_as_ours_by_prefix(shown: str, ours: bool) -> None:
    assert orders.has_tag(orders.order(order_row(GuiOrdId=shown), LOOKUP), "algo-1") is ours


def test_an_empty_tag_is_nobodys() -> None:
    assert not orders.has_tag(orders.order(order_row(), LOOKUP), "")


def test_a_tag_longer_than_kotak_keeps_is_found_by_what_it_keeps() -> None:
    long = "algo-0123456789-0123456789"
    asked = request()
    terms = orders.terms(asked.price_type, asked.price, asked.trigger_price, asked.action, OPTION)
    sent = orders.place_body(asked, OPTION, terms, long, "current")["ig"]
    assert sent == long[:20]
    assert orders.has_tag(orders.order(order_row(GuiOrdId=sent), LOOKUP), long)
    assert not orders.has_tag(orders.order(order_row(GuiOrdId=sent[:19]), LOOKUP), long)


def test_a_sparse_message_is_completed_from_what_was_known() -> None:
    known = orders.order(order_row(), LOOKUP)
    sparse = {"nOrdNo": known.order_id, "ordSt": "complete", "fldQty": 10, "hsUpTm": "2026/11/20 10:15:40"}
    assert orders.order_of_message(sparse, LOOKUP, None) is None
    order = orders.order_of_message(sparse, LOOKUP, known)
    assert order is not None
    assert (order.status, order.filled_quantity, order.key) == (OrderStatus.COMPLETE, 10, DEMO.key)


def test_a_trade_is_found_by_symbol_and_filled_quantity() -> None:
    trade = orders.trade(trade_row(), LOOKUP)
    assert trade.key == DEMO.key
    assert (trade.action, trade.quantity, trade.price) == (Action.SELL, 4, D("1025.4500"))
    assert trade.trade_id == "77001"
    assert trade.traded_at == datetime(2026, 11, 20, 4, 45, 31, tzinfo=UTC)


# --- books -------------------------------------------------------------------------------------------------


def test_a_position_of_the_day() -> None:
    position = books.position(position_row(), LOOKUP)
    assert (position.quantity, position.average_price) == (6, D(1000))
    # sold 4 of 10 at 25 more, 6 left at 10 more
    assert (position.realized_pnl, position.unrealized_pnl, position.pnl) == (D(100), D(60), D(160))


def test_multiplier_and_ratios_scale_points_to_rupees() -> None:
    row = position_row(
        multiplier="100", genNum="2", genDen="4", prcNum="1", prcDen="5", buyAmt="100000", sellAmt="41000"
    )
    position = books.position(row, LOOKUP)
    assert books.number_factor(row) == D(10)
    assert (position.average_price, position.pnl) == (D(1000), D(1600))


def test_a_carried_future_uses_the_carried_amount() -> None:
    row = position_row(
        exSeg="nse_fo", tok="50001", cfBuyQty="65", cfBuyAmt="6500", ltp="112",
        flBuyQty="0", flSellQty="0", buyAmt="0", sellAmt="0",
    )  # fmt: skip
    position = books.position(row, LOOKUP)
    assert (position.quantity, position.average_price, position.pnl) == (65, D(100), D(780))


def test_a_carried_cash_position_costs_what_the_holding_cost() -> None:
    row = position_row(
        prod="CNC", cfBuyQty="10", cfBuyAmt="10220", flBuyQty="0", flSellQty="0", buyAmt="0", sellAmt="0"
    )
    assert books.is_carried_cash(row)
    costs = books.holding_costs([holding_row()])
    assert books.position(row, LOOKUP, costs).average_price == D("900.5")
    assert books.position(row, LOOKUP).average_price == D(1022)


def test_a_short_position_averages_its_sales() -> None:
    row = position_row(flBuyQty="0", flSellQty="5", buyAmt="0", sellAmt="5100")
    position = books.position(row, LOOKUP)
    assert (position.quantity, position.average_price, position.pnl) == (-5, D(1020), D(50))


def test_without_a_last_price_an_open_position_has_no_profit_and_a_closed_one_has() -> None:
    assert books.position(position_row(ltp=None), LOOKUP).pnl is None
    closed = books.position(position_row(flSellQty="10", sellAmt="10150", ltp=None), LOOKUP)
    assert (closed.quantity, closed.pnl, closed.average_price) == (0, D(150), D(0))


def test_nothing_realized_is_a_plain_zero() -> None:
    row = position_row(flBuyQty="1", flSellQty="0", buyAmt="1492", sellAmt="0")
    assert str(books.position(row, LOOKUP).realized_pnl) == "0.00"


def test_a_holding_is_named_by_its_exchange_token() -> None:
    holding = books.holding(holding_row(displaySymbol="?", symbol="?"), LOOKUP)
    assert holding.key == DEMO.key
    assert (holding.quantity, holding.average_price) == (10, D("900.5"))
    assert (holding.ltp, holding.pnl, holding.pnl_percent) == (D("1025.5"), D(1250), D("13.88"))


def test_limits_become_funds() -> None:
    funds = books.funds(
        {
            "CollateralValue": "19.409999999999997",
            "RmsPayInAmt": "100",
            "RmsPayOutAmt": "20",
            "Collateral": "5.5",
            "MarginUsed": "7",
            "RealizedMtomPrsnt": "-3.25",
            "UnrealizedMtomPrsnt": "2",
        }
    )
    assert funds.available_cash == D("104.91")
    assert (funds.collateral, funds.utilised_debits) == (D("5.50"), D(7))
    assert (funds.m2m_realized, funds.m2m_unrealized) == (D("-3.25"), D(2))


# --- market ------------------------------------------------------------------------------------------------


def test_a_quote_in_our_words() -> None:
    quote = market.quote(quote_row(), OPTION)
    assert (quote.ltp, quote.open, quote.high, quote.low, quote.prev_close) == (112.35, 105, 120, 98, 100)
    assert (quote.volume, quote.oi, quote.bid, quote.ask) == (75000, 1500000, 112.3, 112.4)
    assert (quote.bid_quantity, quote.ask_quantity) == (150, 225)
    assert (quote.lower_circuit, quote.upper_circuit) == (0.05, 450)
    assert quote.last_trade_ms == 1795149930000
    assert quote.depth is not None
    assert len(quote.depth.bids) == 5


def test_an_index_is_asked_for_by_its_exact_name() -> None:
    assert market.wire_key(NIFTY) == "nse_cm|Nifty 50"
    assert market.wire_key(OPTION) == "nse_fo|50001"


def test_ranges_touch_without_overlap_and_stop_at_five_years() -> None:
    today = date(2026, 11, 20)
    got = list(market.chunks(date(2026, 9, 1), date(2026, 11, 20), "1min", today))
    assert got == [
        (date(2026, 9, 1), date(2026, 9, 30)),
        (date(2026, 10, 1), date(2026, 10, 30)),
        (date(2026, 10, 31), date(2026, 11, 20)),
    ]
    assert next(iter(market.chunks(date(2000, 1, 1), today, "D", today)))[0] == date(2021, 11, 21)
    assert list(market.chunks(date(2026, 11, 21), today, "D", today)) == []
    assert next(iter(market.chunks(date(2000, 1, 1), date(2028, 2, 29), "D", date(2028, 2, 29))))[0] == date(
        2023, 3, 2
    )


def history(*rows: list[Any]) -> dict[str, Any]:
    return {"status": "success", "interval": "5min", "data": {"candles": list(rows)}}


def test_intraday_bars_open_at_their_true_instant() -> None:
    (bar,) = market.candles(history(["2026-11-20T09:15:00+0530", 10, 12, 9, 11, 500, 0]), "5min")
    assert bar.opened_at_s == int(datetime(2026, 11, 20, 3, 45, tzinfo=UTC).timestamp())
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (10, 12, 9, 11, 500)


@pytest.mark.parametrize("stamp", ["2026-11-20T09:15:00+0530", "2026-11-20T00:00:00+0530", "2026-11-20"])
def test_daily_bars_carry_the_trading_date_at_midnight_utc(stamp: str) -> None:
    (bar,) = market.candles(history([stamp, 10, 12, 9, 11, 500, 0]), "D")
    assert bar.opened_at_s == int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())


def test_bars_with_a_slip_are_widened() -> None:
    (bar,) = market.candles(history(["2026-11-20T09:15:00+0530", 13, 12, 9, 8, -5]), "5min")
    assert (bar.high, bar.low, bar.volume, bar.oi) == (13, 8, 0, 0)


@pytest.mark.parametrize(
    "payload", [{}, {"data": []}, {"data": {"candles": [["x", 1, 1, 1, 1, 1]]}}, {"data": {"candles": [[1]]}}]
)
def test_a_history_answer_of_another_shape_is_an_error(payload: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        market.candles(payload, "D")


# --- errors ------------------------------------------------------------------------------------------------

SAID_NO = {"stat": "Not_Ok"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (
            200,
            {**SAID_NO, "stCode": 100022, "errMsg": "invalid session token"},
            house.LoginRequired,
            "100022",
        ),
        (200, {**SAID_NO, "stCode": 100021, "errMsg": "invalid  access type"}, house.LoginRequired, "100021"),
        (200, {**SAID_NO, "stCode": 200032, "errMsg": "Invalid URL."}, house.LoginRequired, "200032"),
        (401, {"code": "900901", "message": "Invalid Credentials"}, house.LoginRequired, "900901"),
        (403, None, house.LoginRequired, ""),
        (403, {**SAID_NO, "emsg": "no"}, house.LoginRequired, ""),
        (200, {**SAID_NO, "stCode": 100008, "errMsg": "unauthorized"}, house.IpNotAllowed, "100008"),
        (200, {**SAID_NO, "stCode": 1037, "errMsg": "session ip doesnt match"}, house.IpNotAllowed, "1037"),
        (429, {"code": 429, "error": "Rate limit exceeded", "message": "too many"}, house.RateLimited, "429"),
        (429, None, house.RateLimited, ""),
        (200, {**SAID_NO, "stCode": 1004, "emsg": "insufficient"}, house.OrderRejected, "1004"),
        (
            200,
            {"stCode": 1021, "errMsg": "order is completed", "stat": "please"},
            house.OrderRejected,
            "1021",
        ),
        (400, {"error": [{"code": "400", "message": "bad"}]}, house.OrderRejected, "400"),
        (400, {"fault": {"code": 400, "message": "bad"}}, house.OrderRejected, "400"),
        (200, {**SAID_NO, "emsg": "no code"}, house.OrderRejected, ""),
        (500, {**SAID_NO, "stCode": 1004, "emsg": "x"}, house.OutcomeUnknown, "1004"),
        (502, None, house.OutcomeUnknown, ""),
        (504, None, house.OutcomeUnknown, ""),
        (200, None, house.OutcomeUnknown, ""),
        (200, {"stat": "Ok", "stCode": 200}, house.OutcomeUnknown, ""),
        (404, None, house.OutcomeUnknown, ""),
    ],
)
def test_refused_writes(status: int, body: Any, kind: type[house.BrokerError], code: str) -> None:
    error = errors.error_of_write(status, body, None)
    assert type(error) is kind
    assert error.broker_code == code


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {**SAID_NO, "stCode": 100008, "errMsg": "unauthorized"}, house.LoginRequired),
        (200, {**SAID_NO, "stCode": 1037, "errMsg": "ip"}, house.LoginRequired),
        (403, None, house.LoginRequired),
        (503, None, house.BrokerDown),
        (200, None, house.WireError),
        (404, None, house.WireError),
        (200, {**SAID_NO, "stCode": 1007, "emsg": "body invalid"}, house.BrokerError),
        (429, None, house.RateLimited),
    ],
)
def test_refused_reads(status: int, body: Any, kind: type[house.BrokerError]) -> None:
    assert type(errors.error_of_read(status, body, 3.0)) is kind


@pytest.mark.parametrize(
    "body", [{"stat": "Ok", "stCode": 200}, {"stat": "ok", "data": []}, {"data": []}, []]
)
def test_answers_are_no_errors(body: Any) -> None:
    assert errors.error_of_read(200, body, None) is None


@pytest.mark.parametrize(
    ("code", "ours"), [(1004, "INSUFFICIENT_MARGIN"), (1006, "ORDER_NOT_OPEN"), (1017, "ORDER_REJECTED")]
)
def test_rejections_carry_our_reason(code: int, ours: str) -> None:
    assert errors.error_of_write(200, {**SAID_NO, "stCode": code, "emsg": "x"}, None).code == ours


def test_retry_after_is_honoured() -> None:
    error = errors.error_of_write(429, None, 2.5)
    assert isinstance(error, house.RateLimited)
    assert error.retry_after_s == 2.5
