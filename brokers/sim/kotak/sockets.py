"""One client's WebSocket: a bounded outbox, one writing task, and the fault rules in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import WSCloseCode, web

from brokers.sim.faults import Faults
from brokers.sim.held import Held

log = logging.getLogger(__name__)

OUTBOX_FRAMES = 10_000
"""A client this far behind is cut off; the broker would not wait for it either."""
GOODBYE_S = 1.0


class Socket:
    """Sends without waiting; what cannot be written piles up to ``OUTBOX_FRAMES``, then the socket is cut."""

    def __init__(self, name: str, ws: web.WebSocketResponse, request: web.Request, faults: Faults) -> None:
        self._name = name
        self._ws = ws
        self._request = request
        self._faults = faults
        self._outbox: asyncio.Queue[tuple[Held, bytes | str]] = asyncio.Queue(OUTBOX_FRAMES)
        self._closing: asyncio.Task[None] | None = None
        self.still_good: Callable[[], bool] = lambda: True

    def send(self, frame: bytes | str) -> None:
        try:
            self._outbox.put_nowait((self._faults.hold(self._name), frame))
        except asyncio.QueueFull:
            log.warning("client of %s does not read; cutting it off", self._name)
            if self._request.transport is not None:
                self._request.transport.abort()  # a goodbye would wait in the same full buffer

    def close(self, code: int = WSCloseCode.GOING_AWAY) -> asyncio.Task[None]:
        """Start closing; safe to call twice. The task ends with the peer's own goodbye."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._goodbye(code))
        return self._closing

    async def _goodbye(self, code: int) -> None:
        with contextlib.suppress(ConnectionError):
            await self._ws.close(code=code)

    async def send_and_close(self, frame: bytes | str) -> None:
        """Say one last thing before the outbox is gone."""
        await self._write(frame)
        await self._ws.close()

    async def pump(self) -> None:
        """Write the outbox until the socket is gone."""
        while not self._ws.closed:
            held, frame = await self._outbox.get()
            if (left := held.left_s) > 0:  # told to lag; the order stays
                await asyncio.sleep(left)
            held.goes()
            await self._write(frame)

    async def _write(self, frame: bytes | str) -> None:
        for piece in self._faults.frame(self._name, frame):
            with contextlib.suppress(ConnectionError, RuntimeError):  # the peer went away meanwhile
                if isinstance(piece, bytes):
                    await self._ws.send_bytes(piece)
                else:
                    await self._ws.send_str(piece)


class Sockets:
    """The open sockets of one feed."""

    def __init__(self, name: str, faults: Faults) -> None:
        self.name = name
        self._faults = faults
        self._open: set[Socket] = set()

    @contextlib.asynccontextmanager
    async def accept(self, request: web.Request) -> AsyncIterator[tuple[web.WebSocketResponse, Socket]]:
        """Take a WebSocket in for the length of the block."""
        ws = web.WebSocketResponse(timeout=GOODBYE_S, max_msg_size=1 << 20)
        await ws.prepare(request)
        socket = Socket(self.name, ws, request, self._faults)
        self._faults.attach(self.name, ws, request)
        self._open.add(socket)
        pump = asyncio.create_task(socket.pump(), name=f"{self.name} writer")
        try:
            yield ws, socket
        finally:
            self._open.discard(socket)
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
            self._faults.detach(ws)

    def drop_ended(self) -> None:
        """Close the sockets whose session is over."""
        for socket in self._open:
            if not socket.still_good():
                socket.close(WSCloseCode.POLICY_VIOLATION)

    async def close_all(self) -> None:
        """Say goodbye on every socket, and wait a moment for the peers to do so too."""
        goodbyes = [socket.close() for socket in self._open]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=GOODBYE_S)


def is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"
