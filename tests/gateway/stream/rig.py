"""A whole feed side on free ports: real database, real sockets, ticks made by hand."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop
import zmq
from websockets.asyncio.client import ClientConnection, connect

from brokers.clock import SystemClock
from brokers.contract import FeedSink
from brokers.model import (
    Depth,
    FeedCounters,
    FeedState,
    Instrument,
    InstrumentKey,
    Level,
    Mode,
    Tick,
    Venue,
)
from brokers.secret import Secret
from gateway.keys import Keys
from gateway.scopes import Grant
from gateway.settings import StreamRules
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.stream.badframes import BadFrames
from gateway.stream.bus import Bus
from gateway.stream.client import Facts
from gateway.stream.door import Gate, listening_socket
from gateway.stream.fanout import Fanout
from gateway.stream.hub import Around, Hub
from gateway.stream.orders import OrderChannel
from gateway.stream.server import ServerRules, StreamServer
from gateway.stream.standing import Standing, Topics
from gateway.stream.upstream import Upstream
from tests.ports import free_ports

TODAY = date(2026, 11, 20)
PEPPER = Secret("pepper-of-the-tests-0123456789abcdef")


def instrument(
    exchange: str, symbol: str, tick: str = "0.05", *, display: str = "", token: str = "", **more: Any
) -> Instrument:
    return Instrument(
        key=InstrumentKey(exchange, symbol),
        token=token or str(abs(hash((exchange, symbol))) % 10**7),
        broker_exchange=exchange,
        broker_symbol=symbol,
        name=symbol,
        instrument_type="INDEX" if exchange.endswith("_INDEX") else "EQ",
        lot_size=1,
        tick_size=Decimal(tick),
        display_name=display or symbol,
        **more,
    )


SBIN = instrument("NSE", "SBIN", token="3045", display="State Bank of India")
INSTRUMENTS = [
    SBIN,
    instrument("NSE", "RELIANCE", "0.1", token="2885"),
    instrument("NSE", "M&M", token="2031"),
    instrument("NSE", "BAJAJ-AUTO", "1", token="16669"),
    instrument("NSE", "TCS", token="11536"),
    instrument("NSE_INDEX", "NIFTY", "0", token="13", display="Nifty 50"),
    instrument("CDS", "USDINR27NOV26FUT", "0.0025", token="77"),
    instrument("CRYPTO", "SOL_INR", "0.01", token="5"),
    instrument("NFO", "NIFTY24NOV2626000CE", token="41", display="NIFTY 24 NOV 26000 CALL"),
]


def tick(key: InstrumentKey, ltp: float = 800.0, mode: Mode = Mode.DEPTH, **more: Any) -> Tick:
    """A rich tick; depth is one level a side unless told otherwise."""
    book = Depth((Level(ltp - 0.05, 10, 1),), (Level(ltp + 0.05, 20, 2),))
    facts: dict[str, Any] = {
        "last_trade_ms": 1795150000000,
        "volume": 1000,
        "prev_close": 790.0,
        "depth": (lambda: book) if mode is Mode.DEPTH else None,
        **more,
    }
    return Tick(key=key, mode=mode, received_ns=time.time_ns(), ltp=ltp, **facts)


@dataclass
class HandFeed:
    """A broker feed made by hand: remembers what is wanted; the test says when a tick comes."""

    sink: FeedSink
    counters: FeedCounters = field(default_factory=FeedCounters)
    wanted: dict[InstrumentKey, Mode] = field(default_factory=dict)
    calls: list[tuple[InstrumentKey, Mode | None]] = field(default_factory=list)

    async def run(self) -> None:
        self.sink.on_state(FeedState.LIVE, "")
        await asyncio.Event().wait()

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        self.calls.append((instrument.key, mode))
        if mode is None:
            self.wanted.pop(instrument.key, None)
        else:
            self.wanted[instrument.key] = mode


class DatabaseKeys:
    """The rig's ``KeyCheck`` over the real key table."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def verify(self, text: str) -> Grant | None:
        row = self._keys.verify(text)
        return Grant(row.id, row.scopes) if row else None

    def live(self) -> frozenset[int] | None:
        return frozenset(row.id for row in self._keys.list() if row.revoked_at is None)


@dataclass
class Rig:
    """What a test holds."""

    ws_port: int
    zmq_port: int
    key: str
    key_id: int
    keys: Keys
    table: InstrumentStore
    fanout: Fanout
    server: StreamServer
    bus: Bus
    upstream: Upstream
    zmq_standing: Standing

    @property
    def feed(self) -> HandFeed:
        assert isinstance(self.upstream.feed, HandFeed)
        return self.upstream.feed

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}"

    def send(self, exchange: str, symbol: str, ltp: float = 800.0, **more: Any) -> None:
        self.upstream.on_tick(tick(InstrumentKey(exchange, symbol), ltp, **more))

    @asynccontextmanager
    async def client(self, **more: Any) -> AsyncIterator[ClientConnection]:
        """A client that has shown its key."""
        async with connect(self.url, compression=None, proxy=None, **more) as socket:
            answer = await ask(socket, action="authenticate", api_key=self.key)
            assert answer["status"] == "success", answer
            yield socket


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on the loop the product runs on."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())

    return run


@asynccontextmanager
async def running(
    path: Path,
    *,
    limits: StreamRules | None = None,
    rules: ServerRules | None = None,
    extra: Iterable[Instrument] = (),
    high_water: int = 50_000,
    orders: OrderChannel | None = None,
    feed: Callable[[FeedSink], Any] | None = None,
    instruments: Iterable[Instrument] = INSTRUMENTS,
) -> AsyncIterator[Rig]:
    """Everything but the broker and the api process."""
    clock = SystemClock()
    database = engine.open(path / "openalgo_test.db", Venue.SIM)
    table, keys = InstrumentStore(database, clock), Keys(database, PEPPER, clock)
    table.swap([*instruments, *extra], TODAY)
    key_id, secret = keys.create("test")
    limits = limits or StreamRules(15.0, 1024, 20.0, 20.0, 1000)
    [zmq_port] = free_ports(1)
    bad = BadFrames(path / "bad.jsonl", lambda: datetime.now(UTC))
    upstream = Upstream(on_order=lambda u: None, on_new_order=lambda u: None, bad_frames=bad)
    fanout = Fanout(
        Hub(limits.max_symbols, "dhan", {20: frozenset({"NSE"}), 200: frozenset({"NSE"})}),
        want=upstream.want,
        table=lambda: table,
        monotonic=clock.monotonic,
    )
    upstream.join(fanout)
    standing = Standing(fanout, "zmq")
    topics = Topics(standing)
    bus = Bus(topics.heard, high_water=high_water)
    fanout.attach(bus)
    sock = listening_socket("127.0.0.1", 0)
    ws_port = sock.getsockname()[1]
    pages = {"/health/live": lambda: (200, {"status": "ok"})}

    def around() -> Around:
        up = upstream.state is FeedState.LIVE
        reason = "" if up else upstream.reason or upstream.state.value
        return Around(clock.monotonic(), clock.time_ns(), reason, lambda exchange: True, 60.0)

    facts = Facts("dhan", "dhan", lambda: "connected", around, pages)
    gate = Gate(("127.0.0.1", "localhost"), (5001, ws_port))
    server = StreamServer(fanout, DatabaseKeys(keys), gate, facts, clock, limits, rules, orders=orders)
    bus.bind("127.0.0.1", zmq_port)
    await server.start(sock)
    tasks = [asyncio.create_task(upstream.run(feed or HandFeed)), asyncio.create_task(topics.run())]
    await until(lambda: upstream.feed is not None)
    try:
        yield Rig(
            ws_port,
            zmq_port,
            secret.reveal(),
            key_id,
            keys,
            table,
            fanout,
            server,
            bus,
            upstream,
            standing,
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()
        bus.close()
        database.close()


async def ask(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send one message and return its answer; ticks that come first are skipped."""
    await socket.send(msgspec.json.encode(message).decode())
    while True:
        answer = await hear(socket)
        if answer.get("type") != "market_data":
            return answer


async def hear(socket: ClientConnection, within_s: float = 10.0) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        return dict(msgspec.json.decode(await socket.recv()))


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def subscriber(port: int, *topics: str) -> AsyncIterator[zmq.Socket[bytes]]:
    """A plain ZeroMQ SUB socket, as any program would open it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.connect(f"tcp://127.0.0.1:{port}")
    for topic in topics:
        socket.setsockopt_string(zmq.SUBSCRIBE, topic)
    try:
        yield socket
    finally:
        socket.close(0)
        context.term()


async def next_message(socket: zmq.Socket[bytes], within_s: float = 10.0) -> tuple[str, dict[str, Any]]:
    async with asyncio.timeout(within_s):
        while not socket.poll(0):
            await asyncio.sleep(0.005)
    topic, payload = socket.recv_multipart()
    return topic.decode(), msgspec.json.decode(payload)


def limits(**changes: Any) -> StreamRules:
    return replace(StreamRules(15.0, 1024, 20.0, 20.0, 1000), **changes)
