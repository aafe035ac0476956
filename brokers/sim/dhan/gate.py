"""What every REST call passes: token, client id, address, rate limit, body; and how an error leaves.

The shape of an error follows the path: ``marketfeed`` and ``optionchain`` have their own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
from aiohttp import web

from brokers.clock import IST, Clock
from brokers.sim.dhan import errors
from brokers.sim.dhan.errors import Refused
from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.limits import Lane, Limits
from brokers.sim.dhan.tokens import Tokens, Verdict
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import Listing, Refusal
from brokers.sim.faults import Faults

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Desk:
    """What the rooms of the simulated Dhan share.

    Attributes:
        killed: Accounts whose kill switch is on.
        addresses: Account -> flag (``PRIMARY``, ``SECONDARY``) -> (address, date set).
        extra: Listings shown in the instrument files beside the universe's.
    """

    exchange: Exchange
    faults: Faults
    clock: Clock
    directory: Directory
    tokens: Tokens
    limits: Limits = field(default_factory=Limits)
    killed: set[str] = field(default_factory=set)
    addresses: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    extra: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request; ``body`` is empty where the request has none."""

    request: web.Request
    account: str
    body: Mapping[str, object]


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Gate:
    """Wraps handlers into aiohttp routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def route(
        self,
        method: str,
        path: str,
        handler: Handler,
        lane: Lane = Lane.OTHER,
        *,
        data: bool = False,
        needs_ip: bool = False,
    ) -> web.RouteDef:
        """A guarded route.

        Args:
            data: The path speaks the data shape of errors and wants the ``client-id`` header.
            needs_ip: Order calls are taken from the whitelisted address only.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                account = self._account(request, data=data)
                self._within(account, lane, data=data)
                if needs_ip and self._desk.faults.ip_refused(account):
                    raise Refused("DH-905", "Invalid IP")
                body = await self._body(request, data=data)
                return await handler(Call(request, account, body))
            except Refused as refused:
                return refused.response()
            except Refusal as refusal:
                return errors.from_exchange(refusal).response()
            # the top of a request: a slip of the simulator answers as a broken broker would
            except Exception:
                log.exception("request failed: %s %s", method, path)
                code = errors.SERVER_ERROR if data else "DH-908"
                return Refused(code, "Internal server error").response()

        return web.route(method, path, guarded)

    def _account(self, request: web.Request, *, data: bool) -> str:
        text = request.headers.get("access-token", "")
        if not text:
            code = errors.AUTH_FAILED if data else "DH-901"
            raise Refused(code, "Client ID or user generated access token is invalid or expired.")
        verdict, token = self._desk.tokens.judge(text)
        if token is None:
            raise Refused(errors.TOKEN_INVALID if data else "DH-906", "Invalid Token")
        if verdict is Verdict.LIVE and self._desk.faults.token_expired(token.account):
            verdict = Verdict.EXPIRED
        if verdict is not Verdict.LIVE:
            number = errors.TOKEN_EXPIRED if verdict is Verdict.EXPIRED else errors.TOKEN_INVALID
            text = "Client ID or user generated access token is invalid or expired."
            raise Refused(number if data else "DH-901", text)
        if data and request.headers.get("client-id") != token.account:
            raise Refused(errors.CLIENT_INVALID, "Client ID is invalid")
        return token.account

    def _within(self, account: str, lane: Lane, *, data: bool) -> None:
        today = self._desk.clock.now().astimezone(IST).date()
        if not self._desk.limits.take(account, lane, self._desk.clock.monotonic(), today):
            text = "Too many requests. Further requests may result in the user being blocked."
            raise Refused(errors.TOO_MANY if data else "DH-904", text)

    @staticmethod
    async def _body(request: web.Request, *, data: bool) -> Mapping[str, object]:
        raw = await request.read()
        if not raw or request.method not in ("POST", "PUT"):
            return {}
        try:
            body = json.loads(raw, parse_float=Decimal)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(errors.BAD_REQUEST if data else "DH-905", "Invalid request")
        return body


def answer(value: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
