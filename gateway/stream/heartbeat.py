"""Once a second: take the feed's vitals, say what is wrong, and act on what a sister instance proves.

The record goes to the log as one line, to ``status`` and ``/metrics``, and to
``<run>/heartbeat/<instance>.json``, where the sister instances of this machine read it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from brokers.clock import Clock
from brokers.contract import RousableFeed
from brokers.jsonlog import PLAIN
from brokers.model import FeedState, Mode
from gateway.settings import Settings
from gateway.stream.fanout import Fanout
from gateway.stream.hub import Around, State
from gateway.stream.upstream import Upstream
from gateway.stream.vitals import (
    SLEPT_S,
    VALUES,
    Alert,
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
from gateway.survive import survive

log = logging.getLogger(__name__)

SETTLE_S = 30.0
"""After a start or a reconnect coverage is not judged for so long."""


MOST_A_SECOND = 2000
SLICE = 50
MOST_TICKED = 300
"""Symbols a record is made from, those asked for first: enough to prove that a sister is mute."""


@dataclass(slots=True)
class Scan:
    """What a walk over the instruments found.

    Attributes:
        due, covered: Those in session, and the live ones among them.
        silent_s: Seconds since the last tick, of those in session and not refused.
        ticked: Those that ticked within the last second.
    """

    subscribed: int = 0
    live: int = 0
    due: int = 0
    covered: int = 0
    silent_s: dict[str, float] = field(default_factory=dict)
    ticked: list[str] = field(default_factory=list)


class Heartbeat:
    """One instance's pulse.

    Args:
        drops: Values lost on the way to consumers since the start.
        on_gap: Told when pushes may have been missed (the machine slept).
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        upstream: Upstream,
        fanout: Fanout,
        around: Callable[[], Around],
        drops: Callable[[], int],
        on_gap: Callable[[str], None],
    ) -> None:
        rules = settings.stream
        self._limits = {name: Limit(*rules.thresholds[name], low=name == "coverage") for name in VALUES}
        self._log_every = rules.heartbeat_log_s
        self._settings = settings
        self._clock = clock
        self._upstream = upstream
        self._fanout = fanout
        self._around = around
        self._drops = drops
        self._on_gap = on_gap
        self._folder = settings.run_dir / "heartbeat"
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._errors, self._frames = Window(), Window()
        self._liveliness = Liveliness()
        self._sisters = SisterWatch()
        self._clocks = ClockWatch()
        self._ticks: tuple[int, float] | None = None
        self._steady_since_s = clock.monotonic()
        self._scan: Scan | None = None
        self._levels: dict[str, Level] = {}
        self._beats = 0
        self.roused = 0
        self.newest: Beat | None = None
        self.alerts: list[Alert] = []

    async def run(self) -> None:
        while True:
            with survive(log, "a heartbeat failed"):
                await self.beat()
            await asyncio.sleep(1.0)

    async def beat(self) -> Beat:
        """Take, judge, tell and act once."""
        self._watch_clock()
        beat = await self._take()
        self.newest, self.alerts = beat, judge(beat, self._limits)
        self._tell(beat)
        # a disk that hangs must not stop a tick
        sisters = await asyncio.to_thread(self._exchange, beat)
        self._act(sisters)
        return beat

    def plain(self) -> dict[str, Any]:
        """The newest record and its alerts, for ``status``."""
        if self.newest is None:
            return {}
        values = asdict(self.newest)
        del values["ticking"]
        return values | {"alerts": [asdict(alert) for alert in self.alerts]}

    # parts ---------------------------------------------------------------------------------------------

    async def _look(self, around: Around) -> Scan:
        """Walk over the instruments, a slice at a time.

        A walk over thousands in one go is a pause for every client, and where there are many it is not made
        every second.
        """
        entries = self._fanout.hub.entries()
        if self._scan is not None and self._beats % (1 + len(entries) // MOST_A_SECOND):
            return self._scan
        scan = Scan(subscribed=len(self._fanout.hub))
        since_ns = around.now_ns - 1_000_000_000
        for number, entry in enumerate(entries):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if entry.parked or not entry.channels:
                continue
            key = entry.instrument.key
            state, since_s = entry.status(around)
            newest = entry.newest(Mode.LTP)
            scan.live += state is State.LIVE
            if around.is_open(key.exchange):
                scan.due += 1
                scan.covered += state is State.LIVE
                if state is not State.REFUSED:
                    scan.silent_s[str(key)] = (
                        around.now_s - since_s
                        if newest is None
                        else (around.now_ns - newest.received_ns) / 1e9
                    )
            if newest is not None and newest.received_ns >= since_ns and len(scan.ticked) < MOST_TICKED:
                scan.ticked.append(str(key))
        return scan

    async def _take(self) -> Beat:
        around, upstream, counts = self._around(), self._upstream, self._fanout.counts
        self._scan = scan = await self._look(around)
        if around.feed_reason:
            self._steady_since_s = around.now_s
        settled = around.now_s - self._steady_since_s >= SETTLE_S
        feed = upstream.feed.counters if upstream.feed is not None else None
        errors = self._errors.look(feed.parse_errors if feed else 0)
        frames = self._frames.look(feed.frames if feed else 0)
        last_s = self._fanout.last_tick_s
        p99_ns = percentile(upstream.latencies_ns, 0.99)
        return Beat(
            at_ms=around.now_ns // 1_000_000,
            instance=self._settings.name,
            broker=self._settings.broker,
            feed=upstream.state.value,
            subscribed=scan.subscribed,
            live=scan.live,
            coverage_pct=round(100.0 * scan.covered / scan.due, 1) if scan.due and settled else None,
            ticks_per_s=self._rate(counts.ticks, around.now_s),
            last_tick_age_s=None if last_s is None else round(around.now_s - last_s, 3),
            reconnects=feed.reconnects if feed else 0,
            drops=self._drops(),
            parse_errors=feed.parse_errors if feed else 0,
            parse_errors_pct=round(100.0 * errors / frames, 2) if frames > 0 else None,
            latency_p99_ms=None if p99_ns is None else round(p99_ns / 1e6, 3),
            memory_mb=round(self._process.memory_info().rss / 2**20, 1),
            cpu_pct=self._process.cpu_percent(),
            clock_jumps=self._clocks.jumps,
            roused=self.roused,
            ticking=self._liveliness.look(scan.ticked),
        )

    def _rate(self, ticks: int, now_s: float) -> float:
        last, self._ticks = self._ticks, (ticks, now_s)
        if last is None or now_s <= last[1]:
            return 0.0
        return round((ticks - last[0]) / (now_s - last[1]), 1)

    def _watch_clock(self) -> None:
        jump_s = self._clocks.look(self._clock.time_ns() / 1e9, self._clock.monotonic())
        if not jump_s:
            return
        log.warning("the wall clock jumped by %.1f s", jump_s)
        if jump_s >= SLEPT_S:
            # what was open before a sleep is dead, and nobody said so
            self._rouse(Step.NEW_SOCKET, f"the machine slept or its clock was set ({jump_s:.0f} s)")
            self._on_gap("the clock jumped")

    def _tell(self, beat: Beat) -> None:
        self._beats += 1
        if self._log_every and self._beats % self._log_every == 0:
            values = asdict(beat)
            del values["ticking"]
            log.info("heartbeat", extra={"beat": values, PLAIN: True})
        now = {alert.what: alert.level for alert in self.alerts}
        for alert in self.alerts:
            if self._levels.get(alert.what) is not alert.level:
                level = logging.ERROR if alert.level is Level.CRITICAL else logging.WARNING
                log.log(
                    level, "%s is %g, %s beyond %g", alert.what, alert.value, alert.level.value, alert.limit
                )
        for what in self._levels.keys() - now.keys():
            log.info("%s is well again", what)
        self._levels = now

    def _exchange(self, beat: Beat) -> list[Mapping[str, Any]]:
        """Write ours, read theirs. A file that cannot be written or read proves nothing and stops nothing."""
        mine = self._folder / f"{beat.instance}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = mine.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(beat))
            fresh.replace(mine)
        except OSError as exc:
            log.debug("heartbeat not written: %s", exc)
        return [found for path in self._folder.glob("*.json") if path != mine and (found := _read(path))]

    def _act(self, sisters: list[Mapping[str, Any]]) -> None:
        around = self._around()
        if around.feed_reason and self._upstream.state is not FeedState.SILENT:
            return  # it is reconnecting already
        if self._scan is None:
            return
        step = self._sisters.step(around.now_s, self._scan.silent_s, sisters, around.now_ns // 1_000_000)
        if step is not None:
            self._rouse(step, self._sisters.proof)

    def _rouse(self, step: Step, reason: str) -> None:
        feed = self._upstream.feed
        if not isinstance(feed, RousableFeed):
            return
        self.roused += 1
        log.warning("%s: %s", reason, step.value)
        feed.rouse(new_socket=step is Step.NEW_SOCKET)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, dict) else None
