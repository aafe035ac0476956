"""A websockets server on loopback that plays golden frames of Kotak's three feeds; a sink that remembers."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from brokers.kotak.wire import hsm
from brokers.model import FeedState, InstrumentKey, OrderUpdate, Tick
from tests.brokers.kotak.vectors import FRAMES, ORDER_FEED, hsm_frame, sfeed_frame

AUTH_OK = json.dumps(FRAMES["sfeed"]["auth_response"])
SFEED_ANSWERS = {
    ("subscribeScripsLite", "nse_cm|90001"): "mini_touch_line_level_1",
    ("subscribeScrips", "nse_fo|50001"): "touch_line_level_4",
    ("subscribeDepth", "nse_fo|50001"): "depth_level_8",
    ("subscribeIndices", "nse_cm|Nifty 50"): "index_7207",
}
HSM_ANSWERS = {
    "sf|nse_cm|90001": ("scrip_flow", "scrip_snapshot"),
    "sf|nse_fo|50001": ("derivative_flow", "scrip_snapshot"),
    "dp|nse_fo|50001": ("depth_flow", "depth_snapshot"),
    "if|nse_cm|Nifty 50": ("index_flow", "index_snapshot"),
}


class Sink:
    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.orders: list[OrderUpdate] = []
        self.states: list[tuple[FeedState, str]] = []
        self.bad: list[tuple[bytes, str]] = []
        self.refused: list[tuple[InstrumentKey, str]] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def on_order(self, update: OrderUpdate) -> None:
        self.orders.append(update)

    def on_state(self, state: FeedState, reason: str) -> None:
        self.states.append((state, reason))

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self.bad.append((frame, reason))

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        self.refused.append((key, reason))

    def last(self, key: InstrumentKey) -> Tick | None:
        return next((t for t in reversed(self.ticks) if t.key == key), None)


def topics_in(frame: bytes) -> tuple[list[str], int]:
    """Topics and channel of a subscribe or unsubscribe frame."""
    count = int.from_bytes(frame[7:9], "big")
    at, topics = 9, []
    for _ in range(count):
        size = frame[at]
        topics.append(frame[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return topics, frame[-1]


@dataclass
class Feeds:
    """What each path does. ``heard`` holds every message by path, ``opened`` counts connections."""

    port: int = 0
    heard: dict[str, list[bytes | str]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    live: dict[str, ServerConnection] = field(default_factory=dict)
    refuse_handshake: set[str] = field(default_factory=set)
    sfeed_auth: str = AUTH_OK
    sfeed_answers: bool = True
    hsm_connect: tuple[str, str] = ("conn_ok_one_field", "connection_response")
    hsm_bad_topics: set[str] = field(default_factory=set)
    greetings: Callable[[str], str | None] = lambda text: ORDER_FEED["ack_ok"]

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    async def push(self, path: str, message: bytes | str) -> None:
        await self.live[path].send(message)

    def texts(self, path: str) -> list[dict[str, object]]:
        return [json.loads(m) for m in self.heard[path] if isinstance(m, str)]

    def subscribed(self) -> list[tuple[str, str]]:
        """(event, key) of everything asked of SFeed."""
        return [
            (str(m["event"]), key)
            for m in self.texts("/apifeed")
            if "event" in m
            for key in str(m["inputtoken"]).split(",")
        ]

    def frames(self, kind: int) -> list[bytes]:
        return [m for m in self.heard["/hsm"] if isinstance(m, bytes) and m[2] == kind]

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        path = socket.request.path
        self.opened[path] += 1
        self.live[path] = socket
        answer = {"/apifeed": self._sfeed, "/hsm": self._hsm, "/realtime": self._orders}[path]
        with suppress(ConnectionClosed):
            async for message in socket:
                self.heard[path].append(message)
                await answer(socket, message)

    async def _sfeed(self, socket: ServerConnection, message: bytes | str) -> None:
        asked = json.loads(message)
        if "auth" in asked:
            if self.sfeed_auth:
                await socket.send(self.sfeed_auth)
            return
        keys = asked["inputtoken"].split(",")
        if not self.sfeed_answers:
            return
        if asked["event"].startswith("subscribe"):
            await socket.send(json.dumps({"message_code": 1109, "trading_symbols": dict.fromkeys(keys, "X")}))
        for key in keys:
            if name := SFEED_ANSWERS.get((asked["event"], key)):
                await socket.send(sfeed_frame(name))

    async def _hsm(self, socket: ServerConnection, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        if message[2] == hsm.CONNECT:
            await socket.send(hsm_frame(*self.hsm_connect))
        elif message[2] in (hsm.SUBSCRIBE, hsm.UNSUBSCRIBE):
            topics, _ = topics_in(message)
            good = message[2] == hsm.UNSUBSCRIBE or not self.hsm_bad_topics.intersection(topics)
            await socket.send(bytes((0, 6, message[2], 1, 1, 0, 1)) + (b"K" if good else b"N"))
            for topic in topics if good and message[2] == hsm.SUBSCRIBE else ():
                if topic in HSM_ANSWERS:
                    await socket.send(hsm_frame(*HSM_ANSWERS[topic]))

    async def _orders(self, socket: ServerConnection, message: bytes | str) -> None:
        assert isinstance(message, str)
        if "hb}" not in message and (greeting := self.greetings(message)):
            await socket.send(greeting)

    def gate(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path in self.refuse_handshake:
            self.opened[request.path] += 1
            return connection.respond(HTTPStatus.NOT_FOUND, "no\n")
        return None


@asynccontextmanager
async def playing() -> AsyncIterator[Feeds]:
    feeds = Feeds()
    async with serve(feeds.handle, "127.0.0.1", 0, process_request=feeds.gate) as server:
        feeds.port = next(iter(server.sockets)).getsockname()[1]
        yield feeds


async def until(what: Callable[[], object], why: str = "", timeout_s: float = 10.0) -> None:
    """Poll until true; a test that waits in vain says for what."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not what():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain: {why}")
        await asyncio.sleep(0.005)
