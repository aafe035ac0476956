"""Load mode: numbered prices at a set rate, send times in shared memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker, shared_memory
from typing import Any

import aiohttp
import pytest

from brokers.dhan.wire import market as wire
from brokers.sim import load
from tests.brokers.sim.dhan.live import Broker, live, until

FULL = 21


@contextmanager
def block(numbers: int) -> Iterator[tuple[str, memoryview]]:
    memory = shared_memory.SharedMemory(create=True, size=8 * numbers)
    assert memory.buf is not None
    view = memory.buf.cast("q")
    try:
        yield memory.name, view
    finally:
        view.release()
        memory.close()
        # the simulator, here in the same process, has told the tracker that the block is not its own
        resource_tracker.register(memory._name, "shared_memory")  # type: ignore[attr-defined]
        memory.unlink()


async def control(broker: Broker, method: str, body: Any = None) -> tuple[int, Any]:
    async with broker.http.request(method, f"{broker.url}/_sim/load", json=body) as response:
        return response.status, await response.json()


async def subscribe(broker: Broker, numbers: range, mode: int = FULL) -> aiohttp.ClientWebSocketResponse:
    socket = await broker.http.ws_connect(broker.socket_url("/feed"))
    wanted = [("NSE_EQ", str(load.LISTINGS[n].token)) for n in numbers]
    for text in wire.subscribe(mode, wanted):
        await socket.send_str(text)
    await until(lambda: broker.venue.feed.load.readers() == len(numbers))
    return socket


async def packets(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[wire.Packet]:
    found: list[wire.Packet] = []
    while len(found) < count:
        found += wire.split(await socket.receive_bytes(timeout=5))
    return found


@live
async def test_each_tick_carries_its_number_and_has_its_send_time(broker: Broker) -> None:
    assert (await control(broker, "POST", {"rate": 0}))[0] == 200
    socket = await subscribe(broker, range(10))
    with block(load.SEQ_MOD) as (sent_at, times), block(2) as (count, result):
        plan = {"rate": 1000, "seconds": 0.2, "symbols": 10, "sent_at": sent_at, "count": count}
        await control(broker, "POST", plan)
        await until(lambda: not broker.venue.load.is_running)
        sent, took_ns = result
        assert sent == pytest.approx(200, abs=25)
        assert took_ns == pytest.approx(0.2e9, rel=0.5)
        found = await packets(socket, sent)
        assert len(found) == sent
        for number, packet in enumerate(found):
            assert isinstance(packet, wire.FullPacket)
            assert packet.security_id == load.LISTINGS[number % 10].token
            assert round(packet.ltp * 100) == 1_000_000 + number
        assert all(times[:sent])
        assert not any(times[sent : sent + 1000])
        assert list(times[:sent]) == sorted(times[:sent])
    await socket.close()


@live
async def test_flat_out_waits_for_the_reader_and_packs_messages(broker: Broker) -> None:
    await control(broker, "POST", {"rate": 0})
    socket = await subscribe(broker, range(100), mode=15)
    await control(broker, "POST", {"rate": 0, "seconds": 0.1, "packed": 50})
    first = list(wire.split(await socket.receive_bytes(timeout=5)))
    assert len(first) == 50
    await until(lambda: not broker.venue.load.is_running)
    sent = broker.venue.load.sent
    rest = await packets(socket, sent - 50)
    last = rest[-1]
    assert isinstance(last, wire.Ticker)
    assert round(last.ltp * 100) == 1_000_000 + (sent - 1) % load.SEQ_MOD
    await socket.close()


@live
async def test_the_files_show_the_load_symbols_only_when_armed(broker: Broker) -> None:
    async def rows() -> list[str]:
        async with broker.http.get(f"{broker.url}/api-data/api-scrip-master.csv") as response:
            return [line for line in (await response.text()).splitlines() if ",SYM0" in line]

    assert await rows() == []
    await control(broker, "POST", {"rate": 0})
    found = await rows()
    assert len(found) == load.COUNT
    assert found[7].split(",")[11] == "1.0000"  # paise


@live
async def test_a_client_that_leaves_or_unsubscribes_gets_nothing_more(broker: Broker) -> None:
    await control(broker, "POST", {"rate": 0})
    lane = broker.venue.feed.load
    socket = await subscribe(broker, range(3))
    for text in wire.unsubscribe(FULL, [("NSE_EQ", str(load.LISTINGS[0].token))]):
        await socket.send_str(text)
    await until(lambda: lane.readers() == 2)
    await socket.close()
    await until(lambda: lane.readers() == 0)
    lane.put(1, 1_000_000)
    assert lane.backlog() == 0


@live
async def test_a_wrong_plan_is_refused(broker: Broker) -> None:
    wrong: list[tuple[Any, str]] = [
        ({"rate": -1}, "rate"),
        ({"rate": 1e9}, "rate"),
        ({"symbols": 101}, "symbols"),
        ({"sent_at": 5}, "sent_at"),
        ({"speed": 5}, "speed"),
        ({"seconds": 1, "sent_at": "psm_no_such_block"}, "psm_no_such_block"),
        ([], "object"),
    ]
    for body, word in wrong:
        status, answer = await control(broker, "POST", body)
        assert (status, word in json.dumps(answer)) == (400, True), body
    with block(10) as (name, _):
        status, answer = await control(broker, "POST", {"seconds": 1, "sent_at": name})
        assert status == 400
        assert "1000000 needed" in answer["message"]
