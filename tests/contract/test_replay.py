"""A recorded session replays to byte-equal ticks, on both brokers and both feeds of Kotak."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from brokers.contract import FeedSink
from brokers.model import FeedState, Mode
from gateway.stream import recording
from gateway.stream.badframes import BadFrames
from gateway.stream.fanout import Fanout, Holder
from gateway.stream.hub import Hub
from gateway.stream.protocol import Item
from gateway.stream.recorder import Recorder, Recordings
from gateway.stream.recording import Header, Kind
from gateway.stream.replay import Player, Replay, header_of, play_all
from gateway.stream.standins import RecordedTable
from gateway.stream.upstream import Upstream
from tests.contract.conftest import Bench
from tests.contract.test_brokers import FEEDS, poll

MESSAGES = 10


class Session:
    """The feed side of an instance, every message kept, with a recorder as the feed process has it."""

    def __init__(self, bench: Bench, folder: Path, options: dict[str, str]) -> None:
        folder.mkdir()
        self.bench = bench
        self.options = options
        self.out = io.BytesIO()
        self.player = cast(Holder, Player(self.out))
        self.table = RecordedTable()
        self.upstream = Upstream(on_order=_ignore, on_new_order=_ignore, bad_frames=_none_kept(folder))
        self.fanout = Fanout(
            Hub(100, bench.name), want=self.upstream.want, table=lambda: self.table, monotonic=lambda: 0.0
        )
        self.upstream.join(self.fanout)
        header = Header(recording.FORMAT, bench.name, "sim", "one", "always", 0, options=options)
        self.recordings = Recordings(
            folder,
            header,
            renew=self.upstream.renew,
            channels=lambda: list(self.fanout.hub.channels()),
        )
        self.request = folder / "one.request"

    def make(self, sink: FeedSink) -> Any:
        recorder = self.recordings.begin()
        self.upstream.recorder = self.fanout.recorder = recorder
        if recorder is not None:
            self.out.seek(0)
            self.out.truncate()
        context = replace(self.bench.context(**self.options), tap=recorder)

        async def source(failed: int) -> Any:
            return self.bench.current()

        return self.bench.broker.feed(context, source, sink)

    async def subscribe(self, *items: tuple[str, str, Mode]) -> None:
        for exchange, symbol, _ in items:
            self.table.add(self.bench.instrument(exchange, symbol))
        await self.fanout.subscribe(self.player, [Item(*item) for item in items])

    def messages(self) -> int:
        return self.out.getvalue().count(b"\n")

    async def more(self, count: int = MESSAGES) -> None:
        until = self.messages() + count
        await poll(lambda: self.messages() >= until)


def _ignore(_: object) -> None: ...


def _none_kept(folder: Path) -> BadFrames:
    class Fail(BadFrames):
        def keep(self, frame: bytes, reason: str) -> None:
            raise AssertionError(reason)

    return Fail(folder, lambda: cast(Any, None))


async def record(bench: Bench, folder: Path, options: dict[str, str]) -> tuple[Recorder, bytes]:
    """A session with all that happens in one: modes up and down, a client that leaves, a lost connection."""
    session = Session(bench, folder, options)
    await session.subscribe(
        ("NSE", "SBIN", Mode.LTP),
        ("NSE", "INFY", Mode.QUOTE),
        ("NSE", "TCS", Mode.DEPTH),
        ("NSE", "ITC", Mode.LTP),
    )
    running = asyncio.create_task(session.upstream.run(session.make))
    try:
        async with asyncio.timeout(40):
            await session.more(4)  # so that numbers do not begin at 1
            session.request.write_text("please")
            session.recordings.look()
            await session.more()
            recorder = session.recordings.current
            assert recorder is not None
            await session.subscribe(("NSE", "SBIN", Mode.DEPTH), ("NSE_INDEX", "NIFTY", Mode.QUOTE))
            session.recordings.look()
            await session.more()
            await session.fanout.unsubscribe(session.player, [Item("NSE", "TCS", Mode.DEPTH)])
            await asyncio.to_thread(bench.control, "POST", "faults", {"kind": "cut"})
            await poll(lambda: session.upstream.state is FeedState.BACKOFF)
            await session.more()
            session.request.unlink()
            session.recordings.look()
            return recorder, session.out.getvalue()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("options", FEEDS)
def test_a_recorded_session_replays_to_the_same_bytes(
    bench: Bench, tmp_path: Path, options: dict[str, str]
) -> None:
    if options and bench.name != "kotak":
        pytest.skip("only Kotak has two feeds")
    bench.control("DELETE", "faults")
    recorder, sent = asyncio.run(record(bench, tmp_path / "record", options))
    kinds = [event.kind for event in recording.read(recorder.folder)]
    assert kinds.count(Kind.OPENED) >= 2, "the cut made a second connection"
    assert recorder.counts.lost == 0

    played = io.BytesIO()

    async def play() -> None:
        one = Replay(header_of(recorder.folder), Player(played))
        done = await play_all(recorder.folder, one, speed=None)
        assert done.frames == recorder.counts.frames - kinds.count(Kind.LOGIN)
        assert one.bad_frames.count == 0

    asyncio.run(play())
    assert sent.count(b"\n") >= 3 * MESSAGES
    assert played.getvalue().splitlines() == sent.splitlines()
