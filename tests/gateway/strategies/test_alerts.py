"""What an alert means, by the contract's table; and what makes a repeated one the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey, Product
from gateway.strategies import alerts
from gateway.strategies.model import Hours, Mapped, Strategy, TradingMode, time_of

SBIN = Mapped(InstrumentKey("NSE", "SBIN"), 7, Product.MIS)
TCS = Mapped(InstrumentKey("NSE", "TCS"), 3, Product.CNC)
LONG = Strategy(1, "trend", "id", "tradingview", TradingMode.LONG, None, True, 0, (SBIN, TCS))
SHORT = replace(LONG, mode=TradingMode.SHORT)
BOTH = replace(LONG, mode=TradingMode.BOTH)
HOURS = Hours(time(9, 20), time(15, 0), time(15, 15))
SCANNER = replace(LONG, platform="chartink")


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 20, hour, minute, tzinfo=IST)


NOON = at(12, 0)


def short(wanted: alerts.Wanted) -> tuple[Any, ...]:
    body = wanted.body
    return wanted.kind, body["action"], body["quantity"], body.get("position_size")


@pytest.mark.parametrize(
    ("strategy", "action", "size", "expected"),
    [
        (LONG, "BUY", ..., ("placeorder", "BUY", "7", None)),
        (LONG, "buy", "5", ("placeorder", "BUY", "5", None)),
        (LONG, "BUY", -4, ("placeorder", "BUY", "4", None)),
        (LONG, "SELL", ..., ("placesmartorder", "SELL", "0", "0")),
        (LONG, "SELL", 9, ("placesmartorder", "SELL", "0", "0")),
        (SHORT, "SELL", ..., ("placeorder", "SELL", "7", None)),
        (SHORT, "SELL", "-5", ("placeorder", "SELL", "5", None)),
        (SHORT, "BUY", ..., ("placesmartorder", "BUY", "0", "0")),
        (BOTH, "BUY", "12", ("placesmartorder", "BUY", "7", "12")),
        (BOTH, "BUY", 0, ("placesmartorder", "BUY", "0", "0")),
        (BOTH, "SELL", "-12.0", ("placesmartorder", "SELL", "7", "-12")),
        (BOTH, "SELL", Decimal("-2.9"), ("placesmartorder", "SELL", "7", "-2")),
        (BOTH, "SELL", 0, ("placesmartorder", "SELL", "0", "0")),
    ],
)
def test_the_order_of_an_alert(strategy, action, size, expected):
    alert = {"symbol": "sbin", "action": action} | ({} if size is ... else {"position_size": size})
    assert short(alerts.of_alert(strategy, alert, NOON)) == expected


def test_an_order_carries_the_mapping_and_the_strategys_name():
    wanted = alerts.of_alert(LONG, {"symbol": "TCS", "action": "BUY"}, NOON)
    assert wanted.body == {
        "strategy": "trend",
        "symbol": "TCS",
        "exchange": "NSE",
        "action": "BUY",
        "quantity": "3",
        "pricetype": "MARKET",
        "product": "CNC",
    }


@pytest.mark.parametrize(
    ("strategy", "alert", "words"),
    [
        (LONG, {"action": "BUY"}, "Missing required field: symbol"),
        (LONG, {"symbol": 5, "action": "BUY"}, "Missing required field: symbol"),
        (LONG, {"symbol": "SBIN"}, "Missing required field: action"),
        (LONG, {"symbol": "SBIN", "action": "HOLD"}, "action must be BUY or SELL"),
        (LONG, {"symbol": "INFY", "action": "BUY"}, "No mapping found for symbol INFY"),
        (LONG, {"symbol": "SBIN", "action": "BUY", "position_size": 0}, "must not be 0"),
        (LONG, {"symbol": "SBIN", "action": "BUY", "position_size": "many"}, "must be a number"),
        (LONG, {"symbol": "SBIN", "action": "BUY", "position_size": "NaN"}, "must be a number"),
        (LONG, {"symbol": "SBIN", "action": "BUY", "position_size": "1e99"}, "must be a number"),
        (
            LONG,
            {"symbol": "SBIN", "action": "BUY", "position_size": "-9e999999999999999999"},
            "must be a number",
        ),
        (LONG, {"symbol": "SBIN", "action": "BUY", "position_size": True}, "must be a number"),
        (BOTH, {"symbol": "SBIN", "action": "BUY"}, "position_size is required"),
        (BOTH, {"symbol": "SBIN", "action": "BUY", "position_size": -1}, "must not be negative"),
        (BOTH, {"symbol": "SBIN", "action": "SELL", "position_size": 1}, "must not be positive"),
    ],
)
def test_a_wrong_alert_says_what_is_wrong(strategy, alert, words):
    with pytest.raises(InvalidRequest, match=words):
        alerts.of_alert(strategy, alert, NOON)


@pytest.mark.parametrize(
    ("strategy", "action", "size", "when", "taken"),
    [
        (LONG, "BUY", None, at(9, 19), False),
        (LONG, "BUY", None, at(9, 20), True),
        (LONG, "BUY", None, at(15, 0), True),
        (LONG, "BUY", None, at(15, 1), False),
        (LONG, "SELL", None, at(15, 1), True),
        (LONG, "SELL", None, at(15, 15), True),
        (LONG, "SELL", None, at(15, 16), False),
        (LONG, "SELL", None, at(9, 0), False),
        (SHORT, "BUY", None, at(15, 10), True),
        (SHORT, "SELL", None, at(15, 10), False),
        (BOTH, "SELL", 0, at(15, 10), True),
        (BOTH, "SELL", -1, at(15, 10), False),
    ],
)
def test_an_intraday_strategy_takes_entries_and_exits_in_their_hours(strategy, action, size, when, taken):
    intraday = replace(strategy, hours=HOURS)
    alert = {"symbol": "SBIN", "action": action, "position_size": size}
    if taken:
        alerts.of_alert(intraday, alert, when)
        return
    with pytest.raises(InvalidRequest, match="are taken from") as caught:
        alerts.of_alert(intraday, alert, when)
    assert caught.value.code == "OUTSIDE_HOURS"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Breakout BUY", ("placeorder", "BUY", "7", None)),
        ("sell at high", ("placesmartorder", "SELL", "0", "0")),
        ("Short it", ("placeorder", "SELL", "7", None)),
        ("cover", ("placesmartorder", "BUY", "0", "0")),
        ("buy and sell", ("placeorder", "BUY", "7", None)),
    ],
)
def test_the_keyword_of_a_scan_decides(name, expected):
    [wanted] = alerts.of_scan(SCANNER, {"scan_name": name, "stocks": "SBIN"}, NOON)
    assert short(wanted) == expected


def test_a_scan_trades_what_is_mapped_once_each():
    scan = {"scan_name": "BUY", "stocks": "TCS, infy,SBIN,TCS, ,"}
    assert [w.body["symbol"] for w in alerts.of_scan(SCANNER, scan, NOON)] == ["TCS", "SBIN"]


def test_a_scan_without_a_keyword_is_refused():
    with pytest.raises(InvalidRequest, match="BUY, SELL, SHORT, COVER"):
        alerts.of_scan(SCANNER, {"scan_name": "breakout", "stocks": "SBIN"}, NOON)
    with pytest.raises(InvalidRequest, match="Entries"):
        alerts.of_scan(replace(SCANNER, hours=HOURS), {"scan_name": "buy", "stocks": "SBIN"}, at(15, 5))


PLAIN = {"symbol": "SBIN", "action": "BUY"}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({**PLAIN, "client_order_id": "a"}, {**PLAIN, "client_order_id": "a"}, True),
        ({**PLAIN, "client_order_id": "a"}, {**PLAIN, "client_order_id": "b"}, False),
        ({**PLAIN, "alert_id": 5}, {**PLAIN, "alert_id": "5"}, True),
        ({**PLAIN, "time": "t1"}, {"time": "t1", **PLAIN}, True),
        ({**PLAIN, "time": "t1"}, {**PLAIN, "time": "t2"}, False),
        ({**PLAIN, "timenow": "t1"}, {**PLAIN, "timenow": "t1", "position_size": 1}, False),
        ({**PLAIN, "time": Decimal("1.5")}, {**PLAIN, "time": Decimal("1.5")}, True),
    ],
)
def test_what_makes_two_alerts_one(first, second, same):
    found = [alerts.identity(LONG, alert, None, NOON) for alert in (first, second)]
    assert None not in found
    assert (found[0] == found[1]) is same


def test_without_an_id_or_a_time_two_equal_alerts_are_two():
    assert alerts.identity(LONG, PLAIN, None, NOON) is None


def test_a_header_counts_more_than_the_body_and_strategies_do_not_share_ids():
    body = {**PLAIN, "client_order_id": "x"}
    ours = alerts.identity(LONG, body, "key", NOON)
    assert ours == alerts.identity(LONG, PLAIN, "key", NOON)
    assert ours != alerts.identity(replace(LONG, id=2), PLAIN, "key", NOON)


def test_chartinks_time_of_day_counts_for_its_day():
    scan = {"scan_name": "BUY", "stocks": "SBIN", "triggered_at": "2:34 pm"}
    today, tomorrow = NOON, NOON.replace(day=21)
    assert alerts.identity(SCANNER, scan, None, today) != alerts.identity(SCANNER, scan, None, tomorrow)


@pytest.mark.parametrize("header", ["", " ", "x" * 65])
def test_an_empty_or_endless_id_is_refused(header):
    with pytest.raises(InvalidRequest, match="1 to 64"):
        alerts.identity(LONG, PLAIN, header, NOON)


@pytest.mark.parametrize("text", ["9:20", "24:00", "09:20:30", "noon", "", "0920", "09-20"])
def test_a_time_of_day_is_hours_and_minutes(text):
    with pytest.raises(InvalidRequest, match="time of day"):
        time_of(text)


@pytest.mark.parametrize(
    "times", [(time(10), time(9), time(11)), (time(9), time(9), time(11)), (time(9), time(12), time(11))]
)
def test_hours_stand_in_order(times):
    with pytest.raises(InvalidRequest, match="must be before"):
        Hours(*times)
