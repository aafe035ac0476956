from __future__ import annotations

import pytest

from brokers.contract import KnowsAddresses, RawHistory
from brokers.errors import BrokerDown
from gateway.latency.metered import metered
from tests.gateway.trading.desks import FakeRest


def test_reads_are_told_with_their_errors_and_writes_are_not():
    told: list[tuple[str, str]] = []
    rest = FakeRest()
    found = metered(rest, lambda called: told.append((called.name, called.code)))
    assert found.orders() == []
    rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("gone"))
    with pytest.raises(BrokerDown):
        found.positions()
    rest.on_read = lambda name: (_ for _ in ()).throw(ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        found.trades()
    assert found.cancel == rest.cancel
    assert told == [("orders", ""), ("positions", "BROKER_DISCONNECTED"), ("trades", "INTERNAL")]


def test_it_can_what_its_broker_can_and_no_more():
    class Raw(FakeRest):
        def raw_candles(self, instrument, interval, start, end):
            return b"[]"

    heard = []
    assert not isinstance(metered(FakeRest(), heard.append), RawHistory | KnowsAddresses)
    raw = metered(Raw(), heard.append)
    assert isinstance(raw, RawHistory)
    assert raw.raw_candles(None, "1m", None, None) == b"[]"
    assert [called.name for called in heard] == ["raw_candles"]
