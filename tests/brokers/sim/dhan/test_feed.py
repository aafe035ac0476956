"""The feeds and order updates through real sockets."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from brokers.sim.dhan.sockets import Keepalive
from tests.brokers.sim.dhan import vectors
from tests.brokers.sim.dhan.live import ACCOUNT, PATIENCE_S, Broker, live, until

TICKER, QUOTE, FULL = 15, 17, 21


class Client:
    """A raw feed client that keeps what it gets."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.frames: list[bytes] = []
        self.texts: list[dict[str, Any]] = []
        self.ended: aiohttp.WSMsgType | None = None
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            message = await self.ws.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                self.frames.append(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                self.texts.append(json.loads(message.data))
            elif message.type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.ERROR,
            ):
                self.ended = message.type
                return

    @property
    def codes(self) -> list[int]:
        return [frame[0] for frame in self.frames]

    async def ask(self, code: int, *instruments: tuple[str, str | int]) -> None:
        rows = [{"ExchangeSegment": segment, "SecurityId": number} for segment, number in instruments]
        await self.ws.send_json({"RequestCode": code, "InstrumentCount": len(rows), "InstrumentList": rows})

    async def over(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._task

    @property
    def clean(self) -> bool:
        """The end was a close frame, not a dropped connection (1006 is the client's word for that)."""
        return self.ws.close_code not in (None, 1006)


@asynccontextmanager
async def connected(broker: Broker, url: str | None = None, **options: Any) -> AsyncIterator[Client]:
    async with broker.http.ws_connect(url or broker.socket_url("/feed"), **options) as ws:
        yield Client(ws)


def reason(frame: bytes) -> int:
    assert (frame[0], len(frame)) == (50, 10)
    return int.from_bytes(frame[8:10], "little")


async def ticks(broker: Broker, client: Client, more: int) -> None:
    """Let the market move until the client has so many more frames."""
    wanted = len(client.frames) + more

    async with asyncio.timeout(PATIENCE_S):
        while len(client.frames) < wanted:
            await broker.settle(0.25)
            await asyncio.sleep(0.002)


@live
async def test_each_mode_gets_its_packets_and_derivatives_their_open_interest(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    future = broker.future()
    async with connected(broker) as client:
        await client.ask(TICKER, ("NSE_EQ", str(sbin.token)))
        await until(lambda: client.codes == [6, 2])
        await client.ask(QUOTE, ("NSE_FNO", future.token))  # ids are taken as numbers too
        await until(lambda: client.codes == [6, 2, 6, 4, 5])
        await client.ask(FULL, ("NSE_FNO", str(future.token)))
        await until(lambda: len(client.frames) >= 7)
        assert client.codes[5:7] == [6, 8]
        assert [len(frame) for frame in client.frames[:7]] == [16, 16, 16, 50, 12, 16, 162]
        assert struct.unpack_from("<BHBI", client.frames[1]) == (2, 16, 1, sbin.token)
        market = broker.market(sbin)
        (ltp,) = struct.unpack_from("<f", client.frames[1], 8)
        assert abs(ltp - market.ltp_paise / 100) < 0.01
        await ticks(broker, client, 30)
        assert set(client.codes[7:]) >= {2, 4, 8}
        assert {len(frame) for frame in client.frames} <= {12, 16, 50, 162}


@live
async def test_an_index_gives_ticker_and_previous_close_whatever_was_asked(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.ask(FULL, ("IDX_I", "13"))
        await until(lambda: client.codes == [6, 2])
        await ticks(broker, client, 5)
        assert set(client.codes) == {6, 2}


@live
async def test_unsubscribing_one_mode_leaves_the_other(broker: Broker) -> None:
    sbin = ("NSE_EQ", str(broker.listing("NSE", "SBIN").token))
    async with connected(broker) as client:
        await client.ask(TICKER, sbin)
        await client.ask(QUOTE, sbin)
        await client.ask(16, sbin)
        await client.ask(TICKER, ("IDX_I", "13"))  # answered after the unsubscribe was carried out
        await until(lambda: len(client.frames) == 6)
        await ticks(broker, client, 20)
        assert all(frame[0] == 4 for frame in client.frames[6:] if frame[3] == 1)
        assert 4 in client.codes[6:]


@live
async def test_the_sixth_socket_pushes_out_the_oldest(broker: Broker) -> None:
    async with AsyncExitStack() as sockets:

        async def another() -> Client:
            client = await sockets.enter_async_context(connected(broker))
            await client.ask(TICKER, ("IDX_I", "13"))
            await until(lambda: bool(client.frames))
            return client

        five = [await another() for _ in range(5)]
        assert [client.ended for client in five] == [None] * 5
        sixth = await another()
        await five[0].over()
        assert reason(five[0].frames[-1]) == 805
        assert five[0].clean
        assert [client.ended for client in (*five[1:], sixth)] == [None] * 5


@live
async def test_a_bad_token_is_a_handshake_and_then_a_cut(broker: Broker) -> None:
    async with connected(broker, broker.socket_url("/feed", "eyJgarbage")) as client:
        await client.over()
        assert (client.frames, client.clean) == ([], False)
    broker.venue.expire(ACCOUNT)
    async with connected(broker) as client:
        await client.over()
        assert [reason(frame) for frame in client.frames] == [807]
        assert not client.clean


@live
async def test_an_expired_token_ends_open_sockets(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.ask(TICKER, ("IDX_I", "13"))
        await until(lambda: bool(client.frames))
        broker.venue.expire(ACCOUNT)
        await client.over()
        assert reason(client.frames[-1]) == 807


@live
async def test_more_than_100_instruments_in_a_message_are_804(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.ask(TICKER, *[("NSE_EQ", n) for n in range(101)])
        await client.over()
        assert reason(client.frames[-1]) == 804


@live
async def test_a_request_that_is_none_is_814(broker: Broker) -> None:
    for text in ("hello", "[]", '{"RequestCode":99}', '{"RequestCode":15,"InstrumentList":[1]}'):
        async with connected(broker) as client:
            await client.ws.send_str(text)
            await client.over()
            assert reason(client.frames[-1]) == 814


@live
async def test_an_unknown_instrument_stays_mute(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.ask(TICKER, ("NSE_EQ", "999999"), ("IDX_I", "13"))
        await ticks(broker, client, 4)
        assert {struct.unpack_from("<I", frame, 4)[0] for frame in client.frames} == {13}


@live
async def test_the_official_goodbye_ends_in_a_normal_close(broker: Broker) -> None:
    async with connected(broker) as client:
        await client.ws.send_bytes(bytes.fromhex(vectors.CLIENT["disconnect-binary-header"]["hex"]))
        await client.ask(TICKER, ("IDX_I", "13"))
        await until(lambda: bool(client.frames))  # the binary message alone changes nothing
        await client.ws.send_json(vectors.CLIENT["disconnect"]["json"])
        await client.over()
        assert client.ws.close_code == 1000


@live
async def test_packets_are_stacked_on_request(broker: Broker) -> None:
    listings = [x for x in broker.server.exchange.universe.listings if x.exchange == "NSE"][:40]
    async with connected(broker, broker.socket_url("/feed", extra="&packed=1")) as client:
        await client.ask(TICKER, *[("NSE_EQ", x.token) for x in listings])
        await until(lambda: sum(map(len, client.frames)) == 40 * 32)
        assert len(client.frames) < 40


@live
async def test_the_path_of_the_real_host_serves_too(broker: Broker) -> None:
    async with connected(broker, broker.socket_url("/")) as client:
        await client.ask(TICKER, ("IDX_I", "13"))
        await until(lambda: client.codes == [6, 2])
    async with broker.http.get(broker.url + "/") as response:
        assert response.status == 404


@live
async def test_a_client_that_answers_no_ping_is_cut(broker: Broker) -> None:
    broker.venue.feed.keepalive = Keepalive(ping_s=0.02, idle_s=0.2)
    async with (
        connected(broker) as answering,
        broker.http.ws_connect(broker.socket_url("/feed"), autoping=False) as mute,
    ):
        pings = 0
        async with asyncio.timeout(PATIENCE_S):
            while (message := await mute.receive()).type is aiohttp.WSMsgType.PING:
                pings += 1
        assert pings >= 5
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
        assert answering.ended is None


@live
async def test_nobody_listening_stops_the_listing(broker: Broker) -> None:
    unwatched = []
    exchange = broker.server.exchange
    before = exchange.unwatch
    exchange.unwatch = lambda listing: (unwatched.append(listing.symbol), before(listing))[1]  # type: ignore[method-assign]
    async with connected(broker) as client:
        await client.ask(TICKER, ("IDX_I", "13"))
        await client.ask(FULL, ("IDX_I", "13"))
        await until(lambda: len(client.frames) == 4)
    await until(lambda: unwatched == ["NIFTY"])


@live
async def test_depth_of_20_levels_has_both_sides_in_a_message(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    url = broker.socket_url("/twentydepth")
    async with connected(broker, url) as client:
        await client.ask(23, ("IDX_I", "13"), ("NSE_EQ", str(sbin.token)))
        await ticks(broker, client, 2)
        assert {len(frame) for frame in client.frames} == {664}
        assert struct.unpack_from("<HBBI", client.frames[0]) == (332, 41, 1, sbin.token)
        await client.ws.send_json({"RequestCode": 12})
        await client.over()


@live
async def test_depth_of_200_levels_takes_one_flat_instrument(broker: Broker) -> None:
    tokens = [str(broker.listing("NSE", name).token) for name in ("SBIN", "ITC")]
    async with connected(broker, broker.socket_url("/twohundreddepth")) as client:
        await client.ws.send_json({"RequestCode": 23, "ExchangeSegment": "NSE_EQ", "SecurityId": tokens[0]})
        await until(lambda: bool(client.frames))
        assert struct.unpack_from("<HBBI", client.frames[0])[1:] == (41, 1, int(tokens[0]))
        await client.ws.send_json({"RequestCode": 23, "ExchangeSegment": "NSE_EQ", "SecurityId": tokens[1]})
        await client.over()
        assert struct.unpack_from("<HBBIIH", client.frames[-1]) == (14, 50, 0, 0, 804, 804)


async def say_hello(broker: Broker, client: Client, **changes: Any) -> None:
    login = {"MsgCode": 42, "ClientId": ACCOUNT, "Token": broker.token} | changes
    await client.ws.send_json({"LoginReq": login, "UserType": "SELF"})


def updates_url(broker: Broker, extra: str = "") -> str:
    return f"ws://127.0.0.1:{broker.server.port}/order-update{extra}"


async def place(broker: Broker, **changes: Any) -> str:
    sbin = broker.listing("NSE", "SBIN")
    body = {
        "transactionType": "BUY",
        "exchangeSegment": "NSE_EQ",
        "productType": "CNC",
        "orderType": "MARKET",
        "validity": "DAY",
        "securityId": str(sbin.token),
        "quantity": 2,
        "correlationId": "seen",
    } | changes
    status, placed = await broker.call("POST", "/v2/orders", body)
    assert status == 200
    await broker.settle()
    return str(placed["orderId"])


@live
async def test_order_updates_tell_the_whole_life_in_camel_case(broker: Broker) -> None:
    async with connected(broker, updates_url(broker)) as client:
        await say_hello(broker, client)
        await until(lambda: bool(broker.venue.updates.accounts()))
        order_id = await place(broker)
        await until(lambda: bool(client.texts) and client.texts[-1]["Data"]["status"] == "Traded")
        assert {text["Type"] for text in client.texts} == {"order_alert"}
        last = client.texts[-1]["Data"]
        assert (last["orderNo"], last["txnType"], last["product"]) == (order_id, "B", "C")
        assert (last["quantity"], last["tradedQty"], last["remainingQuantity"]) == (2, 2, 0)
        assert (last["orderType"], last["correlationId"], last["exchange"]) == ("LMT", "seen", "NSE")
        assert last["avgTradedPrice"] > 0
        statuses = [text["Data"]["status"] for text in client.texts]
        assert statuses.index("Pending") < statuses.index("Traded")


@live
async def test_order_updates_in_pascal_case_on_request(broker: Broker) -> None:
    async with connected(broker, updates_url(broker, "?case=pascal")) as client:
        await say_hello(broker, client)
        await until(lambda: bool(broker.venue.updates.accounts()))
        order_id = await place(broker)
        await until(lambda: bool(client.texts))
        assert client.texts[0]["Data"]["OrderNo"] == order_id


@live
async def test_a_bad_order_update_login_is_closed(broker: Broker) -> None:
    for changes in ({"Token": "eyJx"}, {"ClientId": "1100000002"}, {"MsgCode": 41}):
        async with connected(broker, updates_url(broker)) as client:
            await say_hello(broker, client, **changes)
            await client.over()
            assert client.texts == []


@live
async def test_another_accounts_orders_are_not_told(broker: Broker) -> None:
    other = "1100000002"
    token = str(broker.venue.issue(other)["accessToken"])
    async with (
        connected(broker, updates_url(broker)) as mine,
        connected(broker, updates_url(broker)) as theirs,
    ):
        await say_hello(broker, mine)
        await say_hello(broker, theirs, ClientId=other, Token=token)
        await until(lambda: broker.venue.updates.accounts() == {ACCOUNT, other})
        await place(broker)
        await until(lambda: bool(mine.texts))
        assert theirs.texts == []


async def fault(broker: Broker, **rule: Any) -> None:
    async with broker.http.post(f"{broker.url}/_sim/faults", json=rule) as response:
        assert response.status == 200, await response.text()


@live
async def test_a_silent_feed_stays_open_and_says_nothing(broker: Broker) -> None:
    broker.venue.feed.keepalive = Keepalive(ping_s=0.02, idle_s=0.05)
    async with connected(broker) as client:
        await client.ask(TICKER, ("IDX_I", "13"))
        await until(lambda: bool(client.frames))
        await fault(broker, kind="silence", match={"socket": "feed"})
        before = len(client.frames)
        await broker.settle(5)
        async with asyncio.timeout(PATIENCE_S):
            await client.ws.ping()
        await broker.call("GET", "/v2/orders")
        assert (len(client.frames), client.ended) == (before, None)
        async with broker.http.delete(f"{broker.url}/_sim/faults"):
            pass
        await ticks(broker, client, 1)


@live
async def test_faults_cut_and_tear_the_feed(broker: Broker) -> None:
    for path in ("/feed", "/"):
        async with connected(broker, broker.socket_url(path)) as client:
            await client.ask(TICKER, ("IDX_I", "13"))
            await until(lambda: len(client.frames) == 2)
            await fault(broker, kind="torn_frame", match={"socket": "feed"}, count=1)
            await ticks(broker, client, 2)
            assert [len(frame) for frame in client.frames[2:4]] == [8, 16]
            await fault(broker, kind="cut", match={"socket": "feed"})
            await client.over()
            assert not client.clean


@live
async def test_order_updates_can_be_silenced_by_their_path(broker: Broker) -> None:
    async with connected(broker, updates_url(broker)) as client:
        await say_hello(broker, client)
        await until(lambda: bool(broker.venue.updates.accounts()))
        await fault(broker, kind="silence", match={"socket": "order-update"})
        await place(broker)
        await broker.call("GET", "/v2/orders")
        assert (client.texts, client.ended) == ([], None)


@live
async def test_the_server_stops_quickly_although_a_client_hangs(broker: Broker) -> None:
    async with connected(broker, broker.socket_url("/feed")) as one:
        await one.ask(TICKER, ("IDX_I", "13"))
        await until(lambda: bool(one.frames))
        await fault(broker, kind="half_open", match={"socket": "feed"})
        async with asyncio.timeout(3):
            await broker.venue.stop()
