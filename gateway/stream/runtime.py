"""The life of the feed process, ``python -m gateway feed …``: start, follow the broker, stop, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from brokers import registry
from brokers.clock import SystemClock
from brokers.contract import BrokerContext, BrokerSession, Feed, FeedSink
from brokers.errors import LoginRequired, SettingsError
from brokers.redact import Redactor
from gateway import log as process_log
from gateway import together
from gateway.settings import Settings
from gateway.stream.compose import compose
from gateway.stream.door import listening_socket
from gateway.stream.recorder import Recorder
from gateway.stream.standing import follow_table, pinned
from gateway.stream.upstream import Sessions

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

log = logging.getLogger(__name__)

EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3
EXIT_CRASH = 1
STOP_WITHIN_S = 1.5
DATABASE_SETTLES_S = 1.0
"""A database that an api is just making may look torn for a moment; one that is not ours stays so."""
DATABASE_LOOK_S = 0.1


class PortTaken(Exception):
    """Another process listens there."""


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 1, 2 or 3)."""
    redactor = process_log.setup("feed", settings)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(_run(settings, redactor))
        except SettingsError as exc:
            log.error("%s", exc)
            return EXIT_SETTINGS
        except PortTaken as exc:
            log.error("%s", exc)
            return EXIT_PORT_TAKEN
        except Exception:
            # top of the process: into the log, which no traceback on a terminal reaches
            log.exception("the feed process failed")
            return EXIT_CRASH


async def _run(settings: Settings, redactor: Redactor) -> int:
    process = FeedProcess(settings, redactor)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        # no such thing on Windows: Ctrl-C ends the runner there
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(sign, stop.set)
    try:
        await process.start()
        await process.until(stop)
    finally:
        await process.stop()
    return 0


class FeedProcess:
    """One feed process."""

    def __init__(self, settings: Settings, redactor: Redactor) -> None:
        self.settings = settings
        self._redactor = redactor
        self._clock = SystemClock()
        self.made = compose(settings, self._clock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bind both ports, then let everything run.

        Raises:
            PortTaken: Names the port, its setting and line.
            SettingsError: An address that is not this machine's, or a database of another venue.
        """
        settings = self.settings
        for warning in settings.warnings:
            log.warning("%s", warning)
        sock = self._listen()
        try:
            self.made.bus.bind(settings.zmq_host, settings.zmq_port)
        except OSError as exc:
            sock.close()
            raise _binding(settings, "ZMQ_PORT", settings.zmq_host, settings.zmq_port, exc) from exc
        await self.made.server.start(sock)
        self.made.relay.missed("the feed process has started")
        self._begin(self.made.relay.run())
        self._begin(self.made.orders.run())
        self._begin(self.made.topics.run())
        self._begin(self._feed())
        self._begin(self._measure())
        self._begin(self.made.heartbeat.run())
        # what lives now lives long; a collection that walks it is a pause for every client
        gc.collect()
        gc.freeze()
        log.info(
            "feed of %s (%s, %s) on ws://%s:%d and tcp://%s:%d",
            settings.name,
            settings.broker,
            settings.venue.value,
            settings.ws_host,
            settings.ws_port,
            settings.zmq_host,
            settings.zmq_port,
        )

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for the signal; a background task that ends is a bug: its error is raised."""
        waiter = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([waiter, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        for task in self._tasks:
            if task.done() and not stop.is_set():
                task.result()
                raise RuntimeError(f"background task {task.get_coro()} ended")

    async def stop(self) -> None:
        """Orderly, within ``STOP_WITHIN_S`` and the bus's linger."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await self.made.server.stop()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        if len(self.made.relay):
            left = len(self.made.relay)
            log.warning("%d order updates not delivered; the next feed process asks for the books", left)
        self.made.bus.close()
        self.made.recordings.close()
        self.made.records.close()

    # parts ---------------------------------------------------------------------------------------------

    def _listen(self) -> socket.socket:
        settings = self.settings
        try:
            return listening_socket(settings.ws_host, settings.ws_port)
        except OSError as exc:
            raise _binding(settings, "WEBSOCKET_PORT", settings.ws_host, settings.ws_port, exc) from exc

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    async def _feed(self) -> None:
        """Wait for the database, then run the broker feed and the subscriptions that need no client."""
        await self._opened()
        followers = (
            follow_table(self.made.records.synced_at, self.made.fanout, self.made.standings.values()),
            self.made.account.run(),
            self._broker(),
        )
        await self.made.standings["pinned"].add(pinned(self.settings.symbols))
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower)

    async def _opened(self) -> None:
        """Until the api, which may have started beside this process, has made or upgraded its database.

        Raises:
            SettingsError: The file is not ours, and still is not when an api that was making it had the time.
        """
        settles = time.monotonic() + DATABASE_SETTLES_S
        while True:
            try:
                if self.made.records.open():
                    return
            except SettingsError:
                if time.monotonic() > settles:
                    raise
            await asyncio.sleep(DATABASE_LOOK_S)

    async def _broker(self) -> None:
        """The broker feed, once api and simulated broker, started beside it, had the time to get ready.

        Asked too early they refuse, and the next try would be seconds away.
        """
        patience = time.monotonic() + together.API_PATIENCE_S
        if await self._until(self._logged_in, patience):
            listens = functools.partial(together.broker_listens, self.settings)
            await self._until(listens, time.monotonic() + together.BROKER_PATIENCE_S)
        await self.made.upstream.run(self._make_feed)

    async def _until(self, holds: Callable[[], bool], deadline: float) -> bool:
        while not (found := await asyncio.to_thread(holds)) and time.monotonic() < deadline:
            await asyncio.sleep(together.LOOK_S)
        return found

    def _logged_in(self) -> bool:
        try:
            self.made.records.session()
        except LoginRequired:
            return False
        return True

    def _make_feed(self, sink: FeedSink) -> Feed:
        settings = self.settings
        context = BrokerContext(
            credentials=settings.credentials,
            endpoints=settings.endpoints,
            options=settings.options,
            clock=self._clock,
            instruments=self.made.records,
            calendar=self.made.calendar,
            tap=self._recorder(),
        )
        sessions = Sessions(self.made.link, self.made.records.session, self._hide)
        return registry.open_broker(settings.broker).feed(context, sessions, sink)

    def _recorder(self) -> Recorder | None:
        """The recording that is on, if any, told of everything from here on."""
        recorder = self.made.recordings.begin()
        self.made.upstream.recorder = self.made.fanout.recorder = recorder
        return recorder

    def _hide(self, session: BrokerSession) -> None:
        """A session's secrets never reach this process's log."""
        for secret in session.secrets.values():
            self._redactor.add(secret)

    async def _measure(self) -> None:
        order_connects = 0
        while True:
            feed = self.made.upstream.feed
            if feed is not None and feed.counters.order_connects != order_connects:
                # there is no replay: what was pushed while the socket was away is only in the books
                if order_connects:
                    self.made.relay.missed("the broker's order feed was connected again")
                order_connects = feed.counters.order_connects
            self.made.status.rate.look(self.made.fanout.counts.ticks, self._clock.monotonic())
            self.made.recordings.look()
            await asyncio.sleep(1.0)


def _binding(settings: Settings, name: str, host: str, port: int, exc: OSError) -> Exception:
    where = settings.where(name)
    if exc.errno == errno.EADDRINUSE:
        return PortTaken(f"{where}: {name} {port} is taken by another process on {host}")
    return SettingsError(f"{where}: cannot listen on {host}:{port} ({exc.strerror or exc}); check {name}")
