"""Dhan's 20- and 200-level books: their own sockets, beside the live feed.

A book socket carries no last price; the live feed does. When a socket goes, its books are withdrawn, so that
nobody is shown a book that no longer moves.

Source: Dhan API v2, Full Market Depth (20 levels: 50 instruments a connection; 200 levels: one; NSE only).
That each kind has five connections of its own is Dhan support's word (dhan-wire.md section 4.1, uncertain).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from brokers.contract import BrokerSession
from brokers.dhan.feed.socket import SLOT_TAKEN_WAIT_S, Home, Key
from brokers.dhan.wire import depth as wire
from brokers.dhan.wire import market
from brokers.errors import WireError
from brokers.feedloop import AuthRefused, Pump, Reconnect
from brokers.model import Depth, FeedState, Instrument

CONNECTIONS = 5
PER_SOCKET = {20: 50, 200: 1}
ENDPOINTS = {20: "depth20", 200: "depth200"}
_NEW_TOKEN = frozenset({807, 808, 809, 810})
_NO_PLAN = 806


def _book(bids: wire.Side | None, asks: wire.Side | None) -> Depth:
    return Depth(bids.levels() if bids else (), asks.levels() if asks else ())


class BookSocket:
    """One connection for deep books; a ``feedloop.SocketHandler``."""

    def __init__(self, feed: Home, levels: int, number: int) -> None:
        self.name = f"depth {levels}, socket {number}"
        self.levels = levels
        self.capacity = PER_SOCKET[levels]
        self.wanted: dict[Key, Instrument] = {}
        self.dropped: BrokerSession | None = None
        self._feed = feed
        self._sides: dict[Key, list[wire.Side | None]] = {}
        self._sent: dict[Key, Instrument] = {}
        self._pump = Pump(self._flush)
        self._session: BrokerSession | None = None
        self._heard = False

    def put(self, key: Key, instrument: Instrument) -> None:
        self.wanted[key] = instrument
        self._pump.wake()

    def drop(self, key: Key) -> None:
        del self.wanted[key]
        self._sides.pop(key, None)
        self._pump.wake()

    def expects_data(self) -> bool:
        """Books of quiet contracts stand still; the live feed tells whether Dhan is silent."""
        return False

    def url(self, session: BrokerSession) -> str:
        query = urlencode(
            {"token": session.secrets["token"].reveal(), "clientId": session.account, "authType": "2"}
        )
        return f"{self._feed.context.endpoints[ENDPOINTS[self.levels]]}?{query}"

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        self._session, self._heard = session, False
        await self.resubscribe(socket)
        self._pump.opened(socket)
        self._feed.report(self.name, FeedState.LIVE, "")

    async def resubscribe(self, socket: ClientConnection) -> None:
        self._sent.clear()
        with suppress(ConnectionClosed):
            await self._flush(socket)

    async def _flush(self, socket: ClientConnection) -> None:
        ended = [i for key, i in self._sent.items() if key not in self.wanted]
        started = [i for key, i in self.wanted.items() if key not in self._sent]
        self._sent = dict(self.wanted)
        for text in (
            *self._requests(market.DEPTH_LEVELS + 1, ended),
            *self._requests(market.DEPTH_LEVELS, started),
        ):
            await socket.send(text)

    def _requests(self, code: int, instruments: list[Instrument]) -> list[str]:
        pairs = [(i.broker_exchange, i.token) for i in instruments]
        if self.levels == 200:
            return [wire.subscribe200(*pair, code) for pair in pairs]
        return market.subscribe(code, pairs)

    def frame(self, data: bytes | str, received_ns: int) -> None:
        self._heard = True
        if isinstance(data, str):
            self._feed.bad_frame(data.encode(), "text on a depth feed")
            return
        changed: dict[Key, None] = {}
        try:
            for packet in wire.split(data, self.levels):
                if isinstance(packet, wire.Disconnect):
                    self._goodbye(packet.reason, data)
                else:
                    key = (packet.segment, packet.security_id)
                    self._sides.setdefault(key, [None, None])[packet.side == "ask"] = packet
                    changed[key] = None
        except WireError as exc:
            self._feed.bad_frame(exc.frame, str(exc))
        counters = self._feed.counters
        for key in changed:
            instrument = self.wanted.get(key)
            if instrument is None:
                self._sides.pop(key, None)
                counters.unknown_instruments += 1
                continue
            counters.count(f"depth {self.levels}")
            book = partial(_book, *self._sides[key])
            self._feed.sink.on_book(instrument.key, self.levels, book, received_ns)

    def _goodbye(self, reason: int, frame: bytes) -> None:
        said = f"Dhan said {reason}: {market.DISCONNECTS.get(reason, 'unknown reason')}"
        if reason in _NEW_TOKEN:
            raise AuthRefused(said)
        if reason in (_NO_PLAN, 805):
            # five levels go on; the plan or the slot may come back
            raise Reconnect(said, SLOT_TAKEN_WAIT_S)
        if reason in (811, 812, 813, 814):
            self._feed.bad_frame(frame, said)
            return
        raise Reconnect(said)

    def closed(self) -> None:
        if self._pump.closed() and not self._heard:
            self.dropped = self._session
        self._sent.clear()
        for key in self._sides:
            if key in self.wanted:
                self._feed.sink.on_book(self.wanted[key].key, 0, None, 0)
        self._sides.clear()


class Books:
    """Which socket carries whose deep book. ``start`` runs a new socket."""

    def __init__(self, feed: Home) -> None:
        self._feed = feed
        self._homes: dict[Key, BookSocket] = {}
        self.sockets: list[BookSocket] = []

    def want(self, instrument: Instrument, levels: int) -> tuple[str, BookSocket | None]:
        """Carry a book of so many levels, 0 for none.

        Returns:
            Why not (empty when it will be), and a socket that has to be started.
        """
        segment = market.SEGMENT_CODES.get(instrument.broker_exchange)
        if segment is None or not instrument.token.isdigit():
            return f"Dhan's feed has no segment {instrument.broker_exchange}", None
        key = (segment, int(instrument.token))
        home = self._homes.get(key)
        if home is not None and home.levels == levels:
            return "", None
        if home is not None:
            home.drop(key)
            del self._homes[key]
            self._feed.sink.on_book(instrument.key, 0, None, 0)
        if not levels:
            return "", None
        if ENDPOINTS[levels] not in self._feed.context.endpoints:
            return f"no address for {levels} levels is set", None
        same = [s for s in self.sockets if s.levels == levels]
        room = next((s for s in same if len(s.wanted) < s.capacity), None)
        new = None
        if room is None:
            if len(same) >= CONNECTIONS:
                most = CONNECTIONS * PER_SOCKET[levels]
                return f"Dhan carries {most} books of {levels} levels; this one is over", None
            room = new = BookSocket(self._feed, levels, len(same) + 1)
            self.sockets.append(room)
        self._homes[key] = room
        room.put(key, instrument)
        return "", new
