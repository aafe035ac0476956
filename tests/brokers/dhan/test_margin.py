"""Dhan's margin calculator: what is asked, and that no answer passes for "no margin needed"."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from brokers.contract import Margin, MarginLeg
from brokers.dhan.mapping import books, margin
from brokers.errors import BrokerError, InvalidRequest, WireError
from brokers.model import Action, OrderRequest, PriceType, Product
from tests.brokers.dhan.rows import table
from tests.brokers.dhan.server import State, reply
from tests.brokers.dhan.test_rest import rest

D = Decimal
SHARE, OPTION = table()["NSE:DEMOBANK"], table()["NFO:NIFTY29SEP2624800CE"]
PATH = "/v2/margincalculator/multi"
BUY = OrderRequest(SHARE.key, Action.BUY, 5, PriceType.LIMIT, Product.MIS, D("2845.55"))
WRITE = OrderRequest(OPTION.key, Action.SELL, 65, PriceType.MARKET, Product.NRML)
LEGS = [MarginLeg(BUY, SHARE), MarginLeg(WRITE, OPTION, D("120.5"))]


def test_all_legs_go_in_one_call_so_that_hedges_count(server: State) -> None:
    answer = {
        "total_margin": "1500.25",
        "span_margin": "1000.00",
        "exposure_margin": "400",
        "hedge_benefit": "9",
    }
    server.on("POST", PATH, reply(200, answer))
    assert rest(server.url).margin(LEGS) == Margin(D("1500.25"), D(1000), D(400), D(9))
    body = server.last().json
    assert (body["includePosition"], body["includeOrder"]) == (False, False)
    assert body["dhanClientId"] == "1000000001"
    share, option = body["scripList"]
    assert share == {
        "exchangeSegment": "NSE_EQ",
        "transactionType": "BUY",
        "quantity": 5,
        "productType": "INTRADAY",
        "securityId": "910001",
        "price": 2845.55,
    }
    assert (option["price"], option["productType"], option["quantity"]) == (120.5, "MARGIN", 65)


def test_the_camel_case_answer_users_report_is_read_too() -> None:
    row = {"totalMargin": 1500.25, "spanMargin": 0.0, "exposureMargin": None}
    assert margin.margin(row) == Margin(D("1500.25"), D(0), None, None)


@pytest.mark.parametrize("row", [{}, {"span_margin": "1"}, {"total_margin": ""}, {"total_margin": "n/a"}])
def test_an_answer_without_a_total_is_not_zero_margin(row: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        margin.margin(row)


def test_a_refusal_is_an_error(server: State) -> None:
    refusal = {"errorType": "Input_Exception", "errorCode": "DH-905", "errorMessage": "Missing fields"}
    server.on("POST", PATH, reply(400, refusal))
    with pytest.raises(BrokerError, match="DH-905"):
        rest(server.url).margin(LEGS)


def test_an_order_without_any_price_is_refused_before_the_call() -> None:
    with pytest.raises(InvalidRequest, match="no price is known"):
        margin.body("1", [MarginLeg(WRITE, OPTION)])
    with pytest.raises(InvalidRequest):
        margin.body("1", [])


def test_a_sum_knows_only_what_both_know() -> None:
    whole, part = Margin(D(1), D(1), D(1), D(1)), Margin(D(2), D(2))
    assert whole + part == Margin(D(3), D(3), None, None)


def test_the_balance_is_what_new_orders_may_use() -> None:
    funds = books.funds({"availabelBalance": 900.5, "collateralAmount": 100, "utilizedAmount": 50}, [])
    assert (funds.available_margin, funds.available_cash) == (D("900.5"), D("800.5"))
