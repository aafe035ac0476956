"""The file format of a recording: what a feed heard and was asked, in order, with times.

A recording is a folder of segments ``000001.rec.zst`` … Each segment is a chain of zstd frames, one a flush;
inside, events one after another: kind (1 byte), wall nanoseconds (8), size (4), body. Little endian. Every
segment starts with a ``HEADER``, so that each says what it is. A writer that dies leaves a torn last frame;
whatever can be read of it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from brokers.errors import AlgoError
from brokers.model import Instrument, Mode
from gateway.stream.hub import Want
from gateway.stream.topics import Name

FORMAT = 1
SUFFIX = ".rec.zst"
HEAD = struct.Struct("<BqI")
MOST_BODY = 16 * 1024 * 1024
_CHUNK = 1 << 18
_LEVEL = 1
"""Of zstd. Beside zlib's level 1 a sixth of the CPU (0.4 us a full packet), and smaller."""


class RecordingError(AlgoError):
    """Not a recording, or of a format this program does not know."""


class Kind(IntEnum):
    """What one event of a recording is.

    ``SOCKET`` gives a socket's name a number; the four after it begin with that number. ``FEED``: a new feed
    that knows nothing yet; what it is asked follows.
    """

    HEADER = 1
    WANT = 2
    CHANNEL = 3
    STATE = 4
    SOCKET = 5
    OPENED = 6
    LOGIN = 7
    FRAME = 8
    CLOSED = 9
    LOST = 10
    FEED = 11


@dataclass(frozen=True, slots=True)
class Header:
    """What a replay must know before the first frame.

    Attributes:
        calendar: ``always`` or ``file``: whether "in session" came from the calendar.
        options: Those of the instance's options that decide how frames are read.
    """

    format: int
    broker: str
    venue: str
    instance: str
    calendar: str
    started_ns: int
    segment: int = 1
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelMark:
    """A channel opened (or renumbered) with ``seq`` as its last number; ``seq`` -1: closed."""

    exchange: str
    symbol: str
    mode: int
    seq: int
    instrument: Instrument

    @property
    def name(self) -> Name:
        return Name(self.exchange, self.symbol, Mode(self.mode))


@dataclass(frozen=True, slots=True)
class WantMark:
    """One wish to the feed; ``mode`` 0 drops the instrument."""

    instrument: Instrument
    mode: int
    levels: int

    @classmethod
    def of(cls, want: Want) -> WantMark:
        return cls(want.instrument, int(want.mode or 0), want.levels)

    def want(self) -> Want:
        return Want(self.instrument, Mode(self.mode) if self.mode else None, self.levels)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a recording.

    ``value`` by kind: a ``Header``, ``WantMark``, ``ChannelMark``, ``[state, reason]``, a socket's name, a
    message (``bytes`` or ``str``), or the number of frames lost.
    """

    kind: Kind
    at_ns: int
    value: Any = None
    socket: str = ""


def plain(kind: Kind, at_ns: int, value: object) -> bytes:
    """An event whose body is JSON."""
    body = msgspec.json.encode(value)
    return HEAD.pack(kind, at_ns, len(body)) + body


def frame(kind: Kind, at_ns: int, number: int, data: bytes | str) -> bytes:
    """A message of a socket; the second byte says whether it is text."""
    is_text = isinstance(data, str)
    raw = data.encode() if isinstance(data, str) else data
    return HEAD.pack(kind, at_ns, len(raw) + 2) + bytes((number, is_text)) + raw


_TYPES: dict[Kind, Any] = {
    Kind.HEADER: Header,
    Kind.WANT: WantMark,
    Kind.CHANNEL: ChannelMark,
    Kind.STATE: tuple[str, str],
    Kind.LOST: int,
}


class Parser:
    """Bytes of one segment -> events. Pure."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._names: dict[int, str] = {}

    @property
    def left(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are whole now.

        Raises:
            RecordingError: A kind or size nobody writes.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEAD.size:
                number, at_ns, size = HEAD.unpack_from(buffer, at)
                if number not in Kind.__members__.values() or size > MOST_BODY:
                    raise RecordingError(f"event of kind {number} and {size} bytes at byte {at}")
                end = at + HEAD.size + size
                if end > len(buffer):
                    break
                body = bytes(buffer[at + HEAD.size : end])
                at = end
                yield self._event(Kind(number), at_ns, body)
        finally:
            del buffer[:at]

    def _event(self, kind: Kind, at_ns: int, body: bytes) -> Event:
        try:
            if kind in _TYPES:
                return Event(kind, at_ns, msgspec.json.decode(body, type=_TYPES[kind]))
            if kind is Kind.FEED:
                return Event(kind, at_ns)
            name = self._names.get(body[0], "")
            if kind is Kind.SOCKET:
                name = self._names[body[0]] = body[1:].decode()
            elif kind in (Kind.LOGIN, Kind.FRAME):
                data: bytes | str = body[2:].decode() if body[1] else body[2:]
                return Event(kind, at_ns, data, name)
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as exc:
            raise RecordingError(f"unreadable {kind.name}: {exc}") from exc
        return Event(kind, at_ns, None, name)


@dataclass(slots=True)
class Reading:
    """What a reading found besides its events. ``torn``: segments whose end could not be read, and why."""

    torn: dict[str, str] = field(default_factory=dict)


def segments(path: Path) -> list[Path]:
    """The segments of a recording in order, given its folder or any one of its segments.

    Raises:
        RecordingError: There is none.
    """
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if not found or not path.exists():
        raise RecordingError(f"{path}: no recording; expected a folder with 000001{SUFFIX} in it")
    return found


def read(path: Path, reading: Reading | None = None) -> Iterator[Event]:
    """Every event of a recording. A torn segment ends early, is noted, and the next one goes on.

    Raises:
        RecordingError: No recording, an unknown format, or no readable header in the first segment.
    """
    reading = reading if reading is not None else Reading()
    started = False
    for segment in segments(path):
        parser = Parser()
        try:
            for event in _frames(segment, parser):
                if event.kind is Kind.HEADER:
                    if event.value.format != FORMAT:
                        raise RecordingError(
                            f"{segment}: format {event.value.format}, this program reads {FORMAT}"
                        )
                    if started:
                        continue
                    started = True
                elif not started:
                    raise RecordingError(f"{segment}: does not start with a header")
                yield event
            if parser.left:
                reading.torn[segment.name] = f"{parser.left} bytes of an unfinished event"
        except (zstandard.ZstdError, EOFError) as exc:
            reading.torn[segment.name] = str(exc)
    if not started:
        raise RecordingError(f"{path}: nothing readable ({reading.torn})")


def _frames(segment: Path, parser: Parser) -> Iterator[Event]:
    """Events of a chain of zstd frames. Raises ``ZstdError`` or ``EOFError`` where the chain is torn."""
    unpacker = zstandard.ZstdDecompressor()
    frame = unpacker.decompressobj()
    begun = False
    with segment.open("rb") as file:
        data = file.read(_CHUNK)
        while data:
            begun = True
            yield from parser.feed(frame.decompress(data))
            if frame.eof:
                data, frame, begun = frame.unused_data, unpacker.decompressobj(), False
            else:
                data = b""
            data = data or file.read(_CHUNK)
    if begun:
        raise EOFError("the last block is not whole")


def squeeze(data: bytes) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)
