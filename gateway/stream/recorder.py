"""``algo record``: writes what the market sockets hear, so that a session can be played again.

The feed's loop only appends to a buffer; a thread compresses and writes. The order sockets are not recorded.

A recording is asked for and watched through two small files beside it (``<instance>.request``,
``<instance>.status``), so that no port of the feed needs a way to start one.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers.model import FeedState
from gateway.stream import recording
from gateway.stream.hub import Channel, Want
from gateway.stream.recording import HEAD, ChannelMark, Header, Kind, WantMark

log = logging.getLogger(__name__)

FLUSH_BYTES = 256 * 1024
SEGMENT_BYTES = 64 * 1024 * 1024
MOST_WAITING = 128 * 1024 * 1024
MOST_BYTES = 8 * 1024 * 1024 * 1024
REQUEST, STATUS = ".request", ".status"


@dataclass(slots=True)
class RecorderCounts:
    """``lost``: frames not kept because the disk was too slow. ``written``: compressed bytes."""

    frames: int = 0
    bytes: int = 0
    written: int = 0
    segments: int = 0
    lost: int = 0


class Recorder:
    """One recording; a ``brokers.contract.Tap``. Never blocks the loop and never raises into it.

    Args:
        folder: Made by the writer thread; must not exist.
        segment_bytes: Compressed size at which a new segment begins.
        most_bytes: Compressed size at which the recording ends by itself.
    """

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        most_bytes: int = MOST_BYTES,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.folder = folder
        self.counts = RecorderCounts()
        self.problem = ""
        self._header = header
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._most_waiting = most_waiting
        self._buffer = bytearray()
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lost = 0
        self._names: dict[str, int] = {}
        self._open = True
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._open

    # what is heard -------------------------------------------------------------------------------------

    def opened(self, socket: str) -> None:
        self._put(HEAD.pack(Kind.OPENED, time.time_ns(), 1) + bytes((self._number(socket),)))

    def frame(self, socket: str, data: bytes | str, received_ns: int, *, login: bool) -> None:
        """The hot path: one append."""
        if not self._open:
            return
        number = self._names.get(socket)
        if number is None:
            number = self._number(socket)
        if self._lost or self._waiting_bytes > self._most_waiting:
            self._miss()
            return
        self.counts.frames += 1
        self.counts.bytes += len(data)
        buffer = self._buffer
        if isinstance(data, bytes) and not login:
            buffer += HEAD.pack(Kind.FRAME, received_ns, len(data) + 2)
            buffer.append(number)
            buffer.append(0)
            buffer += data
        else:
            buffer += recording.frame(Kind.LOGIN if login else Kind.FRAME, received_ns, number, data)
        if len(buffer) >= FLUSH_BYTES:
            self.flush()

    def closed(self, socket: str) -> None:
        self._put(HEAD.pack(Kind.CLOSED, time.time_ns(), 1) + bytes((self._number(socket),)))

    # what is asked -------------------------------------------------------------------------------------

    def feed(self) -> None:
        """A new feed was made."""
        self._put(HEAD.pack(Kind.FEED, time.time_ns(), 0))

    def want(self, want: Want) -> None:
        self._plain(Kind.WANT, WantMark.of(want))

    def channel(self, channel: Channel[Any], *, closed: bool = False) -> None:
        """A channel was opened, renumbered or closed."""
        name, instrument = channel.name, channel.entry.instrument
        seq = -1 if closed else channel.seq
        self._plain(Kind.CHANNEL, ChannelMark(name.exchange, name.symbol, int(name.mode), seq, instrument))

    def state(self, state: FeedState, reason: str) -> None:
        self._plain(Kind.STATE, (state.value, reason))

    # life ----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand what is buffered to the writer; called by size and, from outside, every second."""
        if self._lost and self._waiting_bytes <= self._most_waiting // 2:
            self._buffer += recording.plain(Kind.LOST, time.time_ns(), self._lost)
            self._lost = 0
        if self._buffer:
            chunk, self._buffer = bytes(self._buffer), bytearray()
            self._waiting_bytes += len(chunk)
            self._waiting.put(chunk)

    def close(self, wait_s: float = 2.0) -> None:
        """Write what is left; what comes later is not recorded."""
        if self._open:
            self.flush()
            self._open = False
            self._waiting.put(None)
        self._thread.join(wait_s)

    def _plain(self, kind: Kind, value: object) -> None:
        self._put(recording.plain(kind, time.time_ns(), value))

    def _put(self, event: bytes) -> None:
        # small and rare: kept even when frames are not, a replay hangs on them
        if self._open:
            self._buffer += event

    def _number(self, socket: str) -> int:
        number = self._names.get(socket)
        if number is None:
            number = self._names[socket] = len(self._names)
            name = socket.encode()
            self._put(HEAD.pack(Kind.SOCKET, time.time_ns(), len(name) + 1) + bytes((number,)) + name)
        return number

    def _miss(self) -> None:
        if not self._lost:
            log.error("the disk is too slow for the recording: frames are not kept for a while")
        self._lost += 1
        self.counts.lost += 1

    # the writer thread ---------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            self._write_segments()
        except Exception as exc:
            # top of the thread: the feed goes on without its recording
            log.exception("the recording ended")
            self.problem = str(exc)
        self._open = False

    def _write_segments(self) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        chunk: bytes | None = b""
        while chunk is not None:
            self.counts.segments += 1
            path = self.folder / f"{self.counts.segments:06d}{recording.SUFFIX}"
            with path.open("xb") as file:
                path.chmod(0o600)
                size = file.write(recording.squeeze(self._prologue()))
                self.counts.written += size
                while size < self._segment_bytes and (chunk := self._waiting.get()) is not None:
                    some = file.write(recording.squeeze(chunk))
                    file.flush()
                    size += some
                    self.counts.written += some
                    self._waiting_bytes -= len(chunk)
            if chunk is not None and self.counts.written >= self._most_bytes:
                self.problem = f"ended at {self.counts.written / 1e9:.1f} GB"
                log.warning("the recording %s %s", self.folder, self.problem)
                return

    def _prologue(self) -> bytes:
        """Header and the numbers of the sockets known so far: a segment can be read by itself."""
        header = replace(self._header, segment=self.counts.segments)
        made = recording.plain(Kind.HEADER, time.time_ns(), header)
        for name, number in list(self._names.items()):
            raw = name.encode()
            made += HEAD.pack(Kind.SOCKET, time.time_ns(), len(raw) + 1) + bytes((number,)) + raw
        return made


class Recordings:
    """Starts and ends recordings as the request file says.

    Args:
        folder: Where recordings of every instance lie.
        renew: Makes a new broker feed at once: a recording begins with fresh sockets, so that the snapshots
            later frames build on are in it.
        channels: The hub's channels of this moment.
    """

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        renew: Callable[[str], None],
        channels: Callable[[], list[Channel[Any]]],
    ) -> None:
        self._folder = folder
        self._header = header
        self._renew = renew
        self._channels = channels
        self._asked = ""
        self._last: Recorder | None = None
        self.current: Recorder | None = None
        self._due = False

    def look(self) -> None:
        """Read the request file and write the status file; called every second."""
        wanted = self._request()
        if wanted != self._asked:
            self._asked = wanted
            self._end()
            if wanted:
                self._due = True
                self._renew("a recording begins")
        current = self.current
        if current is not None:
            current.flush()
            if not current.is_open:
                self._end()
        if self._asked or self._last is not None:
            self._report()

    def begin(self) -> Recorder | None:
        """Called where a new feed is made, before anything is asked of it: the tap it gets."""
        if self._due:
            self._due = False
            at = datetime.now(UTC)
            folder = self._folder / f"{self._header.instance}-{at:%Y%m%dT%H%M%SZ}"
            number = 1
            while folder.exists():
                number += 1
                folder = folder.with_name(f"{self._header.instance}-{at:%Y%m%dT%H%M%SZ}-{number}")
            header = replace(self._header, started_ns=time.time_ns())
            self.current = self._last = Recorder(folder, header)
            log.info("recording to %s", folder)
        current = self.current
        if current is not None:
            current.feed()
            for channel in self._channels():
                current.channel(channel)
        return current

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        if self.current is not None:
            self.current.close()
            log.info("recording ended: %d frames in %s", self.current.counts.frames, self.current.folder)
            self.current = None

    def _request(self) -> str:
        try:
            return (self._folder / f"{self._header.instance}{REQUEST}").read_text().strip()
        except OSError:
            return ""

    def _report(self) -> None:
        last = self._last
        status: dict[str, object] = {"request": self._asked, "recording": self.current is not None}
        if last is not None:
            counts = last.counts
            status |= {
                "folder": str(last.folder),
                "frames": counts.frames,
                "bytes": counts.bytes,
                "written": counts.written,
                "segments": counts.segments,
                "lost": counts.lost,
                "problem": last.problem,
            }
        path = self._folder / f"{self._header.instance}{STATUS}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".status.new")
            fresh.write_text(json.dumps(status))
            fresh.replace(path)
        except OSError as exc:
            log.warning("the state of the recording cannot be shown: %s", exc)
