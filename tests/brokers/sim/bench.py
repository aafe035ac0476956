"""A tiny venue and its real server, for the tests of what lies around every venue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import ClientSession, ClientTimeout, WSMsgType, web

from brokers.clock import ManualClock
from brokers.sim.app import Server, assemble, listen, make_exchange, serve_app
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import NewOrder, Side, Type
from brokers.sim.faults import Faults

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


class TinyVenue:
    """Places an order per POST; echoes a WebSocket through the faults."""

    name = "tiny"

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self.exchange = exchange
        self.faults = faults
        self.expired: list[str] = []
        self.stopped = False

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return [
            web.post("/orders", self.order),
            web.get("/orders/{id}", self.one),
            web.get("/feed", self.feed),
        ]

    async def start(self) -> None:
        self.stopped = False

    async def stop(self) -> None:
        self.stopped = True

    def issue(self, account: str) -> Mapping[str, object]:
        return {"token": f"token of {account}"}

    def expire(self, account: str) -> None:
        self.expired.append(account)

    async def order(self, request: web.Request) -> web.Response:
        if self.faults.token_expired("A"):
            raise web.HTTPUnauthorized
        if self.faults.ip_refused("A"):
            raise web.HTTPForbidden
        share = self.exchange.universe.find("NSE", "SBIN")
        assert share is not None
        order = self.exchange.submit(
            NewOrder("A", share, Side.BUY, Type.MARKET, "MIS", 10, tag=request.query.get("tag", ""))
        )
        return web.json_response({"id": order.order_id, "padding": "x" * 200})

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"]})

    async def feed(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.faults.attach("ticks", ws, request)
        async for message in ws:
            for piece in self.faults.frame("ticks", message.data):
                if isinstance(piece, bytes):
                    await ws.send_bytes(piece)
                else:
                    await ws.send_str(piece)
        return ws


class Bench:
    """A running tiny broker and a client of it."""

    def __init__(self, server: Server, http: ClientSession, clock: ManualClock) -> None:
        self.server = server
        self.http = http
        self.clock = clock

    @property
    def venue(self) -> TinyVenue:
        assert isinstance(self.server.venue, TinyVenue)
        return self.server.venue

    def url(self, path: str) -> str:
        return self.server.base_url + path

    async def fault(self, **rule: object) -> dict[str, object]:
        async with self.http.post(self.url("/_sim/faults"), json=rule) as answer:
            assert answer.status == 200, await answer.text()
            (view,) = await answer.json()
            return dict(view)

    async def get(self, path: str) -> object:
        async with self.http.get(self.url(path)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def order(self, tag: str = "") -> tuple[int, bytes]:
        async with self.http.post(self.url("/orders"), params={"tag": tag}) as answer:
            return answer.status, await answer.read()

    async def echo(self, ws: object, data: bytes | str) -> bytes | str | None:
        """Send one frame; what comes back within a moment, None for silence, WSMsgType name when closed."""
        await (ws.send_bytes(data) if isinstance(data, bytes) else ws.send_str(data))  # type: ignore[attr-defined]
        try:
            message = await ws.receive(timeout=0.3)  # type: ignore[attr-defined]
        except TimeoutError:
            return None
        if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
            return message.data  # type: ignore[no-any-return]
        return str(WSMsgType(message.type).name)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock(NOON)
    exchange = make_exchange(seed=7, universe="small", hours="always", clock=clock)
    faults = Faults(clock, 7)
    server = await serve_app(assemble(TinyVenue(exchange, faults), exchange, faults, clock), listen(0))
    try:
        async with ClientSession(timeout=ClientTimeout(total=10)) as http:
            yield Bench(server, http, clock)
    finally:
        await asyncio.wait_for(server.stop(), 5)
