"""Callers who wait for a slot at the same time share one broker call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from brokers.errors import BrokerDown, RateLimited
from brokers.model import Instrument
from gateway.marketdata.batches import QuoteBatches
from tests.gateway.api.rig import instrument, quote


def rows(count: int, start: int = 0) -> list[Instrument]:
    return [instrument("NSE", f"S{n}", str(n)) for n in range(start, start + count)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.002)


class Window:
    """A slot that opens when the test says so."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = 0
        self.error: Exception | None = None

    @contextmanager
    def _grant(self):
        yield self

    def slot(self):
        self.asked += 1
        assert self.open.wait(5)
        if self.error is not None:
            raise self.error
        return self._grant()


class Broker:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.error: Exception | None = None

    def fetch(self, instruments: Sequence[Instrument]):
        self.calls.append([row.key.symbol for row in instruments])
        if self.error is not None:
            raise self.error
        return {row.key: quote(row.key) for row in instruments}


def waiting(batches: QuoteBatches) -> int:
    return len(batches._waiting)


def test_twenty_callers_are_one_call_and_each_gets_its_own():
    window, broker = Window(), Broker()
    batches = QuoteBatches(broker.fetch, window.slot, largest=1000)
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(batches.ask, rows(1, n)) for n in range(20)]
        until(lambda: waiting(batches) == 20)
        window.open.set()
        for number, future in enumerate(futures):
            assert [key.symbol for key in future.result(5)] == [f"S{number}"]
    assert len(broker.calls) == 1
    assert sorted(broker.calls[0]) == sorted(f"S{n}" for n in range(20))


def test_the_same_symbol_is_asked_for_once():
    window, broker = Window(), Broker()
    batches = QuoteBatches(broker.fetch, window.slot, largest=1000)
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(batches.ask, rows(1)) for _ in range(5)]
        until(lambda: waiting(batches) == 5)
        window.open.set()
        assert all(len(future.result(5)) == 1 for future in futures)
    assert broker.calls == [["S0"]]


def test_what_does_not_fit_takes_the_next_call():
    window, broker = Window(), Broker()
    batches = QuoteBatches(broker.fetch, window.slot, largest=3)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(batches.ask, rows(2, 2 * n)) for n in range(4)]
        until(lambda: waiting(batches) == 4)
        window.open.set()
        assert all(len(future.result(5)) == 2 for future in futures)
    assert all(len(call) <= 3 for call in broker.calls)
    assert sum(len(call) for call in broker.calls) == 8


def test_one_wish_larger_than_a_call_is_cut():
    window, broker = Window(), Broker()
    window.open.set()
    batches = QuoteBatches(broker.fetch, window.slot, largest=4)
    assert len(batches.ask(rows(10))) == 10
    assert [len(call) for call in broker.calls] == [4, 4, 2]


def test_a_failed_call_is_raised_to_every_rider():
    window, broker = Window(), Broker()
    broker.error = BrokerDown("no answer")
    batches = QuoteBatches(broker.fetch, window.slot, largest=1000)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(batches.ask, rows(1, n)) for n in range(3)]
        until(lambda: waiting(batches) == 3)
        window.open.set()
        for future in futures:
            with pytest.raises(BrokerDown):
                future.result(5)
    assert len(broker.calls) == 1


def test_no_slot_in_time_is_raised_and_the_next_caller_gets_one():
    window, broker = Window(), Broker()
    batches = QuoteBatches(broker.fetch, window.slot, largest=1000)
    window.error = RateLimited("no slot", retry_after_s=1.0)
    window.open.set()
    with pytest.raises(RateLimited):
        batches.ask(rows(1))
    assert broker.calls == []
    window.error = None
    assert len(batches.ask(rows(1))) == 1
