"""The loop every broker socket shares: connect, restore, read, notice silence, reconnect, for ever.

A broker's ``feed`` hands in what is its own (address, first messages, what a frame means) and keeps nothing
of the life of a socket.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from brokers.contract import AsyncSessionSource, BrokerSession, Tap
from brokers.errors import LoginRequired
from brokers.model import FeedCounters, FeedState

LOOK_S = 1.0
"""How often a silent socket is looked at."""


class AuthRefused(Exception):
    """The broker said this session is no good; a newer one is needed."""


class Reconnect(Exception):
    """The handler wants a new socket. ``after_s`` is the least time to wait."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class LoopRules:
    """Times in seconds.

    Attributes:
        resubscribe_after_s: Silence after which every subscription is sent again.
        reconnect_after_s: Silence after which a new socket is made.
        backoff_first_s, backoff_most_s: Exponential with full jitter between these.
        stable_after_s: A connection that lived this long resets the backoff.
    """

    resubscribe_after_s: float = 10.0
    reconnect_after_s: float = 12.0
    backoff_first_s: float = 0.25
    backoff_most_s: float = 30.0
    stable_after_s: float = 20.0
    open_timeout_s: float = 10.0
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0


class Rouser:
    """Lets somebody outside the loop act on the socket now open. One to a handler."""

    def __init__(self) -> None:
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def opened(self, socket: ClientConnection) -> None:
        """This socket is open now."""
        self._socket = socket

    def closed(self) -> None:
        """No socket is open."""
        self._socket = None

    def rouse(self, resubscribe: Callable[[ClientConnection], Awaitable[None]], *, new_socket: bool) -> None:
        """Nothing happens while no socket is open: a new one is on its way anyway."""
        socket = self._socket
        if socket is None:
            return
        if new_socket:
            # a close frame could wait for ever behind a peer that does not read
            socket.transport.abort()
            return

        async def again() -> None:
            with suppress(WebSocketException, OSError):
                await resubscribe(socket)

        task = asyncio.get_running_loop().create_task(again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Pump:
    """Sends what changed for as long as a socket is open. One to a handler.

    Args:
        flush: Sends the difference between what is wanted and what was sent.
        wake: Set when there is a difference; one of its own if none is handed in.
    """

    def __init__(
        self, flush: Callable[[ClientConnection], Awaitable[None]], wake: asyncio.Event | None = None
    ) -> None:
        self._flush = flush
        self._wake = wake or asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something changed; changes of one moment are sent together."""
        self._wake.set()

    def opened(self, socket: ClientConnection) -> None:
        """Start sending on a socket whose login is done."""
        self._task = asyncio.create_task(self._run(socket))

    def closed(self) -> bool:
        """Stop sending; whether it had been started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task is not None

    async def _run(self, socket: ClientConnection) -> None:
        # closed: the reading side sees it too and makes a new socket
        with suppress(ConnectionClosed):
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._flush(socket)


class SocketHandler(Protocol):
    """What one socket means."""

    def url(self, session: BrokerSession) -> str:
        """Where to connect; may hold a token, so it is never logged."""
        ...

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        """Log in on the socket and send every subscription wanted now."""
        ...

    def frame(self, data: bytes | str, received_ns: int) -> None:
        """One message. May raise ``AuthRefused`` or ``Reconnect``; wire errors are the handler's to count."""
        ...

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Send every subscription wanted now again."""
        ...

    def closed(self) -> None:
        """The socket is gone; forget what belonged to it."""
        ...


class ReplayableFeed(Protocol):
    """A feed whose market sockets a recording can be played into."""

    def handler(self, socket: str) -> SocketHandler | None:
        """The handler a recording calls by this name; None when there is no such socket (now)."""
        ...


class Overheard(ClientConnection):
    """A connection whose ``recv`` can be listened to: what a handler reads while it logs in."""

    listener: Callable[[bytes | str], None] | None = None

    async def recv(self, decode: bool | None = None) -> Any:
        """As the library's; the listener hears it first."""
        data = await super().recv(decode)
        if self.listener is not None:
            self.listener(data)
        return data


async def run_socket(
    handler: SocketHandler,
    *,
    session: AsyncSessionSource,
    counters: FeedCounters,
    on_state: Callable[[FeedState, str], None],
    expects_data: Callable[[], bool],
    rules: LoopRules | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    tap: Tap | None = None,
    name: str = "",
) -> None:
    """Keep one socket alive until cancelled.

    Args:
        expects_data: Whether silence means anything now (market open and something subscribed).
        tap: Told of every frame, under ``name``.
    """
    rules = rules or LoopRules()
    failed_generation = 0
    backoff_s = rules.backoff_first_s
    while True:
        try:
            current = await session(failed_generation)
        except LoginRequired as exc:
            on_state(FeedState.LOGIN_NEEDED, str(exc))
            await sleep(min(rules.backoff_most_s, 2.0))
            continue
        on_state(FeedState.CONNECTING, "")
        started = time.monotonic()
        least_s = 0.0
        try:
            heard = Heard(counters, tap, name)
            reason = await _one_connection(handler, current, heard, on_state, expects_data, rules)
        except AuthRefused as exc:
            failed_generation = current.generation
            reason = f"session refused: {exc}"
        except Reconnect as exc:
            reason, least_s = str(exc), exc.after_s
        except InvalidStatus as exc:
            reason = f"handshake answered HTTP {exc.response.status_code}"
            if exc.response.status_code in (401, 403):
                failed_generation = current.generation
            if exc.response.status_code == 429:
                least_s = 60.0  # knocking on would prolong the block
        except (WebSocketException, InvalidHandshake, OSError, TimeoutError) as exc:
            reason = f"{type(exc).__name__}: {exc}"
        finally:
            handler.closed()
            if tap is not None:
                tap.closed(name)
        counters.reconnects += 1
        if time.monotonic() - started >= rules.stable_after_s:
            backoff_s = rules.backoff_first_s
        wait_s = max(least_s, random.uniform(backoff_s / 2, backoff_s))
        on_state(FeedState.BACKOFF, f"{reason}; next try in {wait_s:.1f} s")
        await sleep(wait_s)
        backoff_s = min(rules.backoff_most_s, backoff_s * 2)


class Heard:
    """Counts the messages of one connection and lets a tap hear them."""

    def __init__(self, counters: FeedCounters, tap: Tap | None, name: str) -> None:
        self._counters = counters
        self._tap = tap
        self._name = name

    def opened(self, socket: ClientConnection) -> None:
        """Listen to what the login reads."""
        if self._tap is not None and isinstance(socket, Overheard):
            self._tap.opened(self._name)
            socket.listener = self._login

    def logged_in(self, socket: ClientConnection) -> None:
        """From here on messages come through ``frame``."""
        if isinstance(socket, Overheard):
            socket.listener = None

    def frame(self, data: bytes | str) -> int:
        """One message; when it was received, in wall nanoseconds."""
        counters, received_ns = self._counters, time.time_ns()
        counters.frames += 1
        counters.bytes += len(data)
        counters.last_frame_ns = received_ns
        if self._tap is not None:
            self._tap.frame(self._name, data, received_ns, login=False)
        return received_ns

    def _login(self, data: bytes | str) -> None:
        if self._tap is not None:
            self._tap.frame(self._name, data, time.time_ns(), login=True)


async def _one_connection(
    handler: SocketHandler,
    session: BrokerSession,
    heard: Heard,
    on_state: Callable[[FeedState, str], None],
    expects_data: Callable[[], bool],
    rules: LoopRules,
) -> str:
    """One socket from handshake to its end; returns why it ended."""
    async with connect(
        handler.url(session),
        open_timeout=rules.open_timeout_s,
        ping_interval=rules.ping_interval_s,
        ping_timeout=rules.ping_timeout_s,
        close_timeout=1.0,
        max_size=8 * 1024 * 1024,
        max_queue=1024,
        compression=None,
        proxy=None,
        create_connection=Overheard,
    ) as socket:
        heard.opened(socket)
        await handler.opened(socket, session)
        heard.logged_in(socket)
        quiet_since = time.monotonic()
        asked_again = False
        while True:
            try:
                async with asyncio.timeout(LOOK_S) as limit:
                    armed = time.monotonic()
                    while True:
                        data = await socket.recv()
                        quiet_since, asked_again = time.monotonic(), False
                        handler.frame(data, heard.frame(data))
                        # a timer of its own for every message was a tenth of the feed's work
                        if quiet_since - armed > LOOK_S / 2:
                            armed = quiet_since
                            limit.reschedule(asyncio.get_running_loop().time() + LOOK_S)
            except TimeoutError:
                if not expects_data():
                    quiet_since, asked_again = time.monotonic(), False
                    continue
                quiet_s = time.monotonic() - quiet_since
                if quiet_s >= rules.reconnect_after_s:
                    raise Reconnect(f"silent for {quiet_s:.0f} s") from None
                if quiet_s >= rules.resubscribe_after_s and not asked_again:
                    asked_again = True
                    on_state(FeedState.SILENT, f"no frame for {quiet_s:.0f} s, subscribing again")
                    await handler.resubscribe(socket)
