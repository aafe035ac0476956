"""The life of a broker socket against a real WebSocket server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve

from brokers.contract import BrokerSession
from brokers.errors import LoginRequired
from brokers.feedloop import AuthRefused, LoopRules, Reconnect, run_socket
from brokers.model import FeedCounters, FeedState

FAST = LoopRules(  # seconds
    resubscribe_after_s=1.0,
    reconnect_after_s=2.0,
    backoff_first_s=0.01,
    backoff_most_s=0.05,
    stable_after_s=5,
)


def session(generation: int) -> BrokerSession:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return BrokerSession("t", "acc", {}, {}, at, at, generation)


@dataclass
class Recorder:
    """A handler that writes down what happened to it."""

    address: str = ""
    log: list[str] = field(default_factory=list)
    on_frame: Callable[[bytes | str], None] = lambda data: None

    def url(self, session: BrokerSession) -> str:
        return f"{self.address}?g={session.generation}"

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        self.log.append(f"opened {session.generation}")
        await socket.send("subscribe")

    def frame(self, data: bytes | str, received_ns: int) -> None:
        self.log.append(f"frame {data!r}")
        self.on_frame(data)

    async def resubscribe(self, socket: ClientConnection) -> None:
        self.log.append("resubscribe")
        await socket.send("subscribe again")

    def closed(self) -> None:
        self.log.append("closed")


async def drive(
    behave: Callable[[ServerConnection], Awaitable[None]],
    handler: Recorder,
    until: Callable[[], bool],
    expects_data: bool = True,
    source: Callable[[int], Awaitable[BrokerSession]] | None = None,
) -> tuple[list[tuple[FeedState, str]], FeedCounters]:
    """Run the loop against ``behave`` until a condition holds."""
    states: list[tuple[FeedState, str]] = []
    counters = FeedCounters()

    async def current(failed: int) -> BrokerSession:
        return session(failed + 1)

    async with serve(behave, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        handler.address = f"ws://127.0.0.1:{port}/"
        task = asyncio.create_task(
            run_socket(
                handler,
                session=source or current,
                counters=counters,
                on_state=lambda state, reason: states.append((state, reason)),
                expects_data=lambda: expects_data,
                rules=FAST,
            )
        )
        try:
            async with asyncio.timeout(20):
                while not until():
                    await asyncio.sleep(0.01)
                    assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return states, counters


async def feed_forever(socket: ServerConnection) -> None:
    while True:
        await socket.send(b"tick")
        await asyncio.sleep(0.05)


def test_frames_arrive_and_are_counted() -> None:
    handler = Recorder()
    _, counters = asyncio.run(drive(feed_forever, handler, lambda: len(handler.log) > 4))
    assert handler.log[:2] == ["opened 1", "frame b'tick'"]
    assert counters.frames >= 3
    assert counters.bytes >= 12
    assert counters.last_frame_ns > 0


def test_a_cut_is_followed_by_a_new_socket_without_an_upper_count() -> None:
    async def cut(socket: ServerConnection) -> None:
        await socket.send(b"tick")
        socket.transport.abort()

    handler = Recorder()
    states, counters = asyncio.run(drive(cut, handler, lambda: handler.log.count("closed") >= 6))
    assert counters.reconnects >= 6
    assert handler.log.count("opened 1") >= 6
    assert any(state is FeedState.BACKOFF for state, _ in states)


def test_silence_resubscribes_then_reconnects() -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    handler = Recorder()
    states, _ = asyncio.run(drive(mute, handler, lambda: "closed" in handler.log))
    assert handler.log[:3] == ["opened 1", "resubscribe", "closed"]
    assert any(state is FeedState.SILENT for state, _ in states)
    assert any("silent for" in reason for _, reason in states)


def test_silence_means_nothing_when_no_data_is_expected() -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def run() -> Recorder:
        handler = Recorder()
        loop = asyncio.get_running_loop()
        end = loop.time() + FAST.reconnect_after_s + 1.5
        await drive(mute, handler, lambda: loop.time() > end, expects_data=False)
        return handler

    # the socket closed only because the test ended
    assert asyncio.run(run()).log == ["opened 1", "closed"]


def test_a_refused_session_asks_for_a_newer_one() -> None:
    def refuse(data: bytes | str) -> None:
        if "opened 3" not in handler.log:
            raise AuthRefused("807")

    handler = Recorder(on_frame=refuse)
    asyncio.run(drive(feed_forever, handler, lambda: "opened 3" in handler.log))
    assert [line for line in handler.log if line.startswith("opened")] == ["opened 1", "opened 2", "opened 3"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_handshake_asks_for_a_newer_session(status: int) -> None:
    asked: list[int] = []

    async def source(failed: int) -> BrokerSession:
        asked.append(failed)
        return session(failed + 1)

    async def run() -> None:
        async def nothing(socket: ServerConnection) -> None:
            await socket.wait_closed()

        async with serve(
            nothing, "127.0.0.1", 0, process_request=lambda c, r: c.respond(status, "no\n")
        ) as server:
            handler = Recorder(address=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            task = asyncio.create_task(
                run_socket(
                    handler,
                    session=source,
                    counters=FeedCounters(),
                    on_state=lambda s, r: None,
                    expects_data=lambda: True,
                    rules=FAST,
                )
            )
            async with asyncio.timeout(10):
                while len(asked) < 3:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert asked[:3] == [0, 1, 2]


def test_no_session_is_said_and_waited_for() -> None:
    tries = 0

    async def source(failed: int) -> BrokerSession:
        nonlocal tries
        tries += 1
        if tries < 2:
            raise LoginRequired("log in first")
        return session(1)

    handler = Recorder()
    states, _ = asyncio.run(drive(feed_forever, handler, lambda: len(handler.log) > 1, source=source))
    assert states[0] == (FeedState.LOGIN_NEEDED, "log in first")


def test_a_handler_can_ask_for_a_pause_before_the_next_socket() -> None:
    def ask(data: bytes | str) -> None:
        raise Reconnect("evicted", after_s=0.4)

    handler = Recorder(on_frame=ask)
    states, _ = asyncio.run(drive(feed_forever, handler, lambda: handler.log.count("closed") >= 2))
    assert "evicted; next try in 0.4 s" in {reason for _, reason in states}
