"""HSM and SFeed through real sockets."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from brokers.sim.exchange.types import Listing
from brokers.sim.kotak import hsm, sfeed
from tests.brokers.sim.kotak.harness import Sim, in_sim

NOTHING = 0.2
"""Seconds of silence that count as "nothing was sent" on loopback."""


def field_bytes(number: int, value: bytes) -> bytes:
    return struct.pack(">BH", number, len(value)) + value


def framed(kind: int, *fields: bytes) -> bytes:
    body = bytes((kind, len(fields))) + b"".join(fields)
    return struct.pack(">H", len(body)) + body


def topic_list(names: list[str]) -> bytes:
    return struct.pack(">H", len(names)) + b"".join(bytes([len(n)]) + n.encode() for n in names)


def subscribe(names: list[str], channel: int = 2, kind: int = 4) -> bytes:
    return framed(kind, field_bytes(1, topic_list(names)), field_bytes(2, bytes([channel])))


@dataclass
class Packet:
    kind: str
    topic: int
    name: str
    values: list[int | None]
    strings: dict[int, str] = field(default_factory=dict)


def read_data(frame: bytes, *, numbered: bool) -> tuple[int, list[Packet]]:
    """Decode a type-6 frame by the published layout, without the encoder's help."""
    assert int.from_bytes(frame[:2], "big") == len(frame) - 2
    assert frame[2] == 6
    at, number = 3, 0
    if numbered:
        number, at = int.from_bytes(frame[3:7], "big"), 7
    count, at = int.from_bytes(frame[at : at + 2], "big"), at + 2
    packets = []
    for _ in range(count):
        end = at + 2 + int.from_bytes(frame[at : at + 2], "big")
        at += 2
        kind, topic = chr(frame[at]), int.from_bytes(frame[at + 1 : at + 5], "big")
        at += 5
        name = ""
        if kind == "S":
            name = frame[at + 1 : at + 1 + frame[at]].decode()
            at += 1 + len(name)
        size = frame[at]
        raw = struct.unpack_from(f">{size}i", frame, at + 1)
        at += 1 + 4 * size
        packet = Packet(kind, topic, name, [None if v == -(2**31) else v for v in raw])
        if kind == "S":
            strings, at = frame[at], at + 1
            for _ in range(strings):
                packet.strings[frame[at]] = frame[at + 2 : at + 2 + frame[at + 1]].decode()
                at += 2 + frame[at + 1]
        assert at == end
        packets.append(packet)
    return number, packets


class Wire:
    """A WebSocket of the test's own client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def bytes(self) -> bytes:
        return await self.ws.receive_bytes(timeout=5)

    async def data(self, *, numbered: bool = False) -> Packet:
        _, packets = read_data(await self.bytes(), numbered=numbered)
        assert len(packets) == 1
        return packets[0]

    async def json(self) -> Any:
        return json.loads(await self.ws.receive_str(timeout=5))

    async def silent(self) -> bool:
        try:
            await self.ws.receive(timeout=NOTHING)
        except TimeoutError:
            return True
        return False

    async def is_closed(self) -> bool:
        return (await self.ws.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@asynccontextmanager
async def socket(sim: Sim, path: str) -> AsyncIterator[Wire]:
    async with sim.http.ws_connect(f"{sim.base}{path}", max_msg_size=0) as ws:
        yield Wire(ws)


@asynccontextmanager
async def hsm_client(sim: Sim, path: str = "/hsm?ack=0") -> AsyncIterator[Wire]:
    data = await sim.login()
    async with socket(sim, path) as wire:
        await wire.ws.send_bytes(connect(data["token"], data["sid"]))
        reply = await wire.bytes()
        assert reply[7:8] == b"K"
        yield wire


async def until(true: Callable[[], bool]) -> None:
    """Let the server's tasks run until something holds."""
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0)


def connect(token: str, sid: str) -> bytes:
    fields = (token.encode(), sid.encode(), b"JS_API")
    return framed(1, *(field_bytes(n, v) for n, v in enumerate(fields, 1)))


@pytest.mark.parametrize("path", ["/hsm?ack=0", "/?ack=0"])
@in_sim
async def test_status_snapshot_then_updates(sim: Sim, path: str):
    async with hsm_client(sim, path) as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
        assert await wire.bytes() == hsm.status(hsm.Type.SUBSCRIBE, ok=True)
        snapshot = await wire.data()
        assert (snapshot.kind, snapshot.name) == ("S", "sf|nse_cm|3045")
        assert snapshot.strings == {52: "3045", 53: "nse_cm", 54: "SBIN-EQ"}
        values = dict(zip(hsm.SCRIP_FIELDS, snapshot.values, strict=True))
        assert values["ltp"] == round(sim.ltp("NSE", "SBIN") * 100)
        assert (values["mul"], values["prec"]) == (1, 2)
        assert values["c"]
        state = list(snapshot.values)
        for _ in range(8):
            sim.tick(2)
            update = await wire.data()
            assert (update.kind, update.topic) == ("U", snapshot.topic)
            assert None in update.values
            assert update.values[-2:] == [None, None]
            pairs = list(zip(state, update.values, strict=True))
            assert all(new != old for old, new in pairs), "a value was sent again though it had not changed"
            state = [old if new is None else new for old, new in pairs]
            assert state[5] == round(sim.ltp("NSE", "SBIN") * 100)


@in_sim
async def test_index_and_depth_topics(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["if|nse_cm|Nifty 50"], 3))
        await wire.bytes()
        index = await wire.data()
        assert index.strings == {52: "Nifty 50", 53: "nse_cm", 54: "Nifty 50"}
        assert index.values[2] == round(sim.ltp("NSE_INDEX", "NIFTY") * 100)
        await wire.ws.send_bytes(subscribe(["dp|nse_cm|3045"], 4))
        await wire.bytes()
        depth = await wire.data()
        book = sim.server.exchange.snapshot(sim.listing("NSE", "SBIN"))
        assert depth.values[2] == book.bids[0].price_paise
        assert depth.values[7] == book.asks[0].price_paise
        assert len(depth.values) == 34
        assert depth.topic != index.topic


@in_sim
async def test_message_numbers_run_when_acknowledgement_is_announced(sim: Sim):
    data = await sim.login()
    async with socket(sim, "/hsm") as wire:
        await wire.ws.send_bytes(connect(data["token"], data["sid"]))
        assert await wire.bytes() == hsm.connect_reply(accepted=True, ack_every=5)
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045", "sf|nse_cm|1594"]))
        await wire.bytes()
        numbers = [read_data(await wire.bytes(), numbered=True)[0] for _ in range(2)]
        await wire.ws.send_bytes(framed(3, field_bytes(1, struct.pack(">I", numbers[-1]))))
        sim.tick(5)
        numbers.append(read_data(await wire.bytes(), numbered=True)[0])
        assert numbers == [1, 2, 3]


@in_sim
async def test_packed_frames_on_request(sim: Sim):
    async with hsm_client(sim, "/hsm?ack=0&packed=1") as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045", "dp|nse_cm|3045", "if|nse_cm|Nifty 50"]))
        await wire.bytes()
        _, packets = read_data(await wire.bytes(), numbered=False)
        assert [p.name[:2] for p in packets] == ["sf", "dp", "if"]


@in_sim
async def test_unsubscribing_stops_updates_and_a_second_subscription_has_a_new_id(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
        await wire.bytes()
        first = await wire.data()
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"], kind=5))
        assert await wire.bytes() == hsm.status(hsm.Type.UNSUBSCRIBE, ok=True)
        sim.tick(5)
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
        assert await wire.bytes() == hsm.status(hsm.Type.SUBSCRIBE, ok=True)  # no update came before it
        second = await wire.data()
        assert second.kind == "S"
        assert second.topic != first.topic


@in_sim
async def test_a_report_that_changes_nothing_sends_nothing(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["dp|nse_cm|3045"]))
        await wire.bytes()
        await wire.data()
        same = sim.server.exchange.snapshot(sim.listing("NSE", "SBIN"))
        sim.server.venue._on_market([same])
        assert await wire.silent()


@in_sim
async def test_nothing_is_watched_once_everybody_has_left(sim: Sim, monkeypatch: pytest.MonkeyPatch):
    exchange, watched = sim.server.exchange, Counter[str]()
    for name, change in (("watch", 1), ("unwatch", -1)):
        real = getattr(exchange, name)

        def counted(listing: Listing, real: Any = real, change: int = change) -> None:
            watched[listing.symbol] += change
            real(listing)

        monkeypatch.setattr(exchange, name, counted)
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045", "dp|nse_cm|3045"]))
        await wire.bytes()
        await wire.data()
        async with sfeed_client(sim) as other:
            await other.ws.send_json({"event": "subscribeScrips", "inputtoken": "nse_cm|3045"})
            await other.bytes()
            assert watched["SBIN"] == 3
            for event in ("unsubscribeScrips", "unsubscribeScrips", "snapshotScrips"):
                await other.ws.send_json({"event": event, "inputtoken": "nse_cm|3045"})
            await other.bytes()
            assert watched["SBIN"] == 2
            await other.ws.send_json({"event": "subscribeDepth", "inputtoken": "nse_cm|3045"})
            await other.bytes()
        await wire.ws.close()
    await until(lambda: watched["SBIN"] == 0)


@in_sim
async def test_topic_ids_are_unique_across_connections(sim: Sim):
    topics = []
    for _ in range(2):
        async with hsm_client(sim) as wire:
            await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
            await wire.bytes()
            topics.append((await wire.data()).topic)
    assert len(set(topics)) == 2


@in_sim
async def test_one_shot_snapshots(sim: Sim):
    async with hsm_client(sim) as wire:
        names = topic_list(["sf|nse_cm|3045", "sf|nse_cm|999999999"])
        await wire.ws.send_bytes(framed(9, field_bytes(2, names)))
        assert await wire.bytes() == hsm.status(hsm.Type.SNAPSHOT, ok=True)
        assert (await wire.data()).name == "sf|nse_cm|3045"
        sim.tick(5)
        assert await wire.silent()


@in_sim
async def test_paused_channels_are_quiet_and_catch_up(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"], 2))
        await wire.bytes()
        await wire.data()
        await wire.ws.send_bytes(bytes.fromhex("070101000800000000000000040000"))
        assert await wire.bytes() == hsm.status(hsm.Type.PAUSE, ok=True)
        sim.tick(5)
        await wire.ws.send_bytes(bytes.fromhex("080101000800000000000000040000"))
        assert await wire.bytes() == hsm.status(hsm.Type.RESUME, ok=True)
        sim.tick(5)
        assert (await wire.data()).kind == "U"


@in_sim
async def test_caps_answer_no(sim: Sim):
    refused = hsm.status(hsm.Type.SUBSCRIBE, ok=False)
    accepted = hsm.status(hsm.Type.SUBSCRIBE, ok=True)
    many = [f"sf|nse_cm|9{n:08d}" for n in range(300)]
    async with hsm_client(sim) as wire:
        for names, channel, answer in (
            (many[:101], 2, refused),
            (many[:1], 0, refused),
            (many[:1], 17, refused),
            (many[:100], 2, accepted),
            (many[100:200], 2, accepted),
            (many[:1], 2, accepted),  # already counted
            (many[200:201], 2, refused),
            (many[200:201], 16, accepted),
        ):
            await wire.ws.send_bytes(subscribe(names, channel))
            assert await wire.bytes() == answer, (len(names), channel)


@in_sim
async def test_hsm_refuses_strangers(sim: Sim):
    data = await sim.login()
    async with socket(sim, "/hsm?ack=0") as wire:
        await wire.ws.send_bytes(subscribe(["sf|nse_cm|3045"]))
        assert await wire.bytes() == hsm.status(hsm.Type.SUBSCRIBE, ok=False)
        await wire.ws.send_bytes(connect(data["token"], "11111111-2222-3333-4444-555555555555"))
        assert await wire.bytes() == hsm.connect_reply(accepted=False)
        assert await wire.is_closed()


@in_sim
async def test_a_view_pair_may_watch_the_market(sim: Sim):
    view = await sim.view()
    async with socket(sim, "/hsm") as wire:
        await wire.ws.send_bytes(connect(view["token"], view["sid"]))
        assert (await wire.bytes())[7:8] == b"K"


@in_sim
async def test_ending_the_session_closes_the_sockets(sim: Sim):
    async with hsm_client(sim) as wire:
        sim.server.venue.expire("ABCDE")
        assert await wire.is_closed()


@in_sim
async def test_a_frame_that_cannot_be_read_ends_the_connection(sim: Sim):
    async with hsm_client(sim) as wire:
        await wire.ws.send_bytes(b"\x00\x05\x04\x02\x01\xff\xff")
        assert await wire.is_closed()


@in_sim
async def test_plain_http_on_a_socket_path_is_told_so(sim: Sim):
    for path in ("", "hsm", "apifeed", "realtime"):
        assert (await sim.get(path, {"x": "y"}))[0] == 426


@asynccontextmanager
async def sfeed_client(sim: Sim, query: str = "") -> AsyncIterator[Wire]:
    data = await sim.login()
    async with socket(sim, f"/apifeed{query}") as wire:
        await wire.ws.send_json({"user": "ABCDE", "auth": data["sid"], "format": "native_batch"})
        assert (await wire.json())["message_code"] == 1119
        yield wire


def header(packet: bytes) -> tuple[int, ...]:
    return sfeed.HEADER.unpack_from(packet)


@in_sim
async def test_sfeed_acknowledges_then_sends_pictures(sim: Sim):
    async with sfeed_client(sim) as wire:
        tokens = "nse_cm|3045,nse_cm|999999999"
        await wire.ws.send_json({"event": "subscribeScrips", "inputtoken": tokens, "ack_symbol": True})
        ack = await wire.json()
        assert (ack["message_code"], ack["trading_symbols"]) == (1109, {"nse_cm|3045": "SBIN-EQ"})
        first = await wire.bytes()
        assert header(first)[:4] == (176, 7208, 1, 4)
        sim.tick(5)
        second = await wire.bytes()
        assert header(second)[5] == header(first)[5] + 1
        ltp = sfeed.PICTURE.unpack_from(second, sfeed.HEADER.size)[10]
        assert ltp == round(sim.ltp("NSE", "SBIN") * 100)


@in_sim
async def test_sfeed_levels_are_separate_subscriptions(sim: Sim):
    async with sfeed_client(sim) as wire:
        for event, size in (
            ("subscribeScripsLite", 54),
            ("subscribeDepth", 304),
            ("subscribeFullDepth", 304),
        ):
            await wire.ws.send_json({"event": event, "inputtoken": "nse_cm|3045"})
            assert len(await wire.bytes()) == size
        await wire.ws.send_json({"event": "subscribeIndices", "inputtoken": "nse_cm|Nifty 50"})
        index = await wire.bytes()
        assert header(index)[:2] == (87, 7207)
        assert index[-21:].rstrip(b"\0") == b"Nifty 50"
        sim.tick(5)
        sizes = sorted([len(await wire.bytes()) for _ in range(4)])
        assert sizes == [54, 87, 304, 304]
        await wire.ws.send_json({"event": "unsubscribeDepth", "inputtoken": "nse_cm|3045"})
        await wire.ws.send_json({"event": "unsubscribeFullDepth", "inputtoken": "nse_cm|3045"})
        await wire.ws.send_json({"event": "snapshotDepth", "inputtoken": "nse_cm|3045"})
        assert len(await wire.bytes()) == 304
        sim.tick(5)
        assert sorted([len(await wire.bytes()) for _ in range(2)]) == [54, 87]
        assert await wire.silent()


@in_sim
async def test_sfeed_packs_on_request(sim: Sim):
    async with sfeed_client(sim, "?packed=1") as wire:
        tokens = "nse_cm|3045,nse_cm|1594"
        await wire.ws.send_json({"event": "subscribeScripsLite", "inputtoken": tokens})
        assert len(await wire.bytes()) == 108


@in_sim
async def test_sfeed_market_status(sim: Sim):
    async with sfeed_client(sim) as wire:
        await wire.ws.send_json({"event": "subscribeExchange"})
        packets = [await wire.bytes() for _ in sfeed.ANNOUNCED]
        assert {header(p)[1] for p in packets} == {105}
        assert {sfeed.STATUS.unpack_from(p, 9)[0] for p in packets} == {1}
        assert [header(p)[2] for p in packets] == [sfeed.SFEED_ID[s] for s in sfeed.ANNOUNCED]


@in_sim
async def test_sfeed_refuses_strangers_and_other_formats(sim: Sim):
    data = await sim.login()
    good = {"user": "ABCDE", "auth": data["sid"], "format": "native_batch"}
    for spoil in ({"auth": "1"}, {"user": "neome"}, {"format": "json"}):
        async with socket(sim, "/apifeed") as wire:
            await wire.ws.send_json(good | spoil)
            assert (await wire.json())["message_code"] == 1120
            assert await wire.is_closed()


@in_sim
async def test_sfeed_stops_at_its_cap(sim: Sim, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sfeed, "MAX_TOKENS", 2)
    async with sfeed_client(sim) as wire:
        tokens = "nse_cm|3045,nse_cm|1594,nse_cm|11536"
        await wire.ws.send_json({"event": "subscribeScrips", "inputtoken": tokens, "ack_symbol": True})
        assert len((await wire.json())["trading_symbols"]) == 2
        assert [len(await wire.bytes()) for _ in range(2)] == [176, 176]
        await wire.ws.send_json({"event": "subscribeDepth", "inputtoken": "nse_cm|3045", "ack_symbol": True})
        assert (await wire.json())["trading_symbols"] == {}
