"""The feed against a real WebSocket server that speaks golden frames."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from brokers.contract import BrokerContext
from brokers.dhan.feed import DhanFeed
from brokers.errors import SettingsError
from brokers.feedloop import Reconnect
from brokers.feedstate import Reports
from brokers.model import FeedState, InstrumentKey, Mode, OrderStatus
from tests.brokers.dhan.feeds import FRAMES, Bench, Sink, until
from tests.brokers.dhan.rows import Table, table
from tests.brokers.dhan.test_mapping import CAMEL

SHARE, INDEX, OPTION, CRUDE = (
    "NSE:DEMOBANK",
    "NSE_INDEX:NIFTY",
    "NFO:NIFTY29SEP2624800CE",
    "MCX:CRUDEOIL19OCT26FUT",
)


NOWHERE = {"feed": "ws://x", "order_updates": "ws://x", "rest": "", "auth": ""}


def scenario(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test without a plug-in."""

    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    return run


def many(count: int) -> Table:
    share = table()[SHARE]
    return Table(
        [
            dataclasses.replace(share, key=InstrumentKey("NSE", f"S{i}"), token=str(i))
            for i in range(1, count + 1)
        ]
    )


@scenario
async def test_subscriptions_leave_a_hundred_to_a_message() -> None:
    bench = Bench(many(250))
    async with bench.running(*[(f"NSE:S{i}", 1) for i in range(1, 251)]):
        await bench.subscribed(250)
        assert [m["RequestCode"] for m in bench.line.messages] == [15, 15, 15]
        assert [m["InstrumentCount"] for m in bench.line.messages] == [100, 100, 50]
        assert bench.line.query["authType"] == ["2"]
        assert bench.line.query["version"] == ["2"]
        assert bench.line.query["clientId"] == ["1000000001"]


@scenario
async def test_modes_become_request_codes_and_a_change_ends_the_old_one_first() -> None:
    bench = Bench()
    async with bench.running((SHARE, 1), (OPTION, 2), (CRUDE, 3)):
        await bench.subscribed(3)
        assert bench.line.ids() == {"910001": 15, "920101": 17, "910045": 21}
        before = len(bench.line.messages)
        bench.want(SHARE, 3)
        bench.want(SHARE, 3)
        bench.want(CRUDE, None)
        await until(lambda: bench.line.ids() == {"910001": 21, "920101": 17})
        codes = [m["RequestCode"] for m in bench.line.messages[before:]]
        assert sorted(codes) == [16, 21, 22]
        assert codes.index(16) < codes.index(21)


@scenario
async def test_a_frame_of_five_packets_becomes_merged_ticks() -> None:
    bench = Bench()
    async with bench.running((INDEX, 2), (OPTION, 3)):
        await bench.subscribed(2)
        await bench.line.socket.send(FRAMES["frame-live-mixed"])
        await until(lambda: len(bench.sink.ticks) == 4)
        index, quote, oi, full = bench.sink.ticks
        assert (str(index.key), index.mode, index.prev_close) == (INDEX, Mode.QUOTE, 24751.25)
        assert [str(t.key) for t in (quote, oi, full)] == [OPTION] * 3
        assert [t.mode for t in (quote, oi, full)] == [Mode.QUOTE, Mode.QUOTE, Mode.DEPTH]
        assert (quote.oi, oi.oi, oi.volume) == (None, 3786445, quote.volume)
        assert full.depth is not None
        assert len(full.depth().asks) == 5
        assert bench.sink.states[-1] == (FeedState.LIVE, "")
        assert bench.feed.counters.by_packet == {"prev close": 1, "ticker": 1, "quote": 1, "oi": 1, "full": 1}


@scenario
async def test_a_torn_frame_is_kept_what_stood_before_it_is_delivered_and_the_stream_goes_on() -> None:
    bench = Bench()
    torn = FRAMES["ticker-nse-eq"] + FRAMES["full-truncated-depth"]
    async with bench.running((SHARE, 3)):
        await bench.subscribed(1)
        for frame in (torn, FRAMES["frame-live-unknown-in-middle"], "text", FRAMES["ticker-nse-eq"]):
            await bench.line.socket.send(frame)
        await until(lambda: len(bench.sink.ticks) == 3)
        assert [frame for frame, _ in bench.sink.bad] == [torn, b"text"]
        assert "cut short at byte 16" in bench.sink.bad[0][1]
        assert bench.feed.counters.parse_errors == 2
        assert bench.feed.counters.unknown_instruments == 1  # the MCX packet nobody asked for
        assert len(bench.server.market) == 1


@scenario
async def test_a_reconnect_restores_every_subscription_as_wanted_now() -> None:
    bench = Bench()
    async with bench.running((SHARE, 1), (OPTION, 2)):
        await bench.subscribed(2)
        bench.want(OPTION, None)
        bench.want(CRUDE, 3)
        await until(lambda: bench.line.ids() == {"910001": 15, "910045": 21})
        bench.line.socket.transport.abort()
        await until(lambda: len(bench.server.market) == 2)
        await bench.subscribed(2)
        assert bench.line.ids() == {"910001": 15, "910045": 21}
        assert len(bench.line.messages) == 2
        assert bench.feed.counters.reconnects == 1


@scenario
async def test_805_backs_off_for_a_minute() -> None:
    bench = Bench()
    async with bench.running((SHARE, 1)):
        await bench.subscribed(1)
        await bench.line.socket.send(FRAMES["disconnect-805"])
        await until(lambda: bench.sink.states[-1][0] is FeedState.BACKOFF)
        assert "805" in bench.sink.states[-1][1]
        assert "next try in 60.0 s" in bench.sink.states[-1][1]
        assert bench.store.renewals == []


@scenario
async def test_a_handshake_refused_with_429_waits_a_minute() -> None:
    bench = Bench()
    bench.server.is_busy = True
    async with bench.running((SHARE, 1)):
        await until(lambda: bench.sink.states and bench.sink.states[-1][0] is FeedState.BACKOFF)
        assert "HTTP 429; next try in 60.0 s" in bench.sink.states[-1][1]
        assert bench.store.renewals == []


@scenario
async def test_804_moves_half_of_the_instruments_to_another_socket() -> None:
    bench = Bench(many(4))
    async with bench.running(*[(f"NSE:S{i}", 1) for i in range(1, 5)]):
        await bench.subscribed(4)
        await bench.line.socket.send(FRAMES["disconnect-804"])
        await until(lambda: len(bench.server.market) == 3)
        await until(lambda: sorted(len(c.ids()) for c in bench.server.market[1:]) == [2, 2])
        assert {i for c in bench.server.market[1:] for i in c.ids()} == {"1", "2", "3", "4"}
        assert bench.sink.refused == []


@scenario
async def test_a_refused_token_asks_for_a_new_generation_and_goes_on_with_it() -> None:
    bench = Bench()
    bench.server.refuse_tokens["token-1"] = FRAMES["disconnect-807"]
    async with bench.running((SHARE, 1)):
        await until(lambda: bench.server.market and bench.line.token == "token-2")
        await bench.subscribed(1)
        assert bench.store.renewals == [1]


@scenario
async def test_a_renewed_token_refused_too_stops_the_renewals_until_somebody_logs_in() -> None:
    bench = Bench()
    bench.server.refuse_tokens = {f"token-{n}": FRAMES["disconnect-809"] for n in (1, 2)}
    async with bench.running((SHARE, 1)):
        await until(lambda: bench.sink.states and bench.sink.states[-1][0] is FeedState.LOGIN_NEEDED)
        assert "refused too" in bench.sink.states[-1][1]
        tries = len(bench.server.market)
        # at least three more rounds of the loop
        for _ in range(3):
            await asyncio.sleep(0.06)
        assert (bench.store.renewals, len(bench.server.market)) == ([1], tries)
        bench.store.generation = 3  # a person logged in
        await until(lambda: bench.line.token == "token-3")
        await bench.subscribed(1)
        assert bench.store.renewals == [1]


@scenario
async def test_without_a_data_plan_the_feed_stops_and_says_so() -> None:
    bench = Bench()
    bench.server.refuse_tokens["token-1"] = FRAMES["disconnect-806"]
    async with bench.running((SHARE, 1)):
        await until(lambda: bench.sink.states and bench.sink.states[-1][0] is FeedState.LOGIN_NEEDED)
        assert "data plan" in bench.sink.states[-1][1]
        assert bench.store.renewals == []


@scenario
async def test_a_cut_without_a_word_is_cleared_up_with_the_profile() -> None:
    bench = Bench()
    bench.server.cut_tokens = {"token-1"}
    bench.server.bad_tokens = {"token-1"}
    async with bench.running((SHARE, 1)):
        await bench.subscribed(1)
        assert bench.line.token == "token-2"
        assert bench.store.renewals == [1]


@scenario
async def test_a_cut_with_a_good_token_only_reconnects() -> None:
    bench = Bench()
    bench.server.cut_tokens = {"token-1"}
    async with bench.running((SHARE, 1)):
        await until(lambda: bench.server.profiles >= 2)
        assert bench.store.renewals == []
        bench.server.cut_tokens = set()
        await bench.subscribed(1)


@scenario
async def test_the_pool_opens_sockets_as_needed_and_refuses_only_what_is_over() -> None:
    bench = Bench(many(11), per_socket=2)
    async with bench.running(*[(f"NSE:S{i}", 1) for i in range(1, 4)]):
        await until(lambda: sum(len(c.ids()) for c in bench.server.market) == 3)
        assert len(bench.server.market) == 2
        for i in range(4, 12):
            bench.want(f"NSE:S{i}", 1)
        await until(lambda: sum(len(c.ids()) for c in bench.server.market) == 10)
        assert len(bench.server.market) == 5
        assert [str(key) for key, _ in bench.sink.refused] == ["NSE:S11"]
        assert bench.sink.refused[0][1] == "Symbol count exceeds maximum (10) for dhan"
        bench.want("NSE:S1", None)
        bench.want("NSE:S11", 1)
        await until(lambda: any("11" in c.ids() for c in bench.server.market))


@scenario
async def test_an_instrument_without_a_feed_segment_is_refused() -> None:
    bench = Bench()
    async with bench.running():
        odd = dataclasses.replace(table()[SHARE], broker_exchange="NSE_COMM")
        bench.feed.want(odd, Mode.LTP)
        assert bench.sink.refused == [(odd.key, "Dhan's feed has no segment NSE_COMM")]


@scenario
async def test_order_updates_reach_the_sink() -> None:
    bench = Bench()
    async with bench.running():
        await until(lambda: bench.server.orders)
        assert bench.server.order_logins == [
            {"LoginReq": {"MsgCode": 42, "ClientId": "1000000001", "Token": "token-1"}, "UserType": "SELF"}
        ]
        line = bench.server.orders[0]
        await line.send(json.dumps({"Type": "greeting"}))
        await line.send("{")
        await line.send(json.dumps({"Type": "order_alert", "Data": {}}))
        await line.send(json.dumps({"Type": "order_alert", "Data": CAMEL | {"status": "Traded"}}))
        await until(lambda: bench.sink.updates)
        (update,) = bench.sink.updates
        assert (update.order.status, update.trade_price) == (OrderStatus.COMPLETE, Decimal("2845.6"))
        assert update.seen_ns > 0
        assert len(bench.sink.bad) == 2


@scenario
async def test_trouble_on_the_order_socket_does_not_hide_a_live_market() -> None:
    bench = Bench()
    async with bench.running():
        await until(lambda: bench.server.orders and bench.sink.states[-1][0] is FeedState.LIVE)
        bench.server.orders[0].transport.abort()
        await until(lambda: len(bench.server.orders) == 2)
        told = [(s, r) for s, r in bench.sink.states if "order updates" in r and "next try" in r]
        assert told
        assert {s for s, _ in told} == {FeedState.LIVE}


def test_silence_only_means_something_where_there_was_talk() -> None:
    bench = Bench()
    context = BrokerContext({}, NOWHERE, {}, bench.clock, bench.rows)
    feed = DhanFeed(context, bench.store, Sink())
    (socket,) = feed._sockets
    assert not socket.expects_data()  # nothing subscribed
    feed.want(bench.rows[SHARE], Mode.LTP)
    assert socket.expects_data()  # subscribed and never heard
    socket.frame(FRAMES["ticker-nse-eq"], 1)
    assert not socket.expects_data()  # first packets only: perhaps an illiquid book
    bench.clock.advance(81)
    assert socket.expects_data()
    for _ in range(16):
        bench.clock.advance(1)
        socket.frame(FRAMES["ticker-nse-eq"], 1)
    assert socket.expects_data()  # a packet a second: now silence is suspicious
    feed.want(bench.rows[SHARE], None)
    assert not socket.expects_data()


def test_data_after_a_silence_makes_it_live_again() -> None:
    bench, sink = Bench(), Sink()
    feed = DhanFeed(BrokerContext({}, NOWHERE, {}, bench.clock, bench.rows), bench.store, sink)
    (socket,) = feed._sockets
    socket.frame(FRAMES["ticker-nse-eq"], 1)
    feed.report(socket.name, FeedState.SILENT, "no frame for 10 s, subscribing again")

    class Wire:
        async def send(self, text: str) -> None: ...

    asyncio.run(socket.resubscribe(Wire()))  # type: ignore[arg-type]
    assert sink.states[-1][0] is FeedState.SILENT
    socket.frame(FRAMES["ticker-nse-eq"], 2)
    assert sink.states[-1] == (FeedState.LIVE, "")


def test_an_address_that_is_no_websocket_is_refused_before_a_token_can_show_up_in_a_message() -> None:
    bench = Bench()
    endpoints = NOWHERE | {"feed": "https://x"}
    with pytest.raises(SettingsError, match="feed address"):
        DhanFeed(BrokerContext({}, endpoints, {}, bench.clock, bench.rows), bench.store, Sink())


def test_request_faults_are_reported_and_the_socket_stays() -> None:
    bench = Bench()
    context = BrokerContext({}, NOWHERE, {}, bench.clock, bench.rows)
    sink = Sink()
    (socket,) = DhanFeed(context, bench.store, sink)._sockets
    socket.frame(FRAMES["disconnect-814"], 1)
    assert "814" in sink.bad[0][1]
    with pytest.raises(Reconnect):
        socket.frame(FRAMES["disconnect-805"], 1)


def test_a_socket_that_joins_the_pool_does_not_make_a_live_feed_look_down() -> None:
    sink = Sink()
    reports = Reports(sink)
    reports.put("market 1", FeedState.CONNECTING, "")
    reports.put("market 1", FeedState.LIVE, "")
    reports.put("market 2", FeedState.CONNECTING, "")
    assert [state for state, _ in sink.states] == [FeedState.CONNECTING, FeedState.LIVE, FeedState.LIVE]
    reports.put("market 2", FeedState.LIVE, "")
    reports.put("market 2", FeedState.CONNECTING, "")  # it was up, and its instruments are lost
    assert sink.states[-1][0] is FeedState.CONNECTING
    reports.put("depth 20, socket 1", FeedState.BACKOFF, "cut")
    reports.put("market 2", FeedState.LIVE, "")
    assert sink.states[-1] == (FeedState.LIVE, "depth 20, socket 1: cut")


@scenario
async def test_a_market_status_is_kept_by_segment_and_is_no_tick() -> None:
    bench = Bench()
    async with bench.running((SHARE, 1)):
        await bench.subscribed(1)
        await bench.line.socket.send(FRAMES["status-nse-eq"])
        await until(lambda: bench.feed.counters.market_status == {"NSE_EQ": "changed"})
        assert bench.sink.ticks == []
