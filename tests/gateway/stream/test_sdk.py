"""The official SDK's feed client, unmodified, judges the protocol."""

from __future__ import annotations

import asyncio
import json

import pytest

from brokers.model import Depth, InstrumentKey, Level
from tests.clients import ROOT, client_python
from tests.gateway.stream.rig import on_loop, running

PAIRS = [("NSE", "SBIN"), ("NSE", "M&M"), ("NSE_INDEX", "NIFTY")]


async def judge(*arguments: str) -> dict:
    process = await asyncio.create_subprocess_exec(
        client_python("openalgo"),
        ROOT / "tests" / "judges" / "openalgo_feed.py",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()[-2000:]
    return json.loads(out.decode().splitlines()[-1])


@pytest.mark.client
@on_loop
async def test_the_openalgo_sdk_connects_subscribes_reads_and_unsubscribes(tmp_path):
    async with running(tmp_path) as rig:

        async def ticking():
            book = Depth((Level(801.45, 10, 3),), (Level(801.55, 20, 4),))
            while True:
                for exchange, symbol in PAIRS:
                    rig.send(
                        exchange, symbol, 801.5, last_quantity=25, average_price=799.0, depth=lambda: book
                    )
                await asyncio.sleep(0.02)

        ticks = asyncio.create_task(ticking())
        result = await judge(rig.url, rig.key, *[word for pair in PAIRS for word in pair])
        ticks.cancel()
        assert result["connected"] is True
        assert result["connect_s"] < 3
        assert result["all_callbacks"] is True
        assert result["wrong_key_connected"] is False
        assert result["ltp"]["ltp"]["NSE"]["M&M"]["ltp"] == 801.5
        assert result["ltp"]["ltp"]["NSE_INDEX"]["NIFTY"]["timestamp"] > 1_700_000_000_000
        quote = result["quotes"]["quote"]["NSE"]["SBIN"]
        assert (quote["close"], quote["change"], quote["last_trade_quantity"]) == (790.0, 11.5, 25)
        assert quote["avg_trade_price"] == 799.0
        book = result["depth"]["depth"]["NSE"]["SBIN"]
        assert book["buyBook"]["1"] == {"price": 801.45, "qty": 10, "orders": 3}
        assert book["sellBook"]["1"] == {"price": 801.55, "qty": 20, "orders": 4}
        assert len(book["buyBook"]) == 5
        assert result["after_unsubscribe"] == {"ltp": 0, "quote": 0, "depth": 0}
        assert {rig.feed.wanted.get(InstrumentKey(*pair)) for pair in PAIRS} == {None}
