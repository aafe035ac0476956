"""HSM, the older market feed: big-endian frames, topics announced once and then only their changes.

Client frames start with a u16 that counts the bytes after it. In server frames that number is ignored, as the
official client does: nobody published what it counts.

Source: kotak-wire.md section 4 (field tables, sizes), kotak-frames.json (golden vectors).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from brokers.errors import WireError

NO_VALUE = -(2**31)
TOPICS_PER_FRAME = 100
TOPICS_PER_CHANNEL = 200
CHANNELS = range(2, 17)
"""Channels a subscription may use; channel 1 is the official client's for one-shot snapshots."""

CONNECT, THROTTLE, ACK, SUBSCRIBE, UNSUBSCRIBE, DATA, PAUSE, RESUME, SNAPSHOT, OPTION_CHAIN = range(1, 11)
STATUS_TYPES = frozenset({SUBSCRIBE, UNSUBSCRIBE, PAUSE, RESUME, SNAPSHOT, OPTION_CHAIN})

_S_KIND, _U_KIND = 83, 85
_LEVELS = ("", "1", "2", "3", "4")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "sf": (
        *("ftm0", "dtm1", "fdtm", "ltt", "v", "ltp", "ltq", "tbq", "tsq", "bp", "sp", "bq", "bs", "ap"),
        *("lo", "h", "lcl", "ucl", "yh", "yl", "op", "c", "oi", "mul", "prec"),
    ),
    "if": ("ftm0", "dtm1", "iv", "ic", "tvalue", "highPrice", "lowPrice", "openingPrice", "mul", "prec"),
    "dp": (
        *("ftm0", "dtm1"),
        *(f"{name}{level}" for name in ("bp", "sp", "bq", "bs") for level in _LEVELS),
        *(f"{name}{level}" for name in ("bno", "sno") for level in range(1, 6)),
        *("mul", "prec"),
    ),
}
"""Meaning of each integer of a topic by its prefix; the position is the index on the wire."""

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_UPDATE = struct.Struct(">BIB")  # kind, topic id, number of integers
_INTS = tuple(struct.Struct(f">{count}i") for count in range(256))
_STRINGS = {52: "token", 53: "segment", 54: "trading_symbol"}


# --- what the client sends ---------------------------------------------------------------------------------


def _prefixed(body: bytes) -> bytes:
    return _U16.pack(len(body)) + body


def _field(number: int, value: bytes) -> bytes:
    return bytes((number,)) + _U16.pack(len(value)) + value


def connect(token: str, sid: str) -> bytes:
    """The first frame of a connection: trade JWT, trade sid, source ``JS_API``."""
    fields = _field(1, token.encode()) + _field(2, sid.encode()) + _field(3, b"JS_API")
    return _prefixed(bytes((CONNECT, 3)) + fields)


def _topic_list(topics: Sequence[str]) -> bytes:
    if not 1 <= len(topics) <= TOPICS_PER_FRAME:
        raise ValueError(f"{len(topics)} topics in one frame, expected 1-{TOPICS_PER_FRAME}")
    out = bytearray(_U16.pack(len(topics)))
    for topic in topics:
        text = topic.encode("latin-1")
        out.append(len(text))
        out += text
    return bytes(out)


def subscribe(topics: Sequence[str], channel: int) -> bytes:
    """Ask for topics such as ``sf|nse_cm|11536``; all of one frame share a prefix.

    Raises:
        ValueError: More than 100 topics, or none.
    """
    return _prefixed(bytes((SUBSCRIBE, 2)) + _field(1, _topic_list(topics)) + _field(2, bytes((channel,))))


def unsubscribe(topics: Sequence[str], channel: int) -> bytes:
    """The opposite of ``subscribe``, on the channel that carries the topics."""
    return _prefixed(bytes((UNSUBSCRIBE, 2)) + _field(1, _topic_list(topics)) + _field(2, bytes((channel,))))


def snapshot(topics: Sequence[str]) -> bytes:
    """One snapshot of each topic. The topic list is field 2 here, not 1."""
    return _prefixed(bytes((SNAPSHOT, 1)) + _field(2, _topic_list(topics)))


def acknowledge(number: int) -> bytes:
    """Confirm data frames up to message ``number``."""
    return _prefixed(bytes((ACK, 1)) + _field(1, _U32.pack(number)))


def throttle(interval_ms: int, *, prefixed: bool = True) -> bytes:
    """Slowest pace of updates; 0 is sent by third-party clients as a keep-alive.

    Args:
        prefixed: With the length in front, as those clients send it. The official library builds it without
            and with two zero bytes behind; which of the two the server reads is not known.
    """
    body = bytes((THROTTLE, 1)) + _field(1, _U32.pack(interval_ms))
    return _prefixed(body) if prefixed else body + b"\0\0"


def _channel_frame(kind: int, channels: Iterable[int]) -> bytes:
    bits = 0
    for channel in channels:
        bits |= 1 << channel
    words = _U32.pack(bits >> 32) + _U32.pack(bits & 0xFFFFFFFF)
    return bytes((kind, 1)) + _field(1, words) + b"\0\0"


def pause(channels: Iterable[int]) -> bytes:
    """Stop the updates of whole channels. Bytes as the official library builds them (no length in front)."""
    return _channel_frame(PAUSE, channels)


def resume(channels: Iterable[int]) -> bytes:
    """The opposite of ``pause``."""
    return _channel_frame(RESUME, channels)


# --- what the server sends ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectReply:
    """``ack_every`` 0 means: no message numbers, no acknowledgements."""

    accepted: bool
    ack_every: int


@dataclass(frozen=True, slots=True)
class Status:
    """Answer to one request frame. It names the kind of request only; answers come in the order asked."""

    request: int
    accepted: bool


_NO_STRINGS: Mapping[int, str] = MappingProxyType({})


class Packet(NamedTuple):
    """One record of a data frame, raw. ``name`` is set in snapshots only, e.g. ``sf|nse_cm|11536``."""

    topic_id: int
    ints: tuple[int, ...]
    name: str = ""
    strings: Mapping[int, str] = _NO_STRINGS

    @property
    def is_snapshot(self) -> bool:
        return bool(self.name)


class Topic:
    """Everything known of one topic of one connection: the snapshot with every later change merged in."""

    __slots__ = ("divisor", "fields", "prefix", "raw", "segment", "snapshot", "token", "trading_symbol")

    def __init__(self, prefix: str, segment: str, token: str, trading_symbol: str, raw: list[int]) -> None:
        self.prefix = prefix
        self.segment = segment
        self.token = token
        self.trading_symbol = trading_symbol
        self.raw = raw
        self.fields = FIELDS[prefix]
        self.snapshot = True
        multiplier, precision = raw[-2], raw[-1]
        # scale comes from the snapshot alone: the official client never reads it from an update
        known = multiplier not in (NO_VALUE, 0) and precision != NO_VALUE and 0 <= precision <= 9
        self.divisor = float(multiplier * 10**precision) if known else 0.0

    def price(self, index: int) -> float | None:
        """Rupees, None when the broker never sent it."""
        value = self.raw[index]
        return None if value == NO_VALUE else value / self.divisor

    def count(self, index: int) -> int | None:
        """A quantity. The wire's 32 bits are read unsigned: a volume above 2^31-1 is no negative number."""
        value = self.raw[index]
        return None if value == NO_VALUE else value & 0xFFFFFFFF

    def value(self, name: str) -> int | None:
        """Raw integer by field name, for tests and logs."""
        value = self.raw[self.fields.index(name)]
        return None if value == NO_VALUE else value


def read_reply(frame: bytes) -> ConnectReply | Status:
    """A connect or status reply.

    Raises:
        WireError: Cut short, no field, or not a reply at all.
    """
    kind = _byte(frame, 2)
    if kind != CONNECT and kind not in STATUS_TYPES:
        raise WireError(f"frame type {kind} is neither a reply nor data", frame)
    fields = list(_reply_fields(frame))
    if not fields:
        raise WireError("reply without fields", frame)
    accepted = fields[0] == b"K"
    if kind == CONNECT:
        return ConnectReply(accepted, int.from_bytes(fields[1], "big") if len(fields) > 1 else 0)
    return Status(kind, accepted)


def _byte(frame: bytes, at: int) -> int:
    if at >= len(frame):
        raise WireError(f"cut short at byte {at}", frame)
    return frame[at]


def _take(frame: bytes, at: int, size: int) -> bytes:
    if at + size > len(frame):
        raise WireError(f"cut short at byte {at}", frame)
    return frame[at : at + size]


def _reply_fields(frame: bytes) -> Iterator[bytes]:
    at = 4
    for _ in range(_byte(frame, 3)):
        (size,) = _U16.unpack(_take(frame, at + 1, 2))
        yield _take(frame, at + 3, size)
        at += 3 + size


def message_number(frame: bytes) -> int:
    """Number of a data frame on a connection that asked for acknowledgements."""
    (number,) = _U32.unpack(_take(frame, 3, 4))
    return int(number)


def split(frame: bytes, *, numbered: bool, skipped: Counter[str] | None = None) -> Iterator[Packet]:
    """Cut one data frame (type 6) into packets.

    Packets are measured by what they hold. The length in front of each is used only to step over a kind that
    is not known; the official client ignores it.

    Args:
        numbered: Whether this connection asked for acknowledgements: a u32 number then precedes the packets.
        skipped: Counts packets stepped over, by reason.

    Yields:
        Packets in the order sent; those before a cut are still good.

    Raises:
        WireError: The frame ends inside a packet.
    """
    at = 7 if numbered else 3
    (count,) = _U16.unpack(_take(frame, at, 2))
    at += 2
    for _ in range(count):
        (size,) = _U16.unpack(_take(frame, at, 2))
        at += 2
        kind = _byte(frame, at)
        if kind == _U_KIND:
            packet, at = _update(frame, at)
            yield packet
            continue
        if kind != _S_KIND:
            _take(frame, at, size)
            at += size
            if skipped is not None:
                skipped["unknown_kind"] += 1
            continue
        packet, at = _snapshot(frame, at)
        yield packet


def _update(frame: bytes, at: int) -> tuple[Packet, int]:
    """One update starting at its kind byte; also returns where it ends. The packet of the hot path."""
    if at + _UPDATE.size > len(frame):
        raise WireError(f"cut short at byte {at}", frame)
    _, topic_id, count = _UPDATE.unpack_from(frame, at)
    at += _UPDATE.size
    layout = _INTS[count]
    end = at + layout.size
    if end > len(frame):
        raise WireError(f"cut short at byte {at}", frame)
    return Packet(topic_id, layout.unpack_from(frame, at)), end


def _snapshot(frame: bytes, at: int) -> tuple[Packet, int]:
    """One snapshot starting at its kind byte; also returns where it ends."""
    (topic_id,) = _U32.unpack(_take(frame, at + 1, 4))
    at += 5
    size = _byte(frame, at)
    name = _take(frame, at + 1, size).decode("latin-1")
    at += 1 + size
    count = _byte(frame, at)
    at += 1
    layout = _INTS[count]
    if at + layout.size > len(frame):
        raise WireError(f"cut short at byte {at}", frame)
    ints = layout.unpack_from(frame, at)
    at += layout.size
    strings: dict[int, str] = {}
    many = _byte(frame, at)
    at += 1
    for _ in range(many):
        number, size = _byte(frame, at), _byte(frame, at + 1)
        strings[number] = _take(frame, at + 2, size).decode("latin-1")
        at += 2 + size
    return Packet(topic_id, ints, name or "?", strings), at


class Decoder:
    """State of one connection: its topics and its acknowledgement interval. Start a new one per socket."""

    def __init__(self) -> None:
        self.ack_every = 0
        self.topics: dict[int, Topic | None] = {}
        self.skipped: Counter[str] = Counter()
        self._data_frames = 0
        self._due: int | None = None

    def read(self, frame: bytes) -> Iterator[ConnectReply | Status | Topic]:
        """What one message says.

        Yields:
            A reply, or every topic the frame announced or changed. Topics of an unknown prefix, updates of a
            topic never announced, and snapshots without scale are counted in ``skipped``.

        Raises:
            WireError: Torn or unknown frame. Topics before the tear were already yielded.
        """
        if _byte(frame, 2) != DATA:
            reply = read_reply(frame)
            if isinstance(reply, ConnectReply):
                self.ack_every = reply.ack_every
            yield reply
            return
        numbered = self.ack_every > 0
        if numbered:
            self._data_frames += 1
            if self._data_frames % self.ack_every == 0:
                self._due = message_number(frame)
        for packet in split(frame, numbered=numbered, skipped=self.skipped):
            topic = self._announce(packet) if packet.is_snapshot else self._change(packet)
            if topic is not None:
                yield topic

    def due_acknowledgement(self) -> int | None:
        """The message number to acknowledge now, once."""
        due, self._due = self._due, None
        return due

    def _announce(self, packet: Packet) -> Topic | None:
        prefix, _, rest = packet.name.partition("|")
        names = FIELDS.get(prefix)
        if names is None:
            self.topics[packet.topic_id] = None
            self.skipped["unknown_prefix"] += 1
            return None
        segment, _, token = rest.partition("|")
        raw = [*packet.ints[: len(names)], *([NO_VALUE] * (len(names) - len(packet.ints)))]
        topic = Topic(
            prefix,
            packet.strings.get(53, segment),
            packet.strings.get(52, token),
            packet.strings.get(54, ""),
            raw,
        )
        if not topic.divisor:
            self.topics[packet.topic_id] = None
            self.skipped["no_scale"] += 1
            return None
        self.topics[packet.topic_id] = topic
        return topic

    def _change(self, packet: Packet) -> Topic | None:
        topic = self.topics.get(packet.topic_id)
        if topic is None:
            known = packet.topic_id in self.topics
            self.skipped["unusable_topic" if known else "unknown_topic"] += 1
            return None
        topic.snapshot = False
        raw = topic.raw
        # the two last slots are the scale, which belongs to the snapshot
        ints = packet.ints[: len(raw) - 2]
        raw[: len(ints)] = [old if new == NO_VALUE else new for new, old in zip(ints, raw, strict=False)]
        return topic
