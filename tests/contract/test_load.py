"""Load mode through Dhan's adapter: every tick that was sent arrives, once and in order."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from brokers.model import Instrument, InstrumentKey, Mode, Tick
from brokers.sim import load
from tests.contract.conftest import Bench
from tests.contract.test_brokers import Sink, feeding, poll

SYMBOLS = 20


@pytest.mark.parametrize("mode", [Mode.LTP, Mode.DEPTH])
def test_nothing_sent_in_load_mode_is_lost(bench: Bench, mode: Mode) -> None:
    if bench.name != "dhan":
        pytest.skip("only the simulated Dhan has a load mode")
    bench.control("DELETE", "faults")
    bench.control("POST", "load", {"rate": 0})
    wanted: dict[Instrument, Mode] = {}
    for listing in load.LISTINGS[:SYMBOLS]:
        key = InstrumentKey(listing.exchange, listing.symbol)
        token = str(listing.token)
        wanted[Instrument(key, token, "NSE_EQ", listing.symbol, listing.name, "EQ", 1, Decimal("0.01"))] = (
            mode
        )
    numbers: list[int] = []
    sent = 0

    async def act(sink: Sink) -> None:
        nonlocal sent

        def on_tick(tick: Tick) -> None:
            numbers.append(round(tick.ltp * 100) - load.BASE_PAISE)

        sink.on_tick = on_tick  # type: ignore[method-assign]

        def ask(method: str, body: Any = None) -> Any:
            return bench.control(method, "load", body)

        while (await asyncio.to_thread(ask, "GET"))["readers"] < SYMBOLS:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(ask, "POST", {"rate": 2000, "seconds": 0.5, "symbols": SYMBOLS})
        while (state := await asyncio.to_thread(ask, "GET"))["running"]:
            await asyncio.sleep(0.05)
        sent = state["sent"]
        await poll(lambda: len(numbers) >= sent)

    sink = asyncio.run(feeding(bench, wanted, act))
    assert sent > 500
    assert numbers == list(range(sent))
    assert sink.bad == []
