"""One client's WebSocket: a bounded outbox, one writing task, and the fault rules in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import WSCloseCode, web

from brokers.sim.faults import Faults

log = logging.getLogger(__name__)

OUTBOX_FRAMES = 10_000
"""A client this far behind is cut off; the broker would not wait for it either."""


class Socket:
    """Sends without waiting; what cannot be written piles up to ``OUTBOX_FRAMES``, then the socket is cut."""

    def __init__(self, name: str, ws: web.WebSocketResponse, faults: Faults) -> None:
        self._name = name
        self._ws = ws
        self._faults = faults
        self._outbox: asyncio.Queue[bytes | str] = asyncio.Queue(OUTBOX_FRAMES)
        self._closing: asyncio.Task[object] | None = None
        self.still_good: Callable[[], bool] = lambda: True

    def send(self, frame: bytes | str) -> None:
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            log.warning("client of %s does not read; cutting it off", self._name)
            self.close(WSCloseCode.TRY_AGAIN_LATER)

    def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Start closing; safe to call twice."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._ws.close(code=code))

    async def send_and_close(self, frame: bytes | str) -> None:
        """Say one last thing before the outbox is gone."""
        await self._write(frame)
        await self._ws.close()

    async def pump(self) -> None:
        """Write the outbox until the socket is gone."""
        while not self._ws.closed:
            await self._write(await self._outbox.get())

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
        ws = web.WebSocketResponse(max_msg_size=1 << 20)
        await ws.prepare(request)
        socket = Socket(self.name, ws, self._faults)
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

    def close_all(self) -> None:
        for socket in self._open:
            socket.close()


def is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"
