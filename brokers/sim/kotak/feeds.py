"""Market data: HSM at ``/hsm`` and ``/``, SFeed at ``/apifeed``.

Source: Kotak Neo client v2 (HSM order of events: status, snapshot, updates; caps), ``kotakneoapi`` 3.0.9
(SFeed). What the broker does on unknown topics is not known; here they are accepted and stay silent.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from brokers.errors import WireError
from brokers.sim.exchange.types import Listing, Snapshot
from brokers.sim.kotak import hsm, sfeed
from brokers.sim.kotak.house import House
from brokers.sim.kotak.names import FUTURES_OF, SEGMENT_OF, trading_symbol
from brokers.sim.kotak.sessions import TokenRefused
from brokers.sim.kotak.sockets import Socket, Sockets, is_websocket

log = logging.getLogger(__name__)

_topic_ids = itertools.count(1)
"""Never reused in a process: the official client keeps one topic table for all its connections."""
_PACKETS_PER_FRAME = 200
_FIRST_MESSAGE = 1

Key = tuple[str, int]


def _key(listing: Listing) -> Key:
    return listing.exchange, listing.token


@dataclass(slots=True, eq=False)
class _Topic:
    name: str
    prefix: str
    listing: Listing
    channel: int
    id: int
    client: _HsmClient
    values: list[int | None] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _HsmClient:
    socket: Socket
    packed: bool
    ack_every: int
    connected: bool = False
    topics: dict[str, _Topic] = field(default_factory=dict)
    channels: dict[int, int] = field(default_factory=dict)
    """Topics asked for per channel, unknown ones included."""
    asked: dict[str, int] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)
    message_number: int = _FIRST_MESSAGE - 1
    acknowledged: int = 0

    def send(self, packets: list[bytes]) -> None:
        """Data frames: one packet each, or packed."""
        size = _PACKETS_PER_FRAME if self.packed else 1
        for at in range(0, len(packets), size):
            number = None
            if self.ack_every:
                self.message_number += 1
                number = self.message_number
            self.socket.send(hsm.data_frame(packets[at : at + size], number))


class HsmFeed:
    """Every HSM connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.sockets = Sockets("feed", house.faults)
        self._readers: dict[Key, list[_Topic]] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get("/hsm", self.handle, allow_head=False)
        yield web.get("/", self.handle, allow_head=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection. Query ``ack`` and ``packed`` override the knobs for it."""
        if not is_websocket(request):
            return web.Response(status=426, text="This is a WebSocket endpoint.")
        knobs, query = self._house.knobs, request.query
        async with self.sockets.accept(request) as (ws, socket):
            client = _HsmClient(
                socket,
                packed=query.get("packed", str(int(knobs.packed))) == "1",
                ack_every=int(query.get("ack", str(knobs.ack_every))),
            )
            try:
                async for message in ws:
                    if message.type is WSMsgType.BINARY:
                        await self._take(client, message.data)
            except WireError as exc:
                log.warning("HSM client sent a frame that cannot be read: %s", exc)
            finally:
                for topic in list(client.topics.values()):
                    self._forget(client, topic.name)
        return ws

    async def _take(self, client: _HsmClient, frame: bytes) -> None:
        request = hsm.parse(frame)
        if isinstance(request, hsm.Connect):
            await self._connect(client, request)
        elif isinstance(request, hsm.Topics):
            self._topics(client, request)
        elif isinstance(request, hsm.Ack):
            client.acknowledged = request.message_number
        elif isinstance(request, hsm.Channels):
            change = (
                client.paused.update if request.type is hsm.Type.PAUSE else client.paused.difference_update
            )
            change(request.channels)
            client.socket.send(hsm.status(request.type, ok=client.connected))

    async def _connect(self, client: _HsmClient, request: hsm.Connect) -> None:
        every = client.ack_every or None
        sessions = self._house.sessions
        try:
            grant = sessions.check(request.token, request.sid, trade=False)
        except TokenRefused:
            grant = None
        if grant is None or self._house.faults.token_expired(grant.account):
            await client.socket.send_and_close(hsm.connect_reply(accepted=False, ack_every=every and 0))
            return
        client.connected = True
        client.socket.still_good = lambda: sessions.alive(grant)
        client.socket.send(hsm.connect_reply(accepted=True, ack_every=every))

    def _topics(self, client: _HsmClient, request: hsm.Topics) -> None:
        ok = client.connected and len(request.topics) <= hsm.MAX_TOPICS_PER_FRAME
        if request.type is hsm.Type.SNAPSHOT:
            client.socket.send(hsm.status(request.type, ok=ok))
            if ok:
                found = (self._find(name) for name in request.topics)
                client.send([self._snapshot(name, hit, next(_topic_ids)) for name, hit in found if hit])
            return
        ok = ok and request.channel in hsm.CHANNELS
        if request.type is hsm.Type.UNSUBSCRIBE:
            client.socket.send(hsm.status(request.type, ok=ok))
            for name in request.topics if ok else ():
                self._forget(client, name)
            return
        fresh = [name for name in request.topics if client.asked.get(name) != request.channel]
        used = sum(channel == request.channel for channel in client.asked.values())
        ok = ok and used + len(set(fresh)) <= hsm.MAX_TOPICS_PER_CHANNEL
        client.socket.send(hsm.status(request.type, ok=ok))
        if ok:
            client.send(
                [p for name in request.topics if (p := self._subscribe(client, name, request.channel))]
            )

    def _find(self, name: str) -> tuple[str, Listing | None]:
        prefix, _, rest = name.partition("|")
        seg, _, token = rest.partition("|")
        directory = self._house.directory
        if prefix == "if":
            return name, directory.index(seg, token)
        return name, directory.by_token(seg, token) if prefix in hsm.VALUES else None

    def _snapshot(
        self, name: str, listing: Listing, topic_id: int, values: list[int | None] | None = None
    ) -> bytes:
        prefix, seg, token = name.split("|", 2)
        if values is None:
            values = hsm.VALUES[prefix](self._house.exchange.snapshot(listing))
        shown = token if prefix == "if" else trading_symbol(listing)
        return hsm.snapshot_packet(topic_id, name, values, hsm.identity(seg, token, shown))

    def _subscribe(self, client: _HsmClient, name: str, channel: int) -> bytes | None:
        """Start a topic afresh (a repeated one gets a new id) and make its snapshot."""
        self._forget(client, name)
        client.asked[name] = channel
        _, listing = self._find(name)
        if listing is None:
            return None
        topic = _Topic(name, name.partition("|")[0], listing, channel, next(_topic_ids), client)
        topic.values = hsm.VALUES[topic.prefix](self._house.exchange.snapshot(listing))
        client.topics[name] = topic
        self._readers.setdefault(_key(listing), []).append(topic)
        self._house.exchange.watch(listing)
        return self._snapshot(name, listing, topic.id, topic.values)

    def _forget(self, client: _HsmClient, name: str) -> None:
        client.asked.pop(name, None)
        topic = client.topics.pop(name, None)
        if topic is None:
            return
        readers = self._readers[_key(topic.listing)]
        readers.remove(topic)
        if not readers:
            del self._readers[_key(topic.listing)]
        self._house.exchange.unwatch(topic.listing)

    def on_market(self, snapshots: list[Snapshot]) -> None:
        """Tell every reader what changed in its topic; nothing changed, nothing sent."""
        packets: dict[_HsmClient, list[bytes]] = {}
        for snapshot in snapshots:
            fresh: dict[str, list[int | None]] = {}
            for topic in self._readers.get(_key(snapshot.listing), ()):
                if topic.channel in topic.client.paused:
                    continue
                if topic.prefix not in fresh:
                    fresh[topic.prefix] = hsm.VALUES[topic.prefix](snapshot)
                values = fresh[topic.prefix]
                if values == topic.values:
                    continue
                update = hsm.update_packet(topic.id, hsm.changes(topic.values, values))
                topic.values = values
                packets.setdefault(topic.client, []).append(update)
        for client, made in packets.items():
            client.send(made)


@dataclass(slots=True, eq=False)
class _SfeedClient:
    socket: Socket
    packed: bool
    authenticated: bool = False
    wants: dict[Key, tuple[Listing, set[sfeed.Level]]] = field(default_factory=dict)
    sequence: int = 0

    def next_sequence(self) -> int:
        self.sequence = (self.sequence + 1) & 0xFF
        return self.sequence

    def count(self) -> int:
        return sum(len(levels) for _, levels in self.wants.values())

    def send(self, packets: list[bytes]) -> None:
        for frame in [b"".join(packets)] if self.packed and packets else packets:
            self.socket.send(frame)


class SfeedFeed:
    """Every SFeed connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.sockets = Sockets("feed", house.faults)
        self._readers: dict[Key, list[_SfeedClient]] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        for path in ("/apifeed", "/betafeed", "/wsfeed"):
            yield web.get(path, self.handle, allow_head=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection: a text control plane, binary packets out."""
        if not is_websocket(request):
            return web.Response(status=426, text="This is a WebSocket endpoint.")
        packed = request.query.get("packed", str(int(self._house.knobs.packed))) == "1"
        async with self.sockets.accept(request) as (ws, socket):
            client = _SfeedClient(socket, packed)
            try:
                async for message in ws:
                    if message.type is WSMsgType.TEXT:
                        await self._take(client, message.data)
            finally:
                for listing, levels in list(client.wants.values()):
                    self._drop(client, listing, set(levels))
        return ws

    async def _take(self, client: _SfeedClient, text: str) -> None:
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            log.warning("SFeed client sent a control message that is no JSON object")
        elif not client.authenticated:
            await self._authenticate(client, body)
        else:
            self._event(client, str(body.get("event", "")), str(body.get("inputtoken", "")), body)

    async def _authenticate(self, client: _SfeedClient, body: dict[str, object]) -> None:
        user, sid = str(body.get("user", "")), str(body.get("auth", ""))
        sessions = self._house.sessions
        good = body.get("format") == "native_batch" and sessions.sid_is_good(user, sid)
        if not good or self._house.faults.token_expired(user):
            await client.socket.send_and_close(sfeed.auth_refused())
            return
        client.authenticated = True
        client.socket.still_good = lambda: sessions.sid_is_good(user, sid)
        client.socket.send(sfeed.auth_reply(sfeed.AUTH_OK_PRODUCTION))

    def _event(self, client: _SfeedClient, event: str, tokens: str, body: dict[str, object]) -> None:
        verb = next((v for v in ("unsubscribe", "subscribe", "snapshot") if event.startswith(v)), "")
        what = event.removeprefix(verb)
        if verb and what == "Exchange":
            self._market_status(client, wanted=verb == "subscribe")
            return
        level = sfeed.EVENTS.get(what)
        if not verb or level is None:
            log.warning("SFeed client sent an unknown event %r", event[:40])
            return
        found = {key: listing for key in tokens.split(",") if (listing := self._find(key, level))}
        if verb == "unsubscribe":
            for listing in found.values():
                self._drop(client, listing, {level})
            return
        if verb == "subscribe":
            room = sfeed.MAX_TOKENS - client.count()
            found = dict(itertools.islice(found.items(), max(room, 0)))
            for listing in found.values():
                self._add(client, listing, level)
        if body.get("ack_symbol"):
            client.socket.send(sfeed.subscribe_ack({k: trading_symbol(x) for k, x in found.items()}))
        market = self._house.exchange.snapshot
        client.send([sfeed.packet(market(x), level, sequence=client.next_sequence()) for x in found.values()])

    def _find(self, key: str, level: sfeed.Level) -> Listing | None:
        """Indices by exact name, everything else by token."""
        seg, _, token = key.strip().partition("|")
        directory = self._house.directory
        return directory.index(seg, token) if level is sfeed.Level.INDEX else directory.by_token(seg, token)

    def _add(self, client: _SfeedClient, listing: Listing, level: sfeed.Level) -> None:
        key = _key(listing)
        if key not in client.wants:
            client.wants[key] = (listing, set())
            self._readers.setdefault(key, []).append(client)
            self._house.exchange.watch(listing)
        client.wants[key][1].add(level)

    def _drop(self, client: _SfeedClient, listing: Listing, levels: set[sfeed.Level]) -> None:
        key = _key(listing)
        if key not in client.wants:
            return
        wanted = client.wants[key][1]
        wanted -= levels
        if wanted:
            return
        del client.wants[key]
        self._readers[key].remove(client)
        if not self._readers[key]:
            del self._readers[key]
        self._house.exchange.unwatch(listing)

    def _market_status(self, client: _SfeedClient, *, wanted: bool) -> None:
        """One status packet per segment at subscription; the simulated market does not change state."""
        if not wanted:
            return
        now, hours = self._house.clock.now(), self._house.exchange.hours
        exchanges = {
            seg: name for name, seg in SEGMENT_OF.items() if seg in FUTURES_OF or not name.endswith("_INDEX")
        }
        packets = []
        for seg in sfeed.ANNOUNCED:
            is_open = hours.is_open(exchanges[seg], now)
            # the text is empty for most codes on the live feed
            status = (1, "OPEN") if is_open else (2, "")
            packets.append(sfeed.status_packet(seg, *status, sequence=client.next_sequence()))
        client.send(packets)

    def on_market(self, snapshots: list[Snapshot]) -> None:
        """A packet per changed listing and level; SFeed has no partial updates."""
        packets: dict[_SfeedClient, list[bytes]] = {}
        for snapshot in snapshots:
            for client in self._readers.get(_key(snapshot.listing), ()):
                for level in client.wants[_key(snapshot.listing)][1]:
                    made = sfeed.packet(snapshot, level, sequence=client.next_sequence())
                    packets.setdefault(client, []).append(made)
        for client, ready in packets.items():
            client.send(ready)
