"""The ZeroMQ bus: XPUB, two frames (topic, JSON), and subscriptions that reach the broker.

One thread owns the socket: the feed's event loop. Nothing here blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import zmq

from gateway.stream.hub import Channel
from gateway.stream.topics import Name, parse

log = logging.getLogger(__name__)

_MORE, _LAST = int(zmq.SNDMORE | zmq.NOBLOCK), int(zmq.NOBLOCK)
HIGH_WATER = 50_000
"""Messages kept for one subscriber that reads too slowly, about 30 MB; beyond it they are dropped for it."""


class Bus:
    """An XPUB socket on the loop.

    Args:
        on_topic: Called with the name of a full topic (``NSE_SBIN_QUOTE``) and True when the first subscriber
            asks for it, False when the last one leaves. Prefixes (``NSE_``) receive and are not reported.
    """

    def __init__(self, on_topic: Callable[[Name, bool], None], *, high_water: int = HIGH_WATER) -> None:
        self._on_topic = on_topic
        self._high_water = high_water
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._fd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_due = False
        self._prefixes: set[bytes] = set()
        self._version = 0
        self.sent = 0
        self.overflows = 0

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def subscriptions(self) -> int:
        """Different topics and prefixes subscribed to now."""
        return len(self._prefixes)

    @property
    def port(self) -> int:
        """The port bound to; 0 before."""
        if self._socket is None:
            return 0
        return int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def bind(self, host: str, port: int) -> None:
        """Open the socket on the running loop; port 0 takes a free one.

        Raises:
            OSError: The port is taken (``errno`` is EADDRINUSE) or the address is not ours.
        """
        sock: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        sock.setsockopt(zmq.SNDHWM, self._high_water)
        sock.setsockopt(zmq.LINGER, 500)
        # a full subscriber answers EAGAIN instead of losing messages unseen: see send
        sock.setsockopt(zmq.XPUB_NODROP, 1)
        sock.setsockopt(zmq.MAXMSGSIZE, 64 * 1024)
        try:
            sock.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as exc:
            sock.close(0)
            raise OSError(exc.errno, str(exc)) from exc
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._fd = int(sock.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self._drain()

    def carries(self, channel: Channel[Any]) -> bool:
        """Whether any subscriber's topic or prefix matches; remembered until subscriptions change."""
        if channel.bus_version != self._version:
            channel.bus_version = self._version
            topic, prefixes = channel.topic, self._prefixes
            channel.on_bus = any(topic[:end] in prefixes for end in range(len(topic) + 1))
        return channel.on_bus

    def send(self, topic: bytes, payload: bytes) -> None:
        """One message to every matching subscriber; one that is full loses it, the others do not.

        ``overflows`` counts how often a subscriber filled up. libzmq then skips it until it has read, without
        a word per message: how many it missed shows in ``seq`` at its end.
        """
        sock = self._socket
        if sock is None:
            return
        try:
            # send_multipart would combine the flags, and they are enum members, for every message
            sock.send(topic, _MORE)
            sock.send(payload, _LAST)
        except zmq.Again:
            self.overflows += 1
            # XPUB_NODROP refuses it for all when one is full; for this one message the plain rule holds
            sock.setsockopt(zmq.XPUB_NODROP, 0)
            try:
                sock.send_multipart((topic, payload), zmq.NOBLOCK)
            finally:
                sock.setsockopt(zmq.XPUB_NODROP, 1)
        self.sent += 1
        # a send may swallow the edge that says a subscription has arrived
        if not self._drain_due and self._loop is not None:
            self._drain_due = True
            self._loop.call_soon(self._drain)

    def close(self) -> None:
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._socket.close()
            self._socket = None
        # waits at most LINGER for what was sent
        self._context.term()

    def _drain(self) -> None:
        """Read every waiting subscription message; the descriptor is edge-triggered."""
        self._drain_due = False
        sock = self._socket
        with contextlib.suppress(zmq.Again):
            while sock is not None:
                self._heard(sock.recv(zmq.NOBLOCK))

    def _heard(self, message: bytes) -> None:
        if message[:1] not in (b"\x00", b"\x01"):
            return
        joined, topic = message[0] == 1, message[1:]
        self._version += 1
        if joined:
            self._prefixes.add(topic)
        else:
            self._prefixes.discard(topic)
        with contextlib.suppress(UnicodeDecodeError):
            name = parse(topic.decode())
            if name is not None:
                self._on_topic(name, joined)
