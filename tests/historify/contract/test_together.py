"""Readers beside a writer: what they see is one publish or the next, bars and catalog of the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from historify.contract import BarStore
from historify.errors import LeaseLost
from historify.model import BarRequest, Bars, Provenance, Row, Series
from tests.historify.contract.rig import MONDAY, Rig, a_series, at, bar

ROUNDS = 12
READERS = 3
JOIN_S = 60.0


def flat(price: float, count: int) -> list[Row]:
    """``count`` bars over three days, all of one price."""
    return [
        bar(at(MONDAY + timedelta(days=n % 3), 9, 15) + 60 * (n // 3), price, volume=count)
        for n in range(count)
    ]


def run(*targets: Callable[[], None]) -> None:
    """All at once; raises what the first of them raised."""
    with ThreadPoolExecutor(len(targets)) as pool:
        for running in [pool.submit(target) for target in targets]:
            running.result(JOIN_S)


@pytest.mark.parametrize("handles", ["shared", "own"])
def test_readers_see_whole_batches_while_one_is_replaced_by_the_next(rig: Rig, handles: str) -> None:
    series = a_series()
    done = threading.Event()
    seen: list[set[float]] = []
    rig.put(series, flat(1.0, 30))
    stores = [rig.store if handles == "shared" else rig.open() for _ in range(READERS)]

    def write() -> None:
        try:
            for number in range(2, ROUNDS + 2):
                rig.put(series, flat(float(number), 30))
        finally:
            done.set()

    def reader(store: BarStore) -> Callable[[], None]:
        def read() -> None:
            last = 0.0
            while True:
                over = done.is_set()
                bars = store.get(
                    BarRequest(series.exchange, series.symbol, "1m", MONDAY, MONDAY + timedelta(days=3))
                )
                prices = set(bars.open)
                seen.append(prices)
                assert len(bars) == 30
                assert len(prices) == 1, f"torn: {prices}"
                assert min(prices) >= last, "went back in time"
                last = min(prices)
                if over:
                    assert prices == {ROUNDS + 1.0}
                    return

        return read

    try:
        run(write, *map(reader, stores))
    finally:
        if handles == "own":
            for store in stores:
                store.close()
    assert len(seen) > READERS


def test_the_catalog_never_tells_of_bars_that_are_not_there(rig: Rig) -> None:
    series = a_series()
    done = threading.Event()
    rig.put(series, flat(1.0, 10))

    def write() -> None:
        try:
            for number in range(2, ROUNDS + 2):
                rig.put(series, flat(1.0, 10 * number))
        finally:
            done.set()

    def read() -> None:
        while not done.is_set():
            [before] = rig.store.catalog(series.exchange, series.symbol)
            there = len(rig.rows(series))
            [after] = rig.store.catalog(series.exchange, series.symbol)
            assert before.rows <= there <= after.rows

    run(write, read, read)


def test_writers_of_one_epoch_go_side_by_side(rig: Rig) -> None:
    own, common = [a_series() for _ in range(4)], a_series()

    def writer(number: int) -> Callable[[], None]:
        def write() -> None:
            for part in range(4):
                rig.put(own[number], flat(1.0, 10 * (part + 1)))
                rig.put(common, [bar(at(MONDAY, 10, 0) + 60 * (10 * number + part), float(number + 1))])

        return write

    run(*(writer(number) for number in range(4)))
    assert [len(rig.rows(series)) for series in own] == [40] * 4
    assert len(rig.rows(common)) == 16
    [row] = rig.store.catalog(common.exchange, common.symbol)
    assert row.rows == 16


def test_a_takeover_amid_writing_leaves_whole_batches_only(rig: Rig) -> None:
    series = a_series()
    rig.put(series, flat(1.0, 30))
    old = rig.fence
    begun = threading.Event()
    refused: list[LeaseLost] = []

    def ghost() -> None:
        for number in range(2, 500):
            batch = Bars.of(flat(float(number), 30))
            try:
                rig.store.put(series, batch, fence=old, provenance=Provenance("dhan", at_s=1))
            except LeaseLost as exc:
                refused.append(exc)
                return
            finally:
                begun.set()

    def successor() -> None:
        assert begun.wait(JOIN_S)
        rig.take()
        rig.put(series, flat(9999.0, 30))

    run(ghost, successor)
    assert len(refused) == 1
    assert {row[1] for row in rig.rows(series)} == {9999.0}


def test_many_series_at_once(rig: Rig) -> None:
    """The last day of each, in one call, as a page of quotes asks it."""
    many: list[Series] = [a_series() for _ in range(40)]
    for number, series in enumerate(many):
        rig.put(series, flat(float(number + 1), 9))
    found = rig.store.latest([(s.exchange, s.symbol) for s in many], "1m")
    assert [set(found[s.exchange, s.symbol].open) for s in many] == [{n + 1.0} for n in range(40)]
    assert {len(bars) for bars in found.values()} == {3}
