"""One market socket of Dhan's pool: what it asks for, and packets -> ticks.

Source: Dhan API v2, "Live Market Feed" (100 instruments in a message); disconnect codes from the annexure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from brokers.contract import BrokerContext, BrokerSession, FeedSink
from brokers.dhan.feed.state import State
from brokers.dhan.wire import market as wire
from brokers.errors import WireError
from brokers.feedloop import AuthRefused, Pump, Reconnect, Rouser
from brokers.feedstate import Sessions
from brokers.model import FeedCounters, FeedState, Instrument, Mode

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


class Home(Protocol):
    """What a socket needs of its feed."""

    context: BrokerContext
    sink: FeedSink
    counters: FeedCounters
    states: dict[Key, State]
    sessions: Sessions

    def is_open(self, exchange: str, at_ns: int) -> bool: ...

    def report(self, name: str, state: FeedState, reason: str) -> None: ...

    def bad_frame(self, frame: bytes, reason: str) -> None: ...

    def spread(self, socket: MarketSocket) -> None: ...


class MarketSocket:
    """One connection of the pool; a ``feedloop.SocketHandler``."""

    def __init__(self, feed: Home, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.wanted: dict[Key, tuple[Instrument, Mode]] = {}
        self.dropped: BrokerSession | None = None
        self._feed = feed
        self._sent: dict[Key, tuple[str, str, int]] = {}
        self._changed: set[Key] = set()
        self._pump = Pump(self._flush)
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
        self._pump.wake()

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
        self._pump.opened(socket)
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

    async def _flush(self, socket: ClientConnection) -> None:
        """Send what changed, a hundred to a message.

        Whether two modes of one instrument can live on a socket, and what ending one does to the other, is
        not published: the old mode ends before the new one starts, which is right either way.
        """
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
        if self._pump.closed() and not self._heard:
            self.dropped = self._session
        self._sent.clear()
