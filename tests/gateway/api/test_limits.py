"""Rate limits: OpenAlgo's syntax, one window per endpoint and address, 429 as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import SettingsError
from gateway.api.limits import Limits
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
    monkeypatch.setattr("gateway.api.limits.MOST_KEYS", 50)
    clock = ManualClock(datetime(2026, 11, 20, 5, tzinfo=UTC))
    limits = Limits(replace(FREE, api="2 per second"), clock.monotonic)
    for number in range(500):
        clock.advance(0.1)
        limits.hit("API_RATE_LIMIT", "x", f"address {number}")
    assert len(limits._hits) <= 51


def test_a_text_that_is_no_rate_stops_the_start():
    with pytest.raises(SettingsError, match="ORDER_RATE_LIMIT is 'fast'"):
        Limits(replace(FREE, order="fast"))
