"""Real ZeroMQ sockets against the bus."""

from __future__ import annotations

import asyncio

import pytest
import zmq

from brokers.model import InstrumentKey, Mode
from gateway.stream.bus import Bus
from gateway.stream.protocol import Item
from gateway.stream.standing import follow_table
from gateway.stream.topics import Name
from tests.gateway.stream.rig import (
    INSTRUMENTS,
    TODAY,
    ask,
    hear,
    instrument,
    next_message,
    on_loop,
    running,
    subscriber,
    until,
)
from tests.ports import free_ports

SBIN = InstrumentKey("NSE", "SBIN")


@on_loop
async def test_a_full_topic_is_all_a_program_needs(tmp_path):
    async with running(tmp_path) as rig:
        async with subscriber(rig.zmq_port, "NSE_SBIN_QUOTE", "NSE_INDEX_NIFTY_LTP") as sub:
            await until(lambda: len(rig.feed.wanted) == 2)
            assert rig.feed.wanted == {SBIN: Mode.QUOTE, InstrumentKey("NSE_INDEX", "NIFTY"): Mode.LTP}
            rig.send("NSE", "SBIN", 801.5)
            topic, data = await next_message(sub)
            assert topic == "NSE_SBIN_QUOTE"
            assert (data["exchange"], data["symbol"], data["mode"], data["seq"]) == (
                "NSE",
                "SBIN",
                "quote",
                1,
            )
            rig.send("NSE_INDEX", "NIFTY", 24853.15)
            assert (await next_message(sub))[0] == "NSE_INDEX_NIFTY_LTP"
            sub.setsockopt_string(zmq.UNSUBSCRIBE, "NSE_SBIN_QUOTE")
            await until(lambda: SBIN not in rig.feed.wanted)
        await until(lambda: rig.feed.wanted == {})


@on_loop
async def test_a_prefix_receives_and_subscribes_nothing(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws, subscriber(rig.zmq_port, "NSE_") as sub:
        await until(lambda: rig.bus.subscriptions == 1)
        assert rig.feed.wanted == {}
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=2)
        await ask(ws, action="subscribe", symbol="NIFTY", exchange="NSE_INDEX", mode=1)
        await ask(ws, action="subscribe", symbol="SOL_INR", exchange="CRYPTO", mode=1)
        for exchange, symbol in (("CRYPTO", "SOL_INR"), ("NSE", "SBIN"), ("NSE_INDEX", "NIFTY")):
            rig.send(exchange, symbol, 100.0)
        assert [(await next_message(sub))[0] for _ in range(2)] == ["NSE_SBIN_QUOTE", "NSE_INDEX_NIFTY_LTP"]


@on_loop
async def test_bus_and_websocket_carry_the_same_number_and_bytes(tmp_path):
    async with (
        running(tmp_path) as rig,
        rig.client() as ws,
        subscriber(rig.zmq_port, "NSE_SBIN_DEPTH") as sub,
    ):
        await until(lambda: SBIN in rig.feed.wanted)
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
        rig.send("NSE", "SBIN", 801.5)
        frame, (_, data) = await hear(ws), await next_message(sub)
        assert frame["data"] == data
        assert rig.fanout.counts.encoded == 1


@on_loop
async def test_a_prefix_that_comes_and_goes_while_ticks_flow(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        rig.send("NSE", "SBIN", 801.0)
        assert rig.bus.sent == 0
        async with subscriber(rig.zmq_port, "") as sub:
            await until(lambda: rig.bus.subscriptions == 1)
            rig.send("NSE", "SBIN", 802.0)
            assert (await next_message(sub))[1]["seq"] == 2
        await until(lambda: rig.bus.subscriptions == 0)
        rig.send("NSE", "SBIN", 803.0)
        assert rig.bus.sent == 1


@on_loop
async def test_a_changed_table_answers_old_wishes_and_renews_what_is_wanted(tmp_path):
    async with running(tmp_path) as rig, subscriber(rig.zmq_port, "NSE_NOSUCH_LTP", "NSE_SBIN_LTP"):
        await until(lambda: len(rig.zmq_standing.waiting) == 1 and SBIN in rig.feed.wanted)
        [why] = rig.zmq_standing.waiting.values()
        assert "NOSUCH" in why
        follow = follow_table(rig.table.synced_at, rig.fanout, [rig.zmq_standing], every_s=0.02)
        task = asyncio.create_task(follow)
        rig.feed.calls.clear()
        renewed = instrument("NSE", "SBIN", token="9999", display="State Bank of India")
        others = [i for i in INSTRUMENTS if i.key != SBIN]
        rig.table.swap([*others, renewed, instrument("NSE", "NOSUCH")], TODAY)
        await until(lambda: len(rig.feed.calls) == 3)
        assert rig.feed.calls == [(SBIN, None), (SBIN, Mode.LTP), (InstrumentKey("NSE", "NOSUCH"), Mode.LTP)]
        assert rig.zmq_standing.waiting == {}
        task.cancel()


@on_loop
async def test_a_full_subscriber_is_counted_sees_its_loss_and_takes_nothing_from_the_other(tmp_path):
    async with running(tmp_path, high_water=100) as rig:
        context = zmq.Context()
        full, reader = context.socket(zmq.SUB), context.socket(zmq.SUB)
        for sub in (full, reader):
            sub.setsockopt(zmq.RCVHWM, 1 if sub is full else 1000)
            sub.setsockopt_string(zmq.SUBSCRIBE, "NSE_SBIN" if sub is full else "NSE_SBIN_DEPTH")
            sub.connect(f"tcp://127.0.0.1:{rig.zmq_port}")
        await until(lambda: rig.bus.subscriptions == 2)
        sent = 0

        async def send_ten():
            """Ten at a time stay far below the reader's own mark."""
            nonlocal sent
            for _ in range(10):
                sent += 1
                rig.bus.send(b"NSE_SBIN_DEPTH", b'{"seq":%d,"pad":"%s"}' % (sent, b"x" * 20_000))
            for n in range(sent - 9, sent + 1):
                assert (await next_message(reader))[1]["seq"] == n

        while rig.bus.overflows == 0:
            await send_ten()
        full_at = sent
        await send_ten()
        seqs = [0]
        while seqs[-1] <= full_at:
            if not full.poll(0):
                await send_ten()
            seqs.append((await next_message(full))[1]["seq"])
        assert seqs[:50] == list(range(50))
        assert len(seqs) - 1 < seqs[-1]
        for sub in (full, reader):
            sub.close(0)
        context.term()


@on_loop
async def test_a_taken_port_is_an_error_with_its_number(tmp_path):
    async with running(tmp_path) as rig:
        other = Bus(lambda name, joined: None)
        with pytest.raises(OSError, match="in use"):
            other.bind("127.0.0.1", rig.zmq_port)
        other.close()


@on_loop
async def test_messages_that_are_no_subscription_are_ignored(tmp_path):
    async with running(tmp_path) as rig:
        context = zmq.Context()
        rude = context.socket(zmq.XSUB)
        rude.connect(f"tcp://127.0.0.1:{rig.zmq_port}")
        rude.send(b"\x07garbage")
        rude.send(b"")
        rude.send(b"\x01\xff\xfe")
        rude.send(b"\x01NSE_SBIN_LTP")
        await until(lambda: SBIN in rig.feed.wanted)
        assert rig.bus.subscriptions == 2
        rude.close(0)
        context.term()


@on_loop
async def test_many_topics_come_and_go_quickly(tmp_path):
    async with running(tmp_path) as rig, subscriber(rig.zmq_port) as sub:
        for _ in range(50):
            for mode in ("LTP", "DEPTH"):
                sub.setsockopt_string(zmq.SUBSCRIBE, f"NSE_SBIN_{mode}")
            sub.setsockopt_string(zmq.UNSUBSCRIBE, "NSE_SBIN_DEPTH")
        await until(lambda: rig.feed.wanted == {SBIN: Mode.LTP})
        # 50 subscriptions of one topic need 50 to leave
        for _ in range(50):
            sub.setsockopt_string(zmq.UNSUBSCRIBE, "NSE_SBIN_LTP")
        await until(lambda: rig.feed.wanted == {})


@on_loop
async def test_standing_wishes_follow_a_changing_list(tmp_path):
    async with running(tmp_path) as rig:
        one, two = Item("NSE", "SBIN", Mode.QUOTE), Item("NSE", "TCS", Mode.QUOTE)
        await rig.zmq_standing.become([one, Item("NSE", "NOSUCH", Mode.QUOTE)])
        await rig.zmq_standing.become([one, two])
        assert set(rig.feed.wanted) == {SBIN, InstrumentKey("NSE", "TCS")}
        assert rig.zmq_standing.waiting == {}
        await asyncio.gather(rig.zmq_standing.become([two]), rig.zmq_standing.become([]))
        assert rig.feed.wanted == {}


@on_loop
async def test_only_full_topics_are_reported_each_way():
    heard = []
    bus = Bus(lambda name, joined: heard.append((name, joined)))
    [port] = free_ports(1)
    bus.bind("127.0.0.1", port)
    async with subscriber(port, "NSE_", "", "DHAN_dhan_orders", "NSE_M&M_DEPTH"):
        await until(lambda: bus.subscriptions == 4)
    await until(lambda: bus.subscriptions == 0)
    name = Name("NSE", "M&M", Mode.DEPTH)
    assert heard == [(name, True), (name, False)]
    bus.close()
