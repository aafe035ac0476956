"""Real clients on a real socket; the broker side is made by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from brokers.model import Depth, InstrumentKey, Level, Mode
from gateway.scopes import Scope
from gateway.stream.server import ServerRules
from tests.gateway.stream.rig import HandFeed, ask, hear, instrument, limits, on_loop, running, until

SBIN = InstrumentKey("NSE", "SBIN")


@on_loop
async def test_a_key_is_acknowledged_with_the_contracts_frame(tmp_path):
    async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
        assert await ask(ws, action="auth", apikey=rig.key, request_id="r1") == {
            "type": "auth",
            "status": "success",
            "message": "Authentication successful",
            "broker": "dhan",
            "user_id": "dhan",
            "supported_features": {"ltp": True, "quote": True, "depth": True},
            "request_id": "r1",
        }


@on_loop
async def test_a_wrong_key_answers_with_type_auth_and_the_socket_stays_open(tmp_path):
    async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
        for wrong in ("f" * 64, "", None, 7, "x" * 5000):
            answer = await ask(ws, action="authenticate", api_key=wrong)
            assert (answer["type"], answer["code"]) == ("auth", "AUTHENTICATION_ERROR")
        assert (await ask(ws, action="authenticate", api_key=rig.key))["status"] == "success"


@on_loop
async def test_guessing_keys_ends_the_connection(tmp_path):
    async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
        for n in range(5):
            await ask(ws, action="authenticate", api_key=f"{n:064x}")
        with pytest.raises(ConnectionClosed):
            await ask(ws, action="ping")
        assert ws.close_code == 4401


@on_loop
async def test_no_key_in_time_closes_with_4401(tmp_path):
    async with running(tmp_path, limits=limits(auth_grace_s=0.2)) as rig:
        async with connect(rig.url, proxy=None) as ws:
            with pytest.raises(ConnectionClosed):
                await hear(ws)
            assert (ws.close_code, ws.close_reason) == (4401, "auth timeout")
        async with rig.client() as ws:
            await asyncio.sleep(0.4)
            assert (await ask(ws, action="ping"))["type"] == "pong"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"action":"subscribe","symbol":"SBIN","exchange":"NSE"}', "NOT_AUTHENTICATED"),
        ('{"action":"get_broker_info"}', "NOT_AUTHENTICATED"),
        ('{"action":"dance"}', "INVALID_ACTION"),
        ('{"action":["x"]}', "INVALID_ACTION"),
        ("{}", "INVALID_ACTION"),
        ("[1,2]", "INVALID_JSON"),
        ("not json", "INVALID_JSON"),
        ("", "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        (b'{"action":"ping"}', "INVALID_JSON"),
        (b"\xff\x00", "INVALID_JSON"),
    ],
)
def test_garbage_is_answered_and_the_connection_lives(tmp_path, message, code):
    @on_loop
    async def scenario():
        async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
            await ws.send(message)
            answer = await hear(ws)
            assert (answer["status"], answer["code"]) == ("error", code)
            assert "type" not in answer
            assert (await ask(ws, action="ping"))["status"] == "success"

    scenario()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"mode": 4, "symbol": "SBIN", "exchange": "NSE"}, "INVALID_MODE"),
        ({"mode": True, "symbol": "SBIN", "exchange": "NSE"}, "INVALID_MODE"),
        ({"mode": "full", "symbol": "SBIN", "exchange": "NSE"}, "INVALID_MODE"),
        ({"mode": {"a": 1}, "symbol": "SBIN", "exchange": "NSE"}, "INVALID_MODE"),
        ({"symbol": "SBIN"}, "INVALID_PARAMETERS"),
        ({"symbols": []}, "INVALID_PARAMETERS"),
        ({"symbols": "SBIN"}, "INVALID_PARAMETERS"),
        ({"symbols": [{"symbol": 1, "exchange": "NSE"}]}, "INVALID_PARAMETERS"),
        ({}, "INVALID_PARAMETERS"),
    ],
)
def test_bad_subscriptions_name_their_fault(tmp_path, fields, code):
    @on_loop
    async def scenario():
        async with running(tmp_path) as rig, rig.client() as ws:
            answer = await ask(ws, action="subscribe", request_id=9, **fields)
            assert (answer["status"], answer["code"], answer["request_id"]) == ("error", code, 9)
            assert rig.feed.wanted == {}

    scenario()


@on_loop
async def test_ping_answers_without_a_key_and_echoes(tmp_path):
    async with running(tmp_path) as rig, connect(rig.url, proxy=None) as ws:
        answer = await ask(ws, action="ping", timestamp=5, _pingId="p")
        assert abs(answer.pop("server_timestamp") - time.time() * 1000) < 60_000
        assert answer == {"type": "pong", "status": "success", "client_timestamp": 5, "_pingId": "p"}


@on_loop
async def test_broker_info_and_supported_brokers(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        assert await ask(ws, action="get_broker_info") == {
            "type": "broker_info",
            "status": "success",
            "broker": "dhan",
            "adapter_status": "connected",
            "user_id": "dhan",
        }
        answer = await ask(ws, action="get_supported_brokers")
        assert (answer["brokers"], answer["count"]) == (["dhan", "kotak"], 2)


@on_loop
async def test_subscribe_answers_the_combined_ack_and_ticks_follow(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        answer = await ask(
            ws,
            action="subscribe",
            symbols=[{"symbol": "SBIN", "exchange": "NSE"}, {"symbol": "NIFTY", "exchange": "NSE_INDEX"}],
            mode="ltp",
            request_id="q",
        )
        assert answer["type"] == "subscribe"
        assert (answer["status"], answer["broker"], answer["request_id"]) == ("success", "dhan", "q")
        first = answer["subscriptions"][0]
        assert {
            k: first[k] for k in ("symbol", "exchange", "status", "mode", "depth", "broker", "state")
        } == {
            "symbol": "SBIN",
            "exchange": "NSE",
            "status": "success",
            "mode": "LTP",
            "depth": 5,
            "broker": "dhan",
            "state": "pending",
        }
        assert rig.feed.wanted == {SBIN: Mode.LTP, InstrumentKey("NSE_INDEX", "NIFTY"): Mode.LTP}
        rig.send("NSE", "SBIN", 801.5, mode=Mode.LTP)
        frame = await hear(ws)
        assert (frame["type"], frame["mode"], frame["data"]["ltp"]) == ("market_data", 1, 801.5)
        held = await ask(ws, action="get_subscriptions")
        assert [s["state"] for s in held["subscriptions"]] == ["live", "pending"]


@on_loop
async def test_the_default_mode_is_quote_and_aliases_are_understood(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", instruments=[{"symbol": "SBIN", "exchange": "nse"}], depth_level=20)
        await ask(ws, type="subscribe", instruments=["NSE:TCS"], mode="3")
        assert rig.feed.wanted == {SBIN: Mode.QUOTE, InstrumentKey("NSE", "TCS"): Mode.DEPTH}


@on_loop
async def test_a_client_with_three_modes_gets_a_frame_for_each(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        for mode in (1, 2, 3):
            await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=mode)
        rig.send("NSE", "SBIN", 801.5)
        frames = [await hear(ws) for _ in range(3)]
        assert [f["mode"] for f in frames] == [1, 2, 3]
        assert frames[2]["data"]["depth"]["buy"][0] == {"price": 801.45, "quantity": 10, "orders": 1}


@on_loop
async def test_unknown_symbols_name_the_nearest_and_the_rest_goes_on(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        answer = await ask(
            ws,
            action="subscribe",
            symbols=[
                {"symbol": "RELIANC", "exchange": "NSE"},
                {"symbol": "SBIN", "exchange": "NSE"},
                {"symbol": "SBIN", "exchange": "MOON"},
            ],
        )
        wrong, right, moon = answer["subscriptions"]
        assert answer["status"] == "partial"
        assert "mode" not in wrong
        assert wrong["message"].startswith("Symbol 'RELIANC' not found for exchange 'NSE'. Nearest: RELIANCE")
        assert right["status"] == "success"
        assert "Unknown exchange 'MOON'" in moon["message"]
        assert rig.feed.wanted == {SBIN: Mode.QUOTE}


@on_loop
async def test_a_display_name_in_any_case_finds_its_symbol(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        for text in ("state bank of INDIA", "sbin"):
            answer = await ask(ws, action="subscribe", symbol=text, exchange="NSE", mode=1)
            assert answer["subscriptions"][0]["symbol"] == "SBIN"
        answer = await ask(ws, action="unsubscribe", symbol="State Bank of India", exchange="NSE", mode=1)
        assert answer["successful"][0]["symbol"] == "SBIN"
        assert rig.feed.wanted == {}


@on_loop
async def test_a_depth_suffix_is_echoed_and_the_levels_served_reported(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        answer = await ask(ws, action="subscribe", symbol="TCS:20", exchange="NSE", mode=3)
        assert (answer["subscriptions"][0]["symbol"], answer["subscriptions"][0]["depth"]) == ("TCS:20", 5)
        rig.send("NSE", "TCS", 4000.0)
        frame = await hear(ws)
        assert (frame["symbol"], frame["data"]["symbol"], frame["mode"]) == ("TCS:20", "TCS:20", 3)
        # this feed has no deeper book, and says so
        assert answer["subscriptions"][0]["message"] == "the broker's feed has no deeper book"


class DeepHandFeed(HandFeed):
    """Carries deep books of everything but RELIANCE."""

    def want_levels(self, instrument, levels):
        self.calls.append((instrument.key, levels))
        return (
            "Dhan carries 250 books of 20 levels; this one is over" if "REL" in instrument.key.symbol else ""
        )


@on_loop
async def test_deep_books_stream_under_the_suffix_however_they_were_asked_for(tmp_path):
    async with running(tmp_path, feed=DeepHandFeed) as rig, rig.client() as ws:
        by_field = await ask(ws, action="subscribe", symbol="TCS", exchange="NSE", mode=3, depth=20)
        assert (by_field["subscriptions"][0]["symbol"], by_field["subscriptions"][0]["depth"]) == (
            "TCS:20",
            20,
        )
        key = InstrumentKey("NSE", "TCS")
        assert rig.feed.calls == [(key, Mode.DEPTH), (key, 20)]
        rig.send("NSE", "TCS", 4000.0)
        side = tuple(Level(4000.0 - n, 10 + n, 1 + n) for n in range(20))
        first = await hear(ws)  # before the first deep book five levels serve
        assert (first["symbol"], first["data"]["depth_level"]) == ("TCS:20", 1)
        rig.upstream.on_book(key, 20, lambda: Depth(side, side[:15]), 1_795_150_000_000_000_000)
        deep = await hear(ws)
        assert (deep["symbol"], deep["data"]["depth_level"], deep["data"]["ltp"]) == ("TCS:20", 20, 4000.0)
        assert deep["data"]["depth"]["buy"][19] == {"price": 3981.0, "quantity": 29, "orders": 20}
        assert len(deep["data"]["depth"]["sell"]) == 15
        assert deep["data"]["seq"] == first["data"]["seq"] + 1
        over = await ask(ws, action="subscribe", symbol="RELIANCE:20", exchange="NSE", mode="Depth")
        assert over["subscriptions"][0]["depth"] == 5
        assert over["subscriptions"][0]["message"].startswith("Dhan carries 250 books")
        wrong = await ask(ws, action="subscribe", symbol="TCS", exchange="NSE", mode=3, depth="many")
        assert wrong["code"] == "INVALID_PARAMETERS"


@on_loop
async def test_a_broker_token_stands_for_its_symbol(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        for spelled in (
            {"symbol": "3045", "exchange": "NSE"},
            {"exchange_token": 3045, "exchange": "NSE"},
            {"symbols": [{"token": "3045", "exchange": "NSE"}]},
        ):
            answer = await ask(ws, action="subscribe", mode=1, **spelled)
            assert answer["subscriptions"][0]["symbol"] == "SBIN", spelled
        rig.send("NSE", "SBIN", 801.5)
        assert (await hear(ws))["symbol"] == "SBIN"
        other = await ask(ws, action="subscribe", symbol="13", exchange="NSE", mode=1)
        assert other["subscriptions"][0]["status"] == "error"  # 13 is an index's token


@on_loop
async def test_over_the_limit_is_a_clear_error_and_the_others_stream(tmp_path):
    async with running(tmp_path, limits=limits(max_symbols=1)) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        answer = await ask(ws, action="subscribe", symbol="TCS", exchange="NSE", mode=1)
        assert answer["subscriptions"][0]["message"] == "Symbol count exceeds maximum (1) for dhan"
        rig.send("NSE", "SBIN", 801.5)
        assert (await hear(ws))["symbol"] == "SBIN"


@on_loop
async def test_unsubscribe_releases_upstream_and_ticks_stop(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws, rig.client() as other:
        for one in (ws, other):
            await ask(one, action="subscribe", symbol="SBIN", exchange="NSE", mode=2)
        answer = await ask(ws, action="unsubscribe", symbols=[{"symbol": "SBIN", "exchange": "NSE"}])
        assert (answer["type"], answer["status"], answer["failed"]) == ("unsubscribe", "success", [])
        assert rig.feed.wanted == {SBIN: Mode.QUOTE}
        rig.send("NSE", "SBIN", 801.5)
        assert (await hear(other))["type"] == "market_data"
        assert (await ask(ws, action="ping"))["type"] == "pong"
        again = await ask(ws, action="unsubscribe", symbol="SBIN", exchange="NSE")
        assert (again["status"], again["failed"][0]["status"]) == ("error", "error")
        await ask(other, action="unsubscribe_all")
        assert rig.feed.wanted == {}


@on_loop
async def test_a_closed_connection_releases_everything(tmp_path):
    async with running(tmp_path) as rig:
        async with rig.client() as ws:
            await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
            assert rig.feed.wanted == {SBIN: Mode.DEPTH}
        await until(lambda: rig.feed.wanted == {})
        assert rig.server.clients == set()


@on_loop
async def test_a_later_subscriber_sees_the_newest_value_at_once(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws, rig.client() as late:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
        rig.send("NSE", "SBIN", 801.5)
        rig.send("NSE", "SBIN", 802.0)
        await ask(late, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
        shown = await hear(late)
        assert (shown["data"]["ltp"], shown["data"]["seq"]) == (802.0, 2)
        rig.send("NSE", "SBIN", 803.0)
        assert (await hear(late))["data"]["seq"] == 3


@on_loop
async def test_a_tick_with_a_price_that_is_no_number_is_dropped_and_counted(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        rig.send("NSE", "SBIN", float("nan"))
        rig.send("NSE", "SBIN", 801.5)
        assert (await hear(ws))["data"]["ltp"] == 801.5
        assert rig.fanout.counts.bad_ticks == 1


@on_loop
async def test_a_refusal_by_the_broker_reaches_who_waits_for_it(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        rig.upstream.on_refused(SBIN, "broker: too many instruments")
        answer = await hear(ws)
        assert (answer["type"], answer["status"]) == ("subscribe", "partial")
        assert answer["subscriptions"][0]["message"] == "broker: too many instruments"


@on_loop
async def test_order_updates_only_to_those_who_asked(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws, rig.client() as other:
        assert await ask(ws, action="subscribe_orders") == {
            "type": "subscribe_orders",
            "status": "success",
            "message": "Subscribed to order updates",
        }
        rig.server.send_order({"type": "order_update", "orderid": "51"})
        assert (await hear(ws))["orderid"] == "51"
        assert (await ask(other, action="ping"))["type"] == "pong"
        await ask(ws, action="unsubscribe_orders")
        rig.server.send_order({"type": "order_update", "orderid": "52"})
        assert (await ask(ws, action="ping"))["type"] == "pong"


def test_keys_are_looked_at_often_enough_for_a_revocation_to_count_within_a_second():
    rules = ServerRules()
    assert rules.key_check_s + rules.housekeeping_s < 0.8


@on_loop
async def test_a_revoked_key_closes_its_sockets(tmp_path):
    async with running(tmp_path) as rig:
        _, second = rig.keys.create("other")
        async with rig.client() as ws, connect(rig.url, proxy=None) as other:
            await ask(other, action="authenticate", api_key=second.reveal())
            await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE")
            rig.keys.revoke(rig.key_id)
            with pytest.raises(ConnectionClosed):
                await hear(ws)
            assert (ws.close_code, ws.close_reason) == (4401, "API key revoked")
            assert rig.feed.wanted == {}
            assert (await ask(other, action="ping"))["type"] == "pong"


@on_loop
async def test_a_key_hears_only_what_its_scopes_allow(tmp_path):
    wishes = {
        Scope.DATA: [{"action": "subscribe", "symbol": "SBIN", "exchange": "NSE"}],
        Scope.READ: [{"action": "subscribe_orders"}, {"action": "subscribe", "channel": "orders"}],
    }
    async with running(tmp_path) as rig:
        for held in (Scope.DATA, Scope.READ, Scope.TRADE):
            _, key = rig.keys.create(held, frozenset({held}))
            async with connect(rig.url, proxy=None) as ws:
                assert (await ask(ws, action="authenticate", api_key=key.reveal()))["status"] == "success"
                for needed, asked in wishes.items():
                    for one in asked:
                        answer = await ask(ws, **one)
                        # the rig has no order journal to follow
                        missing = answer.get("code") == "SCOPE_MISSING"
                        assert missing is (needed is not held), answer
                        assert not missing or f"'{needed}'" in answer["message"]
                assert (await ask(ws, action="ping"))["type"] == "pong"
                assert rig.feed.wanted.keys() == ({InstrumentKey("NSE", "SBIN")} if held == "data" else set())
                clients = [one for one in rig.server.clients if one.wants_orders]
                assert bool(clients) is (held is Scope.READ)
                await ask(ws, action="unsubscribe_all")


async def stalled_client(rig):
    """A client that subscribes and then never reads again, with a small receive buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", rig.ws_port))
    ws = await connect(
        rig.url, sock=raw, compression=None, ping_interval=None, max_queue=1, proxy=None
    ).__aenter__()
    await ask(ws, action="authenticate", api_key=rig.key)
    await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
    ws.transport.pause_reading()
    return ws


@on_loop
async def test_a_stalled_client_delays_nobody_gets_the_newest_and_is_closed(tmp_path):
    rules = ServerRules(stalled_after_s=1.0, housekeeping_s=0.05)
    async with running(tmp_path, rules=rules) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
        stalled = await stalled_client(rig)
        n = replaced = most_waiting = 0
        while rig.server.counts.stalled == 0:
            n += 1
            rig.send("NSE", "SBIN", 800.0 + n * 0.05)
            # each tick reaches the healthy client before the next is made
            assert (await hear(ws))["data"]["seq"] == n
            for client in rig.server.clients:
                if client.outbox.behind:
                    replaced = client.outbox.replaced
                    waiting = client.connection.transport.get_write_buffer_size()
                    most_waiting = max(most_waiting, waiting)
        assert replaced > 0
        # bounded: what the transport holds plus one frame per channel
        assert most_waiting < 2 * 1024 * 1024
        await until(lambda: len(rig.server.clients) == 1)
        rig.send("NSE", "SBIN", 900.0)
        assert (await hear(ws))["data"]["ltp"] == 900.0
        stalled.transport.abort()


@on_loop
async def test_a_slow_client_that_reads_again_gets_the_newest_value_and_lives(tmp_path):
    async with running(tmp_path) as rig:
        slow = await stalled_client(rig)
        [client] = rig.server.clients
        n = 0
        while client.outbox.replaced < 100:
            n += 1
            rig.send("NSE", "SBIN", 800.0 + n * 0.05)
            if n % 50 == 0:
                await asyncio.sleep(0)
        slow.transport.resume_reading()
        seqs = [0]
        while seqs[-1] < n:
            seqs.append((await hear(slow))["data"]["seq"])
        assert seqs == sorted(seqs)
        assert len(seqs) - 1 == n - client.outbox.replaced
        assert not client.outbox.behind
        rig.send("NSE", "SBIN", 900.0)
        assert (await hear(slow))["data"]["ltp"] == 900.0
        slow.transport.abort()


@on_loop
async def test_order_updates_survive_a_slow_client_in_order(tmp_path):
    async with running(tmp_path) as rig:
        slow = await stalled_client(rig)
        [client] = rig.server.clients
        client.wants_orders = True
        while not client.outbox.behind:
            rig.send("NSE", "SBIN", 800.0)
            await asyncio.sleep(0)
        for n in range(50):
            rig.server.send_order({"type": "order_update", "orderid": str(n)})
        slow.transport.resume_reading()
        seen = []
        while len(seen) < 50:
            frame = await hear(slow)
            if frame["type"] == "order_update":
                seen.append(int(frame["orderid"]))
        assert seen == list(range(50))
        slow.transport.abort()


@on_loop
async def test_a_client_that_lets_order_updates_pile_up_is_cut_off(tmp_path):
    async with running(tmp_path, limits=limits(max_queue=16)) as rig:
        slow = await stalled_client(rig)
        [client] = rig.server.clients
        client.wants_orders = True
        while not client.outbox.behind:
            rig.send("NSE", "SBIN", 800.0)
            await asyncio.sleep(0)
        for n in range(17):
            rig.server.send_order({"type": "order_update", "orderid": str(n)})
        await until(lambda: not rig.server.clients)
        slow.transport.abort()


@on_loop
async def test_a_giant_message_closes_its_sender_alone(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws, rig.client() as other:
        with contextlib.suppress(ConnectionClosed):
            await ws.send("x" * (2 * 1024 * 1024))
        await ws.wait_closed()
        assert ws.close_code == 1009
        assert (await ask(other, action="ping"))["type"] == "pong"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:5001.evil.example"}, 403),
        ({"Host": "evil.example:8765"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "user@127.0.0.1"}, 403),
        ({"Host": "[::1].evil.example"}, 403),
        ({"Host": "127.0.0.1:8766/x"}, 403),
        ({"Origin": "http://127.0.0.1:5001/"}, 403),
        ({"Origin": "http://127.0.0.1:99999"}, 403),
        ({"Origin": "http://127.0.0.1:5001"}, None),
        ({"Origin": "http://localhost:5001"}, None),
        ({"Host": "LOCALHOST:1"}, None),
        ({}, None),
    ],
)
def test_foreign_hosts_and_origins_stay_outside(tmp_path, headers, status):
    @on_loop
    async def scenario():
        async with running(tmp_path) as rig:
            host = headers.get("Host", f"127.0.0.1:{rig.ws_port}")
            origin = f"Origin: {headers['Origin']}\r\n" if "Origin" in headers else ""
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.ws_port)
            writer.write(
                f"GET /ws HTTP/1.1\r\nHost: {host}\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            line = await reader.readline()
            assert int(line.split()[1]) == (status or 101)
            writer.close()

    scenario()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n", 200),
        ("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n", 404),
        ("GET /health/live HTTP/1.1\r\nHost: evil.example\r\n", 403),
        ("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n", 403),
        ("GET /health/live HTTP/1.1\r\n", 403),
    ],
)
def test_plain_pages_answer_on_the_same_port_to_allowed_hosts(tmp_path, head, status):
    @on_loop
    async def scenario():
        async with running(tmp_path) as rig:
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.ws_port)
            writer.write(f"{head}\r\n".encode())
            answer = await reader.read()
            assert int(answer.split(b" ")[1]) == status
            assert b"Server:" not in answer
            writer.close()

    scenario()


@on_loop
async def test_stopping_closes_clients_with_going_away(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await rig.server.stop()
        with pytest.raises(ConnectionClosed):
            await hear(ws)
        assert ws.close_code == 1001
        with pytest.raises((OSError, InvalidStatus)):
            async with connect(rig.url, proxy=None):
                pass


@on_loop
async def test_five_thousand_symbols_in_one_message(tmp_path):
    many = [instrument("NSE", f"S{n:04d}") for n in range(5000)]
    async with running(tmp_path, limits=limits(max_symbols=6000), extra=many) as rig, rig.client() as ws:
        answer = await ask(
            ws,
            action="subscribe",
            mode=1,
            symbols=[{"symbol": i.key.symbol, "exchange": "NSE"} for i in many],
        )
        assert answer["status"] == "success"
        assert len(rig.feed.wanted) == 5000
        await ask(ws, action="unsubscribe_all")
        assert rig.feed.wanted == {}
