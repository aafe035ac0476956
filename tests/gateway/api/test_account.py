"""Books, positions, holdings and funds in OpenAlgo's shapes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.errors import BrokerDown
from brokers.model import Holding, InstrumentKey, OrderStatus, PriceType
from tests.gateway.api.rig import SBIN, foreign_order, position, trade


def test_the_order_book_has_rows_and_statistics(rig):
    rig.rest.book = {
        "1": foreign_order("1", price_type=PriceType.MARKET),
        "2": foreign_order(
            "2", status=OrderStatus.COMPLETE, filled_quantity=10, average_price=Decimal("810.5")
        ),
        "3": foreign_order("3", status=OrderStatus.TRIGGER_PENDING, trigger_price=Decimal("805")),
        "4": foreign_order("4", status=OrderStatus.REJECTED, rejection_reason="RMS"),
    }
    data = rig.post("orderbook").json["data"]
    rows = {row["orderid"]: row for row in data["orders"]}
    assert rows["1"]["price"] == 0.0, "a market order shows no price"
    assert rows["2"]["price"] == 810.5
    assert rows["2"]["pending_quantity"] == 0
    assert rows["3"]["order_status"] == "trigger pending"
    assert rows["4"]["rejection_reason"] == "RMS"
    assert rows["1"]["timestamp"] == "2026-11-20 10:00:00"
    assert {k: v for k, v in data["statistics"].items() if v} == {
        "total_sell_orders": 4,
        "total_completed_orders": 1,
        "total_open_orders": 1,
        "total_rejected_orders": 1,
        "total_trigger_pending_orders": 1,
    }


def test_a_failed_read_is_never_an_empty_book(rig):
    rig.rest.before = lambda call: (_ for _ in ()).throw(BrokerDown("no answer"))
    for path in ("orderbook", "tradebook", "positionbook", "holdings", "funds"):
        answer = rig.post(path)
        assert (answer.status_code, answer.json["code"]) == (503, "BROKER_DISCONNECTED"), path
    answer = rig.post("openposition", symbol="SBIN", exchange="NSE", product="MIS")
    assert answer.status_code == 503


def test_trades(rig):
    rig.rest.trade_rows = [trade("7", 3, "801.25")]
    assert rig.post("tradebook").json["data"] == [
        {
            "symbol": "SBIN",
            "exchange": "NSE",
            "product": "MIS",
            "action": "BUY",
            "quantity": 3,
            "average_price": 801.25,
            "trade_value": 2403.75,
            "orderid": "7",
            "tradeid": "T3",
            "timestamp": "2026-11-20 10:01:00",
            "strategy": "",
        }
    ]


def test_positions_are_numbers_and_closed_ones_stay(rig):
    rig.rest.position_rows = [position(SBIN, -10), position(SBIN, 0, "CNC", ltp=None, pnl=None)]
    rows = rig.post("positionbook").json["data"]
    assert rows[0] == {
        "symbol": "SBIN",
        "exchange": "NSE",
        "product": "MIS",
        "quantity": -10,
        "average_price": 83.74,
        "ltp": 84.0,
        "pnl": 2.6,
    }
    assert rows[1]["quantity"] == 0
    assert "ltp" not in rows[1], "no price is known, and a zero would be a lie"


def test_a_missing_profit_is_worked_out_from_a_known_price(rig):
    rig.rest.position_rows = [position(SBIN, 10, ltp=None, pnl=None, realized_pnl=Decimal(5))]
    assert "pnl" not in rig.post("positionbook").json["data"][0]
    rig.post("quotes", symbol="SBIN", exchange="NSE")
    row = rig.post("positionbook").json["data"][0]
    assert (row["ltp"], row["pnl"]) == (801.5, 7182.6)


@pytest.mark.parametrize(("product", "quantity"), [("MIS", -10), ("CNC", 0)])
def test_open_position_is_a_number(rig, product, quantity):
    rig.rest.position_rows = [position(SBIN, -10)]
    answer = rig.post("openposition", symbol="SBIN", exchange="NSE", product=product)
    assert answer.json == {"status": "success", "quantity": quantity}


def test_holdings_and_their_statistics(rig):
    rig.rest.holding_rows = [
        Holding(SBIN, 10, Decimal(700), Decimal("800.50"), Decimal(1005), Decimal("14.357")),
        Holding(InstrumentKey("NSE", "TCS"), 2, Decimal(100), None, None, None),
    ]
    data = rig.post("holdings").json["data"]
    assert data["holdings"][0]["pnlpercent"] == 14.36
    assert data["holdings"][0]["product"] == "CNC"
    assert "ltp" not in data["holdings"][1]
    assert data["statistics"] == {
        "totalholdingvalue": 8205.0,
        "totalinvvalue": 7200.0,
        "totalprofitandloss": 1005.0,
        "totalpnlpercentage": 13.96,
    }


def test_funds_are_strings(rig):
    assert rig.post("funds").json["data"] == {
        "availablecash": "320.60",
        "collateral": "0.00",
        "m2mrealized": "-1.50",
        "m2munrealized": "0.00",
        "utiliseddebits": "10.00",
    }


def test_ping_says_who_answers(rig):
    data = rig.post("ping").json["data"]
    assert data == {"message": "pong", "broker": "dhan", "instance": "dhan", "venue": "sim"}
