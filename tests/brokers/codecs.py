"""Every codec of the broker feeds as a target for fuzzing: what it takes, and the errors it may answer with.

Used by the suite (``test_fuzz_codecs.py``) and by ``scripts/fuzz_codecs`` (atheris).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from brokers import registry
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.contract import BrokerContext
from brokers.dhan.wire import depth as dhan_depth
from brokers.dhan.wire import market as dhan
from brokers.dhan.wire import orders as dhan_orders
from brokers.errors import WireError
from brokers.feedloop import AuthRefused, Reconnect
from brokers.kotak.wire import hsm, orders, sfeed
from brokers.model import Instrument, InstrumentKey, Mode, Tick
from brokers.sim.dhan.feed import read_request
from brokers.sim.kotak import hsm as sim_hsm
from gateway.stream.encode import Coder
from gateway.stream.recording import Parser, RecordingError
from gateway.stream.topics import Name
from tests.brokers.kotak.vectors import ORDER_FEED, SCENARIOS, SFEED

AT_NS = 1_790_000_000_000_000_000
_PACKETS = json.loads((Path(__file__).parent / "dhan" / "data" / "dhan-packets.json").read_text())["vectors"]


@dataclass(frozen=True)
class Codec:
    """``read`` decodes everything of a frame, lazy parts too; only ``errors`` may come out of it."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = (WireError,)


def read_dhan(frame: bytes) -> None:
    for packet in dhan.split(frame):
        if isinstance(packet, dhan.FullPacket | dhan.V1Depth):
            dhan.depth5(packet.depth_raw)
            dhan.rows5(packet.depth_raw)


def read_book(levels: int) -> Callable[[bytes], None]:
    def read(frame: bytes) -> None:
        for side in dhan_depth.split(frame, levels):
            if isinstance(side, dhan_depth.Side):
                assert len(side.levels()) <= levels
                _ = side.side

    return read


def read_sfeed(frame: bytes) -> None:
    for packet in sfeed.split(frame):
        found = sfeed.decode(packet, sfeed.DIVIDERS)
        if isinstance(found, sfeed.Picture):
            found.best()
            book, rows = found.depth(), found.rows()
            assert [len(side) for side in book] == [len(side) for side in rows]


def read_hsm(frame: bytes) -> None:
    """Announced topics first, so that a mutated update has something to change; numbered by odd length."""
    decoder = hsm.Decoder()
    for known in _ANNOUNCED[:2]:
        list(decoder.read(known))
    decoder.ack_every = len(frame) % 2
    for event in decoder.read(frame):
        if isinstance(event, hsm.Topic):
            for index in range(len(event.raw)):
                event.price(index)
                event.count(index)
    decoder.due_acknowledgement()


def read_recording(data: bytes) -> None:
    list(Parser().feed(data))


_SERVER = [
    bytes.fromhex(step["hex"])
    for scenario in SCENARIOS.values()
    for step in scenario["steps"]
    if step["dir"] == "server_to_client"
]


def _topics(frame: bytes) -> list[hsm.Topic]:
    """What an unnumbered data frame announces; nothing for every other frame."""
    try:
        return [event for event in hsm.Decoder().read(frame) if isinstance(event, hsm.Topic)]
    except WireError:
        return []


_CLIENT = [
    bytes.fromhex(step["hex"])
    for scenario in SCENARIOS.values()
    for step in scenario["steps"]
    if step["dir"] == "client_to_server"
]
_ANNOUNCED = [frame for frame in _SERVER if _topics(frame)]
_UPDATES = [frame for frame in _SERVER if frame[2] == hsm.DATA and frame not in _ANNOUNCED]
_BOOKS = {
    feed: tuple(bytes.fromhex(v["hex"]) for v in _PACKETS if v["feed"] == feed)
    for feed in ("depth20", "depth200")
}
_LIVE = tuple(bytes.fromhex(v["hex"]) for v in _PACKETS if v["feed"] == "live")
_SFEED = tuple(bytes.fromhex(f["hex"]) for f in SFEED.values())
_ALERT = b'{"Type":"order_alert","Data":{"orderNo":"1","status":"TRADED","quantity":5}}'
_REQUEST = b'{"RequestCode":21,"InstrumentList":[{"ExchangeSegment":"NSE_EQ","SecurityId":"1333"}]}'
_CONTROL = (
    b'{"message_code":1117,"exchanges":{"nse_cm":{"value":1,"divider":100}},"format":"native_batch"}',
    b'{"message_code":1109,"trading_symbols":{"nse_cm|11536":"TCS-EQ"}}',
)

CODECS = (
    Codec("dhan live feed", read_dhan, _LIVE),
    Codec("dhan 20 levels", read_book(20), _BOOKS["depth20"]),
    Codec("dhan 200 levels", read_book(200), _BOOKS["depth200"]),
    Codec("dhan order updates", dhan_orders.read, (_ALERT,)),
    Codec("kotak sfeed", read_sfeed, _SFEED),
    Codec("kotak sfeed control", sfeed.read_control, _CONTROL),
    Codec("kotak hsm", read_hsm, tuple(_SERVER)),
    Codec("kotak order feed", orders.read, tuple(text.encode() for text in ORDER_FEED.values())),
    Codec("simulated dhan requests", lambda frame: read_request(frame.decode()), (_REQUEST,), (ValueError,)),
    Codec("simulated kotak hsm requests", sim_hsm.parse, tuple(_CLIENT)),
    Codec("recording", read_recording, (b"\x08" + bytes(8) + b"\x03\0\0\0\0\0x",), (RecordingError,)),
)


def mutated(source: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """A seed bent in one of the ways a wire bends: bytes, cuts, joins, lengths, noise."""
    frame = bytearray(source.choice(seeds))
    match source.randrange(7):
        case 0:
            return source.randbytes(source.randrange(200))
        case 1:
            return bytes(frame[: source.randrange(len(frame) + 1)])
        case 2:
            return bytes(frame) + source.randbytes(source.randrange(1, 40))
        case 3:
            return bytes(frame) + source.choice(seeds)
        case 4 if frame:
            at = source.randrange(len(frame))
            frame[at : at + source.randrange(1, 9)] = source.randbytes(source.randrange(9))
        case 5 if frame:
            extreme = source.choice(
                (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff", b"\x80", b"\0\0\xc0\x7f")
            )
            at = source.randrange(len(frame))
            frame[at : at + len(extreme)] = extreme
        case _:
            for _ in range(source.randint(1, 6)):
                if frame:
                    frame[source.randrange(len(frame))] = source.randrange(256)
    return bytes(frame)


# --- whole feeds: a socket handler and everything up to the encoded message ---


class Sink:
    """Encodes every tick in every mode, as for consumers."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self._coders = {
            i.key: [Coder(Name(i.key.exchange, i.key.symbol, mode), i, "fuzz") for mode in Mode]
            for i in instruments
        }
        self.ticks = self.bad = self.not_numbers = 0

    def on_tick(self, tick: Tick) -> None:
        self.ticks += 1
        try:
            for coder in self._coders[tick.key]:
                coder.payload(tick, 1)
        except (ValueError, OverflowError):
            # what ``Fanout.publish`` counts and drops: a price that is no number
            self.not_numbers += 1

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad += 1

    def on_order(self, update: object) -> None: ...

    def on_book(self, key: InstrumentKey, levels: int, book: Any, received_ns: int) -> None:
        if book is not None:
            book()

    def on_state(self, state: object, reason: str) -> None: ...

    def on_refused(self, key: InstrumentKey, reason: str) -> None: ...


class Nobody:
    def by_key(self, key: InstrumentKey) -> None: ...

    def by_token(self, broker_exchange: str, token: str) -> None: ...

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> None: ...


def _instrument(symbol: str, token: str, segment: str) -> Instrument:
    key = InstrumentKey("NSE", symbol)
    return Instrument(key, token, segment, symbol, "Fuzz", "EQ", 1, Decimal("0.05"), date(2030, 1, 1))


def _kotak_names() -> set[tuple[str, str]]:
    """Every segment and token of Kotak's golden frames."""
    found = {(topic.segment, topic.token) for frame in _ANNOUNCED for topic in _topics(frame)}
    for frame in _SFEED:
        try:
            decoded = [sfeed.decode(packet, sfeed.DIVIDERS) for packet in sfeed.split(frame)]
        except WireError:
            continue
        found |= {
            (one.segment, one.token)
            for one in decoded
            if isinstance(one, sfeed.Picture | sfeed.Mini | sfeed.Index)
        }
    return found


def feed_handlers() -> Iterator[tuple[str, Any, Sink, tuple[bytes, ...]]]:
    """Market socket handlers of both brokers that know every instrument the golden frames speak of."""
    segments = {v["expected"]["exchange_segment"] for v in _PACKETS if v["feed"] == "live"}
    ids = {
        v["expected"]["security_id"]
        for v in _PACKETS
        if v["feed"] == "live" and "security_id" in v["expected"]
    }
    dhan_rows = [
        _instrument(f"S{segment}-{number}", str(number), name)
        for segment, name in dhan.SEGMENTS.items()
        if segment in segments
        for number in ids
    ]
    kotak_rows = [
        _instrument(f"K{segment}-{token}", token, segment) for segment, token in sorted(_kotak_names())
    ]
    for broker, rows, sockets in (
        ("dhan", dhan_rows, {"market 1": _LIVE}),
        ("kotak", kotak_rows, {"sfeed": _SFEED, "hsm": (*_ANNOUNCED, *_UPDATES)}),
    ):
        for name, seeds in sockets.items():
            sink = Sink(rows)
            spec = registry.spec(broker)
            context = BrokerContext(
                credentials={},
                endpoints=dict.fromkeys(spec.sim_paths, "ws://127.0.0.1:9"),
                options=spec.options,
                clock=SystemClock(),
                instruments=Nobody(),  # type: ignore[arg-type]
                calendar=AlwaysOpen(),
            )
            feed: Any = registry.open_broker(broker).feed(context, None, sink)  # type: ignore[arg-type]
            for row in rows:
                feed.want(row, Mode.DEPTH)
            yield f"{broker} {name}", feed.handler(name), sink, seeds


async def play(handler: Any, frame: bytes) -> None:
    try:
        handler.frame(frame, AT_NS)
    except (AuthRefused, Reconnect):
        handler.closed()


def fuzz_feeds(count: int, seed: int) -> dict[str, Sink]:
    """``count`` mutated frames through each handler; what became of them by handler."""

    async def run() -> dict[str, Sink]:
        found = {}
        for name, handler, sink, seeds in feed_handlers():
            source = random.Random(seed)
            for frame in seeds:
                await play(handler, frame)
            for _ in range(count):
                await play(handler, mutated(source, seeds))
            found[name] = sink
        return found

    return asyncio.run(run())
