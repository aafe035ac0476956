"""What waits for one WebSocket client: bounded, latest value per channel when it is behind.

Frames of one loop turn go to the transport in one write. When the transport's buffer is over its high-water
mark the client is *behind*: only the newest frame per channel is kept, the older one is counted, and nobody
else notices. Order updates are never replaced; a client that lets too many of them pile up is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State as SocketState

from gateway.stream.hub import Channel


class Connection(ServerConnection):
    """A server connection that tells its outbox when the transport may be written to again."""

    outbox: Outbox | None = None

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.outbox is not None:
            self.outbox.resumed()


class Turns:
    """Collects the outboxes written to in this turn of the loop and flushes each once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Outbox] = []

    def add(self, outbox: Outbox) -> None:
        if not self._waiting:
            self._loop.call_soon(self._run)
        self._waiting.append(outbox)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for outbox in waiting:
            outbox.flush()


class Outbox:
    """Frames on their way to one client.

    Args:
        most: Frames of one turn before they are written at once, and order updates kept while behind.
        overflow: Called once when order updates can no longer be kept.
    """

    __slots__ = (
        "_connection",
        "_late",
        "_late_orders",
        "_left",
        "_most",
        "_out",
        "_overflow",
        "_progress_s",
        "_turns",
        "behind",
        "replaced",
        "sent",
    )

    def __init__(
        self, connection: Connection, turns: Turns, *, most: int, overflow: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._turns = turns
        self._most = most
        self._overflow = overflow
        self._out: list[bytes] = []
        self._late: dict[Channel[Any], bytes] = {}
        self._late_orders: deque[bytes] = deque()
        self._left = 0
        self._progress_s = 0.0
        self.behind = False
        self.sent = 0
        self.replaced = 0
        connection.outbox = self

    def push(self, channel: Channel[Any], frame: bytes) -> None:
        """One tick's frame; never blocks, never grows beyond one frame per channel held."""
        if self.behind:
            if channel in self._late:
                self.replaced += 1
            self._late[channel] = frame
            return
        self._append(frame)

    def push_order(self, frame: bytes) -> None:
        """One order update; kept in order, never replaced."""
        if not self.behind:
            self._append(frame)
        elif len(self._late_orders) < self._most:
            self._late_orders.append(frame)
        else:
            self._overflow()

    def forget(self, channel: Channel[Any]) -> None:
        """The client let go of a channel: nothing older of it may follow the acknowledgement."""
        self._late.pop(channel, None)

    def flush(self) -> None:
        """Write what this turn brought."""
        out = self._out
        if not out:
            return
        self._out = []
        connection = self._connection
        # after a close frame nothing may follow (RFC 6455 section 5.5.1)
        if connection.state is not SocketState.OPEN:
            return
        self.sent += len(out)
        connection.transport.write(out[0] if len(out) == 1 else b"".join(out))
        if connection.paused and not self.behind:
            self.behind = True
            self._left = connection.transport.get_write_buffer_size()
            self._progress_s = asyncio.get_running_loop().time()

    def resumed(self) -> None:
        """The client reads again: order updates first, then the newest value of each channel."""
        if not self.behind:
            return
        self.behind = False
        self._out = [*self._late_orders, *self._late.values()]
        self._late_orders.clear()
        self._late.clear()
        # not from inside the transport's own callback
        if self._out:
            self._turns.add(self)

    def stalled_s(self, now_s: float) -> float:
        """Seconds since this client last took a byte while bytes were waiting for it."""
        if not self.behind:
            return 0.0
        left = self._connection.transport.get_write_buffer_size()
        if left < self._left:
            self._left, self._progress_s = left, now_s
        return now_s - self._progress_s

    def _append(self, frame: bytes) -> None:
        out = self._out
        if not out:
            self._turns.add(self)
        out.append(frame)
        if len(out) >= self._most:
            self.flush()
