"""Field names, types and case of Kotak's answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from brokers.sim.exchange.types import (
    Kind,
    NewOrder,
    Side,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Status,
    Type,
)
from brokers.sim.kotak import orderfeed, quotes, shapes
from brokers.sim.kotak.policy import Word
from tests.brokers.sim.kotak.test_hsm import make_listing, make_snapshot
from tests.brokers.sim.kotak.vectors import VECTORS

AT = datetime.fromtimestamp(1795149930, UTC)


def make_order(**changes: Any) -> SimOrder:
    new = NewOrder("ABC12", make_listing(), Side.BUY, Type.LIMIT, "MIS", 10, Decimal("1025.50"), tag="t1")
    fields: dict[str, Any] = {
        "order_id": "261120000000001",
        "new": new,
        "status": Status.OPEN,
        "created_at": AT,
        "updated_at": AT,
        "exchange_order_id": "1100000000000001",
        "accepted_at": AT,
        "tag": "t1",
    }
    return SimOrder(**(fields | changes))


def vector(name: str) -> dict[str, Any]:
    frames = VECTORS["order_feed"]["server_to_client"]
    return json.loads(next(f["text"] for f in frames if f["name"] == name))


def same_words(row: dict[str, Any], expected: dict[str, Any], but: set[str]) -> None:
    """Every field the vector has, with its value; ``but`` are those that must only have its type."""
    for key, value in expected.items():
        assert type(row[key]) is type(value), key
        if key not in but:
            assert row[key] == value, key


def test_an_order_frame_carries_the_vector_s_words():
    row = shapes.feed_row(make_order(), Word.OPEN, received_ns=1795149930123456789, account="ABC12")
    same_words(row, vector("order")["data"], but={"actId", "usrId"})


def test_a_filled_frame_carries_the_vector_s_words():
    later = datetime.fromtimestamp(1795149931, UTC)
    order = make_order(status=Status.FILLED, filled=10, average=Decimal("1025.45"), updated_at=later)
    row = shapes.feed_row(order, Word.COMPLETE, received_ns=1795149931000000005, account="ABC12")
    same_words(row, vector("order_filled")["data"], but={"actId", "usrId"})


def test_a_position_frame_is_the_vector():
    later = datetime.fromtimestamp(1795149931, UTC)
    position = SimPosition(make_listing(), "MIS", buy_qty=10, buy_value=Decimal("10254.50"))
    assert shapes.position_feed_row(position, "ABC12", at=later) == vector("position")["data"]


def test_order_feed_texts_are_the_vectors_byte_for_byte():
    texts = {f["name"]: f["text"] for f in VECTORS["order_feed"]["server_to_client"]}
    assert orderfeed.ack() == texts["ack_ok"]
    assert orderfeed.refusal(orderfeed.AUTHENTICATION_FAILED) == texts["ack_auth_failed"]
    assert orderfeed.refusal(orderfeed.FORMAT_INCORRECT) == texts["ack_bad_format"]
    for name in ("order", "order_filled", "position"):
        parsed = json.loads(texts[name])
        assert orderfeed.frame(parsed["type"], parsed["data"]) == texts[name]


def test_both_connect_texts_and_the_heartbeat_are_read():
    texts = {f["name"]: f["text"] for f in VECTORS["order_feed"]["client_to_server"]}
    fields = {"type": "cn", "Authorization": "TOKEN.1", "Sid": "SID-1", "src": "WEB"}
    assert orderfeed.parse(texts["connect_stripped"]) == ("stripped", fields)
    assert orderfeed.parse(texts["connect_json"]) == ("json", fields)
    assert orderfeed.parse(texts["heartbeat"]) == ("stripped", {"type": "hb"})
    assert orderfeed.parse("nonsense") == ("stripped", {})
    assert orderfeed.parse("[]") == ("stripped", {})


def test_the_order_book_has_integers_for_quantities_and_text_for_prices():
    row = shapes.order_row(make_order(filled=4), Word.OPEN, received_ns=5)
    for name in (
        "qty",
        "fldQty",
        "unFldSz",
        "cnlQty",
        "dscQty",
        "minQty",
        "refLmtPrc",
        "coPct",
        "boeSec",
        "updRecvTm",
    ):
        assert type(row[name]) is int, name
    for name in ("prc", "avgPrc", "trgPrc", "stkPrc", "tckSz", "uSec", "brdLtQty", "lotSz", "precision"):
        assert type(row[name]) is str, name
    assert row["stat"] == row["ordSt"] == "open"
    assert (row["tckSz"], row["trgPrc"], row["rejRsn"]) == ("0.0500", "0.00", "--")
    assert row["ordSrc"] == "ADMINCPPAPI_NEOTRADEAPI"
    assert row["ordEntTm"] == "20-Nov-2026 10:15:30"


def test_a_rejection_says_why_and_a_cancellation_how_much():
    rejected = make_order(status=Status.REJECTED, reason="too little margin", accepted_at=None)
    row = shapes.order_row(rejected, Word.REJECTED, received_ns=5)
    assert (row["rejRsn"], row["exCfmTm"], row["exOrdId"]) == (
        "RMS:too little margin",
        "--",
        "1100000000000001",
    )
    assert shapes.order_row(make_order(filled=3), Word.CANCELLED, received_ns=5)["cnlQty"] == 7


def test_history_differs_from_the_book_where_kotak_does():
    row = shapes.history_row(make_order(), Word.OPEN)
    assert row["exch"] == "NSE"
    assert row["exchTmstp"] == "20-Nov-2026 10: 15: 30"
    assert row["uSec"] == "1795149930000"
    assert "ordDur" in row
    assert "vldt" not in row


def test_trades_hide_the_token():
    order = make_order()
    trade = SimTrade("7", order.order_id, "ABC12", make_listing(), Side.BUY, "MIS", 10, Decimal("1025.4"), AT)
    row = shapes.trade_row(trade, order, received_ns=5)
    assert (row["tok"], row["qty"], row["prc"], row["tm"]) == ("", 0, "", "")
    assert (row["fldQty"], row["avgPrc"], row["flLeg"]) == (10, "1025.40", 1)
    assert (row["flDt"], row["flTm"], row["exTm"]) == ("20-Nov-2026", "10:15:30", "20-Nov-2026 10:15:30")
    assert shapes.lower_book([row])["stat"] == "ok"
    assert shapes.book([row])["stat"] == "Ok"


def test_positions_are_text_and_their_expiry_is_midnight_utc():
    listing = replace(
        make_listing(exchange="NFO", kind=Kind.CALL, strike_paise=2_400_000), expiry=date(2026, 11, 26)
    )
    position = SimPosition(listing, "NRML", buy_qty=65, sell_qty=130, sell_value=Decimal("13000"))
    row = shapes.position_row(position, "OPTIDX", at=AT, received_ns=5)
    assert (row["flBuyQty"], row["flSellQty"], row["sellAmt"]) == ("65", "130", "13000.00")
    assert (row["exp"], row["expDt"], row["optTp"], row["stkPrc"]) == (
        "1795651200",
        "26 Nov, 2026",
        "CE",
        "24000.00",
    )
    assert type(row["brdLtQty"]) is int
    assert "ltp" not in row


def test_holdings_are_numbers_and_the_token_is_the_exchange_identifier():
    row = shapes.holding_row(SimHolding(make_listing(), 20, Decimal("1000.5")), 102_550, 102_200)
    assert row["exchangeIdentifier"] == "90001"
    assert row["instrumentToken"] != 90001
    assert (row["averagePrice"], row["holdingCost"], row["mktValue"]) == (1000.5, 20010.0, 20510.0)


FUNDS = SimFunds(
    opening=Decimal(1_000_000),
    available=Decimal("899999.41"),
    utilised=Decimal("100000.59"),
    collateral=Decimal(0),
    realized=Decimal(-5),
    unrealized=Decimal("7.5"),
)


def test_limits_are_flat_text():
    row = shapes.limits(FUNDS, "ABC12", AT)
    assert (row["stat"], row["stCode"]) == ("Ok", 200)
    assert (row["Net"], row["MarginUsed"], row["RealizedMtomPrsnt"]) == ("899999.41", "100000.59", "-5.00")
    # what OpenAlgo computes as available cash
    parts = [Decimal(row[n]) for n in ("CollateralValue", "RmsPayInAmt", "RmsPayOutAmt", "Collateral")]
    assert parts[0] + parts[1] - parts[2] + parts[3] == FUNDS.opening
    assert all(isinstance(v, str) for k, v in row.items() if k != "stCode")


def test_required_margin_is_the_shortfall():
    enough = shapes.margin(Decimal(1000), FUNDS)
    assert (enough["ordMrgn"], enough["reqdMrgn"]) == ("1000.000000", "0.000000")
    assert shapes.margin(Decimal("900000.41"), FUNDS)["reqdMrgn"] == "1.000000"


def test_quotes_are_text_with_four_decimals():
    row = quotes.quote_row(make_snapshot(), "all")
    assert (row["ltp"], row["change"], row["per_change"]) == ("1025.5000", "3.5000", "0.3425")
    assert row["ohlc"] == {"open": "1015.0000", "high": "1030.0000", "low": "1010.0000", "close": "1022.0000"}
    assert row["depth"]["buy"][0] == {"price": "1025.4500", "quantity": "120", "orders": "1"}
    assert len(row["depth"]["sell"]) == 5
    assert (row["exchange_token"], row["display_symbol"], row["exchange"]) == (
        "90001",
        "DEMOIND-EQ",
        "nse_cm",
    )


def test_a_quote_filter_keeps_the_identity_and_its_own_fields():
    identity = {"exchange_token", "display_symbol", "exchange"}
    assert quotes.quote_row(make_snapshot(), "ltp").keys() == identity | {"ltp"}
    assert quotes.quote_row(make_snapshot(), "52W").keys() == identity | {"year_high", "year_low"}
