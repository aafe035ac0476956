"""One WebSocket of the simulated Dhan: handshake checks, pings, a bounded queue, three ways to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from brokers.sim.dhan import errors
from brokers.sim.dhan.tokens import Tokens, Verdict
from brokers.sim.faults import Faults
from brokers.sim.held import Held

log = logging.getLogger(__name__)

QUEUE_FRAMES = 20_000
PACKED_BYTES = 8_192
GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server pings every ``ping_s`` and closes ``idle_s`` after the last sign of life."""

    ping_s: float = 10.0
    idle_s: float = 40.0


class Socket:
    """An accepted WebSocket. ``put`` never waits; a client too slow for the queue loses the oldest frames.

    Args:
        name: What faults know it by: its path (``feed``, ``twentydepth``, ``order-update``), also at ``/``.
        packed: Several packets a message; each its own message otherwise.
    """

    def __init__(
        self, name: str, request: web.Request, faults: Faults, keepalive: Keepalive, *, packed: bool = False
    ) -> None:
        self.name = name
        self.request = request
        self.ws = web.WebSocketResponse(autoping=False, compress=False)
        self.account = ""
        self.lost = 0
        self._faults = faults
        self._keepalive = keepalive
        self._packed = packed
        self._queue: deque[tuple[Held, bytes | str]] = deque()
        self._wake = asyncio.Event()
        self._last_heard = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    async def open(self) -> None:
        """Shake hands and start the writer and the pings."""
        await self.ws.prepare(self.request)
        self._faults.attach(self.name, self.ws, self.request)
        self._last_heard = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._ping())]

    def put(self, frame: bytes | str) -> None:
        if self._ending:
            return
        if len(self._queue) >= QUEUE_FRAMES:
            self._queue.popleft()
            self.lost += 1
        self._queue.append((self._faults.hold(self.name), frame))
        self._wake.set()

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client in the transport; 0 once it is gone."""
        transport = self.request.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def write(self, messages: bytes) -> None:
        """Whole WebSocket messages straight to the transport: no queue, no faults, for load mode."""
        transport = self.request.transport
        if not self._ending and transport is not None:
            transport.write(messages)

    async def receive(self) -> str | bytes | None:
        """The client's next message; None at the end. Pings are answered here."""
        while True:
            message = await self.ws.receive()
            self._last_heard = asyncio.get_running_loop().time()
            if message.type is WSMsgType.PING:
                await self.ws.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data: str | bytes = message.data
                return data
            elif message.type is not WSMsgType.PONG:
                return None

    async def goodbye(self, last: bytes | None = None) -> None:
        """Send one last packet, then close in order; a client that does not answer is dropped after 1 s."""
        if self._ending:
            return
        self._ending = True
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                if last is not None:
                    await self._send(last)
                await self.ws.close()
        self.cut()

    def cut(self) -> None:
        """Drop the TCP connection without a close frame."""
        self._ending = True
        transport = self.request.transport
        if transport is not None:
            transport.abort()

    async def end(self) -> None:
        """Stop the tasks; called by the handler when its loop is over."""
        self._ending = True
        self._faults.detach(self.ws)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._due(self._queue[0][0])
                    await self._send(self._next())
        except ConnectionError:
            self.cut()

    async def _due(self, held: Held) -> None:
        # a frame whose time has come waits for no timer: the usual one
        if (left := held.left_s) > 0:
            await asyncio.sleep(left)

    def _next(self) -> bytes | str:
        held, frame = self._queue.popleft()
        held.goes()
        if not self._packed or isinstance(frame, str):
            return frame
        parts, size = [frame], len(frame)
        while self._queue and size < PACKED_BYTES:
            held, following = self._queue[0]
            if isinstance(following, str) or held.left_s > 0:
                break
            self._queue.popleft()
            held.goes()
            parts.append(following)
            size += len(following)
        return b"".join(parts)

    async def _send(self, frame: bytes | str) -> None:
        for piece in self._faults.frame(self.name, frame):
            if isinstance(piece, str):
                await self.ws.send_str(piece)
            else:
                await self.ws.send_bytes(piece)

    async def _ping(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                await asyncio.sleep(self._keepalive.ping_s)
                if self._faults.is_silent(self.name):
                    self._last_heard = clock()  # a socket told to hang stays open
                    continue
                if clock() - self._last_heard > self._keepalive.idle_s:
                    log.info("%s socket of %s is dead", self.name, self.account)
                    self.cut()
                    return
                await self.ws.ping()
        except ConnectionError:
            self.cut()


def admit(token: str, client_id: str, tokens: Tokens, faults: Faults) -> tuple[str, str]:
    """Judge a feed's query: the account and "", or "" and the reason's number."""
    verdict, known = tokens.judge(token)
    if known is None:
        return "", errors.TOKEN_INVALID
    if known.account != client_id:
        return "", errors.AUTH_FAILED
    if verdict is Verdict.EXPIRED or faults.token_expired(known.account):
        return "", errors.TOKEN_EXPIRED
    if verdict is Verdict.REPLACED:
        return "", errors.TOKEN_INVALID
    return known.account, ""
