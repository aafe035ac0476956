"""The order feed's socket: text frames -> ``OrderUpdate``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from brokers.clock import Clock
from brokers.contract import BrokerSession, FeedSink, InstrumentLookup
from brokers.errors import WireError
from brokers.feedloop import AuthRefused, Reconnect
from brokers.kotak.auth import websocket_url
from brokers.kotak.mapping import orders as rows
from brokers.kotak.wire import orders as wire
from brokers.model import FeedCounters, Order, OrderUpdate


class OrderSocket:
    """One order-feed connection (``brokers.feedloop.SocketHandler``).

    Which connect text a data centre accepts is reported both ways, so the stripped form of the official
    clients goes first, the JSON form after a refusal or silence, and the one that worked stays.
    """

    def __init__(
        self,
        sink: FeedSink,
        lookup: InstrumentLookup,
        counters: FeedCounters,
        clock: Clock,
        *,
        greeting_timeout_s: float = 10.0,
        heartbeat_s: float = wire.HEARTBEAT_EVERY_S,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._connected = connected
        self._sink = sink
        self._lookup = lookup
        self._counters = counters
        self._clock = clock
        self._greeting_timeout_s = greeting_timeout_s
        self._heartbeat_s = heartbeat_s
        self._form = 0
        self._refusals = 0
        self._heart: asyncio.Task[None] | None = None
        self._known: dict[str, Order] = {}
        self._newest: dict[str, int] = {}

    def url(self, session: BrokerSession) -> str:
        if named := session.attributes.get("orders_url", ""):
            return named
        base = urlsplit(websocket_url(session.attributes["base_url"]))
        return urlunsplit((base.scheme, base.netloc, "/realtime", "", ""))

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        text = wire.CONNECT_FORMS[self._form](
            session.secrets["token"].reveal(), session.secrets["sid"].reveal()
        )
        await socket.send(text)
        try:
            async with asyncio.timeout(self._greeting_timeout_s):
                greeting = await self._greeting(socket)
        except (TimeoutError, ConnectionClosed):
            greeting = None
        if greeting is not None and greeting.accepted:
            self._refusals = 0
            self._connected()
            self._heart = asyncio.create_task(self._beat(socket))
            return
        self._form = 1 - self._form
        if greeting is None:
            raise Reconnect("no answer to the connect text; trying its other form")
        self._refusals += 1
        if self._refusals >= len(wire.CONNECT_FORMS):
            # both forms refused with a reason: it is the session, not the form
            self._refusals = 0
            raise AuthRefused(f"order feed: {greeting.message[:80]}")
        raise Reconnect(f"refused ({greeting.message[:80]}); trying the other form of the connect text")

    async def _greeting(self, socket: ClientConnection) -> wire.Greeting:
        """The answer; orders pushed before it are not lost."""
        while True:
            data = await socket.recv()
            try:
                message = wire.read(data)
            except WireError as exc:
                self._bad(exc)
                continue
            if isinstance(message, wire.Greeting):
                return message
            self._take(message, self._clock.time_ns())

    async def _beat(self, socket: ClientConnection) -> None:
        try:
            while True:
                await asyncio.sleep(self._heartbeat_s)
                await socket.send(wire.HEARTBEAT)
        except ConnectionClosed:
            pass  # the reading side sees it too

    def frame(self, data: bytes | str, received_ns: int) -> None:
        try:
            message = wire.read(data)
        except WireError as exc:
            self._bad(exc)
            return
        self._take(message, received_ns)

    def _take(self, message: wire.Greeting | wire.OrderNews | wire.OtherNews, received_ns: int) -> None:
        self._counters.packets += 1
        if isinstance(message, wire.Greeting):
            if not message.accepted:
                raise AuthRefused(f"order feed: {message.message[:80]}")
            return
        if isinstance(message, wire.OtherNews):
            kind = f"order feed {message.type[:20]}"
            self._counters.by_packet[kind] = self._counters.by_packet.get(kind, 0) + 1
            return
        self._order(message.data, received_ns)

    def _order(self, data: Mapping[str, Any], received_ns: int) -> None:
        order_id = str(data["nOrdNo"])
        try:
            at_ns = rows.updated_ns(data)
            if at_ns and at_ns < self._newest.get(order_id, 0):
                return  # a late frame of an order already further on
            order = rows.order_of_message(data, self._lookup, self._known.get(order_id))
        except WireError as exc:
            self._bad(exc, repr(data).encode()[:2000])
            return
        if order is None:
            return
        self._newest[order_id] = max(at_ns, self._newest.get(order_id, 0))
        self._known[order_id] = order
        price = order.average_price if order.filled_quantity and order.average_price else None
        self._sink.on_order(OrderUpdate(order, received_ns, price))

    def _bad(self, exc: WireError, frame: bytes = b"") -> None:
        self._counters.parse_errors += 1
        self._sink.on_bad_frame(exc.frame or frame, f"order feed: {exc}")

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Nothing to subscribe: the server pushes the whole account."""

    def closed(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
