"""The instance's own pages on the feed: a ticket instead of a key, and an end with the web session."""

from __future__ import annotations

import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.tickets import Visitor
from tests.gateway.stream.rig import ask, hear, on_loop, running, until


class Door:
    """Tickets and sign-outs by hand."""

    def __init__(self) -> None:
        self.gone: frozenset[str] | None = frozenset()
        self.asked = 0
        self.good = {"a ticket": Visitor("seat one", time.time() + 60)}

    def redeem(self, ticket: str) -> Visitor | None:
        return self.good.pop(ticket, None)

    def signed_out(self) -> frozenset[str] | None:
        self.asked += 1
        return self.gone


@on_loop
async def test_a_ticket_opens_once(tmp_path):
    async with running(tmp_path) as rig:
        rig.server.actions.visitors = Door()
        async with connect(rig.url, proxy=None) as ws, connect(rig.url, proxy=None) as other:
            assert (await ask(ws, action="subscribe", symbols=["NSE:SBIN"]))["code"] == "NOT_AUTHENTICATED"
            assert (await ask(ws, action="authenticate", ticket="a ticket"))["status"] == "success"
            assert (await ask(ws, action="subscribe", symbols=["NSE:SBIN"]))["type"] == "subscribe"
            assert (await ask(other, action="authenticate", ticket="a ticket"))["status"] == "error"


@on_loop
async def test_without_a_checker_a_ticket_is_nothing(tmp_path):
    async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
        assert (await ask(ws, action="authenticate", ticket="a ticket"))["status"] == "error"


@on_loop
async def test_guessing_tickets_ends_the_connection(tmp_path):
    async with running(tmp_path) as rig:
        rig.server.actions.visitors = Door()
        async with connect(rig.url, proxy=None) as ws:
            for n in range(5):
                await ask(ws, action="authenticate", ticket=f"guess {n}")
            with pytest.raises(ConnectionClosed):
                await hear(ws)


@on_loop
async def test_signing_out_ends_the_pages_connection_and_no_other(tmp_path):
    async with running(tmp_path) as rig:
        door = rig.server.actions.visitors = Door()
        async with connect(rig.url, proxy=None) as page, connect(rig.url, proxy=None) as program:
            await ask(page, action="authenticate", ticket="a ticket")
            await ask(program, action="authenticate", api_key=rig.key)
            door.gone = None  # cannot be told now: nobody is cut for that
            seen = door.asked
            await until(lambda: door.asked >= seen + 3)
            assert (await ask(page, action="ping"))["type"] == "pong"
            door.gone = frozenset({"seat one"})
            with pytest.raises(ConnectionClosed) as caught:
                await hear(page)
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4401, "the web session has ended")
            assert (await ask(program, action="ping"))["type"] == "pong"


@on_loop
async def test_the_end_of_the_web_session_ends_the_connection(tmp_path):
    async with running(tmp_path) as rig:
        door = rig.server.actions.visitors = Door()
        door.good["short"] = Visitor("seat two", time.time() + 0.5)
        async with connect(rig.url, proxy=None) as ws:
            await ask(ws, action="authenticate", ticket="short")
            with pytest.raises(ConnectionClosed):
                await hear(ws)
