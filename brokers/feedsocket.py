"""A market socket: log in, send what is newly wanted, count, tell live from silent.

What a packet means is the broker's own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection

from brokers.clock import Clock
from brokers.contract import BrokerSession, FeedSink
from brokers.errors import WireError
from brokers.feedloop import Pump, Reconnect, Rouser
from brokers.model import FeedCounters
from brokers.wants import Merged, Wants

LOGIN_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Shared:
    """What a socket borrows from its feed.

    Attributes:
        heard: Told of every packet that is more than the answer to a subscription; proof of life.
        accepted: Told when the broker accepted the login of a socket.
    """

    wants: Wants
    sink: FeedSink
    counters: FeedCounters
    clock: Clock
    endpoints: dict[str, str]
    heard: Callable[[], None]
    accepted: Callable[[str], None]
    login_timeout_s: float = field(default=LOGIN_TIMEOUT_S)


class MarketSocket:
    """Base of a ``brokers.feedloop.SocketHandler``. Subclasses say how to log in, sync and read.

    Attributes:
        name: Of the socket, which is also its endpoint's.
        failures: Connections in a row that ended before the broker accepted the login.
    """

    name = ""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._wants = shared.wants
        self._pump = Pump(self._send_news, shared.wants.changed)
        self._lock = asyncio.Lock()
        self._outbox: deque[bytes | str] = deque()
        self._accepted = False
        self.rouser = Rouser()
        self.failures = 0

    def url(self, session: BrokerSession) -> str:
        """The endpoint of the socket's name."""
        return self._shared.endpoints[self.name]

    async def _login(self, socket: ClientConnection, session: BrokerSession) -> None:
        raise NotImplementedError

    async def _sync(self, socket: ClientConnection) -> None:
        """Send the difference between what is wanted and what was sent."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Forget what the last socket was told."""
        raise NotImplementedError

    def frame(self, data: bytes | str, received_ns: int) -> None:
        """One message; see ``feedloop.SocketHandler``."""
        raise NotImplementedError

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        """Log in within ``login_timeout_s``, ask for what is wanted, then send changes as they come."""
        self._reset()
        try:
            async with asyncio.timeout(self._shared.login_timeout_s):
                await self._login(socket, session)
        except TimeoutError:
            raise Reconnect(f"{self.name} did not answer the login") from None
        except WireError as exc:
            self.bad(exc.frame, str(exc))
            raise Reconnect(f"{self.name} answered the login with something unreadable") from exc
        self._accepted = True
        self.rouser.opened(socket)
        self.failures = 0
        self._shared.accepted(self.name)
        await self._send_news(socket)
        self._pump.opened(socket)

    async def _send_news(self, socket: ClientConnection) -> None:
        async with self._lock:
            while self._outbox:
                await socket.send(self._outbox.popleft())
            await self._sync(socket)
            while self._outbox:
                await socket.send(self._outbox.popleft())

    def _post(self, message: bytes | str) -> None:
        """Send soon, from where nothing can be awaited."""
        self._outbox.append(message)
        self._pump.wake()

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Ask for everything wanted anew."""
        self._reset_subscriptions()
        await self._send_news(socket)

    def _reset_subscriptions(self) -> None:
        raise NotImplementedError

    def closed(self) -> None:
        """Forget the socket; one that was never accepted counts as a failure."""
        self.rouser.closed()
        self._pump.closed()
        if not self._accepted:
            self.failures += 1
        self._accepted = False
        self._outbox.clear()

    def bad(self, frame: bytes, reason: str) -> None:
        """Count and hand on bytes nobody could read."""
        self._shared.counters.parse_errors += 1
        self._shared.sink.on_bad_frame(frame, f"{self.name}: {reason}")

    def count(self, packet: str) -> None:
        """One more packet of this name."""
        self._shared.counters.count(packet)

    def emit(self, merged: Merged, received_ns: int, *, live: bool) -> None:
        """Hand out a tick, and say whether it proves that the feed moves."""
        if live:
            self._shared.heard()
        tick = merged.tick(received_ns)
        if tick is not None:
            self._shared.sink.on_tick(tick)
