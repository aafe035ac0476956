"""Plays a recording into a throw-away instance: ``python -m gateway.stream.replay RECORDING``.

The broker's own feed code gets the recorded messages with their recorded times, and everything behind it is
the product's: merged state, hub, encoder, WebSocket server and ZeroMQ bus on free ports. Nothing is written,
no broker is called. The ticks are byte for byte those of the recorded session.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import logging
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

from brokers import registry
from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import SystemClock
from brokers.contract import BrokerContext, BrokerSession, FeedSink
from brokers.errors import LoginRequired
from brokers.feedloop import AuthRefused, Reconnect, ReplayableFeed, SocketHandler
from brokers.model import FeedState, InstrumentKey, OrderUpdate, Tick
from brokers.secret import Secret
from gateway.settings import StreamRules
from gateway.stream import recording
from gateway.stream.bus import Bus
from gateway.stream.client import Facts
from gateway.stream.door import Gate, listening_socket
from gateway.stream.fanout import Fanout, Holder
from gateway.stream.hub import Around, Book, Channel, Hub
from gateway.stream.recording import ChannelMark, Event, Header, Kind, Reading, RecordingError, WantMark
from gateway.stream.server import StreamServer
from gateway.stream.standins import OneKey, PlayedSocket, RecordedTable, Unkept
from gateway.stream.topics import Name
from gateway.stream.upstream import Upstream

log = logging.getLogger(__name__)

LOGIN_S = 5.0
BREATHE = 50
"""Events played at full speed before the rest of the loop gets a turn."""


class Player:
    """The holder of every recorded channel.

    Args:
        out: Gets each message as a line of JSON, as clients get it.
    """

    listens = True

    def __init__(self, out: IO[bytes] | None) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self.messages = 0

    def push(self, channel: Channel[Holder], frame: bytes) -> None:
        body = frame[frame.index(b"{") :]
        self.messages += 1
        self._digest.update(body)
        self._digest.update(b"\n")
        if self._out is not None:
            self._out.write(body + b"\n")

    def refused(self, channel: Channel[Holder], reason: str) -> None:
        log.info("%s:%s was refused: %s", channel.name.exchange, channel.name.symbol, reason)

    @property
    def digest(self) -> str:
        """SHA-256 over all messages in order, one a line."""
        return self._digest.hexdigest()


class Sink:
    """What the played feed tells: ticks go on, states come from the recording alone."""

    def __init__(self, upstream: Upstream) -> None:
        self.on_tick: Callable[[Tick], None] = upstream.on_tick
        self.on_book: Callable[[InstrumentKey, int, Book | None, int], None] = upstream.on_book
        self.on_bad_frame: Callable[[bytes, str], None] = upstream.on_bad_frame
        self.on_refused: Callable[[InstrumentKey, str], None] = upstream.on_refused

    def on_order(self, update: OrderUpdate) -> None:
        """Order sockets are not recorded."""

    def on_state(self, state: FeedState, reason: str) -> None:
        """The recording says what the states were."""


@dataclass(slots=True)
class Played:
    """What a replay did. ``ended``: login handshakes and messages that ended a connection."""

    frames: int = 0
    ticks: int = 0
    lost: int = 0
    ended: int = 0
    began_ns: int = 0
    ended_ns: int = 0
    torn: dict[str, str] = field(default_factory=dict)


class Replay:
    """Recorded events -> the product's own path from a feed's frame to its consumers."""

    def __init__(self, header: Header, player: Player) -> None:
        self.header = header
        self.player = player
        self.table = RecordedTable()
        spec = registry.spec(header.broker)
        self.bad_frames = Unkept()
        self.upstream = Upstream(on_order=_ignore, on_new_order=_ignore, bad_frames=self.bad_frames)
        self.fanout = Fanout(
            Hub(1_000_000, header.broker, spec.capabilities.book_levels),
            # what the played feed is asked comes from the recording, not from who watches the replay
            want=_ignore,
            table=lambda: self.table,
            monotonic=time.monotonic,
        )
        self.upstream.join(self.fanout)
        self.calendar: Calendar = AlwaysOpen() if header.calendar == "always" else FileCalendar()
        self._sockets: dict[str, tuple[PlayedSocket, asyncio.Task[None]]] = {}
        self.played = Played()

    async def play(self, event: Event) -> None:
        """Carry out one event."""
        self.played.ended_ns = event.at_ns
        self.played.began_ns = self.played.began_ns or event.at_ns
        match event.kind:
            case Kind.FRAME:
                await self._frame(event)
            case Kind.LOGIN:
                if event.socket in self._sockets:
                    self._sockets[event.socket][0].put(event.value)
            case Kind.WANT:
                self._want(event.value)
            case Kind.CHANNEL:
                self._channel(event.value)
            case Kind.STATE:
                self.upstream.on_state(FeedState(event.value[0]), event.value[1])
            case Kind.FEED:
                await self.close()
                self.upstream.feed = self._make()
            case Kind.OPENED:
                await self._opened(event.socket)
            case Kind.CLOSED:
                await self._closed(event.socket)
            case Kind.LOST:
                self.played.lost += event.value
            case _:
                pass

    async def close(self) -> None:
        """End every played connection."""
        for name in list(self._sockets):
            await self._closed(name)

    def _make(self) -> Any:
        spec = registry.spec(self.header.broker)
        context = BrokerContext(
            credentials={one.env: Secret("replay") for one in spec.credentials},
            endpoints=dict.fromkeys(spec.sim_paths, "ws://127.0.0.1:9"),
            options=self.header.options,
            clock=SystemClock(),
            instruments=self.table,
            calendar=self.calendar,
        )
        sink = cast(FeedSink, Sink(self.upstream))
        return registry.open_broker(self.header.broker).feed(context, _no_session, sink)

    def _want(self, mark: WantMark) -> None:
        self.table.add(mark.instrument)
        self.fanout.hub.replace(mark.instrument)
        self.upstream.want(mark.want())

    def _channel(self, mark: ChannelMark) -> None:
        hub, name = self.fanout.hub, mark.name
        holder = cast(Holder, self.player)
        if mark.seq < 0:
            hub.unsubscribe(holder, name)
            return
        self.table.add(mark.instrument)
        hub.subscribe(holder, name, mark.instrument, time.monotonic()).channel.seq = mark.seq

    def _handler(self, name: str) -> SocketHandler | None:
        feed = cast(ReplayableFeed | None, self.upstream.feed)
        return feed.handler(name) if feed is not None else None

    async def _opened(self, name: str) -> None:
        handler = self._handler(name)
        if handler is None:
            raise RecordingError(f"the recording opens {name!r}, which this program's feed does not have")
        await self._closed(name)
        socket = PlayedSocket()
        login = asyncio.create_task(handler.opened(cast(Any, socket), _session(self.header)))
        self._sockets[name] = (socket, login)
        await asyncio.sleep(0)

    async def _frame(self, event: Event) -> None:
        handler, socket = self._handler(event.socket), self._sockets.get(event.socket)
        if handler is None or socket is None:
            raise RecordingError(f"a message of {event.socket!r}, which was never opened")
        self.played.frames += 1
        try:
            if not socket[1].done():
                await asyncio.wait_for(asyncio.shield(socket[1]), LOGIN_S)
            socket[1].result()
            handler.frame(event.value, event.at_ns)
        except (AuthRefused, Reconnect, TimeoutError) as exc:
            # as in the session itself: what follows in the recording is its end
            self.played.ended += 1
            log.info("%s: %s", event.socket, exc)

    async def _closed(self, name: str) -> None:
        socket = self._sockets.pop(name, None)
        if socket is None:
            return
        socket[1].cancel()
        with contextlib.suppress(asyncio.CancelledError, AuthRefused, Reconnect):
            await socket[1]
        handler = self._handler(name)
        if handler is not None:
            handler.closed()


def _ignore(_: object) -> None:
    """Nothing to do."""


async def _no_session(_: int) -> BrokerSession:
    raise LoginRequired("a replay has no broker session")


def _session(header: Header) -> BrokerSession:
    names = ("token", "sid", "view_token", "view_sid")
    attributes = {"ucc": "REPLAY"}
    now = datetime.now(UTC)
    played = {name: Secret("replay") for name in names}
    return BrokerSession(header.broker, "REPLAY", played, attributes, now, now + timedelta(days=1), 1)


async def play_all(
    path: Path,
    replay: Replay,
    *,
    speed: float | None,
    behind: Callable[[], bool] = lambda: False,
) -> Played:
    """Play a whole recording.

    Args:
        speed: 1 keeps the recorded times, 10 is ten times faster, None as fast as possible.
        behind: At full speed, whether a consumer has to be waited for.

    Raises:
        RecordingError: It cannot be read, or not by this program.
    """
    reading, began = Reading(), time.monotonic()
    for number, event in enumerate(recording.read(path, reading)):
        if speed is None:
            if number % BREATHE == 0:
                await asyncio.sleep(0)
                while behind():
                    await asyncio.sleep(0.001)
        else:
            first_ns = replay.played.began_ns or event.at_ns
            wait_s = (event.at_ns - first_ns) / 1e9 / speed - (time.monotonic() - began)
            if wait_s > 0.001:
                await asyncio.sleep(wait_s)
        await replay.play(event)
    await replay.close()
    replay.played.ticks = replay.fanout.counts.ticks
    replay.played.torn = reading.torn
    return replay.played


# the throw-away instance -------------------------------------------------------------------------------


def header_of(path: Path) -> Header:
    """The header of a recording. Raises ``RecordingError``."""
    return cast(Header, next(recording.read(path)).value)


async def run(args: argparse.Namespace) -> int:
    header = header_of(args.recording)
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(args.out.open("wb")) if args.out else None
        replay = Replay(header, Player(out))
        for event in recording.read(args.recording):
            if event.kind in (Kind.WANT, Kind.CHANNEL):
                replay.table.add(event.value.instrument)
        server, bus = await _serve(replay, args)
        try:
            while len(server.clients) + bus.subscriptions < args.wait_for:
                await asyncio.sleep(0.05)
            played = await play_all(
                args.recording,
                replay,
                speed=None if args.speed == "max" else float(args.speed),
                behind=lambda: any(client.outbox.behind for client in server.clients),
            )
            await asyncio.sleep(0.05)
        finally:
            await server.stop()
            bus.close()
    return report(header, replay, played)


async def _serve(replay: Replay, args: argparse.Namespace) -> tuple[StreamServer, Bus]:
    key = secrets.token_hex(32)
    sock = listening_socket("127.0.0.1", args.ws_port)
    ws_port = sock.getsockname()[1]
    bus = Bus(_heard)
    bus.bind("127.0.0.1", args.zmq_port)
    replay.fanout.attach(bus)

    def around() -> Around:
        return Around(time.monotonic(), time.time_ns(), "", lambda _: True, 1e9)

    facts = Facts(replay.header.broker, replay.header.instance, lambda: "connected", around)
    rules = StreamRules(15.0, 1_000_000, 60.0, 60.0, 1_000_000)
    gate = Gate(("127.0.0.1", "localhost"), (ws_port,))
    server = StreamServer(replay.fanout, OneKey(key), gate, facts, SystemClock(), rules)
    await server.start(sock)
    sys.stdout.write(
        f"WebSocket ws://127.0.0.1:{ws_port}  ZeroMQ tcp://127.0.0.1:{bus.port}  API key {key}\n"
    )
    sys.stdout.flush()
    return server, bus


def _heard(name: Name, joined: bool) -> None:
    """A ZeroMQ subscriber: the channels are those of the recording."""


def report(header: Header, replay: Replay, played: Played) -> int:
    span_s = (played.ended_ns - played.began_ns) / 1e9
    lines = [
        f"{header.instance} ({header.broker}, {header.venue}), {span_s:.1f} s recorded "
        f"{datetime.fromtimestamp(header.started_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{played.frames} frames, {played.ticks} ticks, {replay.player.messages} messages, "
        f"{replay.bad_frames.count} unreadable frames",
        f"sha256 of the messages: {replay.player.digest}",
    ]
    if played.lost:
        lines.append(f"{played.lost} frames were lost while recording (the disk was too slow)")
    lines += [f"{name} is torn: {why}" for name, why in played.torn.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.stream.replay", description=__doc__)
    parser.add_argument("recording", type=Path, help="its folder or any of its segments")
    parser.add_argument("--speed", default="1", help="a factor, or max")
    parser.add_argument("--out", type=Path, help="write every message there, one a line")
    parser.add_argument("--ws-port", type=int, default=0)
    parser.add_argument("--zmq-port", type=int, default=0)
    parser.add_argument("--wait-for", type=int, default=0, help="begin when so many consumers are here")
    args = parser.parse_args(argv)
    if args.speed != "max":
        try:
            if not float(args.speed) > 0:
                raise ValueError
        except ValueError:
            parser.error("--speed is a number above 0, or max")
    return args


def main(argv: list[str] | None = None) -> int:
    """Exit code 1 when the recording cannot be read."""
    args = parse(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        return asyncio.run(run(args))
    except (RecordingError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
