"""Dhan's live feed: market sockets in a pool, one order-update socket, one stream of ticks and updates.

Source: Dhan API v2, "Live Market Feed" (5 connections, 5000 instruments each, 100 in a message) and "Live
Order Update"; disconnect codes from the annexure.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from brokers.contract import AsyncSessionSource, BrokerContext, BrokerSession, FeedSink
from brokers.dhan import mapping, wire
from brokers.dhan.auth import DhanAuth
from brokers.dhan.depth import Books, BookSocket
from brokers.dhan.feedstate import ORDER_UPDATES, Reports, Sessions
from brokers.dhan.merge import State
from brokers.errors import BrokerError, LoginRequired, SettingsError, WireError
from brokers.feedloop import AuthRefused, LoopRules, Reconnect, Rouser, run_socket
from brokers.model import FeedCounters, FeedState, Instrument, Mode
from brokers.transport import Transport

SOCKETS = 5
PER_SOCKET = 5000
SLOT_TAKEN_WAIT_S = 60.0
QUIET_BOOK_S = 80.0

REQUESTS = {Mode.LTP: wire.TICKER, Mode.QUOTE: wire.QUOTE, Mode.DEPTH: wire.FULL}
PACKET_NAMES = {
    0: "keep-alive",
    1: "index",
    2: "ticker",
    3: "v1 depth",
    4: "quote",
    5: "oi",
    6: "prev close",
    7: "market status",
    8: "full",
    50: "disconnect",
}
_NEW_TOKEN = frozenset({807, 809})
_NO_USE = frozenset({806, 808, 810})
_OUR_FAULT = frozenset({811, 812, 813, 814})
Key = tuple[int, int]
"""Segment code and security id, as packets carry them."""


class DhanFeed:
    """Implements ``contract.Feed``.

    Args:
        rules: Times of the socket loop; tests hand in short ones.
        per_socket: Instruments of one connection.
    """

    def __init__(
        self,
        context: BrokerContext,
        session: AsyncSessionSource,
        sink: FeedSink,
        *,
        rules: LoopRules | None = None,
        per_socket: int = PER_SOCKET,
    ) -> None:
        for name in ("feed", "order_updates"):
            # checked here because a later message about a bad address would show the token in it
            if not context.endpoints[name].startswith(("ws://", "wss://")):
                raise SettingsError(f"Dhan: the {name} address must start with ws:// or wss://")
        self.counters = FeedCounters()
        self.context = context
        self.sink = sink
        self.states: dict[Key, State] = {}
        self.sessions = Sessions(session)
        self._rules = rules
        self._per_socket = per_socket
        self._auth = DhanAuth(context, Transport(read_retries=0))
        self._reports = Reports(sink)
        self._hours: dict[str, tuple[int, bool]] = {}
        self._homes: dict[Key, MarketSocket] = {}
        self._books = Books(self)
        self._tasks: asyncio.TaskGroup | None = None
        self._sockets = [MarketSocket(self, "market 1", per_socket)]

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._keep(OrderSocket(self)))
                for socket in self._sockets:
                    tasks.create_task(self._keep(socket))
                for books in self._books.sockets:
                    tasks.create_task(self._keep(books))
        finally:
            self._tasks = None

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        """See ``contract.Feed``. The instrument over the pool's limit is refused; the others stay."""
        segment = wire.SEGMENT_CODES.get(instrument.broker_exchange)
        if segment is None or not instrument.token.isdigit():
            self.sink.on_refused(instrument.key, f"Dhan's feed has no segment {instrument.broker_exchange}")
            return
        key = (segment, int(instrument.token))
        home = self._homes.get(key)
        if mode is None:
            if home is not None:
                del self._homes[key]
                self.states.pop(key, None)
                home.drop(key)
            return
        home = home or self._room(instrument)
        if home is None:
            return
        self._homes[key] = home
        state = self.states.get(key)
        if state is None:
            self.states[key] = State(instrument, mode)
        else:
            state.want(mode)
        home.put(key, instrument, mode)

    def rouse(self, *, new_socket: bool) -> None:
        """See ``contract.RousableFeed``."""
        for socket in self._sockets:
            if socket.wanted:
                socket.rouser.rouse(socket.resubscribe, new_socket=new_socket)

    def handler(self, socket: str) -> MarketSocket | BookSocket | None:
        """See ``feedloop.ReplayableFeed``."""
        sockets: list[MarketSocket | BookSocket] = [*self._sockets, *self._books.sockets]
        return next((one for one in sockets if one.name == socket), None)

    def want_levels(self, instrument: Instrument, levels: int) -> str:
        """See ``contract.DeepFeed``. Over the limit the five levels of the live feed go on."""
        refusal, new = self._books.want(instrument, levels)
        if new is not None and self._tasks is not None:
            self._tasks.create_task(self._keep(new))
        return refusal

    def _room(self, instrument: Instrument) -> MarketSocket | None:
        for socket in self._sockets:
            if len(socket.wanted) < socket.capacity:
                return socket
        if len(self._sockets) < SOCKETS:
            socket = MarketSocket(self, f"market {len(self._sockets) + 1}", self._per_socket)
            self._sockets.append(socket)
            if self._tasks is not None:
                self._tasks.create_task(self._keep(socket))
            return socket
        most = sum(socket.capacity for socket in self._sockets)
        self.sink.on_refused(instrument.key, f"Symbol count exceeds maximum ({most}) for dhan")
        return None

    def spread(self, socket: MarketSocket) -> None:
        """Dhan said "too many instruments" (804): move the newer half to other sockets."""
        socket.capacity = max(1, len(socket.wanted) // 2)
        for key in list(socket.wanted)[socket.capacity :]:
            instrument, mode = socket.wanted[key]
            self.want(instrument, None)
            self.want(instrument, mode)

    def is_open(self, exchange: str, at_ns: int) -> bool:
        """Whether the exchange is in session; asked for every packet, so kept for a second."""
        second = at_ns // 1_000_000_000
        known = self._hours.get(exchange)
        if known is None or known[0] != second:
            known = (second, self.context.calendar.is_open(exchange, datetime.fromtimestamp(second, UTC)))
            self._hours[exchange] = known
        return known[1]

    def bad_frame(self, frame: bytes, reason: str) -> None:
        self.counters.parse_errors += 1
        self.sink.on_bad_frame(frame, reason)

    def report(self, name: str, state: FeedState, reason: str) -> None:
        self._reports.put(name, state, reason)

    async def _keep(self, handler: MarketSocket | OrderSocket | BookSocket) -> None:
        await run_socket(
            handler,
            session=partial(self._session_for, handler),
            counters=self.counters,
            on_state=partial(self.report, handler.name),
            expects_data=handler.expects_data,
            rules=self._rules,
            tap=None if isinstance(handler, OrderSocket) else self.context.tap,
            name=handler.name,
        )

    async def _session_for(
        self, handler: MarketSocket | OrderSocket | BookSocket, failed: int
    ) -> BrokerSession:
        """Newest session for a socket. Dhan mostly answers a bad token by cutting the socket without a word,
        so a drop before any frame is cleared up with a profile call.
        """
        dropped, handler.dropped = handler.dropped, None
        if dropped is not None and not await self._is_good(dropped):
            failed = max(failed, dropped.generation)
        return await self.sessions(failed)

    async def _is_good(self, session: BrokerSession) -> bool:
        try:
            await asyncio.to_thread(self._auth.check, session)
        except LoginRequired:
            return False
        except BrokerError:
            return True  # not known to be bad; the loop backs off anyway
        return True


class MarketSocket:
    """One connection of the pool; a ``feedloop.SocketHandler``."""

    def __init__(self, feed: DhanFeed, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.wanted: dict[Key, tuple[Instrument, Mode]] = {}
        self.dropped: BrokerSession | None = None
        self._feed = feed
        self._sent: dict[Key, tuple[str, str, int]] = {}
        self._changed: set[Key] = set()
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._session: BrokerSession | None = None
        self._heard = False
        self._asked_again = False
        self._opened_at = feed.context.clock.monotonic()
        self._beats: deque[float] = deque(maxlen=16)
        self.rouser = Rouser()
        self._exchanges: Counter[str] = Counter()

    def put(self, key: Key, instrument: Instrument, mode: Mode) -> None:
        if key not in self.wanted:
            self._exchanges[instrument.key.exchange] += 1
        self.wanted[key] = (instrument, mode)
        self._touch(key)

    def drop(self, key: Key) -> None:
        instrument, _ = self.wanted.pop(key)
        self._exchanges[instrument.key.exchange] -= 1
        self._touch(key)

    def _touch(self, key: Key) -> None:
        self._changed.add(key)
        self._wake.set()

    def expects_data(self) -> bool:
        """Silence means something when the market is open and this socket used to talk.

        A socket of illiquid contracts is silent for minutes; it only counts after ``QUIET_BOOK_S``.
        """
        now = self._feed.context.clock.time_ns()
        if not any(n and self._feed.is_open(exchange, now) for exchange, n in self._exchanges.items()):
            return False
        if not self._heard:
            return True
        beats = self._beats
        if len(beats) == 16 and beats[-1] - beats[0] <= 30.0:
            return True
        last = beats[-1] if beats else self._opened_at
        return self._feed.context.clock.monotonic() - last > QUIET_BOOK_S

    def url(self, session: BrokerSession) -> str:
        query = urlencode(
            {
                "version": "2",
                "token": session.secrets["token"].reveal(),
                "clientId": session.account,
                "authType": "2",
            }
        )
        return f"{self._feed.context.endpoints['feed']}?{query}"

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        self._session = session
        self.rouser.opened(socket)
        self._heard = False
        self._opened_at = self._feed.context.clock.monotonic()
        self._beats.clear()
        await self.resubscribe(socket)
        self._pump = asyncio.create_task(self._send_changes(socket))
        if self.wanted:
            self._feed.report(self.name, FeedState.CONNECTING, "subscribed, waiting for data")
        else:
            self._feed.report(self.name, FeedState.LIVE, "connected, nothing subscribed")

    async def resubscribe(self, socket: ClientConnection) -> None:
        self._sent.clear()
        self._asked_again = True
        self._changed = set(self.wanted)
        # closed already: what Dhan said before it closed is still to be read, and tells why
        with suppress(ConnectionClosed):
            await self._flush(socket)

    async def _send_changes(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._wake.wait()
                await self._flush(socket)

    async def _flush(self, socket: ClientConnection) -> None:
        """Send what changed, a hundred to a message.

        Whether two modes of one instrument can live on a socket, and what ending one does to the other, is
        not published: the old mode ends before the new one starts, which is right either way.
        """
        self._wake.clear()
        changed, self._changed = self._changed, set()
        ended: dict[int, list[tuple[str, str]]] = {}
        started: dict[int, list[tuple[str, str]]] = {}
        for key in changed:
            had = self._sent.pop(key, None)
            want = self.wanted.get(key)
            now = (want[0].broker_exchange, want[0].token, REQUESTS[want[1]]) if want else None
            if now is not None:
                self._sent[key] = now
            if had == now:
                continue
            if had is not None:
                ended.setdefault(had[2], []).append(had[:2])
            if now is not None:
                started.setdefault(now[2], []).append(now[:2])
        messages = [text for code, pairs in ended.items() for text in wire.unsubscribe(code, pairs)]
        messages += [text for code, pairs in started.items() for text in wire.subscribe(code, pairs)]
        for text in messages:
            await socket.send(text)

    def frame(self, data: bytes | str, received_ns: int) -> None:
        if not self._heard or self._asked_again:
            self._heard, self._asked_again = True, False
            self._feed.report(self.name, FeedState.LIVE, "")
        else:
            self._beat()
        if isinstance(data, str):
            self._feed.bad_frame(data.encode(), "text on the market feed")
            return
        try:
            self._packets(wire.split(data), received_ns, data)
        except WireError as exc:
            self._feed.bad_frame(exc.frame, str(exc))

    def _beat(self) -> None:
        """Cadence after the burst of first packets every subscription answers."""
        now = self._feed.context.clock.monotonic()
        if now - self._opened_at > 3.0:
            self._beats.append(now)

    def _packets(self, packets: Iterable[wire.Packet], received_ns: int, frame: bytes) -> None:
        feed = self._feed
        counters, states = feed.counters, feed.states
        by_packet = counters.by_packet
        for packet in packets:
            counters.packets += 1
            name = PACKET_NAMES[packet.code]
            by_packet[name] = by_packet.get(name, 0) + 1
            if isinstance(packet, wire.Disconnect):
                self._goodbye(packet.reason, frame)
                continue
            if isinstance(packet, wire.Unread | wire.MarketStatus):
                if isinstance(packet, wire.MarketStatus):
                    # no body is published: that it changed is all that can be said
                    segment = wire.SEGMENTS.get(packet.segment, str(packet.segment))
                    counters.market_status[segment] = "changed"
                continue
            state = states.get((packet.segment, packet.security_id))
            if state is None:
                # never asked for, or still coming after an unsubscribe
                counters.unknown_instruments += 1
                continue
            feed.sessions.worked()
            exchange = state.instrument.key.exchange
            tick = state.apply(packet, received_ns, feed.is_open(exchange, received_ns))
            if tick is not None:
                feed.sink.on_tick(tick)

    def _goodbye(self, reason: int, frame: bytes) -> None:
        said = f"Dhan said {reason}: {wire.DISCONNECTS.get(reason, 'unknown reason')}"
        generation = self._session.generation if self._session else 0
        if reason in _NEW_TOKEN:
            raise AuthRefused(said)
        if reason in _NO_USE:
            self._feed.sessions.stop(generation, said)
            raise AuthRefused(said)
        if reason in _OUR_FAULT:
            self._feed.bad_frame(frame, said)
            return
        if reason == 804:
            self._feed.spread(self)
            raise Reconnect(said)
        # 805: another client took the slot; two clients fighting for it help nobody
        raise Reconnect(said, SLOT_TAKEN_WAIT_S if reason == 805 else 0.0)

    def closed(self) -> None:
        self.rouser.closed()
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
            if not self._heard:
                self.dropped = self._session
        self._sent.clear()


class OrderSocket:
    """The order-update connection; a ``feedloop.SocketHandler``. Silent by nature, and without replay: after
    a gap the order book tells.
    """

    name = ORDER_UPDATES

    def __init__(self, feed: DhanFeed) -> None:
        self.dropped: BrokerSession | None = None
        self._feed = feed
        self._session: BrokerSession | None = None
        self._heard = False

    def expects_data(self) -> bool:
        return False

    def url(self, session: BrokerSession) -> str:
        return self._feed.context.endpoints["order_updates"]

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        self._session, self._heard = session, False
        await socket.send(wire.order_login(session.account, session.secrets["token"].reveal()))
        self._feed.counters.order_connects += 1
        self._feed.report(self.name, FeedState.LIVE, "")

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Nothing is subscribed here."""

    def frame(self, data: bytes | str, received_ns: int) -> None:
        self._heard = True
        raw = data.encode() if isinstance(data, str) else data
        try:
            alert = wire.order_alert(raw)
            if alert is None:
                return
            update = mapping.update(alert, self._feed.context.instruments, received_ns)
        except WireError as exc:
            self._feed.bad_frame(raw, str(exc))
            return
        by_packet = self._feed.counters.by_packet
        by_packet["order alert"] = by_packet.get("order alert", 0) + 1
        self._feed.sink.on_order(update)

    def closed(self) -> None:
        if self._session is not None and not self._heard:
            self.dropped = self._session
        self._session = None
