"""HSM on the server's side: client frames in, connect replies, status replies and data frames out.

Bytes and values only; no socket. Big-endian; text one byte per character; 32-bit integers wrap as the
broker's do (a volume above 2**31-1 goes out negative).

Source: Kotak Neo client v2, ``HSWebSocketLib`` (frame builders and ``HSWrapper.parseData``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from brokers.errors import WireError
from brokers.sim.exchange.types import BookLevel, Snapshot
from brokers.sim.kotak.names import decimals

NO_VALUE = -(2**31)
"""``0x80000000``: unchanged in an update, absent in a snapshot."""

SCRIP_FIELDS = (
    "ftm0",
    "dtm1",
    "fdtm",
    "ltt",
    "v",
    "ltp",
    "ltq",
    "tbq",
    "tsq",
    "bp",
    "sp",
    "bq",
    "bs",
    "ap",
    "lo",
    "h",
    "lcl",
    "ucl",
    "yh",
    "yl",
    "op",
    "c",
    "oi",
    "mul",
    "prec",
)
INDEX_FIELDS = (
    "ftm0",
    "dtm1",
    "iv",
    "ic",
    "tvalue",
    "highPrice",
    "lowPrice",
    "openingPrice",
    "mul",
    "prec",
)
DEPTH_FIELDS = (
    "ftm0",
    "dtm1",
    "bp",
    "bp1",
    "bp2",
    "bp3",
    "bp4",
    "sp",
    "sp1",
    "sp2",
    "sp3",
    "sp4",
    "bq",
    "bq1",
    "bq2",
    "bq3",
    "bq4",
    "bs",
    "bs1",
    "bs2",
    "bs3",
    "bs4",
    "bno1",
    "bno2",
    "bno3",
    "bno4",
    "bno5",
    "sno1",
    "sno2",
    "sno3",
    "sno4",
    "sno5",
    "mul",
    "prec",
)
FIELDS = {"sf": SCRIP_FIELDS, "if": INDEX_FIELDS, "dp": DEPTH_FIELDS}

MAX_TOPICS_PER_FRAME = 100
MAX_TOPICS_PER_CHANNEL = 200
CHANNELS = range(1, 17)


class Type(IntEnum):
    """Request codes of the client."""

    CONNECT = 1
    THROTTLE = 2
    ACK = 3
    SUBSCRIBE = 4
    UNSUBSCRIBE = 5
    DATA = 6
    PAUSE = 7
    RESUME = 8
    SNAPSHOT = 9
    OPTION_CHAIN = 10


@dataclass(frozen=True, slots=True)
class Connect:
    """The first frame of a connection."""

    token: str
    sid: str
    source: str


@dataclass(frozen=True, slots=True)
class Topics:
    """Subscribe, unsubscribe or snapshot request. ``channel`` is 0 in snapshot requests, which carry none."""

    type: Type
    topics: tuple[str, ...]
    channel: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Data frames confirmed up to this one."""

    message_number: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """Slowest pace of updates asked for, milliseconds."""

    interval_ms: int


@dataclass(frozen=True, slots=True)
class Channels:
    """Pause or resume; ``channels`` from the bitmap (``1 << channel``)."""

    type: Type
    channels: tuple[int, ...]


Request = Connect | Topics | Ack | Throttle | Channels

_UNPREFIXED = {Type.THROTTLE, Type.PAUSE, Type.RESUME}


def parse(frame: bytes) -> Request:
    """Read one client frame.

    The official builder omits the length prefix of throttling, pause and resume frames (and adds two zero
    bytes); third parties send it. Both forms are read.

    Raises:
        WireError: Too short, unknown type, a field that does not fit, or a length that contradicts the frame.

    Source: kotak client v2 request builders; ``kotak-frames.json`` client frames.
    """
    if len(frame) >= 4 and int.from_bytes(frame[:2], "big") == len(frame) - 2:
        return _parse_body(frame, frame[2:])
    if frame and frame[0] in _UNPREFIXED:
        return _parse_body(frame, frame[:-2] if frame.endswith(b"\0\0") else frame)
    raise WireError(f"HSM frame of {len(frame)} bytes does not declare its length", frame)


def _parse_body(frame: bytes, body: bytes) -> Request:
    try:
        kind = Type(body[0])
    except ValueError as exc:
        raise WireError(f"HSM frame type {body[0]} is unknown", frame) from exc
    fields = _fields(frame, body)
    if kind is Type.CONNECT:
        text = {n: v.decode("latin-1") for n, v in fields.items()}
        return Connect(text.get(1, ""), text.get(2, ""), text.get(3, ""))
    if kind in (Type.SUBSCRIBE, Type.UNSUBSCRIBE):
        return Topics(kind, _topics(frame, fields.get(1)), int.from_bytes(fields.get(2, b"\0"), "big"))
    if kind is Type.SNAPSHOT:
        return Topics(kind, _topics(frame, fields.get(2)), 0)
    number = int.from_bytes(fields.get(1, b""), "big")
    if kind is Type.ACK:
        return Ack(number)
    if kind is Type.THROTTLE:
        return Throttle(number)
    if kind in (Type.PAUSE, Type.RESUME):
        # two 32-bit words, channels 33-64 first: as one 64-bit number the shift is the channel's own number
        return Channels(kind, tuple(c for c in CHANNELS if number >> c & 1))
    raise WireError(f"HSM frame type {kind.name} comes from servers only", frame)


def _fields(frame: bytes, body: bytes) -> dict[int, bytes]:
    if len(body) < 2:
        raise WireError("HSM frame ends before its field count", frame)
    found: dict[int, bytes] = {}
    at = 2
    for _ in range(body[1]):
        if at + 3 > len(body):
            raise WireError(f"HSM frame cut short in a field head at body byte {at}", frame)
        number, length = body[at], int.from_bytes(body[at + 1 : at + 3], "big")
        at += 3
        if at + length > len(body):
            raise WireError(f"HSM field {number} wants {length} bytes, {len(body) - at} are left", frame)
        found[number] = body[at : at + length]
        at += length
    return found


def _topics(frame: bytes, field: bytes | None) -> tuple[str, ...]:
    if field is None or len(field) < 2:
        raise WireError("HSM request without a topic list", frame)
    at, names = 2, []
    for _ in range(int.from_bytes(field[:2], "big")):
        if at >= len(field) or at + 1 + field[at] > len(field):
            raise WireError("HSM topic list cut short", frame)
        names.append(field[at + 1 : at + 1 + field[at]].decode("latin-1"))
        at += 1 + field[at]
    return tuple(names)


def _prefixed(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


def connect_reply(*, accepted: bool, ack_every: int | None = None, ack_bytes: int = 4) -> bytes:
    """Answer to a connect frame.

    Args:
        ack_every: Acknowledge every n-th data frame; 0 announces none; None leaves the field out.
        ack_bytes: Width of that number; clients honour the declared length.
    """
    verdict = b"K" if accepted else b"N"
    body = struct.pack(">BBBHc", Type.CONNECT, 1 if ack_every is None else 2, 1, 1, verdict)
    if ack_every is not None:
        body += struct.pack(">BH", 2, ack_bytes) + ack_every.to_bytes(ack_bytes, "big")
    return _prefixed(body)


def connect_reply_without_fields() -> bytes:
    """The malformed reply clients report as ``invalid field count`` (11002)."""
    return _prefixed(bytes((Type.CONNECT, 0)))


def status(kind: Type, *, ok: bool) -> bytes:
    """One-field answer to a request frame; it names no request, so order is all there is."""
    return _prefixed(struct.pack(">BBBHc", kind, 1, 1, 1, b"K" if ok else b"N"))


def _ints(values: Sequence[int | None]) -> bytes:
    packed = bytearray([len(values)])
    for value in values:
        packed += struct.pack(">I", (NO_VALUE if value is None else value) & 0xFFFFFFFF)
    return bytes(packed)


def snapshot_packet(
    topic_id: int, name: str, values: Sequence[int | None], strings: Sequence[tuple[int, str]]
) -> bytes:
    """A kind-``S`` packet with its sub-length in front.

    Args:
        strings: ``(id, text)``: 52 token, 53 segment, 54 trading symbol; clients filter by 52.
    """
    topic = name.encode("latin-1")
    body = struct.pack(">cIB", b"S", topic_id, len(topic)) + topic + _ints(values) + bytes([len(strings)])
    for number, text in strings:
        raw = text.encode("latin-1", "replace")
        body += bytes((number, len(raw))) + raw
    return _prefixed(body)


def update_packet(topic_id: int, values: Sequence[int | None]) -> bytes:
    """A kind-``U`` packet; None is "unchanged"; a shorter list is legal."""
    return _prefixed(struct.pack(">cI", b"U", topic_id) + _ints(values))


def data_frame(packets: Sequence[bytes], message_number: int | None = None) -> bytes:
    """Type-6 frame. ``message_number`` only when the connect reply announced acknowledgements."""
    head = bytes([Type.DATA])
    if message_number is not None:
        head += struct.pack(">I", message_number & 0xFFFFFFFF)
    return _prefixed(head + struct.pack(">H", len(packets)) + b"".join(packets))


def changes(before: Sequence[int | None], after: Sequence[int | None]) -> list[int | None]:
    """Only what moved; None where nothing did. Multiplier and precision never repeat (snapshot only)."""
    return [new if new != old else None for old, new in zip(before, after, strict=True)]


def identity(segment: str, token: str, symbol: str) -> list[tuple[int, str]]:
    """The three strings every snapshot carries."""
    return [(52, token), (53, segment), (54, symbol)]


def _scale(snapshot: Snapshot) -> int:
    return 100 if decimals(snapshot.listing) == 4 else 1


def year_range(snapshot: Snapshot) -> tuple[int, int]:
    """52-week high and low in paise.

    The exchange keeps no year; a fixed share of the listing's base keeps both steady over a run and outside
    the day's range.
    """
    base, tick = snapshot.listing.base_paise, max(snapshot.listing.tick_paise, 1)
    high = base * 5 // 4 // tick * tick
    low = max(tick, base * 3 // 4 // tick * tick)
    return max(high, snapshot.high_paise), min(low, snapshot.low_paise or low)


def scrip_values(snapshot: Snapshot) -> list[int | None]:
    """The 25 integers of an ``sf`` topic. A previous close of 0 goes out as absent: clients divide by it."""
    s, scale = snapshot, _scale(snapshot)
    bid = s.bids[0] if s.bids else BookLevel(0, 0, 0)
    ask = s.asks[0] if s.asks else BookLevel(0, 0, 0)
    high, low = year_range(s)
    now, traded = int(s.at.timestamp()), int(s.last_trade_at.timestamp())
    prices = {
        "ltp": s.ltp_paise,
        "bp": bid.price_paise,
        "sp": ask.price_paise,
        "ap": s.average_paise,
        "lo": s.low_paise,
        "h": s.high_paise,
        "lcl": s.lower_circuit_paise,
        "ucl": s.upper_circuit_paise,
        "yh": high,
        "yl": low,
        "op": s.open_paise,
    }
    values: dict[str, int | None] = {name: paise * scale for name, paise in prices.items()}
    values |= {
        "ftm0": s.listing.token % 900_000 + 100_000,  # not a time: values near 10^5-10^6 were seen
        "dtm1": 10_000_000 + s.listing.token % 1_000_000,
        "fdtm": now,
        "ltt": traded,
        "v": s.volume,
        "ltq": s.last_quantity,
        "tbq": s.total_buy,
        "tsq": s.total_sell,
        "bq": bid.quantity,
        "bs": ask.quantity,
        "c": s.prev_close_paise * scale or None,
        "oi": s.oi,
        "mul": 1,
        "prec": decimals(s.listing),
    }
    return [values[name] for name in SCRIP_FIELDS]


def index_values(snapshot: Snapshot) -> list[int | None]:
    """The 10 integers of an ``if`` topic."""
    s = snapshot
    values: dict[str, int | None] = {
        "ftm0": 5,
        "dtm1": 1,
        "iv": s.ltp_paise,
        "ic": s.prev_close_paise or None,
        "tvalue": int(s.at.timestamp()),
        "highPrice": s.high_paise,
        "lowPrice": s.low_paise,
        "openingPrice": s.open_paise,
        "mul": 1,
        "prec": decimals(s.listing),
    }
    return [values[name] for name in INDEX_FIELDS]


def depth_values(snapshot: Snapshot) -> list[int | None]:
    """The 34 integers of a ``dp`` topic: five levels a side, no last price."""
    scale = _scale(snapshot)
    bids, asks = _five(snapshot.bids), _five(snapshot.asks)
    return [
        2,
        1,
        *(level.price_paise * scale for level in bids),
        *(level.price_paise * scale for level in asks),
        *(level.quantity for level in bids),
        *(level.quantity for level in asks),
        *(level.orders for level in bids),
        *(level.orders for level in asks),
        1,
        decimals(snapshot.listing),
    ]


def _five(levels: Iterable[BookLevel]) -> list[BookLevel]:
    return [*levels, *[BookLevel(0, 0, 0)] * 5][:5]


VALUES = {"sf": scrip_values, "if": index_values, "dp": depth_values}
