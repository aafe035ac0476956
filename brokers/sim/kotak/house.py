"""What the handlers of the simulated Kotak share: exchange, sessions, limits, and how an answer goes out."""

from __future__ import annotations

import functools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from brokers.clock import Clock
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import Refusal
from brokers.sim.faults import Faults
from brokers.sim.kotak import answers, policy
from brokers.sim.kotak.answers import Answer
from brokers.sim.kotak.ledger import Ledger
from brokers.sim.kotak.names import Directory
from brokers.sim.kotak.sessions import ACCESS_TOKEN, Grant, Reason, Sessions, TokenRefused

ORDERS_PER_SECOND = 10
OTHERS_PER_SECOND = 25

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Limiter:
    """At most ``limit`` calls of a key in any rolling second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, ...], deque[float]] = {}

    def take(self, key: tuple[str, ...], limit: int) -> None:
        """Count one call. Raises ``Answer`` (429) when it is one too many; a refused call is not counted."""
        now = self._clock.monotonic()
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - 1.0:
            calls.popleft()
        if len(calls) >= limit:
            raise answers.too_many(limit)
        calls.append(now)


@dataclass(slots=True)
class Knobs:
    """What the broker may do one way or another; set over ``POST /_sim/kotak``.

    Attributes:
        broadcast_source: What the config service names as market feed: ``ks`` (SFeed) or ``hs`` (HSM).
        packed: Several packets per market-data message.
        ack_every: HSM acknowledgement interval; 0 for none. Production was seen with 5.
        order_feed_connect: ``both``, ``stripped`` or ``json``: which connect text is understood.
        wrong_base_url: Answer trading calls with 200032, as another data centre does.
    """

    broadcast_source: str = "ks"
    packed: bool = False
    ack_every: int = 5
    order_feed_connect: str = "both"
    wrong_base_url: bool = False

    def set(self, changes: Mapping[str, object]) -> None:
        """Change some. Raises ``ValueError`` naming an unknown knob or a value of the wrong kind."""
        choices = {"broadcast_source": ("ks", "hs"), "order_feed_connect": ("both", "stripped", "json")}
        for name, value in changes.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(f"no knob '{name}'; known: {', '.join(self.__dataclass_fields__)}")
            if type(value) is not type(getattr(self, name)) or value not in choices.get(name, (value,)):
                raise ValueError(f"knob '{name}' cannot be {value!r}")
            setattr(self, name, value)


@dataclass(slots=True)
class House:
    """The parts of one simulated Kotak."""

    exchange: Exchange
    faults: Faults
    clock: Clock
    base_url: str
    sessions: Sessions = field(init=False)
    ledger: Ledger = field(init=False)
    limiter: Limiter = field(init=False)
    knobs: Knobs = field(default_factory=Knobs)
    _directory: Directory | None = None

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.clock)
        self.ledger = Ledger(self.clock)
        self.limiter = Limiter(self.clock)

    @property
    def directory(self) -> Directory:
        """Names of today's universe, which rolls on in place at midnight."""
        if self._directory is None or self._directory.day != self.exchange.universe.today:
            self._directory = Directory(self.exchange.universe)
        return self._directory

    def application(self, request: web.Request, *, required: bool) -> str:
        """The application token in ``Authorization``, with or without ``Bearer``.

        Raises:
            Answer: 10512 when it is missing and required, 900901 when it is wrong.
        """
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not token and not required:
            return ""
        if not token:
            raise answers.header_missing()
        if token != ACCESS_TOKEN:
            raise answers.gateway_refused()
        return token

    def trader(self, request: web.Request, *, margin: bool = False) -> Grant:
        """The trade session of a request.

        Raises:
            Answer: 100021 for a view pair, 100022 for an expired or unknown one, 10512 without headers.
        """
        self.application(request, required=False)
        token, sid = request.headers.get("Auth", ""), request.headers.get("Sid", "")
        if not token or not sid:
            raise answers.header_missing()
        try:
            grant = self.sessions.check(token, sid)
        except TokenRefused as exc:
            if exc.reason is Reason.VIEW_ONLY:
                raise answers.view_only() from exc
            raise answers.session_invalid(margin=margin, known=exc.reason is Reason.EXPIRED) from exc
        if self.faults.token_expired(grant.account):
            raise answers.session_invalid(margin=margin)
        if self.knobs.wrong_base_url:
            raise answers.not_ok(200032, "Invalid URL. Please verify the 'baseUrl'", key="errMsg")
        return grant


def answering(handler: Handler) -> Handler:
    """Turn an ``Answer`` or an exchange ``Refusal`` raised by a handler into its response."""

    @functools.wraps(handler)
    async def wrapped(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Answer as answer:
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        except Refusal as refused:
            return web.json_response(policy.refusal(refused.code, refused.text).body)

    return wrapped


async def jdata(request: web.Request) -> dict[str, object]:
    """The JSON object in the form field ``jData`` (blanks may be ``+``).

    Raises:
        Answer: 5202 when the body is no form, the field is missing, or it is no JSON object.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise answers.invalid_request()
    text = (await request.post()).get("jData")
    try:
        body = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise answers.invalid_request()
    return body


async def json_body(request: web.Request) -> dict[str, object]:
    """A plain JSON object body (login calls). Raises ``Answer`` 5202 otherwise."""
    try:
        body = await request.json()
    except ValueError as exc:
        raise answers.invalid_request() from exc
    if not isinstance(body, dict):
        raise answers.invalid_request()
    return body
