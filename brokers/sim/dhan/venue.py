"""Dhan's front end over a simulated exchange, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime

from aiohttp import web

from brokers.clock import IST, Clock
from brokers.sim.dhan import errors
from brokers.sim.dhan.account import Accounts
from brokers.sim.dhan.data import Data
from brokers.sim.dhan.feed import Feed
from brokers.sim.dhan.forever import ForeverOrders
from brokers.sim.dhan.gate import Desk, Gate
from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.rest import Rest
from brokers.sim.dhan.tokens import Tokens
from brokers.sim.dhan.updates import Updates
from brokers.sim.exchange.engine import Exchange
from brokers.sim.faults import Faults
from brokers.sim.load import Load


class DhanVenue:
    """The `brokers.sim.venue.Venue` of Dhan."""

    name = "dhan"

    def __init__(self, desk: Desk, base_url: str) -> None:
        self.desk = desk
        self.base_url = base_url
        self.accounts = Accounts(desk)
        self.feed = Feed(desk)
        self.updates = Updates(desk)
        self.load = Load(self.feed.load)
        self.forever = ForeverOrders(desk)
        self._parts = (Rest(desk), Data(desk), self.accounts, self.forever)
        self._ending: set[asyncio.Task[None]] = set()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        gate = Gate(self.desk)
        for part in self._parts:
            yield from part.routes(gate)
        yield from self.feed.routes()
        yield from self.updates.routes()
        yield from self.load.routes()
        yield web.get("/", self._root)
        for tail in ("/v2/{tail:.*}", "/app/{tail:.*}"):  # last: whatever nobody above took
            yield web.route("*", tail, self._unknown)

    async def start(self) -> None:
        self.desk.exchange.on_order(self.updates.on_order)
        self.desk.exchange.on_market(self.feed.on_market)
        self.desk.exchange.on_market(self.forever.on_market)

    async def stop(self) -> None:
        await self.load.stop()
        await self.feed.stop()
        await self.updates.stop()

    def issue(self, account: str) -> Mapping[str, object]:
        """A token as the website makes it (it may be renewed); older ones die."""
        return self.accounts.session(account, web_made=True)

    def expire(self, account: str) -> None:
        """Expire the account's tokens and end its sockets."""
        self.desk.tokens.expire(account)
        for ending in (self.feed.expire(account), self.updates.expire(account)):
            task = asyncio.get_running_loop().create_task(ending)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.feed.root(request)
        return await self._unknown(request)

    async def _unknown(self, request: web.Request) -> web.Response:
        return errors.not_found(request.path, self.desk.clock.time_ns() // 1_000_000)


def order_id(at: datetime, number: int) -> str:
    """Digits only: 1, the IST date, a running number of the day."""
    return f"1{at.astimezone(IST):%y%m%d}{number:06d}"


def make(exchange: Exchange, faults: Faults, clock: Clock, base_url: str) -> DhanVenue:
    """The venue of one simulator; ``base_url`` is ``http://127.0.0.1:PORT``."""
    exchange.order_id = order_id
    universe = exchange.universe
    tokens = Tokens(clock, universe.seed)
    return DhanVenue(Desk(exchange, faults, clock, Directory(universe), tokens), base_url)
