"""A real simulated Kotak on a free port, its clock moved by hand, and a plain HTTP client."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pyotp

from brokers.clock import IST, ManualClock
from brokers.sim import app
from brokers.sim.exchange.types import Listing
from brokers.sim.kotak.sessions import ACCESS_TOKEN, MOBILE
from brokers.sim.settings import PIN, TOTP_SECRET

START = datetime(2026, 11, 20, 11, 0, tzinfo=IST)
PLAIN = {"Authorization": ACCESS_TOKEN, "neo-fin-key": "neotradeapi"}


class Sim:
    """The running server and what tests do to it."""

    def __init__(self, server: app.Server, clock: ManualClock, http: aiohttp.ClientSession) -> None:
        self.server, self.clock, self.http = server, clock, http
        self.base = f"http://127.0.0.1:{server.port}"
        self.auth: dict[str, str] = {}

    def tick(self, seconds: float = 1.0) -> None:
        """Move time on, and the exchange with it; also empties every rate window."""
        self.clock.advance(seconds)
        self.server.exchange.step(self.clock.now())

    def listing(self, exchange: str, symbol: str) -> Listing:
        found = self.server.exchange.universe.find(exchange, symbol)
        assert found is not None
        return found

    def ltp(self, exchange: str, symbol: str) -> float:
        return self.server.exchange.snapshot(self.listing(exchange, symbol)).ltp_paise / 100

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return await self._answer(self.http.get(f"{self.base}/{path}", headers=headers or self.auth))

    async def post(self, path: str, jdata: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """A trading call: form field ``jData`` with blanks as ``+``, as every client sends it."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"jData={quote_plus(json.dumps(jdata))}"
        call = self.http.post(f"{self.base}/{path}", data=body, headers={**(headers or self.auth), **form})
        return await self._answer(call)

    async def post_json(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        return await self._answer(self.http.post(f"{self.base}/{path}", json=body, headers=headers))

    @staticmethod
    async def _answer(call: Any) -> tuple[int, Any]:
        async with call as response:
            text = await response.text()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text

    async def view(self, account: str = "ABCDE", prefix: str = "login/1.0/tradeApiLogin") -> dict[str, Any]:
        code = pyotp.TOTP(TOTP_SECRET).at(self.clock.now())
        body = {"mobileNumber": MOBILE, "ucc": account, "totp": code}
        status, answer = await self.post_json(prefix, body, PLAIN)
        assert status == 200, answer
        return answer["data"]

    async def login(self, account: str = "ABCDE") -> dict[str, Any]:
        """Both factors; ``auth`` then carries the trade pair."""
        view = await self.view(account)
        headers = PLAIN | {"sid": view["sid"], "Auth": view["token"]}
        status, answer = await self.post_json("login/1.0/tradeApiValidate", {"mpin": PIN}, headers)
        assert status == 200, answer
        self.auth = {"Sid": answer["data"]["sid"], "Auth": answer["data"]["token"]}
        return answer["data"]


def in_sim(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test with a fresh simulator as its first argument."""

    async def scenario(params: dict[str, Any]) -> None:
        clock = ManualClock(START)
        server = await app.serve("kotak", 0, clock=clock)
        try:
            async with aiohttp.ClientSession() as http:
                await test(Sim(server, clock, http), **params)
        finally:
            await server.stop()

    def run(**params: Any) -> None:
        asyncio.run(asyncio.wait_for(scenario(params), 60))

    signature = inspect.signature(test)
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


def order(**changes: Any) -> dict[str, Any]:
    """``jData`` of a limit order far from the market, as the 3.0.9 client sends it."""
    body = {
        "am": "NO", "dq": "0", "es": "nse_cm", "mp": "0", "pc": "MIS", "pr": "0", "pt": "L", "qt": "1",
        "rt": "DAY", "tp": "0", "ts": "SBIN-EQ", "tt": "B", "ig": None, "os": "NEOTRADEAPI",
    }  # fmt: skip
    return body | changes
