from __future__ import annotations

import dataclasses
import json
import logging

import pytest

from brokers.clock import SystemClock
from brokers.model import FeedState, InstrumentKey
from gateway.settings.feed import THRESHOLDS
from gateway.stream.heartbeat import Heartbeat
from gateway.stream.hub import Around
from gateway.stream.vitals import (
    Beat,
    ClockWatch,
    Level,
    Limit,
    Liveliness,
    SisterWatch,
    Step,
    Window,
    judge,
    percentile,
)
from tests.gateway.stream.rig import HandFeed, ask, limits, on_loop, running

LIMITS = {name: Limit(*pair, low=name == "coverage") for name, pair in THRESHOLDS.items()}
WELL = Beat(
    at_ms=1,
    instance="dhan",
    broker="dhan",
    feed="live",
    subscribed=10,
    live=10,
    coverage_pct=100.0,
    ticks_per_s=1.0,
    last_tick_age_s=0.1,
    reconnects=0,
    drops=0,
    parse_errors=0,
    parse_errors_pct=0.0,
    latency_p99_ms=1.0,
    memory_mb=80.0,
    cpu_pct=5.0,
)


@pytest.mark.parametrize(
    ("field", "what", "fine", "bad", "worse"),
    [
        ("coverage_pct", "coverage", 90.0, 89.9, 74.9),
        ("parse_errors_pct", "parse_errors", 1.0, 1.1, 5.1),
        ("latency_p99_ms", "latency", 1000.0, 1001.0, 2001.0),
        ("memory_mb", "memory", 400.0, 400.1, 600.1),
        ("cpu_pct", "cpu", 30.0, 30.1, 50.1),
    ],
)
def test_each_threshold_has_two_levels(field, what, fine, bad, worse):
    def judged(value):
        return [(a.what, a.level) for a in judge(dataclasses.replace(WELL, **{field: value}), LIMITS)]

    assert judged(fine) == []
    assert judged(bad) == [(what, Level.WARNING)]
    assert judged(worse) == [(what, Level.CRITICAL)]


def test_what_is_not_known_is_not_judged():
    unknown = dataclasses.replace(WELL, coverage_pct=None, parse_errors_pct=None, latency_p99_ms=None)
    assert judge(unknown, LIMITS) == []


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile([], 0.99) is None
    assert percentile([7], 0.99) == 7
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 1001), 0.99) == 990


def test_a_window_forgets_what_is_ten_looks_old():
    window = Window()
    assert [window.look(n) for n in (5, 5, 8)] == [5, 5, 8]
    assert [window.look(8) for _ in range(10)][-1] == 0


def sister(at_ms=1000, **ticking):
    return {"instance": "kotak", "at_ms": at_ms, "ticking": ticking}


def test_a_mute_symbol_a_sister_ticks_is_subscribed_again_and_then_gets_a_new_socket():
    watch = SisterWatch()
    assert watch.step(0.0, {"NSE:SBIN": 9.0}, [sister(**{"NSE:SBIN": 9})], 1000) is None
    assert watch.step(1.0, {"NSE:SBIN": 10.0}, [sister(**{"NSE:SBIN": 9})], 1000) is Step.RESUBSCRIBE
    assert "NSE:SBIN ticks at kotak and not here for 10 s" in watch.proof
    assert watch.step(2.0, {"NSE:SBIN": 11.0}, [sister(**{"NSE:SBIN": 9})], 1000) is None
    assert watch.step(3.0, {"NSE:SBIN": 12.0}, [sister(**{"NSE:SBIN": 9})], 1000) is Step.NEW_SOCKET
    # one broker may never send it: once a minute, then less
    steps = [
        watch.step(3.0 + n, {"NSE:SBIN": 12.0 + n}, [sister(**{"NSE:SBIN": 9})], 1000) for n in range(200)
    ]
    assert [n for n, s in enumerate(steps) if s is Step.NEW_SOCKET] == [61, 182]


@pytest.mark.parametrize(
    ("silent_s", "sisters"),
    [
        ({"NSE:SBIN": 50.0}, []),
        ({"NSE:SBIN": 50.0}, [sister(**{"NSE:SBIN": 4})]),  # not liquid there either
        ({"NSE:SBIN": 50.0}, [sister(**{"NSE:TCS": 10})]),  # nothing in common
        ({"NSE:SBIN": 50.0}, [sister(at_ms=-2001, **{"NSE:SBIN": 10})]),  # an old record
        ({"NSE:SBIN": 50.0}, [{"at_ms": 1000}]),
        ({}, [sister(**{"NSE:SBIN": 10})]),
    ],
)
def test_nothing_is_proved_by_less(silent_s, sisters):
    assert SisterWatch().step(0.0, silent_s, sisters, 1000) is None


def test_liveliness_counts_seconds_and_keeps_the_liveliest():
    lively = Liveliness(most=2)
    for _ in range(12):
        lively.look(["a", "b"])
    assert lively.look(["a", "c"]) == {"a": 10, "b": 9}


def test_a_clock_that_was_set_and_a_machine_that_slept_are_noticed():
    watch = ClockWatch()
    assert watch.look(100.0, 5.0) == 0.0
    assert watch.look(101.0, 6.0) == 0.0
    assert watch.look(702.0, 7.0) == 600.0
    assert watch.look(603.0, 8.0) == -100.0
    assert watch.look(604.5, 9.0) == 0.0
    assert watch.jumps == 2


class RousedFeed(HandFeed):
    roused: list[bool]

    def rouse(self, *, new_socket):
        self.__dict__.setdefault("roused", []).append(new_socket)


class Settings:
    name, broker = "dhan", "dhan"

    def __init__(self, run_dir, **changes):
        self.run_dir = run_dir
        self.stream = limits(**changes)


class JumpyClock(SystemClock):
    ahead_ns = 0

    def time_ns(self):
        return super().time_ns() + self.ahead_ns


def pulse(rig, path, clock, gaps, **changes):
    return Heartbeat(
        Settings(path, **changes),
        clock,
        upstream=rig.upstream,
        fanout=rig.fanout,
        around=lambda: Around(clock.monotonic(), clock.time_ns(), "", lambda exchange: True, 60.0),
        drops=lambda: 3,
        on_gap=gaps.append,
    )


@on_loop
async def test_a_beat_is_a_record_a_file_and_a_log_line(tmp_path, caplog):
    async with running(tmp_path, feed=RousedFeed) as rig, rig.client() as ws:
        heart = pulse(rig, tmp_path, SystemClock(), [])
        for symbol in ("SBIN", "TCS"):
            await ask(ws, action="subscribe", symbol=symbol, exchange="NSE", mode=1)
        rig.send("NSE", "SBIN")
        rig.upstream.latencies_ns.extend([1_000_000] * 99 + [9_000_000])
        with caplog.at_level(logging.INFO, "gateway.stream.heartbeat"):
            beat = await heart.beat()
        assert (beat.subscribed, beat.live, beat.drops, beat.latency_p99_ms) == (2, 1, 3, 1.0)
        assert beat.coverage_pct is None  # it has only just begun
        assert beat.ticking == {"NSE:SBIN": 1}
        written = json.loads((tmp_path / "heartbeat" / "dhan.json").read_text())
        assert (written["live"], written["ticking"]) == (1, {"NSE:SBIN": 1})
        [line] = [r for r in caplog.records if r.message == "heartbeat"]
        assert line.beat["subscribed"] == 2
        # memory and CPU are those of the test process, which is no feed
        assert {alert["what"] for alert in heart.plain()["alerts"]} <= {"memory", "cpu"}


@on_loop
async def test_an_alert_is_said_once_per_level_and_its_end_too(tmp_path, caplog):
    async with running(tmp_path, feed=RousedFeed) as rig:
        heart = pulse(
            rig,
            tmp_path,
            SystemClock(),
            [],
            thresholds={**THRESHOLDS, "memory": (1.0, 1e9)},
            heartbeat_log_s=0,
        )
        with caplog.at_level(logging.INFO, "gateway.stream.heartbeat"):
            await heart.beat()
            await heart.beat()
            assert [(a["what"], a["level"]) for a in heart.plain()["alerts"] if a["what"] == "memory"] == [
                ("memory", "warning")
            ]
            heart._limits["memory"] = Limit(1e9, 1e9)
            await heart.beat()
        said = [r.message for r in caplog.records if "memory" in r.message]
        assert len(said) == 2
        assert "warning beyond 1" in said[0]
        assert said[1] == "memory is well again"


@on_loop
async def test_a_sisters_record_rouses_a_mute_feed_and_a_sleep_makes_new_sockets(tmp_path):
    clock, gaps = JumpyClock(), []
    async with running(tmp_path, feed=RousedFeed) as rig, rig.client() as ws:
        heart = pulse(rig, tmp_path, clock, gaps)
        await ask(ws, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
        await heart.beat()
        folder = tmp_path / "heartbeat"

        def sister_says():
            record = {"at_ms": clock.time_ns() // 10**6, "instance": "kotak", "ticking": {"NSE:SBIN": 8}}
            (folder / "kotak.json").write_text(json.dumps(record))

        rig.send("NSE", "SBIN")
        entry = rig.fanout.hub.entries()[0]
        assert entry.instrument.key == InstrumentKey("NSE", "SBIN")
        clock.ahead_ns = 11_000_000_000  # the tick is 11 s old now, which is also a jump of the clock
        sister_says()
        await heart.beat()
        assert rig.feed.roused == [True, False]
        assert gaps == ["the clock jumped"]
        assert heart.roused == 2
        rig.upstream.on_state(FeedState.BACKOFF, "cut")
