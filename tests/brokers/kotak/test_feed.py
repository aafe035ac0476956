"""Kotak's feeds against a websockets server that plays golden frames."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.errors import LoginRequired, SettingsError
from brokers.feedloop import LoopRules
from brokers.kotak.feed import FeedRules, KotakFeed
from brokers.kotak.feed.hsm import Channels, apply_scrip
from brokers.kotak.wire import hsm, sfeed
from brokers.model import FeedState, Instrument, Mode, OrderStatus
from brokers.secret import Secret
from brokers.wants import Merged
from tests.brokers.kotak.feeds import Feeds, Sink, playing, topics_in, until
from tests.brokers.kotak.rows import DEMO, NIFTY, OPTION, Table, instrument
from tests.brokers.kotak.vectors import ORDER_FEED, hsm_frame, sfeed_frame

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
RULES = FeedRules(
    switch_after_s=0.2,
    switch_most_s=600.0,
    login_wait_s=0.01,
    login_timeout_s=5.0,
    loop=LoopRules(
        resubscribe_after_s=60,
        reconnect_after_s=90,
        backoff_first_s=0.01,
        backoff_most_s=0.02,
        open_timeout_s=5.0,
    ),
)


def session(generation: int = 1, **attributes: str) -> BrokerSession:
    return BrokerSession(
        broker="kotak",
        account="ABC12",
        secrets={"token": Secret("TRADE"), "sid": Secret("SID-1"), "access_token": Secret("app-token")},
        attributes={"ucc": "ABC12", "base_url": "http://127.0.0.1:1", **attributes},
        issued_at=NOON,
        expires_at=NOON + timedelta(hours=6),
        generation=generation,
    )


@dataclass
class Stage:
    feeds: Feeds
    feed: KotakFeed
    sink: Sink
    clock: ManualClock
    asked: list[int]


@asynccontextmanager
async def stage(
    *wants: tuple[Instrument, Mode],
    choice: str = "auto",
    named: str = "",
    rules: FeedRules = RULES,
    calendar: Calendar | None = None,
    at: datetime = NOON,
    setup: Callable[[Feeds], None] = lambda feeds: None,
) -> AsyncIterator[Stage]:
    async with playing() as feeds:
        setup(feeds)
        clock, sink, asked = ManualClock(at), Sink(), []
        context = BrokerContext(
            credentials={},
            endpoints={"hsm": feeds.url("/hsm"), "sfeed": feeds.url("/apifeed")},
            options={"KOTAK_FEED": choice},
            clock=clock,
            instruments=Table(),
            calendar=calendar or AlwaysOpen(),
        )

        async def newest(failed: int) -> BrokerSession:
            asked.append(failed)
            if failed >= 3:
                raise LoginRequired("three sessions were refused")
            return session(failed + 1, feed=named, orders_url=feeds.url("/realtime"))

        feed = KotakFeed(context, newest, sink, rules=rules)
        for item, mode in wants:
            feed.want(item, mode)
        running = asyncio.create_task(feed.run())
        try:
            yield Stage(feeds, feed, sink, clock, asked)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 60))  # type: ignore[arg-type]


# --- which feed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "named", "kind"),
    [
        ("auto", "", "sfeed"),
        ("auto", "sfeed", "sfeed"),
        ("auto", "hsm", "hsm"),
        ("hsm", "sfeed", "hsm"),
        ("sfeed", "hsm", "sfeed"),
    ],
)
def test_the_feed_is_the_settings_else_the_config_services(choice: str, named: str, kind: str) -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.QUOTE), choice=choice, named=named) as s:
            await until(lambda: s.sink.states and s.sink.states[-1][0] is FeedState.LIVE)
            assert s.feed.kind == kind
            assert s.feeds.opened["/hsm" if kind == "hsm" else "/apifeed"] == 1

    play(scene)


def test_an_unknown_choice_is_the_settings_fault() -> None:
    context = BrokerContext({}, {}, {"KOTAK_FEED": "both"}, ManualClock(NOON), Table())

    async def nobody(failed: int) -> BrokerSession:
        raise LoginRequired("")

    with pytest.raises(SettingsError, match="KOTAK_FEED"):
        KotakFeed(context, nobody, Sink())


# --- SFeed -------------------------------------------------------------------------------------------------


def test_sfeed_asks_each_mode_with_its_own_event_and_ticks_carry_all_fields() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), (OPTION, Mode.QUOTE), (NIFTY, Mode.DEPTH)) as s:
            await until(lambda: len({t.key for t in s.sink.ticks}) == 3)
            assert set(s.feeds.subscribed()) == {
                ("subscribeScripsLite", "nse_cm|90001"),
                ("subscribeScrips", "nse_fo|50001"),
                ("subscribeIndices", "nse_cm|Nifty 50"),
            }
            auth = s.feeds.texts("/apifeed")[0]
            assert (auth["user"], auth["auth"]) == ("ABC12", "SID-1")
            assert auth["conn_req_time"] == int(NOON.timestamp() * 1000)
            light, full, index = (s.sink.last(i.key) for i in (DEMO, OPTION, NIFTY))
            assert light is not None
            assert (light.mode, light.ltp, light.last_trade_ms) == (Mode.LTP, 1025.5, 1795149930000)
            assert full is not None
            assert (full.mode, full.ltp, full.volume, full.oi) == (Mode.QUOTE, 112.35, 75000, 1500000)
            assert (full.bid, full.ask, full.bid_quantity, full.ask_quantity) == (112.3, 112.4, 150, 225)
            assert (full.open, full.high, full.low, full.prev_close) == (105, 120, 98, 100)
            assert (full.average_price, full.total_buy_quantity) == (110.12, 410200)
            assert index is not None
            assert (index.mode, index.ltp, index.prev_close) == (Mode.QUOTE, 24350.75, 24200)

    play(scene)


def test_sfeed_depth_is_decoded_only_when_asked_for() -> None:
    async def scene() -> None:
        async with stage((OPTION, Mode.DEPTH)) as s:
            await until(lambda: s.sink.ticks)
            tick = s.sink.ticks[-1]
            assert tick.mode is Mode.DEPTH
            assert tick.depth is not None
            depth = tick.depth()
            assert [(x.price, x.quantity, x.orders) for x in depth.bids[:2]] == [
                (112.3, 150, 2),
                (112.25, 300, 3),
            ]
            assert len(depth.asks) == 5

    play(scene)


def test_a_richer_mode_is_asked_for_before_the_old_one_is_dropped() -> None:
    async def scene() -> None:
        async with stage((OPTION, Mode.QUOTE)) as s:
            await until(lambda: s.sink.ticks)
            s.feed.want(OPTION, Mode.DEPTH)
            await until(lambda: s.sink.ticks[-1].mode is Mode.DEPTH)
            s.feed.want(OPTION, None)
            await until(lambda: len(s.feeds.subscribed()) == 4)
            assert [event for event, _ in s.feeds.subscribed()] == [
                "subscribeScrips",
                "subscribeDepth",
                "unsubscribeScrips",
                "unsubscribeDepth",
            ]

    play(scene)


def test_a_poorer_mode_forgets_what_nobody_updates() -> None:
    async def scene() -> None:
        async with stage((OPTION, Mode.DEPTH)) as s:
            await until(lambda: s.sink.ticks)
            s.feed.want(OPTION, Mode.QUOTE)
            await until(lambda: s.sink.ticks[-1].mode is Mode.QUOTE)
            assert s.sink.ticks[-1].depth is None

    play(scene)


def test_many_wishes_make_batches_of_a_hundred() -> None:
    async def scene() -> None:
        many = [instrument("NSE", f"S{n}", "nse_cm", str(n), f"S{n}-EQ") for n in range(250)]
        async with stage(*((i, Mode.QUOTE) for i in many)) as s:
            await until(lambda: len(s.feeds.subscribed()) == 250)
            sizes = [len(str(m["inputtoken"]).split(",")) for m in s.feeds.texts("/apifeed")[1:]]
            assert sizes == [100, 100, 50]

    play(scene)


def test_torn_and_unknown_frames_are_kept_and_the_stream_goes_on() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP)) as s:
            await until(lambda: s.sink.ticks)
            before = len(s.sink.ticks)
            for bad in (
                sfeed_frame("mini_touch_line_level_1")[:30],
                b"\x09\x00\x61\x1e\x01\x03\x00\x01\x00",
                "{",
            ):
                await s.feeds.push("/apifeed", bad)
            await s.feeds.push("/apifeed", sfeed_frame("touch_line_level_4"))  # not wanted
            await s.feeds.push("/apifeed", sfeed_frame("mini_touch_line_level_1"))
            await until(lambda: len(s.sink.ticks) > before)
            assert [len(frame) for frame, _ in s.sink.bad] == [30, 9, 1]
            assert s.feed.counters.parse_errors == 3
            assert s.feed.counters.unknown_instruments == 1
            assert s.feeds.opened["/apifeed"] == 1

    play(scene)


def test_the_instrument_over_the_limit_is_refused_and_the_others_stay() -> None:
    async def scene() -> None:
        many = [instrument("NSE", f"S{n}", "nse_cm", str(n), f"S{n}-EQ") for n in range(3001)]
        async with stage(*((i, Mode.LTP) for i in many)) as s:
            assert [key.symbol for key, _ in s.sink.refused] == ["S3000"]
            await until(lambda: len(s.feeds.subscribed()) == 3000)

    play(scene)


# --- HSM ---------------------------------------------------------------------------------------------------


def test_hsm_asks_topics_by_mode_and_merges_depth_with_the_last_price() -> None:
    async def scene() -> None:
        wants = ((DEMO, Mode.LTP), (OPTION, Mode.DEPTH), (NIFTY, Mode.QUOTE))
        async with stage(*wants, choice="hsm") as s:
            await until(lambda: {t.key for t in s.sink.ticks} == {DEMO.key, OPTION.key, NIFTY.key})
            await until(lambda: s.sink.last(OPTION.key).mode is Mode.DEPTH)  # type: ignore[union-attr]
            assert s.feeds.frames(hsm.CONNECT) == [hsm.connect("TRADE", "SID-1")]
            asked = [topics_in(f)[0] for f in s.feeds.frames(hsm.SUBSCRIBE)]
            assert sorted(map(sorted, asked)) == [
                ["dp|nse_fo|50001"],
                ["if|nse_cm|Nifty 50"],
                ["sf|nse_cm|90001", "sf|nse_fo|50001"],
            ]
            tick = s.sink.last(OPTION.key)
            assert tick is not None
            assert (tick.ltp, tick.oi, tick.volume) == (112.35, 1500000, 75000)
            assert tick.depth is not None
            assert [x.price for x in tick.depth().bids] == [112.3, 112.25, 112.2, 112.15, 112.1]
            share = s.sink.last(DEMO.key)
            assert share is not None
            assert (share.ltp, share.high, share.last_trade_ms) == (1025.5, 1030, 1795149929000)
            index = s.sink.last(NIFTY.key)
            assert index is not None
            assert (index.ltp, index.open) == (24350.75, 24220.5)

    play(scene)


def test_hsm_updates_keep_the_fields_they_leave_out() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.QUOTE), choice="hsm") as s:
            await until(lambda: s.sink.ticks)
            await s.feeds.push("/hsm", hsm_frame("scrip_flow", "scrip_update_short"))
            await until(lambda: len(s.sink.ticks) == 2)
            tick = s.sink.ticks[-1]
            assert (tick.ltp, tick.volume, tick.high, tick.bid) == (1025.7, 1250045, 1030, 1025.45)

    play(scene)


def test_a_depth_handed_out_does_not_change_with_the_next_update() -> None:
    async def scene() -> None:
        async with stage((OPTION, Mode.DEPTH), choice="hsm") as s:
            await until(lambda: s.sink.ticks and s.sink.ticks[-1].depth)
            old = s.sink.ticks[-1]
            await s.feeds.push("/hsm", hsm_frame("depth_flow", "depth_update"))
            await until(lambda: s.sink.ticks[-1] is not old)
            new = s.sink.ticks[-1]
            assert old.depth is not None
            assert new.depth is not None
            assert (old.depth().bids[0].price, new.depth().bids[0].price) == (112.3, 112.35)
            assert (new.bid, new.bid_quantity) == (112.35, 75)

    play(scene)


def test_hsm_frames_are_acknowledged_when_the_server_asks() -> None:
    def setup(feeds: Feeds) -> None:
        feeds.hsm_connect = ("acknowledged_flow", "connection_response")

    async def scene() -> None:
        async with stage(choice="hsm", setup=setup) as s:
            await until(lambda: s.sink.states and s.sink.states[-1][0] is FeedState.LIVE)
            s.feed.want(DEMO, Mode.QUOTE)
            # its plain snapshot is unreadable on a numbered connection; the golden numbered flow follows
            for step in ("scrip_snapshot", "scrip_update_1", "scrip_update_2", "scrip_update_3"):
                await s.feeds.push("/hsm", hsm_frame("acknowledged_flow", step))
            await until(lambda: len(s.feeds.frames(hsm.ACK)) == 2)
            assert s.feeds.frames(hsm.ACK) == [
                hsm_frame("acknowledged_flow", "ack_after_second"),
                hsm_frame("acknowledged_flow", "ack_after_fourth"),
            ]

    play(scene)


def test_hsm_batches_and_channels() -> None:
    async def scene() -> None:
        many = [instrument("NSE", f"S{n}", "nse_cm", str(n), f"S{n}-EQ") for n in range(450)]
        async with stage(*((i, Mode.QUOTE) for i in many), choice="hsm") as s:
            await until(lambda: len(s.feeds.frames(hsm.SUBSCRIBE)) == 5)
            asked = [topics_in(f) for f in s.feeds.frames(hsm.SUBSCRIBE)]
            assert [(len(topics), channel) for topics, channel in asked] == [
                (100, 2),
                (100, 2),
                (100, 3),
                (100, 3),
                (50, 4),
            ]
            s.feed.want(many[0], None)
            await until(lambda: s.feeds.frames(hsm.UNSUBSCRIBE))
            assert topics_in(s.feeds.frames(hsm.UNSUBSCRIBE)[0]) == (["sf|nse_cm|0"], 2)

    play(scene)


def test_one_refused_topic_is_found_by_halves_and_the_rest_stream() -> None:
    def setup(feeds: Feeds) -> None:
        feeds.hsm_bad_topics = {"sf|nse_cm|7"}

    async def scene() -> None:
        many = [instrument("NSE", f"S{n}", "nse_cm", str(n), f"S{n}-EQ") for n in range(10)]
        async with stage(
            (DEMO, Mode.QUOTE), *((i, Mode.QUOTE) for i in many), choice="hsm", setup=setup
        ) as s:
            await until(lambda: s.sink.refused and s.sink.last(DEMO.key))
            assert [key.symbol for key, _ in s.sink.refused] == ["S7"]

    play(scene)


def test_channels_fill_one_after_the_other_and_take_back() -> None:
    channels = Channels()
    given = [channels.take(f"sf|{n}") for n in range(3001)]
    assert given[:201] == [2] * 200 + [3]
    assert (given[2999], given[3000]) == (16, None)
    assert channels.take("sf|0") == 2, "asking twice takes no second place"
    assert channels.release("sf|250") == 3
    assert channels.take("sf|new") == 3


def test_hsm_hazards_are_counted_and_the_stream_goes_on() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.QUOTE), choice="hsm") as s:
            await until(lambda: s.sink.ticks)
            hazards = (
                hsm_frame("hazard_unknown_topic", "orphan_update"),
                hsm_frame("hazard_unknown_kind", "unknown_kind"),
                hsm_frame("scrip_flow", "scrip_snapshot")[:40],
                "text",
            )
            for frame in hazards:
                await s.feeds.push("/hsm", frame)
            await s.feeds.push("/hsm", hsm_frame("scrip_flow", "scrip_update_partial"))
            await until(lambda: s.sink.ticks[-1].ltp == 1025.75)
            assert len(s.sink.bad) == s.feed.counters.parse_errors == 4

    play(scene)


# --- silence, loss, refusal --------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "then"), [("sfeed", "/hsm"), ("hsm", "/apifeed")])
def test_a_feed_silent_after_its_snapshots_is_changed_for_the_other(first: str, then: str) -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), (NIFTY, Mode.LTP), named=first) as s:
            await until(lambda: len(s.sink.ticks) == 2)
            assert s.feeds.opened[then] == 0
            s.clock.advance(0.3)
            await until(lambda: s.feeds.opened[then] == 1, "the other feed")
            await until(lambda: s.sink.last(DEMO.key) and s.feed.kind != first)
            changes = [reason for _, reason in s.sink.states if "changed from" in reason]
            assert f"changed from {first} because it sent nothing new" in changes[0]

    play(scene)


def test_a_feed_that_moves_is_kept() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP)) as s:
            await until(lambda: s.sink.ticks)
            for _ in range(5):
                s.clock.advance(0.15)
                seen = len(s.sink.ticks)
                await s.feeds.push("/apifeed", sfeed_frame("mini_touch_line_level_1"))
                await until(lambda seen=seen: len(s.sink.ticks) > seen)
                await asyncio.sleep(RULES.switch_after_s / 2)  # two looks of the watcher
            assert s.feeds.opened["/hsm"] == 0

    play(scene)


@pytest.mark.parametrize("case", ["closed market", "nothing wanted", "fixed choice"])
def test_silence_without_meaning_changes_nothing(case: str) -> None:
    async def scene() -> None:
        wants = () if case == "nothing wanted" else ((DEMO, Mode.LTP),)
        choice = "sfeed" if case == "fixed choice" else "auto"
        calendar = FileCalendar() if case == "closed market" else AlwaysOpen()
        at = NIGHT if case == "closed market" else NOON
        async with stage(*wants, choice=choice, calendar=calendar, at=at) as s:
            await until(lambda: s.sink.states and s.sink.states[-1][0] is FeedState.LIVE)
            for _ in range(4):
                s.clock.advance(1.0)
                await asyncio.sleep(RULES.switch_after_s / 2)
            assert s.feeds.opened["/hsm"] == 0

    play(scene)


def test_when_both_are_silent_the_changes_become_rare() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP)) as s:
            await until(lambda: s.sink.ticks)
            s.clock.advance(0.3)
            await until(lambda: s.feeds.opened["/hsm"] == 1)
            await until(lambda: s.feed.kind == "hsm" and s.sink.states[-1][0] is FeedState.LIVE)
            s.clock.advance(0.3)  # below twice the first patience
            await asyncio.sleep(RULES.switch_after_s)
            assert s.feeds.opened["/apifeed"] == 1
            s.clock.advance(0.2)
            await until(lambda: s.feeds.opened["/apifeed"] == 2)

    play(scene)


def test_a_feed_that_cannot_be_reached_is_changed_for_the_other() -> None:
    def setup(feeds: Feeds) -> None:
        feeds.refuse_handshake = {"/apifeed"}

    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), setup=setup) as s:
            await until(lambda: s.sink.last(DEMO.key), "a tick of the other feed")
            assert s.feeds.opened["/apifeed"] >= 3
            assert s.feed.kind == "hsm"

    play(scene)


@pytest.mark.parametrize("kind", ["sfeed", "hsm"])
def test_a_lost_socket_comes_back_with_every_subscription(kind: str) -> None:
    path = "/hsm" if kind == "hsm" else "/apifeed"

    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), (NIFTY, Mode.QUOTE), choice=kind) as s:
            await until(lambda: len(s.sink.ticks) == 2)
            s.feeds.live[path].transport.abort()
            await until(lambda: s.feeds.opened[path] == 2)
            await until(lambda: len(s.sink.ticks) == 4, "ticks of the new socket")
            assert {t.key for t in s.sink.ticks[2:]} == {DEMO.key, NIFTY.key}
            states = [state for state, _ in s.sink.states]
            assert FeedState.BACKOFF in states
            assert states[-1] is FeedState.LIVE

    play(scene)


@pytest.mark.parametrize("kind", ["sfeed", "hsm"])
def test_silence_of_every_kind_subscribes_again(kind: str) -> None:
    path, update = (
        ("/hsm", hsm_frame("scrip_flow", "scrip_update_partial"))
        if kind == "hsm"
        else (
            "/apifeed",
            sfeed_frame("mini_touch_line_level_1"),
        )
    )
    rules = replace(RULES, loop=replace(RULES.loop, resubscribe_after_s=0.5, reconnect_after_s=60))

    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), choice=kind, rules=rules) as s:
            asked = s.feeds.subscribed if kind == "sfeed" else partial(s.feeds.frames, hsm.SUBSCRIBE)
            await until(lambda: len(asked()) == 2, "a second subscription")
            assert FeedState.SILENT in [state for state, _ in s.sink.states]
            await until(lambda: len(s.sink.ticks) >= 2)
            # the answer to a subscription is no proof of life
            assert s.sink.states[-1][0] is FeedState.SILENT
            await s.feeds.push(path, update)
            await until(lambda: s.sink.states[-1][0] is FeedState.LIVE)

    play(scene)


@pytest.mark.parametrize("kind", ["sfeed", "hsm"])
def test_a_refused_session_asks_for_a_newer_one_then_says_that_a_login_is_needed(kind: str) -> None:
    def setup(feeds: Feeds) -> None:
        feeds.sfeed_auth = json.dumps({"message_code": 1120})
        feeds.hsm_connect = ("conn_refused_one_field", "connection_response")

    async def scene() -> None:
        async with stage((DEMO, Mode.LTP), choice=kind, setup=setup) as s:
            await until(lambda: FeedState.LOGIN_NEEDED in [state for state, _ in s.sink.states])
            assert {0, 1, 2, 3} <= set(s.asked)

    play(scene)


def test_a_feed_that_never_answers_the_login_is_left() -> None:
    def setup(feeds: Feeds) -> None:
        feeds.sfeed_auth = ""

    async def scene() -> None:
        rules = replace(RULES, login_timeout_s=0.05)
        async with stage((DEMO, Mode.LTP), choice="sfeed", rules=rules, setup=setup) as s:
            await until(lambda: s.feeds.opened["/apifeed"] >= 2)
            assert any("did not answer the login" in reason for _, reason in s.sink.states)

    play(scene)


# --- orders ------------------------------------------------------------------------------------------------


def test_orders_arrive_in_our_words() -> None:
    async def scene() -> None:
        async with stage() as s:
            await until(lambda: s.feeds.heard["/realtime"])
            assert s.feeds.heard["/realtime"][0] == "{type:cn,Authorization:TRADE,Sid:SID-1,src:WEB}"
            await s.feeds.push("/realtime", ORDER_FEED["order"])
            await s.feeds.push("/realtime", ORDER_FEED["position"])
            await s.feeds.push("/realtime", ORDER_FEED["order_filled"])
            await until(lambda: len(s.sink.orders) == 2)
            opened, filled = s.sink.orders
            assert (opened.order.status, opened.order.key, opened.trade_price) == (
                OrderStatus.OPEN,
                DEMO.key,
                None,
            )
            assert filled.order.status is OrderStatus.COMPLETE
            assert (filled.order.filled_quantity, str(filled.trade_price)) == (10, "1025.45")
            assert filled.seen_ns > 0
            # a frame older than what is known says nothing new
            await s.feeds.push("/realtime", ORDER_FEED["order"])
            await s.feeds.push("/realtime", "not json")
            await until(lambda: s.sink.bad)
            assert len(s.sink.orders) == 2
            assert s.feed.orders.frames >= 5
            assert s.feed.counters.frames < 5, "orders do not make the market feed look alive"

    play(scene)


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_the_json_form_is_tried_when_the_stripped_one_fails(how: str) -> None:
    def greet(text: str) -> str | None:
        if text.startswith('{"'):
            return ORDER_FEED["ack_ok"]
        return ORDER_FEED["ack_bad_format"] if how == "refused" else None

    def setup(feeds: Feeds) -> None:
        feeds.greetings = greet

    async def scene() -> None:
        async with stage(rules=replace(RULES, login_timeout_s=0.2), setup=setup) as s:
            await until(lambda: len(s.feeds.heard["/realtime"]) >= 2)
            first, second = s.feeds.heard["/realtime"][:2]
            assert str(first).startswith("{type:cn")
            assert json.loads(second)["src"] == "WEB"
            # what worked stays
            s.feeds.live["/realtime"].transport.abort()
            await until(lambda: len(s.feeds.heard["/realtime"]) >= 3)
            assert str(s.feeds.heard["/realtime"][2]).startswith('{"type"')

    play(scene)


def test_both_forms_refused_means_the_session() -> None:
    def setup(feeds: Feeds) -> None:
        feeds.greetings = lambda text: ORDER_FEED["ack_auth_failed"]

    async def scene() -> None:
        async with stage(setup=setup) as s:
            await until(lambda: 1 in s.asked, "a newer session")
            assert len(s.feeds.heard["/realtime"]) >= 2
            assert any("order updates" in reason for _, reason in s.sink.states)

    play(scene)


def test_counts_above_two_billion_are_no_negative_numbers() -> None:
    raw = [0] * len(hsm.FIELDS["sf"])
    raw[-2:] = 1, 2
    counts = {3: 1_700_000_000, 4: -1, 6: -2, 7: -3, 8: -4, 11: -5, 12: -6, 22: -7}
    for place, value in counts.items():
        raw[place] = value
    merged = Merged(DEMO, Mode.QUOTE)
    apply_scrip(merged, hsm.Topic("sf", "nse_cm", DEMO.token, "DEMO-EQ", raw))
    tick = merged.tick(0)
    assert tick is not None
    found = (tick.volume, tick.last_quantity, tick.total_buy_quantity, tick.total_sell_quantity)
    assert found == tuple(2**32 - n for n in (1, 2, 3, 4))
    assert (tick.bid_quantity, tick.ask_quantity, tick.oi) == tuple(2**32 - n for n in (5, 6, 7))


def test_the_order_feed_beats_its_heart() -> None:
    async def scene() -> None:
        async with stage(rules=replace(RULES, heartbeat_s=0.02)) as s:
            await until(lambda: s.feeds.heard["/realtime"].count("{type:hb}") >= 3)

    play(scene)


def test_a_market_status_is_kept_by_segment() -> None:
    async def scene() -> None:
        async with stage((DEMO, Mode.LTP)) as s:
            await until(lambda: s.sink.ticks)
            status = sfeed.HEADER.pack(sfeed.HEADER.size + 7, 105, 1, 0, 0, 0, 0) + struct.pack(
                "<H5s", 8, b""
            )
            await s.feeds.push("/apifeed", status)
            await until(lambda: s.feed.counters.market_status)
            assert s.feed.counters.market_status == {"nse_cm": "continuous closed for auction"}
            assert s.sink.bad == []

    play(scene)
