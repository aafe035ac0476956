"""The live market feed and the depth feeds.

Subscriptions of one instrument in several modes are independent. An index gives ticker packets whatever was
asked. Nothing is acknowledged: an instrument Dhan does not know stays mute.

Source: Dhan API v2, Live Market Feed and Full Market Depth; limits and oddities as users report them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import web

from brokers.sim.dhan import ids, wire
from brokers.sim.dhan.gate import Desk
from brokers.sim.dhan.load import LoadLane
from brokers.sim.dhan.packets import Packets
from brokers.sim.dhan.sockets import Keepalive, Socket, admit
from brokers.sim.exchange.types import Kind, Listing, Snapshot

log = logging.getLogger(__name__)

CONNECTIONS = 5
INSTRUMENTS = 5000
A_MESSAGE = 100
DEPTH_20_INSTRUMENTS, DEPTH_200_INSTRUMENTS = 50, 1

TICKER, QUOTE, FULL, DEPTH = 15, 17, 21, 23
DISCONNECT = 12
_UNSUBSCRIBE = {16: TICKER, 18: QUOTE, 22: FULL, 24: DEPTH, 25: DEPTH}
_BAD_REQUEST, _TOO_MANY_INSTRUMENTS, _TOO_MANY, _EXPIRED = 814, 804, 805, 807

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FeedKind:
    """What differs between the three feeds. ``rows``: levels of a depth feed, 0 for the live one."""

    name: str
    rows: int
    modes: frozenset[int]
    instruments: int
    a_message: int
    segments: frozenset[str]

    def goodbye(self, reason: int) -> bytes:
        return wire.depth_disconnect(reason) if self.rows else wire.disconnect(reason)


LIVE = FeedKind("feed", 0, frozenset({TICKER, QUOTE, FULL}), INSTRUMENTS, A_MESSAGE, frozenset(ids.CODES))
_DEPTH_SEGMENTS = frozenset({"NSE_EQ", "NSE_FNO"})
DEPTH_20 = FeedKind(
    "twentydepth", 20, frozenset({DEPTH}), DEPTH_20_INSTRUMENTS, DEPTH_20_INSTRUMENTS, _DEPTH_SEGMENTS
)
DEPTH_200 = FeedKind("twohundreddepth", 200, frozenset({DEPTH}), DEPTH_200_INSTRUMENTS, 1, _DEPTH_SEGMENTS)


@dataclass(eq=False, slots=True)
class Line:
    """One client's socket with what it subscribed: key -> modes."""

    kind: FeedKind
    socket: Socket
    modes: dict[Key, set[int]] = field(default_factory=dict)
    oi: dict[Key, int] = field(default_factory=dict)
    sequence: int = 0


class Feed:
    """Serves every market-data socket.

    Args:
        prev_close_for_all: Code 6 on every subscription as documented; False gives it to indices only, as
            one ticket with Dhan says.
    """

    def __init__(
        self, desk: Desk, keepalive: Keepalive | None = None, *, prev_close_for_all: bool = True
    ) -> None:
        self._desk = desk
        self.keepalive = keepalive or Keepalive()
        self._prev_close_for_all = prev_close_for_all
        self._packets = Packets(desk.directory)
        self._lines: dict[tuple[str, FeedKind], list[Line]] = {}
        self._readers: dict[Key, dict[Line, set[int]]] = {}
        self.load = LoadLane(desk)

    def routes(self) -> Iterator[web.RouteDef]:
        yield web.get("/feed", self._live)
        yield web.get("/twentydepth", self._depth_20)
        yield web.get("/twohundreddepth", self._depth_200)

    async def root(self, request: web.Request) -> web.WebSocketResponse:
        """Path ``/``, where the official client finds two feeds.

        The live feed with ``version`` in the query, the 200-level depth without.
        """
        return await self._serve(request, LIVE if "version" in request.query else DEPTH_200)

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, LIVE)

    async def _depth_20(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, DEPTH_20)

    async def _depth_200(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, DEPTH_200)

    async def stop(self) -> None:
        open_lines = [line for lines in self._lines.values() for line in lines]
        await asyncio.gather(*(line.socket.goodbye() for line in open_lines))

    async def expire(self, account: str) -> None:
        """End the account's sockets as an expired token does."""
        for (owner, kind), lines in list(self._lines.items()):
            if owner == account:
                last = kind.goodbye(_EXPIRED)
                await asyncio.gather(*(line.socket.goodbye(last) for line in list(lines)))

    # ---- a client's life

    async def _serve(self, request: web.Request, kind: FeedKind) -> web.WebSocketResponse:
        packed = request.query.get("packed") == "1"
        socket = Socket(kind.name, request, self._desk.faults, self.keepalive, packed=packed)
        await socket.open()
        try:
            await self._attend(request, kind, socket)
        finally:
            await socket.end()
        return socket.ws

    async def _attend(self, request: web.Request, kind: FeedKind, socket: Socket) -> None:
        query = request.query
        account, reason = admit(
            query.get("token", ""), query.get("clientId", ""), self._desk.tokens, self._desk.faults
        )
        if not account:
            # the handshake succeeded; a bad token shows as a cut, sometimes with a packet before it
            if reason == str(_EXPIRED):
                await socket.ws.send_bytes(kind.goodbye(_EXPIRED))
            socket.cut()
            return
        socket.account = account
        line = Line(kind, socket)
        lines = self._lines.setdefault((account, kind), [])
        lines.append(line)
        if len(lines) > CONNECTIONS:
            await lines.pop(0).socket.goodbye(kind.goodbye(_TOO_MANY))
        try:
            while (message := await socket.receive()) is not None:
                # the official client sends 83 bytes of binary after its goodbye: ignored
                if isinstance(message, str) and not await self._obey(line, message):
                    return
        finally:
            if line in lines:
                lines.remove(line)
            for key in list(line.modes):
                self._drop(line, key)
            self.load.drop(line.socket)

    async def _obey(self, line: Line, text: str) -> bool:
        """Carry out one message; False when it ended the connection."""
        try:
            code, wanted = read_request(text)
        except ValueError:
            return await self._refuse(line, _BAD_REQUEST)
        if code == DISCONNECT:
            await line.socket.goodbye()
            return False
        if code in _UNSUBSCRIBE:
            for listing in self._listings(line.kind, wanted):
                self._forget(line, listing, _UNSUBSCRIBE[code])
            self.load.unsubscribe(line.socket, _UNSUBSCRIBE[code], wanted)
            return True
        if code not in line.kind.modes:
            return await self._refuse(line, _BAD_REQUEST)
        listings = list(self._listings(line.kind, wanted))
        total = len(line.modes.keys() | {_key(listing) for listing in listings})
        if len(wanted) > line.kind.a_message or total > line.kind.instruments:
            return await self._refuse(line, _TOO_MANY_INSTRUMENTS)
        for listing in listings:
            self._add(line, listing, code)
        if not line.kind.rows:
            self.load.subscribe(line.socket, code, wanted)
        return True

    async def _refuse(self, line: Line, reason: int) -> bool:
        await line.socket.goodbye(line.kind.goodbye(reason))
        return False

    def _listings(self, kind: FeedKind, wanted: list[tuple[str, int]]) -> Iterator[Listing]:
        for segment, security_id in wanted:
            listing = self._desk.directory.find(segment, security_id)
            if listing is not None and segment in kind.segments:
                yield listing

    def _add(self, line: Line, listing: Listing, mode: int) -> None:
        key = _key(listing)
        modes = line.modes.setdefault(key, set())
        if not modes:
            self._desk.exchange.watch(listing)
            self._readers.setdefault(key, {})[line] = modes
        modes.add(mode)
        snapshot = self._desk.exchange.snapshot(listing)
        if not line.kind.rows and (self._prev_close_for_all or listing.kind is Kind.INDEX):
            line.socket.put(self._packets.prev_close(snapshot))
        line.oi.pop(key, None)
        for packet in self._wanted(line, snapshot, {mode}, {}):
            line.socket.put(packet)

    def _forget(self, line: Line, listing: Listing, mode: int) -> None:
        key = _key(listing)
        modes = line.modes.get(key)
        if modes is None:
            return
        modes.discard(mode)
        if not modes:
            self._drop(line, key)

    def _drop(self, line: Line, key: Key) -> None:
        del line.modes[key]
        line.oi.pop(key, None)
        readers = self._readers[key]
        del readers[line]
        if not readers:
            del self._readers[key]
        listing = self._desk.exchange.universe.find(*key)
        if listing is not None:
            self._desk.exchange.unwatch(listing)

    # ---- the market

    def on_market(self, snapshots: list[Snapshot]) -> None:
        """Hand changed snapshots to who subscribed them; each packet is encoded once."""
        for snapshot in snapshots:
            readers = self._readers.get(_key(snapshot.listing))
            if readers:
                made: dict[int, bytes] = {}
                for line, modes in readers.items():
                    for packet in self._wanted(line, snapshot, modes, made):
                        line.socket.put(packet)

    def _wanted(
        self, line: Line, snapshot: Snapshot, modes: set[int], made: dict[int, bytes]
    ) -> Iterator[bytes]:
        if line.kind.rows:
            line.sequence = (line.sequence + 2) & 0xFFFFFFFF
            yield self._packets.depth(snapshot, line.kind.rows, line.sequence)
            return
        if snapshot.listing.kind is Kind.INDEX:
            yield self._packet(TICKER, snapshot, made)
            return
        for mode in modes:
            yield self._packet(mode, snapshot, made)
        if QUOTE in modes and snapshot.listing.expiry is not None:
            key = _key(snapshot.listing)
            if line.oi.get(key) != snapshot.oi:
                line.oi[key] = snapshot.oi
                yield self._packets.open_interest(snapshot)

    def _packet(self, mode: int, snapshot: Snapshot, made: dict[int, bytes]) -> bytes:
        packet = made.get(mode)
        if packet is None:
            if mode == TICKER:
                packet = self._packets.ticker(snapshot)
            else:
                encode = self._packets.quote if mode == QUOTE else self._packets.full
                packet = encode(snapshot, closed=self._closed(snapshot))
            made[mode] = packet
        return packet

    def _closed(self, snapshot: Snapshot) -> bool:
        return not self._desk.exchange.hours.is_open(snapshot.listing.exchange, snapshot.at)


def read_request(text: str) -> tuple[int, list[tuple[str, int]]]:
    """A client's message: its code and (segment, security id) pairs.

    Ids come as text or numbers; a 200-level request is flat instead of a list. ``InstrumentCount`` is not
    checked (whether Dhan does is unknown).

    Raises:
        ValueError: Not a request.
    """
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("not an object")
    code = body.get("RequestCode")
    if not isinstance(code, int):
        raise ValueError("no request code")
    rows = body.get("InstrumentList", [body] if "SecurityId" in body else [])
    if not isinstance(rows, list):
        raise ValueError("no list of instruments")
    wanted = []
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("not an instrument")
        wanted.append((str(row.get("ExchangeSegment")), int(str(row.get("SecurityId")))))
    return code, wanted


def _key(listing: Listing) -> Key:
    return (listing.exchange, listing.symbol)
