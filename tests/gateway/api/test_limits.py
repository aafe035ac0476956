"""Rate limits: OpenAlgo's syntax, one window per endpoint and address, 429 as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import SettingsError
from gateway.api.limits import Limits
from gateway.settings.risk import RiskRules
from gateway.trading.riskdesk import DataMeter, Risk
from gateway.trading.risklimits import RiskBook
from tests.gateway.api.rig import FREE, running


def test_a_429_is_json_with_the_seconds_to_wait(tmp_path):
    with running(tmp_path, rates=replace(FREE, api="3 per hour"), reconciled=False) as rig:
        assert [rig.post("ping").status_code for _ in range(3)] == [200] * 3
        answer = rig.post("ping")
        assert answer.status_code == 429
        assert answer.json["message"] == "Rate limit exceeded. Please slow down your requests."
        assert answer.json["code"] == "RATE_LIMITED"
        assert 3500 < answer.json["retry_after"] <= 3600
        assert answer.headers["Retry-After"] == str(answer.json["retry_after"])
        assert rig.post("intervals").status_code == 200, "another endpoint has its own window"


def test_a_request_that_is_refused_counts_too(tmp_path):
    with running(tmp_path, rates=replace(FREE, order="2 per hour"), reconciled=False) as rig:
        statuses = [rig.post("placeorder", raw=b"{").status_code for _ in range(3)]
        assert statuses == [400, 400, 429]


def test_every_address_has_its_own_window_and_several_rates_all_hold():
    limits = Limits(replace(FREE, api="2 per hour;3 per day"))
    assert [limits.hit("API_RATE_LIMIT", "x", "a") is None for _ in range(3)] == [True, True, False]
    assert limits.hit("API_RATE_LIMIT", "x", "b") is None
    assert limits.hit("API_RATE_LIMIT", "y", "a") is None


def test_the_window_moves():
    clock = ManualClock(datetime(2026, 11, 20, 5, tzinfo=UTC))
    limits = Limits(replace(FREE, api="2 per second"), clock.monotonic)
    assert limits.hit("API_RATE_LIMIT", "x", "a") is None
    clock.advance(0.6)
    assert limits.hit("API_RATE_LIMIT", "x", "a") is None
    assert limits.hit("API_RATE_LIMIT", "x", "a") == pytest.approx(0.4)
    clock.advance(0.41)
    assert limits.hit("API_RATE_LIMIT", "x", "a") is None, "the first has left the window"
    assert limits.hit("API_RATE_LIMIT", "x", "a") == pytest.approx(0.59)


def test_addresses_that_have_gone_are_forgotten(monkeypatch):
    monkeypatch.setattr("gateway.pagekit.windows.MOST_KEYS", 50)
    clock = ManualClock(datetime(2026, 11, 20, 5, tzinfo=UTC))
    limits = Limits(replace(FREE, api="2 per second"), clock.monotonic)
    for number in range(500):
        clock.advance(0.1)
        limits.hit("API_RATE_LIMIT", "x", f"address {number}")
    assert len(limits._hits) <= 51


def test_a_text_that_is_no_rate_stops_the_start():
    with pytest.raises(SettingsError, match="ORDER_RATE_LIMIT is 'fast'"):
        Limits(replace(FREE, order="fast"))


def test_data_requests_are_counted_for_each_strategy_when_the_operator_limits_them(rig):
    object.__setattr__(
        rig.parts, "data_meter", DataMeter(RiskBook(RiskRules(data_per_minute=2)), rig.parts.clock.monotonic)
    )
    one = {"symbol": "SBIN", "exchange": "NSE"}
    mine = {"X-Strategy": "mine"}
    assert [rig.post("quotes", headers=mine, **one).status_code for _ in range(3)] == [200, 200, 403]
    refused = rig.post("depth", headers=mine, **one)
    assert (refused.json["code"], refused.json["limit"]) == ("RISK_LIMIT", "RISK_DATA_PER_MINUTE")
    assert 50 < refused.json["retry_after"] <= 60
    # another strategy, and one that gives no name counts on its key; what is no market data does not count
    assert rig.post("quotes", **one).status_code == 200
    assert rig.post("orderbook", headers=mine).status_code == 200


def test_a_limit_on_orders_names_itself_in_the_answer(rig):
    rules = RiskRules(max_quantity=4)
    desk = rig.parts.desk
    desk.guards._risk = Risk(replace(desk._parts, risk=RiskBook(rules)), desk._reader, lambda request: None)
    body = rig.place().json
    assert {name: body[name] for name in ("code", "limit", "present", "allowed")} == {
        "code": "RISK_LIMIT",
        "limit": "RISK_MAX_ORDER_QUANTITY",
        "present": "5",
        "allowed": "4",
    }
    assert "dhan.env" in body["next_step"]
    assert rig.rest.placed == []
