from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from brokers.contract import BrokerSession
from brokers.errors import BrokerDown, LoginRequired
from brokers.model import FeedCounters, FeedState, InstrumentKey, Mode, OrderStatus
from gateway.stream.badframes import BadFrames
from gateway.stream.upstream import Sessions, Upstream
from tests.gateway.stream.rig import ask, hear, on_loop, running, until
from tests.gateway.stream.test_relay import update

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SBIN = InstrumentKey("NSE", "SBIN")


def session(generation):
    return BrokerSession("dhan", "11", {}, {}, NOON, NOON + timedelta(hours=20), generation)


class Stored:
    """The database as the feed sees it: None means no session."""

    def __init__(self, generation=None):
        self.generation = generation

    def __call__(self):
        if self.generation is None:
            raise LoginRequired("none stored")
        return session(self.generation)


class Api:
    def __init__(self, stored, status=200, body=None, makes=None, down=False):
        self.stored, self.status, self.body, self.makes, self.down = stored, status, body, makes, down
        self.asked = []

    async def post(self, path, body, *, timeout_s=10.0):
        assert path == "/internal/session/renew"
        self.asked.append(body)
        await asyncio.sleep(0)
        if self.down:
            raise BrokerDown("the api process does not answer")
        if self.makes is not None:
            self.stored.generation = self.makes
        return self.status, self.body


@on_loop
async def test_the_stored_session_is_used_without_asking():
    stored = Stored(3)
    api = Api(stored)
    handed = []
    assert (await Sessions(api, stored, handed.append)(0)).generation == 3
    assert api.asked == []
    assert [s.generation for s in handed] == [3]


@on_loop
async def test_a_refused_session_is_renewed_once_for_all_sockets():
    stored = Stored(3)
    api = Api(stored, makes=4)
    source = Sessions(api, stored, lambda s: None)
    got = await asyncio.gather(*(source(3) for _ in range(5)))
    assert {s.generation for s in got} == {4}
    assert api.asked == [{"failed_generation": 3}]


@pytest.mark.parametrize(
    ("api", "says"),
    [
        ({"status": 401, "body": {"message": "TOTP needed"}}, "TOTP needed"),
        ({"status": 500}, "HTTP 500"),
        ({"down": True}, "does not answer"),
        ({"status": 200}, "not stored yet"),
    ],
)
def test_what_stands_in_the_way_of_a_session_is_said(api, says):
    @on_loop
    async def scenario():
        stored = Stored()
        with pytest.raises(LoginRequired, match=says):
            await Sessions(Api(stored, **api), stored, lambda s: None, patience_s=0)(0)

    scenario()


@on_loop
async def test_an_api_process_that_is_still_starting_is_asked_again():
    stored = Stored()
    api = Api(stored, makes=1, down=True)
    asking = asyncio.create_task(Sessions(api, stored, lambda s: None)(0))
    await until(lambda: len(api.asked) >= 2)
    api.down = False
    assert (await asking).generation == 1


class Crashing:
    """A feed with a bug: dies whenever the test says so."""

    made: ClassVar[list[Crashing]] = []

    def __init__(self, sink):
        self.sink, self.wanted, self.die = sink, {}, asyncio.Event()
        self.counters = FeedCounters()
        Crashing.made.append(self)

    def want(self, instrument, mode):
        self.wanted[instrument.key] = mode

    async def run(self):
        self.sink.on_state(FeedState.LIVE, "")
        await self.die.wait()
        raise RuntimeError("a bug")


def upstream(tmp_path, **calls):
    quiet = {"on_order": lambda u: None, "on_new_order": lambda u: None, **calls}
    return Upstream(**quiet, bad_frames=BadFrames(tmp_path / "bad.jsonl", lambda: NOON), restart_wait_s=0.01)


@on_loop
async def test_a_feed_that_dies_is_made_anew_with_every_wish(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=3)
        Crashing.made.clear()
        again = upstream(tmp_path)
        again.join(rig.fanout)
        task = asyncio.create_task(again.run(Crashing))
        await until(lambda: len(Crashing.made) == 1 and again.state is FeedState.LIVE)
        Crashing.made[0].die.set()
        await until(lambda: len(Crashing.made) == 2 and again.state is FeedState.LIVE)
        assert Crashing.made[1].wanted == {SBIN: Mode.DEPTH}
        assert again.crashes == 1
        task.cancel()


def test_a_feed_that_was_live_says_its_trouble_and_a_mute_one_a_moment_longer(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("gateway.stream.upstream.time.monotonic", lambda: now[0])
    one = Upstream(on_order=list, on_new_order=list, bad_frames=BadFrames(tmp_path, lambda: NOON))
    one.on_state(FeedState.BACKOFF, "refused")
    assert one.trouble == ""  # it never was live: what it waits for is said elsewhere
    one.on_state(FeedState.LIVE, "")
    one.on_state(FeedState.BACKOFF, "cut")
    assert one.trouble == "cut"
    one.on_state(FeedState.LIVE, "")
    assert one.trouble == ""
    one.on_state(FeedState.SILENT, "no frame for 10 s")
    assert one.trouble == "no frame for 10 s"
    one.on_state(FeedState.LIVE, "")
    assert one.trouble == "live again; it was mute: no frame for 10 s"
    now[0] += 7.0
    one.on_state(FeedState.LIVE, "3 instruments")  # said again, not come back again
    assert one.trouble == ""
    one.on_state(FeedState.IDLE, "nothing subscribed")
    assert one.trouble == ""


@on_loop
async def test_a_lost_connection_makes_live_subscriptions_stale(tmp_path):
    async with running(tmp_path) as rig, rig.client() as ws:
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        rig.send("NSE", "SBIN", 801.5)

        async def state():
            return (await ask(ws, action="get_subscriptions"))["subscriptions"][0]["state"]

        assert await state() == "live"
        rig.upstream.on_state(FeedState.SILENT, "no frame for 10 s")
        assert await state() == "stale"
        rig.upstream.on_state(FeedState.BACKOFF, "cut")
        assert await state() == "stale"
        rig.send("NSE", "SBIN", 802.0)
        assert (await hear(ws))["data"]["ltp"] == 802.0
        assert await state() == "stale"  # the feed has not said that it is back
        rig.upstream.on_state(FeedState.LIVE, "")
        assert await state() == "live"


def test_the_same_order_change_is_told_once_to_consumers_and_always_to_the_api(tmp_path):
    everything, new = [], []
    feed = upstream(tmp_path, on_order=everything.append, on_new_order=new.append)
    for one in (
        update("1"),
        update("1"),
        update("1", filled=5),
        update("2"),
        update("1", OrderStatus.COMPLETE, filled=25),
        update("1", OrderStatus.COMPLETE, filled=25),
    ):
        feed.on_order(one)
    assert len(everything) == 6
    assert [(u.order.order_id, u.order.filled_quantity) for u in new] == [
        ("1", 0),
        ("1", 5),
        ("2", 0),
        ("1", 25),
    ]


def test_unreadable_frames_are_counted_kept_and_bounded(tmp_path):
    now = [NOON]
    bad = BadFrames(tmp_path / "log" / "bad.jsonl", lambda: now[0])
    for _ in range(100):
        bad.keep(b"\x01\x02", "cut short")
    assert (bad.count, bad.kept) == (100, 60)
    now[0] += timedelta(minutes=1)
    bad.keep(b"\xff", "unknown code 77")
    lines = (tmp_path / "log" / "bad.jsonl").read_text().splitlines()
    assert len(lines) == 61
    assert '"hex":"ff"' in lines[-1]


def test_a_disk_that_refuses_does_not_stop_the_stream(tmp_path):
    (tmp_path / "file").write_text("")
    bad = BadFrames(tmp_path / "file" / "bad.jsonl", lambda: NOON)
    bad.keep(b"\x01", "cut short")
    assert (bad.count, bad.kept) == (1, 0)
