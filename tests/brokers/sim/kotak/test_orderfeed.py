"""The order feed through real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from brokers.sim.kotak import orderfeed
from tests.brokers.sim.kotak.harness import Sim, in_sim, order
from tests.brokers.sim.kotak.test_feeds import Wire, socket, until
from tests.brokers.sim.kotak.test_rest import CURRENT, away, place


def stripped(data: dict[str, Any]) -> str:
    return f"{{type:cn,Authorization:{data['token']},Sid:{data['sid']},src:WEB}}"


def as_json(data: dict[str, Any]) -> str:
    return orderfeed.compact({"type": "cn", "Authorization": data["token"], "Sid": data["sid"], "src": "WEB"})


@asynccontextmanager
async def connected(sim: Sim) -> AsyncIterator[Wire]:
    data = await sim.login()
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(stripped(data))
        assert (await wire.json())["ak"] == "ok"
        yield wire


async def words(wire: Wire, count: int) -> list[str]:
    frames = [await wire.json() for _ in range(count)]
    assert {f["type"] for f in frames} == {"order"}
    return [f["data"]["ordSt"] for f in frames]


@pytest.mark.parametrize("text", [stripped, as_json])
@in_sim
async def test_both_connect_texts_are_accepted(sim: Sim, text):
    data = await sim.login()
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(text(data))
        assert await wire.json() == {"ak": "ok", "type": "cn", "task": "cn", "msg": "connected"}


@pytest.mark.parametrize(("wanted", "other"), [("stripped", as_json), ("json", stripped)])
@in_sim
async def test_a_strict_data_centre_takes_one_form_only(sim: Sim, wanted: str, other):
    data = await sim.login()
    await sim.post_json("_sim/kotak", {"order_feed_connect": wanted}, {})
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(other(data))
        assert (await wire.json())["msg"] == "session message format incorrect"
        await wire.ws.send_str((stripped if wanted == "stripped" else as_json)(data))
        assert (await wire.json())["ak"] == "ok"


@in_sim
async def test_refused_connects(sim: Sim):
    data = await sim.login()
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(stripped(data).replace("src", "source"))
        assert (await wire.json())["msg"] == "session message format incorrect"
        await wire.ws.send_str(stripped(data | {"sid": "wrong"}))
        assert (await wire.json())["msg"] == "Authentication Failed"
        assert await wire.is_closed()
    view = await sim.view()
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(stripped(view))
        assert (await wire.json())["ak"] == "nk"


@in_sim
async def test_a_frame_per_station_then_the_position(sim: Sim):
    async with connected(sim) as wire:
        await wire.ws.send_str("{type:hb}")
        await place(sim, pt="MKT", pr="0", qt="1")
        assert await words(wire, 2) == ["put order req received", "validation pending"]
        assert await words(wire, 2) == ["open pending", "open"]
        early, late, position = [await wire.json() for _ in range(3)]
        assert early["data"]["ordSt"] == late["data"]["ordSt"] == "complete"
        assert early["data"]["avgPrc"] == "0.00"
        assert float(late["data"]["avgPrc"]) > 0
        assert late["data"]["updRecvTm"] > early["data"]["updRecvTm"]
        assert (position["type"], position["data"]["flBuyQty"]) == ("position", "1")
        assert await wire.silent()


@in_sim
async def test_modify_and_cancel_are_told(sim: Sim):
    async with connected(sim) as wire:
        order_id = await place(sim, ig="t1")
        await words(wire, 4)
        await sim.post(CURRENT["modify"], order(no=order_id, vd="DAY", pr=away(sim, 0.96)))
        assert await words(wire, 4) == ["modify validation pending", "modify pending", "modified", "open"]
        await sim.post(CURRENT["cancel"], {"on": order_id, "am": "NO"})
        frames = [await wire.json() for _ in range(2)]
        assert [f["data"]["ordSt"] for f in frames] == ["cancel pending", "cancelled"]
        assert frames[-1]["data"]["GuiOrdId"] == "t1-ADMINAPI"


@in_sim
async def test_a_reconnect_shows_the_present_state(sim: Sim):
    await sim.login()
    first, second = await place(sim), await place(sim)
    await sim.post(CURRENT["cancel"], {"on": first, "am": "NO"})
    async with connected(sim) as wire:
        frames = [await wire.json() for _ in range(2)]
        state = {f["data"]["nOrdNo"]: f["data"]["ordSt"] for f in frames}
        assert state == {first: "cancelled", second: "open"}


@in_sim
async def test_other_accounts_hear_nothing(sim: Sim):
    async with connected(sim) as wire:
        await sim.login("OTHER")
        await place(sim)
        assert await wire.silent()


@in_sim
async def test_a_client_that_left_is_forgotten(sim: Sim):
    async with connected(sim):
        readers = sim.server.venue._orders._readers["ABCDE"]
        assert len(readers) == 1
    await until(lambda: not readers)


@in_sim
async def test_an_ended_session_is_closed_and_may_not_come_back(sim: Sim):
    data = await sim.login()
    async with connected(sim) as wire:
        sim.server.venue.expire("ABCDE")
        assert await wire.is_closed()
    sim.server.venue.expire("ABCDE")
    async with socket(sim, "/realtime") as wire:
        await wire.ws.send_str(stripped(data))
        assert (await wire.json())["msg"] == "Authentication Failed"
