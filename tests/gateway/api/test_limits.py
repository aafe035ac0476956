"""Rate limits: OpenAlgo's syntax, one window per endpoint and address, 429 as JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

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


def test_a_text_that_is_no_rate_stops_the_start():
    with pytest.raises(SettingsError, match="ORDER_RATE_LIMIT is 'fast'"):
        Limits(replace(FREE, order="fast"))
