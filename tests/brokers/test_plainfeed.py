"""A feed of two sockets against a server that speaks the simplest protocol there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from brokers import registry
from brokers.clock import SystemClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.errors import WireError
from brokers.model import FeedState, Instrument, InstrumentKey, Mode, OrderUpdate, Tick
from brokers.plainfeed import PlainFeed, PlainSocket
from brokers.wants import Merged

NOW = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
SESSION = BrokerSession("acme", "1", {}, {}, NOW, NOW + timedelta(hours=1), 1)


def share(token: str) -> Instrument:
    key = InstrumentKey("NSE", f"S{token}")
    return Instrument(key, token, "E", f"S{token}", "Share", "EQ", 1, Decimal("0.05"))


class Socket(PlainSocket):
    def _hello(self, session: BrokerSession) -> str:
        return "hello"

    def _request(self, instruments: Sequence[Instrument], mode: Mode, *, wanted: bool) -> Iterable[str]:
        yield f"{'+' if wanted else '-'}{mode.name}:{','.join(one.token for one in instruments)}"

    def _heard(self, data: bytes | str) -> Iterable[Merged | None]:
        try:
            token, price = json.loads(data)
        except ValueError as exc:
            raise WireError("no packet", str(data).encode()) from exc
        merged = self._wants.find("E", token)
        if merged is not None:
            merged.ltp = price
        yield merged


class Sink:
    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.orders: list[OrderUpdate] = []
        self.states: list[FeedState] = []
        self.bad: list[bytes] = []
        self.refused: list[InstrumentKey] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def on_order(self, update: OrderUpdate) -> None:
        self.orders.append(update)

    def on_state(self, state: FeedState, reason: str) -> None:
        self.states.append(state)

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad.append(frame)

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        self.refused.append(key)


class Scene:
    """The feed, its sink, and what the server heard by path."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.heard: dict[str, list[str]] = {"/feed": [], "/orders": []}
        self.sockets: dict[str, ServerConnection] = {}
        self.feed: PlainFeed

    async def serve(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        self.sockets[path] = socket
        async for text in socket:
            self.heard[path].append(str(text))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


ANY = registry.spec("dhan")


class Feed(PlainFeed):
    spec = replace(ANY, capabilities=replace(ANY.capabilities, feed_instruments=2))
    market = Socket

    def _order_hello(self, session: BrokerSession) -> str:
        return "who"

    def _order_read(self, data: bytes | str, received_ns: int) -> OrderUpdate | None:
        if data == "broken":
            raise WireError("broken", b"broken")
        return None if data == "beat" else OrderUpdate(data, received_ns)  # type: ignore[arg-type]


def play(act: Callable[[Scene], Awaitable[None]]) -> None:
    async def session(failed: int) -> BrokerSession:
        return SESSION

    async def main() -> None:
        scene = Scene()
        async with serve(scene.serve, "127.0.0.1", 0) as server:
            base = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            endpoints = {"feed": f"{base}/feed", "order_updates": f"{base}/orders"}
            context = BrokerContext({}, endpoints, {}, SystemClock(), None)  # type: ignore[arg-type]
            scene.feed = Feed(context, session, scene.sink)
            running = asyncio.create_task(scene.feed.run())
            try:
                await act(scene)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_wishes_go_out_as_differences_and_packets_come_in_as_ticks() -> None:
    async def act(scene: Scene) -> None:
        scene.feed.want(share("1"), Mode.LTP)
        scene.feed.want(share("2"), Mode.QUOTE)
        await until(lambda: len(scene.heard["/feed"]) == 3)
        assert scene.heard["/feed"] == ["hello", "+LTP:1", "+QUOTE:2"]
        scene.feed.want(share("1"), Mode.QUOTE)
        scene.feed.want(share("2"), None)
        await until(lambda: len(scene.heard["/feed"]) == 6)
        assert scene.heard["/feed"][3:] == ["-LTP:1", "-QUOTE:2", "+QUOTE:1"]
        for text in ('["1", 101.5]', '["9", 1.0]', "garbage", '["1", 102.0]'):
            await scene.sockets["/feed"].send(text)
        await until(lambda: len(scene.sink.ticks) == 2)
        assert [tick.ltp for tick in scene.sink.ticks] == [101.5, 102.0]
        counters = scene.feed.counters
        assert (counters.packets, counters.unknown_instruments, counters.parse_errors) == (3, 1, 1)
        assert scene.sink.bad == [b"garbage"]
        assert FeedState.LIVE in scene.sink.states

    play(act)


def test_the_one_over_the_limit_is_refused_and_the_others_stay() -> None:
    async def act(scene: Scene) -> None:
        for token in "123":
            scene.feed.want(share(token), Mode.LTP)
        assert scene.sink.refused == [share("3").key]
        await until(lambda: "+LTP:1,2" in scene.heard["/feed"])

    play(act)


def test_orders_are_pushed_and_what_nobody_can_read_is_kept() -> None:
    async def act(scene: Scene) -> None:
        await until(lambda: scene.heard["/orders"] == ["who"])
        for text in ("beat", "broken", "row"):
            await scene.sockets["/orders"].send(text)
        await until(lambda: scene.sink.orders)
        assert [update.order for update in scene.sink.orders] == ["row"]
        assert scene.sink.bad == [b"broken"]
        assert scene.feed.counters.order_connects == 1

    play(act)


def test_a_new_socket_asks_for_everything_again() -> None:
    async def act(scene: Scene) -> None:
        scene.feed.want(share("1"), Mode.LTP)
        await until(lambda: scene.heard["/feed"] == ["hello", "+LTP:1"])
        await scene.sockets["/feed"].close()
        await until(lambda: scene.heard["/feed"] == ["hello", "+LTP:1"] * 2)
        scene.feed.rouse(new_socket=False)
        await until(lambda: scene.heard["/feed"][4:] == ["+LTP:1"])

    play(act)
