"""A WebSocket server with Dhan's manners for the feed tests, and a sink that keeps what it was told."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan.feed import DhanFeed
from brokers.errors import LoginRequired
from brokers.feedloop import LoopRules
from brokers.model import FeedState, InstrumentKey, Mode, OrderUpdate, Tick
from brokers.secret import Secret
from tests.brokers.dhan.rows import Table, table

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "dhan-packets.json").read_text())
FRAMES = {
    v["id"]: bytes.fromhex(v["hex"]) for group in ("vectors", "frames", "malformed") for v in GOLDEN[group]
}
QUICK = LoopRules(
    backoff_first_s=0.02,
    backoff_most_s=0.05,
    resubscribe_after_s=60.0,
    reconnect_after_s=120.0,
    stable_after_s=60.0,
)
AT = datetime(2026, 9, 18, 6, 30, tzinfo=UTC)


async def until(fact: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a fact; fails when it does not come true in time."""
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.005)


class Connection:
    """One market connection as the server saw it."""

    def __init__(self, socket: ServerConnection, query: dict[str, list[str]]) -> None:
        self.socket = socket
        self.token = query["token"][0]
        self.query = query
        self.messages: list[dict[str, Any]] = []

    def ids(self) -> dict[str, int]:
        """Security id -> request code as subscribed now."""
        now: dict[str, int] = {}
        for message in self.messages:
            for item in message["InstrumentList"]:
                if message["RequestCode"] in (15, 17, 21):
                    now[item["SecurityId"]] = message["RequestCode"]
                elif now.get(item["SecurityId"]) == message["RequestCode"] - 1:
                    del now[item["SecurityId"]]
        return now


class DhanServer:
    """Market feed at ``/feed``, order updates at ``/orders``, profile at ``/v2/profile``."""

    def __init__(self) -> None:
        self.market: list[Connection] = []
        self.orders: list[ServerConnection] = []
        self.order_logins: list[dict[str, Any]] = []
        self.profiles = 0
        self.is_busy = False
        self.bad_tokens: set[str] = set()
        self.cut_tokens: set[str] = set()
        self.refuse_tokens: dict[str, bytes] = {}
        self.port = 0

    def endpoints(self) -> dict[str, str]:
        ws, plain = f"ws://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}"
        return {"feed": f"{ws}/feed", "order_updates": f"{ws}/orders", "rest": f"{plain}/v2", "auth": plain}

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.is_busy and request.path.startswith("/feed"):
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "")
        if request.path != "/v2/profile":
            return None
        self.profiles += 1
        if request.headers["access-token"] in self.bad_tokens:
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED, '{"errorCode":"DH-901","errorMessage":"expired"}'
            )
        return connection.respond(http.HTTPStatus.OK, '{"dhanClientId":"1000000001"}')

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        path = urlsplit(socket.request.path)
        if path.path == "/orders":
            self.order_logins.append(json.loads(await socket.recv()))
            self.orders.append(socket)
            await socket.wait_closed()
            return
        connection = Connection(socket, parse_qs(path.query))
        if connection.token in self.cut_tokens:
            socket.transport.abort()
            return
        self.market.append(connection)
        if connection.token in self.refuse_tokens:
            await socket.send(self.refuse_tokens[connection.token])
            return
        async for text in socket:
            connection.messages.append(json.loads(text))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        async with serve(self.handle, "127.0.0.1", 0, process_request=self.answer) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield server


class Sink:
    """Implements ``contract.FeedSink``; keeps everything."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.updates: list[OrderUpdate] = []
        self.states: list[tuple[FeedState, str]] = []
        self.books: list[tuple[InstrumentKey, int, Any]] = []
        self.bad: list[tuple[bytes, str]] = []
        self.refused: list[tuple[InstrumentKey, str]] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def on_order(self, update: OrderUpdate) -> None:
        self.updates.append(update)

    def on_book(self, key: InstrumentKey, levels: int, book: Any, received_ns: int) -> None:
        self.books.append((key, levels, book() if book else None))

    def on_state(self, state: FeedState, reason: str) -> None:
        self.states.append((state, reason))

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad.append((frame, reason))

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        self.refused.append((key, reason))


class Store:
    """The stored session a feed process reads; counts the renewals it was asked for."""

    def __init__(self) -> None:
        self.generation = 1
        self.renewals: list[int] = []
        self.can_renew = True

    async def __call__(self, failed_generation: int) -> BrokerSession:
        if failed_generation >= self.generation:
            self.renewals.append(failed_generation)
            if not self.can_renew:
                raise LoginRequired("nobody can renew")
            self.generation = failed_generation + 1
        token = Secret(f"token-{self.generation}")
        return BrokerSession(
            "dhan", "1000000001", {"token": token}, {}, AT, AT + timedelta(hours=24), self.generation
        )


class Bench:
    """A running feed, its server, its sink and its store."""

    def __init__(self, rows: Table | None = None, per_socket: int = 5000) -> None:
        self.rows = rows or table()
        self.server = DhanServer()
        self.sink = Sink()
        self.store = Store()
        self.clock = ManualClock(AT)
        self._per_socket = per_socket
        self.feed: DhanFeed

    @asynccontextmanager
    async def running(self, *wanted: tuple[str, int]) -> AsyncIterator[Bench]:
        """Start server and feed with the wanted (``NSE:SYMBOL``, mode) pairs."""
        async with asyncio.timeout(30), self.server.running():
            context = BrokerContext({}, self.server.endpoints(), {}, self.clock, self.rows)
            self.feed = DhanFeed(context, self.store, self.sink, rules=QUICK, per_socket=self._per_socket)
            for name, mode in wanted:
                self.want(name, mode)
            task = asyncio.create_task(self.feed.run())
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def want(self, name: str, mode: int | None) -> None:
        self.feed.want(self.rows[name], None if mode is None else Mode(mode))

    @property
    def line(self) -> Connection:
        """The newest market connection."""
        return self.server.market[-1]

    async def subscribed(self, count: int) -> None:
        """Until the newest connection has that many subscriptions."""
        await until(lambda: self.server.market and len(self.line.ids()) == count)
