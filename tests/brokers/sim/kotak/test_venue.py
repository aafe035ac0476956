"""The assembled venue: faults on request, restart, knobs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from brokers.clock import ManualClock
from brokers.sim import app
from brokers.sim.kotak import hsm, sockets
from brokers.sim.kotak.house import Knobs
from tests.brokers.sim.kotak.harness import START, Sim, in_sim, order
from tests.brokers.sim.kotak.test_feeds import connect, hsm_client, sfeed_client, subscribe
from tests.brokers.sim.kotak.test_orderfeed import connected
from tests.brokers.sim.kotak.test_rest import CURRENT, away, place


async def fault(sim: Sim, **rule: Any) -> None:
    status, answer = await sim.post_json("_sim/faults", rule, {})
    assert status < 300, answer


@in_sim
async def test_a_foreign_address_may_read_but_not_trade(sim: Sim):
    await sim.login()
    await fault(sim, kind="refuse_ip", match={"account": "ABCDE"})
    refused = {"stat": "Not_Ok", "errMsg": "session ip doesnt match with reqest ip", "stCode": 1037}
    assert await sim.post(CURRENT["place"], order(pr="900")) == (200, refused)
    assert await sim.post(CURRENT["cancel"], {"on": "1", "am": "NO"}) == (200, refused)
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 5203


@in_sim
async def test_an_expired_token_fault_reaches_rest_and_every_socket(sim: Sim):
    data = await sim.login()
    await fault(sim, kind="expire_token", match={"account": "ABCDE"})
    status, answer = await sim.get(CURRENT["orders"])
    assert (status, answer["stCode"]) == (403, 100022)
    async with sim.http.ws_connect(f"{sim.base}/realtime") as ws:
        await ws.send_str(f"{{type:cn,Authorization:{data['token']},Sid:{data['sid']},src:WEB}}")
        assert "Authentication Failed" in await ws.receive_str(timeout=5)
    async with sim.http.ws_connect(f"{sim.base}/hsm?ack=0") as ws:
        await ws.send_bytes(connect(data["token"], data["sid"]))
        assert await ws.receive_bytes(timeout=5) == hsm.connect_reply(accepted=False)
    async with sim.http.ws_connect(f"{sim.base}/apifeed") as ws:
        await ws.send_json({"user": "ABCDE", "auth": data["sid"], "format": "native_batch"})
        assert "1120" in await ws.receive_str(timeout=5)


@in_sim
async def test_a_silent_market_feed_stays_open(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
        await wire.bytes()
        await wire.data()
        await fault(sim, kind="silence", match={"socket": "feed"})
        sim.tick(5)
        assert await wire.silent()
        async with sim.http.delete(f"{sim.base}/_sim/faults") as response:
            assert response.status < 300
        sim.tick(5)
        assert (await wire.data()).kind == "U"


@in_sim
async def test_a_torn_frame_and_a_cut(sim: Sim):
    async with sfeed_client(sim) as wire:
        await fault(sim, kind="torn_frame", match={"socket": "feed"}, count=1)
        await wire.ws.send_json({"event": "subscribeScrips", "inputtoken": "nse_cm|3045"})
        assert len(await wire.bytes()) == 88
        await fault(sim, kind="cut", match={"socket": "feed"})
        assert await wire.is_closed()
    async with sfeed_client(sim) as wire:  # and the next connection works
        await wire.ws.send_json({"event": "subscribeScrips", "inputtoken": "nse_cm|3045"})
        assert len(await wire.bytes()) == 176


@in_sim
async def test_an_answer_lost_after_the_order_was_taken(sim: Sim):
    async with connected(sim) as wire:
        await fault(sim, kind="drop_after", match={"path": "order/rule/ms/place"}, count=1)
        with pytest.raises(aiohttp.ClientError):
            await sim.post(CURRENT["place"], order(pr=away(sim), ig="lost"))
        assert (await wire.json())["data"]["GuiOrdId"] == "lost"


def test_books_and_sessions_survive_a_restart(tmp_path: Path):
    clock, state = ManualClock(START), tmp_path / "sim.db"

    async def first() -> tuple[dict[str, str], str]:
        server = await app.serve("kotak", 0, clock=clock, state=state)
        async with aiohttp.ClientSession() as http:
            sim = Sim(server, clock, http)
            await sim.login()
            order_id = await place(sim, ig="kept")
        await server.stop()
        return sim.auth, order_id

    async def second(auth: dict[str, str], order_id: str) -> None:
        server = await app.serve("kotak", 0, clock=clock, state=state)
        async with aiohttp.ClientSession() as http:
            sim = Sim(server, clock, http)
            sim.auth = auth
            _, book = await sim.get(CURRENT["orders"])
            assert [(r["nOrdNo"], r["ordSt"], r["GuiOrdId"]) for r in book["data"]] == [
                (order_id, "open", "kept")
            ]
            _, history = await sim.post(CURRENT["history"], {"nOrdNo": order_id})
            assert history["data"][0]["ordSt"] == "open"
            assert await place(sim) != order_id
            _, answer = await sim.post(CURRENT["cancel"], {"on": order_id, "am": "NO"})
            assert answer["stat"] == "Ok"
        await server.stop()

    auth, order_id = asyncio.run(first())
    asyncio.run(second(auth, order_id))


@in_sim
async def test_a_client_that_does_not_read_is_cut_off(sim: Sim, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "OUTBOX_FRAMES", 3)
    async with hsm_client(sim) as wire:
        (socket,) = sim.server.venue._hsm.sockets._open
        for _ in range(4):  # the writer does not run in between
            socket.send(b"frame")
        assert (await wire.ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSED


@in_sim
async def test_a_stopping_server_closes_its_sockets(sim: Sim):
    async with hsm_client(sim) as wire:
        stopping = asyncio.create_task(sim.server.stop())
        message = await wire.ws.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        await asyncio.wait_for(stopping, 3)


@in_sim
async def test_sessions_end_at_midnight_on_open_sockets_too(sim: Sim):
    async with connected(sim) as wire:
        sim.tick(13 * 3600)
        assert await wire.is_closed()


def test_knobs_refuse_what_they_do_not_know():
    knobs = Knobs()
    knobs.set({"ack_every": 0, "packed": True, "broadcast_source": "hs"})
    assert (knobs.ack_every, knobs.packed, knobs.broadcast_source) == (0, True, "hs")
    for wrong in ({"nope": 1}, {"packed": "yes"}, {"ack_every": True}, {"broadcast_source": "xx"}):
        with pytest.raises(ValueError, match="knob"):
            knobs.set(wrong)
