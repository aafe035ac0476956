"""A simulated Dhan on a free port with a clock the test moves, and a client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pyotp

from brokers.clock import ManualClock
from brokers.sim import settings
from brokers.sim.app import Server, serve
from brokers.sim.dhan.venue import DhanVenue
from brokers.sim.exchange.types import Kind, Listing, Snapshot
from tests.brokers.sim.dhan.world import NOON

ACCOUNT = "1100000001"
PATIENCE_S = 10.0


class Broker:
    """The server, its clock and one logged-in client."""

    def __init__(self, server: Server, clock: ManualClock, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.clock = clock
        self.http = http
        self.url = f"http://127.0.0.1:{server.port}"
        self.account = ACCOUNT
        assert isinstance(server.venue, DhanVenue)
        self.venue: DhanVenue = server.venue
        self.token = str(self.venue.issue(ACCOUNT)["accessToken"])

    @property
    def headers(self) -> dict[str, str]:
        return {"access-token": self.token, "client-id": self.account}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        pause: bool = True,
    ) -> tuple[int, Any]:
        """Status and JSON. Without ``pause=False`` enough time passes to stay under every rate limit."""
        if pause:
            await self.settle(3.1)
        if isinstance(body, dict) and "/v2/" in path:
            body = {"dhanClientId": self.account} | body
        async with self.http.request(
            method, self.url + path, json=body, headers=self.headers if headers is None else headers
        ) as response:
            raw = await response.read()
            assert "Retry-After" not in response.headers
            return response.status, json.loads(raw) if raw else None

    async def settle(self, seconds: float = 1.0) -> None:
        """Let the exchange's time pass, in steps of a quarter second."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:
            self.clock.advance(min(0.25, (until - self.clock.now()).total_seconds()))
            self.server.exchange.step(self.clock.now())

    def listing(self, exchange: str, symbol: str) -> Listing:
        found = self.server.exchange.universe.find(exchange, symbol)
        assert found is not None
        return found

    def future(self) -> Listing:
        """A future of NSE."""
        listings = self.server.exchange.universe.listings
        return next(x for x in listings if x.exchange == "NFO" and x.kind is Kind.FUTURE)

    def market(self, listing: Listing) -> Snapshot:
        return self.server.exchange.snapshot(listing)

    def rupees(self, listing: Listing, percent: float) -> float:
        """A price on tick, so many percent from the last one."""
        ltp = self.market(listing).ltp_paise * (100 + percent) / 100
        return round(ltp / listing.tick_paise) * listing.tick_paise / 100

    def totp(self, at: datetime | None = None) -> str:
        return pyotp.TOTP(settings.TOTP_SECRET).at(at or self.clock.now())

    def socket_url(self, path: str, token: str | None = None, extra: str = "") -> str:
        query = f"version=2&token={token or self.token}&clientId={self.account}&authType=2{extra}"
        return f"ws://127.0.0.1:{self.server.port}{path}?{query}"


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    clock = ManualClock(NOON)
    server = await serve("dhan", 0, seed=1, universe="small", hours="always", clock=clock)
    try:
        async with aiohttp.ClientSession() as http:
            yield Broker(server, clock, http)
    finally:
        await server.stop()


def live(test: Callable[[Broker], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test against a fresh broker."""

    def run() -> None:
        async def main() -> None:
            async with asyncio.timeout(60), broker() as one:
                await test(one)

        asyncio.run(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    run.__module__ = test.__module__
    return run


async def until(true: Callable[[], bool]) -> None:
    """Poll until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)
