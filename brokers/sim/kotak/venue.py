"""The simulated Kotak Neo, assembled. ``make`` is what the simulator's application calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from aiohttp import web

from brokers.clock import Clock
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import Snapshot
from brokers.sim.faults import Faults
from brokers.sim.kotak import policy
from brokers.sim.kotak.feeds import HsmFeed, SfeedFeed
from brokers.sim.kotak.house import House, json_body
from brokers.sim.kotak.login import Login
from brokers.sim.kotak.market import Market
from brokers.sim.kotak.orderfeed import OrderFeed
from brokers.sim.kotak.rest import Rest
from brokers.sim.kotak.sessions import ACCESS_TOKEN, Scope

CHECK_SESSIONS_S = 1.0


class KotakVenue:
    """One simulated Kotak Neo over an exchange."""

    name = "kotak"

    def __init__(self, exchange: Exchange, faults: Faults, clock: Clock, base_url: str) -> None:
        self.house = House(exchange, faults, clock, base_url.rstrip("/"))
        self._login = Login(self.house)
        self._rest = Rest(self.house)
        self._market = Market(self.house)
        self._hsm = HsmFeed(self.house)
        self._sfeed = SfeedFeed(self.house)
        self._orders = OrderFeed(self.house)
        self._sockets = (self._hsm.sockets, self._sfeed.sockets, self._orders.sockets)
        self._keeper: asyncio.Task[None] | None = None
        exchange.order_id = policy.order_id
        exchange.on_order(self.house.ledger.observe)
        exchange.on_market(self._on_market)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Everything Kotak serves, and ``POST /_sim/kotak`` to turn its knobs."""
        for part in (self._login, self._rest, self._market, self._hsm, self._sfeed, self._orders):
            yield from part.routes()
        yield web.post("/_sim/kotak", self._turn)

    async def start(self) -> None:
        _ = self.house.directory  # seconds for the full universe: before the first client, not in its call
        self._keeper = asyncio.create_task(self._keep(), name="kotak sessions")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.gather(*(sockets.close_all() for sockets in self._sockets))

    def issue(self, account: str) -> Mapping[str, object]:
        """A trade session without the ceremony: ``data`` of the MPIN reply and the application token."""
        grant = self.house.sessions.open(account, Scope.TRADE)
        return {**self._login.describe(grant), "access_token": ACCESS_TOKEN}

    def expire(self, account: str) -> None:
        """End every session of an account and its sockets."""
        self.house.sessions.end(account)
        self._drop_ended()

    async def _keep(self) -> None:
        """Sessions end at midnight whether or not anybody asks; their sockets close within a second."""
        while True:
            await asyncio.sleep(CHECK_SESSIONS_S)
            self._drop_ended()

    def _drop_ended(self) -> None:
        for sockets in self._sockets:
            sockets.drop_ended()

    def _on_market(self, snapshots: list[Snapshot]) -> None:
        self._hsm.on_market(snapshots)
        self._sfeed.on_market(snapshots)

    async def _turn(self, request: web.Request) -> web.Response:
        try:
            self.house.knobs.set(await json_body(request))
        except ValueError as exc:
            return web.json_response({"message": str(exc)}, status=400)
        return web.json_response(
            {name: getattr(self.house.knobs, name) for name in self.house.knobs.__slots__}
        )


def make(exchange: Exchange, faults: Faults, clock: Clock, base_url: str) -> KotakVenue:
    """The venue of the simulated Kotak. ``base_url`` is what clients are told: ``http://127.0.0.1:PORT``."""
    return KotakVenue(exchange, faults, clock, base_url)
