"""GTT orders against both simulated brokers: the one keeps them itself, for the other the gateway does."""

from __future__ import annotations

from typing import Any

import pytest

from brokers.model import InstrumentKey
from gateway.triggers import native, runner
from tests.gateway.api.simrig import SimRig, until

SYMBOL = "HDFCBANK"
TICK = 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # there is no feed beside this rig: prices come from quotes alone
    monkeypatch.setattr(runner, "QUIET_S", 0.5)
    monkeypatch.setattr(native, "LOOK_EVERY_S", 0.2)


def price(broker: SimRig, symbol: str = SYMBOL) -> float:
    return float(broker.control("GET", f"snapshot?exchange=NSE&symbol={symbol}")["ltp"])


def body(low: float, high: float, **changes: Any) -> dict[str, Any]:
    """A purchase of one share at whichever trigger comes first, at a limit that trades at once."""
    limit = round(round(high * 1.01 / TICK) * TICK, 2)
    return {
        "strategy": "gtt",
        "trigger_type": "OCO",
        "symbol": SYMBOL,
        "exchange": "NSE",
        "action": "BUY",
        "product": "CNC",
        "quantity": 1,
        "price": 0,
        "triggerprice_sl": low,
        "stoploss": limit,
        "triggerprice_tg": high,
        "target": limit,
    } | changes


def place(broker: SimRig, away: float, **changes: Any) -> dict[str, Any]:
    """Triggers so many percent from the price; again when the price moved over one meanwhile."""

    def once() -> dict[str, Any] | None:
        broker.parts.market._quoted.clear()
        now = price(broker)
        step = max(TICK, round(round(now * away / 100 / TICK) * TICK, 2))
        answer = broker.post("placegttorder", **body(round(now - step, 2), round(now + step, 2), **changes))
        if answer.json.get("code") in ("INVALID_TRIGGER", "ORDER_REJECTED", "RATE_LIMITED"):
            return None
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    return dict(until(once, 20))


def rows(broker: SimRig, trigger_id: str, **query: str) -> list[dict[str, Any]]:
    answer = broker.post("gttorderbook", **query)
    assert answer.status_code == 200, answer.json
    return [row for row in answer.json["data"] if row["trigger_id"] == trigger_id]


def test_it_is_placed_listed_changed_and_cancelled(broker: SimRig) -> None:
    placed = place(broker, 5)
    keeper = {"dhan": "broker", "kotak": "gateway"}[broker.parts.settings.name]
    assert placed["kept_by"] == keeper
    trigger_id = placed["trigger_id"]
    (row,) = rows(broker, trigger_id)
    assert (row["status"], row["trigger_type"], row["kept_by"]) == ("active", "two-leg", keeper)
    low, high = row["trigger_prices"]
    assert low < row["last_price"] < high
    change = body(low, high, quantity=2) | {"trigger_id": trigger_id}
    answer = broker.post("modifygttorder", **change)
    assert answer.status_code == 200, answer.json
    (row,) = rows(broker, trigger_id)
    assert [leg["quantity"] for leg in row["legs"]] == [2, 2]
    assert broker.post("cancelgttorder", strategy="gtt", trigger_id=trigger_id).status_code == 200
    assert rows(broker, trigger_id) == []
    (row,) = rows(broker, trigger_id, status="all")
    assert row["status"] == "cancelled"


def test_the_price_fires_one_leg_once(broker: SimRig) -> None:
    before = len(broker.seen(SYMBOL))
    trigger_id = place(broker, 0.0)["trigger_id"]

    def ended() -> dict[str, Any] | None:
        found = rows(broker, trigger_id, status="all")[0]
        return found if found["status"] not in ("active", "triggering") else None

    row = until(ended, 30)
    assert row["status"] == "triggered", row
    orders = until(lambda: broker.seen(SYMBOL)[before:], 5)
    assert [order["side"] for order in orders] == ["BUY"]
    if broker.parts.settings.name == "kotak":
        assert row["orderid"] == orders[0]["id"]
        assert broker.parts.desk.strategy_of(row["orderid"]) == "gtt"


def test_a_lost_answer_is_found_and_nothing_is_placed_twice(broker: SimRig) -> None:
    if broker.parts.settings.name != "dhan":
        pytest.skip("the gateway keeps Kotak's: nothing is sent when one is placed")
    before = {row["trigger_id"] for row in broker.post("gttorderbook", status="all").json["data"]}
    rule = {"path": "/v2/forever/orders$", "method": "POST"}
    broker.control("POST", "faults", {"kind": "drop_after", "match": rule, "count": 1})
    placed = place(broker, 5)
    after = {row["trigger_id"] for row in broker.post("gttorderbook", status="all").json["data"]}
    assert after - before == {placed["trigger_id"]}
    broker.post("cancelgttorder", strategy="gtt", trigger_id=placed["trigger_id"])


def test_the_feed_streams_what_the_gateway_watches(broker: SimRig) -> None:
    placed = place(broker, 5)
    watched = broker.parts.gtt.keys()
    assert (InstrumentKey("NSE", SYMBOL) in watched) == (placed["kept_by"] == "gateway")
    broker.post("cancelgttorder", strategy="gtt", trigger_id=placed["trigger_id"])
