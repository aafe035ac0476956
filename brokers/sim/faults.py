"""Misbehaviour on demand: rules set over the control endpoint, applied to HTTP answers and feed frames.

A rule is a JSON object::

    {"kind": "status", "match": {"path": "/v2/orders", "method": "POST"}, "code": 429, "retry_after_s": 2,
     "count": 1, "probability": 1.0, "delay_s": 0, "jitter_s": 0}

``match.path`` is a regular expression searched in the path; ``match.socket`` is a feed's name or its path
without the slash; ``match.account`` belongs to ``expire_token`` and ``refuse_ip``. Without ``count`` a rule
lasts until it is deleted, or for ``for_s`` seconds (``silence`` and ``half_open``: for ``delay_s``). A delay
is ``delay_s`` give or take ``jitter_s`` (normal, never below zero), drawn from the seed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count as numbers

from aiohttp import web
from aiohttp.typedefs import Handler

from brokers.clock import Clock
from brokers.errors import InvalidRequest
from brokers.sim.held import Held

log = logging.getLogger(__name__)

CONTROL = "/_sim/"
"""Paths of the control endpoints; no fault touches them."""
FAULT, DRAWN_S = web.RequestKey("fault", str), web.RequestKey("drawn_s", float)
"""Of a request that a rule struck: the rule's kind, and the delay that was drawn for it in seconds."""
MOST_HELD = 20_000


class FaultKind(StrEnum):
    """What can go wrong.

    HTTP: ``delay`` answers late, ``drop_before`` hangs up before the broker acted, ``drop_after`` after it
    acted, ``status`` answers with ``code`` instead of acting, ``garbage`` acts and answers unreadable bytes,
    ``truncate`` acts and hangs up in the middle of the body. ``duplicate`` refuses as a repeat of a request
    it has, ``repeated`` acts and then refuses so: the request was brought to it twice on the way. (Neither
    broker is known to look at repeated marks; both take the same one twice. The words are ours.)

    Asked by the venues: ``expire_token``, ``refuse_ip``.

    Sockets: ``silence`` sends nothing and stays open, ``torn_frame`` sends half a frame, ``garbage_frame``
    random bytes; ``cut`` resets the open sockets, ``half_open`` stops reading and sending without closing.
    ``lag`` sends every frame that much later, in order; lags add up, so one of a few seconds may lie over a
    lasting one.
    """

    DELAY = "delay"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    STATUS = "status"
    GARBAGE = "garbage"
    TRUNCATE = "truncate"
    DUPLICATE = "duplicate"
    REPEATED = "repeated"
    EXPIRE_TOKEN = "expire_token"
    REFUSE_IP = "refuse_ip"
    SILENCE = "silence"
    TORN_FRAME = "torn_frame"
    GARBAGE_FRAME = "garbage_frame"
    CUT = "cut"
    HALF_OPEN = "half_open"
    LAG = "lag"


_HTTP = (
    FaultKind.DELAY,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.STATUS,
    FaultKind.GARBAGE,
    FaultKind.TRUNCATE,
    FaultKind.DUPLICATE,
    FaultKind.REPEATED,
)
_INSTEAD = (FaultKind.DELAY, FaultKind.DROP_BEFORE, FaultKind.STATUS, FaultKind.DUPLICATE)
_SILENT = (FaultKind.SILENCE, FaultKind.HALF_OPEN)
_AT_ONCE = (FaultKind.CUT, FaultKind.HALF_OPEN)
SECONDS = ("delay_s", "jitter_s", "for_s", "retry_after_s")
"""Fields of a rule that are seconds, 0 or more."""


@dataclass(slots=True)
class Rule:
    """One fault. ``used`` counts how often it struck; ``since`` is monotonic seconds."""

    number: int
    kind: FaultKind
    path: str = ""
    method: str = ""
    socket: str = ""
    account: str = ""
    count: int | None = None
    probability: float = 1.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    for_s: float | None = None
    code: int = 500
    retry_after_s: float | None = None
    used: int = 0
    since: float = 0.0

    @property
    def spent(self) -> bool:
        return self.count is not None and self.used >= self.count

    def view(self) -> dict[str, object]:
        return {
            "id": self.number,
            "kind": self.kind.value,
            "match": {
                "path": self.path,
                "method": self.method,
                "socket": self.socket,
                "account": self.account,
            },
            "count": self.count,
            "probability": self.probability,
            "delay_s": self.delay_s,
            "jitter_s": self.jitter_s,
            "for_s": self.for_s,
            "code": self.code,
            "retry_after_s": self.retry_after_s,
            "used": self.used,
            "spent": self.spent,
        }


def parse(body: object, number: int) -> Rule:
    """A rule from its JSON. Raises ``InvalidRequest`` naming the field."""
    if not isinstance(body, dict):
        raise InvalidRequest("a fault is a JSON object with a kind")
    known = {"kind", "match", "count", "probability", "code", *SECONDS}
    if unknown := set(body) - known:
        raise InvalidRequest(f"unknown field {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}")
    try:
        kind = FaultKind(str(body.get("kind")))
    except ValueError:
        raise InvalidRequest(f"unknown kind {body.get('kind')!r}; known: {', '.join(FaultKind)}") from None
    match = body.get("match") or {}
    if not isinstance(match, dict) or set(match) - {"path", "method", "socket", "account"}:
        raise InvalidRequest("match is an object of path, method, socket, account")
    try:
        re.compile(str(match.get("path", "")))
        seconds = _seconds(body)
        return Rule(
            number,
            kind,
            path=str(match.get("path", "")),
            method=str(match.get("method", "")).upper(),
            socket=str(match.get("socket", "")),
            account=str(match.get("account", "")),
            count=None if body.get("count") is None else int(body["count"]),
            probability=float(body.get("probability", 1.0)),
            delay_s=seconds["delay_s"] or 0.0,
            jitter_s=seconds["jitter_s"] or 0.0,
            for_s=seconds["for_s"],
            code=int(body.get("code", 500)),
            retry_after_s=seconds["retry_after_s"],
        )
    except (re.error, TypeError, ValueError) as exc:
        raise InvalidRequest(f"fault {kind.value}: {exc}") from exc


def _seconds(body: dict[str, object]) -> dict[str, float | None]:
    """The durations of a rule. Raises ``ValueError`` for one that is none."""
    found: dict[str, float | None] = {}
    for name in SECONDS:
        given = body.get(name)
        found[name] = None if given is None else float(str(given))
        if not 0 <= (found[name] or 0.0) < float("inf"):
            raise ValueError(f"{name} is a number of seconds, 0 or more")
    return found


@dataclass(slots=True, eq=False)
class _Socket:
    request: web.Request
    names: set[str] = field(default_factory=set)


class Faults:
    """The rules in force.

    Feeds send what ``frame`` returns instead of a frame (nothing while silent). WebSockets are known by
    their path without the slash (``feed``, ``hsm``); ``attach`` gives one another name.

    Attributes:
        held: The newest frames that a ``lag`` struck (one of 0 s too), oldest first.
    """

    def __init__(self, clock: Clock, seed: int | str = 1) -> None:
        self._clock = clock
        self._random = random.Random(f"faults/{seed}")
        self._numbers = numbers(1)
        self._rules: list[Rule] = []
        self._sockets: list[_Socket] = []
        self._later: set[asyncio.Task[None]] = set()
        self.held: deque[Held] = deque(maxlen=MOST_HELD)

    # --- control

    def add(self, body: object) -> Rule:
        """Put a rule in force.

        ``cut`` and ``half_open`` strike the open sockets at once (after ``delay_s`` for ``cut``). Raises
        ``InvalidRequest``.
        """
        rule = parse(body, next(self._numbers))
        rule.since = self._clock.monotonic()
        self._rules.append(rule)
        if rule.kind in _AT_ONCE:
            if rule.kind is FaultKind.CUT and rule.delay_s > 0:
                task = asyncio.get_running_loop().create_task(self._strike_later(rule))
                self._later.add(task)
                task.add_done_callback(self._later.discard)
            else:
                self._strike(rule)
        return rule

    def rules(self) -> list[Rule]:
        """Every rule set, spent ones included."""
        return list(self._rules)

    def clear(self, number: int | None = None) -> int:
        """Forget one rule or all; a half-open socket reads again. Returns how many went."""
        gone = [r for r in self._rules if number is None or r.number == number]
        self._rules = [r for r in self._rules if r not in gone]
        if any(r.kind is FaultKind.HALF_OPEN for r in gone):
            for socket in self._sockets:
                if socket.request.transport is not None:
                    socket.request.transport.resume_reading()
        return len(gone)

    # --- HTTP

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let one HTTP request go wrong, or a WebSocket be known to the socket faults."""
        if request.path.startswith(CONTROL):
            return await handler(request)
        rule = self._take(_HTTP, path=request.path, method=request.method)
        if rule is not None:
            request[FAULT], request[DRAWN_S] = rule.kind.value, self._drawn(rule)
        if rule is not None and rule.kind in _INSTEAD:
            # a caller that hangs up meanwhile takes an unread body with it, but the broker had it
            await request.read()
            await asyncio.sleep(request[DRAWN_S])
            if rule.kind is FaultKind.DROP_BEFORE:
                return _hang_up(request)
            if rule.kind is FaultKind.STATUS:
                return _refuse(rule)
            if rule.kind is FaultKind.DUPLICATE:
                return _known_already()
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._with_socket(request, handler)
        if rule is None:
            return await handler(request)
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:  # a refusal can get lost like any other answer
            answer = refusal
        return await self._spoil(rule, request, answer)

    async def _with_socket(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        socket = _Socket(request, {request.path.strip("/")})
        self._sockets.append(socket)
        try:
            return await handler(request)
        finally:
            self._sockets.remove(socket)

    async def _spoil(
        self, rule: Rule, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """What reaches the caller after the broker has acted."""
        if rule.kind is FaultKind.DROP_AFTER:
            await asyncio.sleep(request[DRAWN_S])
            return _hang_up(request)
        if rule.kind is FaultKind.REPEATED:
            return _known_already()
        if rule.kind is FaultKind.GARBAGE:
            body = b"\x00\xff{]" + self._random.randbytes(24)
            return web.Response(status=200, body=body, content_type="application/json")
        if rule.kind is FaultKind.TRUNCATE and isinstance(answer, web.Response):
            body = answer.body if isinstance(answer.body, bytes) else b"{}"
            cut = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            cut.content_length = len(body) + 1
            await cut.prepare(request)
            await cut.write(body[: len(body) // 2])
            return _hang_up(request)
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer

    # --- what the venues ask

    def frame(self, socket_name: str, data: bytes | str) -> list[bytes | str]:
        """What to send instead of one frame.

        Usually the frame itself, nothing while silent, or torn or garbage bytes.
        """
        if self._take(_SILENT, socket=socket_name) is not None:
            return []
        rule = self._take((FaultKind.TORN_FRAME, FaultKind.GARBAGE_FRAME), socket=socket_name)
        if rule is None:
            return [data]
        if rule.kind is FaultKind.TORN_FRAME:
            return [data[: max(len(data) // 2, 1)]]
        garbage = self._random.randbytes(max(len(data), 8))
        return [garbage if isinstance(data, bytes) else "{]" + garbage.hex()]

    def hold(self, socket_name: str) -> Held:
        """How a frame that is ready now is to be held back (a count of each lag is used up)."""
        lags = [rule for rule in self._rules if self._applies(rule, (FaultKind.LAG,), socket=socket_name)]
        struck = [rule for rule in lags if self._strikes(rule)]
        held = Held(socket_name, sum(self._drawn(rule) for rule in struck))
        if struck:
            self.held.append(held)
        return held

    def is_silent(self, socket_name: str) -> bool:
        """The feed must stop sending and stay open (counts nothing)."""
        return any(self._applies(r, _SILENT, socket=socket_name) for r in self._rules)

    def token_expired(self, account: str) -> bool:
        """Treat every token of the account as expired (uses up one count of the rule)."""
        return self._take((FaultKind.EXPIRE_TOKEN,), account=account) is not None

    def ip_refused(self, account: str) -> bool:
        """Answer orders of the account as for a foreign IP (uses up one count of the rule)."""
        return self._take((FaultKind.REFUSE_IP,), account=account) is not None

    def attach(self, socket_name: str, ws: web.WebSocketResponse, request: web.Request) -> None:
        """Give an open WebSocket another name for the socket faults."""
        for socket in self._sockets:
            if socket.request is request:
                socket.names.add(socket_name)

    def detach(self, ws: web.WebSocketResponse) -> None:
        """Nothing to do: a socket is forgotten when its handler ends."""

    def reset_sockets(self) -> None:
        """Reset every open WebSocket; the server is stopping."""
        for socket in list(self._sockets):
            if socket.request.transport is not None:
                socket.request.transport.abort()

    # --- inside

    def _applies(
        self,
        rule: Rule,
        kinds: Iterable[FaultKind],
        *,
        path: str = "",
        method: str = "",
        socket: str = "",
        account: str = "",
    ) -> bool:
        if rule.kind not in kinds or rule.spent:
            return False
        lasts_s = (rule.delay_s or None) if rule.kind in _SILENT else rule.for_s
        if lasts_s is not None and self._clock.monotonic() - rule.since >= lasts_s:
            return False
        wanted = ((rule.method, method), (rule.socket, socket), (rule.account, account))
        if any(want and want != have for want, have in wanted):
            return False
        return not rule.path or re.search(rule.path, path) is not None

    def _take(self, kinds: Iterable[FaultKind], **match: str) -> Rule | None:
        """The first rule that strikes, its count reduced."""
        for rule in self._rules:
            if not self._applies(rule, kinds, **match):
                continue
            if self._strikes(rule):
                return rule
        return None

    def _strikes(self, rule: Rule) -> bool:
        """Throw the rule's dice; its count is used up when it strikes."""
        if rule.probability < 1.0 and self._random.random() >= rule.probability:
            return False
        rule.used += 1
        return True

    def _drawn(self, rule: Rule) -> float:
        if not rule.jitter_s:
            return rule.delay_s
        return max(0.0, self._random.gauss(rule.delay_s, rule.jitter_s))

    async def _strike_later(self, rule: Rule) -> None:
        await asyncio.sleep(rule.delay_s)
        self._strike(rule)

    def _strike(self, rule: Rule) -> None:
        for socket in list(self._sockets):
            transport = socket.request.transport
            named = not rule.socket or rule.socket in socket.names
            if transport is None or not named or (rule.kind is FaultKind.CUT and rule.spent):
                continue
            if rule.kind is FaultKind.CUT:
                rule.used += 1
                transport.abort()
            else:
                transport.pause_reading()
        if rule.kind is FaultKind.CUT and rule.count is None:
            rule.count = rule.used  # it struck; nothing is left of it


def _hang_up(request: web.Request) -> web.Response:
    """Reset the connection; the answer goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _known_already() -> web.Response:
    """A refusal in the shapes of both brokers."""
    said = "Duplicate order: a request with this mark was received before"
    dhan = {"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": said}
    kotak = {"stat": "Not_Ok", "stCode": 1041, "errMsg": said}
    return web.json_response({**dhan, **kotak}, status=400)


def _refuse(rule: Rule) -> web.Response:
    headers = {}
    if rule.retry_after_s is not None:
        headers["Retry-After"] = f"{rule.retry_after_s:g}"
    return web.json_response(
        {"status": "error", "message": f"simulated failure {rule.code}"}, status=rule.code, headers=headers
    )
