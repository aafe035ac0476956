"""The control endpoints and the server around a venue."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession

from brokers.clock import ManualClock
from brokers.sim.app import listen, make_exchange, serve
from tests.brokers.sim.bench import NOON, bench


def run(scenario):
    async def with_bench():
        async with bench() as b:
            return await scenario(b)

    return asyncio.run(with_bench())


def test_health_says_who_it_is():
    async def scenario(b):
        health = await b.get("/_sim/health")
        assert (health["status"], health["broker"], health["venue"]) == ("ok", "tiny", "sim")
        assert health["date"] == "2026-11-20"
        assert health["pid"] > 0

    run(scenario)


def test_the_books_show_every_order_with_its_tag():
    async def scenario(b):
        await b.order("mine")
        b.clock.advance(0.1)
        b.server.exchange.step(b.clock.now())
        (row,) = await b.get("/_sim/orders")
        assert (row["tag"], row["account"], row["symbol"], row["side"]) == ("mine", "A", "SBIN", "BUY")
        assert (row["quantity"], row["filled"], row["status"]) == (10, 10, "filled")

    run(scenario)


def test_calls_are_counted_by_template_also_the_unknown_ones():
    async def scenario(b):
        for number in range(3):
            await b.get(f"/orders/{number}")
        async with b.http.get(b.url("/nonsense")) as answer:
            assert answer.status == 404
        async with b.http.delete(b.url("/orders")) as answer:
            assert answer.status == 405
        async with b.http.ws_connect(b.url("/feed")):
            pass
        calls = await b.get("/_sim/calls")
        assert calls == {"GET /orders/{id}": 3, "GET /nonsense": 1, "DELETE /orders": 1, "GET /feed": 1}
        async with b.http.delete(b.url("/_sim/calls")):
            pass
        assert await b.get("/_sim/calls") == {}

    run(scenario)


def test_a_login_is_issued_and_expired_through_the_venue():
    async def scenario(b):
        async with b.http.post(b.url("/_sim/tokens"), json={"account": "Z"}) as answer:
            assert await answer.json() == {"token": "token of Z"}
        async with b.http.post(b.url("/_sim/expire"), json={"account": "Z"}) as answer:
            assert answer.status == 200
        assert b.venue.expired == ["Z"]
        async with b.http.post(b.url("/_sim/expire"), json={}) as answer:
            assert answer.status == 400

    run(scenario)


def test_a_snapshot_in_rupees_and_a_404_for_a_stranger():
    async def scenario(b):
        market = await b.get("/_sim/snapshot?exchange=NSE&symbol=SBIN")
        share = b.server.exchange.universe.find("NSE", "SBIN")
        exact = b.server.exchange.snapshot(share)
        assert market["ltp"] == exact.ltp_paise / 100
        assert [level["quantity"] for level in market["bids"]] == [x.quantity for x in exact.bids]
        async with b.http.get(b.url("/_sim/snapshot?exchange=NSE&symbol=XX")) as answer:
            assert answer.status == 404

    run(scenario)


def test_stopping_stops_the_venue_and_frees_the_port():
    async def scenario():
        async with bench() as b:
            port = b.server.port
            with pytest.raises(OSError, match="in use"):
                listen(port)
        assert b.venue.stopped
        listen(port).close()

    asyncio.run(scenario())


def test_stopping_does_not_wait_for_open_sockets(monkeypatch):
    monkeypatch.setattr("brokers.sim.app._SHUTDOWN_S", 30)

    async def scenario():
        async with bench() as b:
            ws = await b.http.ws_connect(b.url("/feed"))
            await b.echo(ws, b"x")
            await asyncio.wait_for(b.server.stop(), 5)

    asyncio.run(scenario())


@pytest.mark.parametrize("broker", ["dhan", "kotak"])
def test_every_broker_serves_with_its_venue(broker):
    async def scenario():
        server = await serve(broker, clock=ManualClock(NOON))
        try:
            async with ClientSession() as http, http.get(server.base_url + "/_sim/health") as answer:
                assert (await answer.json())["broker"] == broker
        finally:
            await server.stop()

    asyncio.run(scenario())


def test_two_brokers_of_one_seed_have_one_market():
    a, b = (
        make_exchange(seed=5, universe="small", hours="always", clock=ManualClock(NOON)) for _ in range(2)
    )
    for symbol in ("SBIN", "RELIANCE"):
        listing = a.universe.find("NSE", symbol)
        assert a.snapshot(listing) == b.snapshot(listing)


def test_the_exchange_runs_by_itself_while_the_server_does():
    async def scenario(b):
        await b.order("x")
        b.clock.advance(1)
        deadline = asyncio.get_running_loop().time() + 5
        while asyncio.get_running_loop().time() < deadline:
            (row,) = await b.get("/_sim/orders")
            if row["status"] == "filled":
                return
        pytest.fail("the order was never accepted")

    run(scenario)
