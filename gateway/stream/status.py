"""What the feed process says about itself: health, readiness, and everything the supervisor shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.model import FeedState
from gateway import metrics
from gateway.settings import Settings
from gateway.stream import exposed
from gateway.stream.bus import Bus
from gateway.stream.client import Page
from gateway.stream.fanout import Fanout
from gateway.stream.heartbeat import Heartbeat
from gateway.stream.hub import Around
from gateway.stream.relay import OrderRelay
from gateway.stream.server import StreamServer
from gateway.stream.standing import Standing
from gateway.stream.upstream import Upstream

Answer = tuple[int, Mapping[str, Any]]


class Rate:
    """Events per second over the last full second that was looked at."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._count = 0
        self.per_s = 0.0

    def look(self, count: int, now_s: float) -> None:
        passed = now_s - self._at_s
        if self._at_s and passed > 0:
            self.per_s = (count - self._count) / passed
        self._at_s, self._count = now_s, count


class Status:
    """Answers of the plain HTTP pages."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        calendar: Calendar,
        upstream: Upstream,
        fanout: Fanout,
        bus: Bus,
        relay: OrderRelay,
        standings: Mapping[str, Standing],
        database_problem: Callable[[], str],
        bad_frames: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._calendar = calendar
        self._upstream = upstream
        self._fanout = fanout
        self._bus = bus
        self._relay = relay
        self._standings = standings
        self._database_problem = database_problem
        self._bad_frames = bad_frames
        self._started: datetime = clock.now()
        self._server: StreamServer | None = None
        self._heartbeat: Heartbeat | None = None
        self.rate = Rate()
        labels = {
            "instance": settings.name,
            "broker": settings.broker,
            "venue": settings.venue.value,
            "process": "feed",
        }
        self._metrics = metrics.Page(labels, lambda: exposed.collect(self.status()[1]))

    def watch(self, server: StreamServer) -> None:
        self._server = server

    def pulse(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def drops(self) -> int:
        """Values that did not reach a consumer since the start: replaced by newer ones, or overflowed."""
        server = self._server
        replaced = 0
        if server is not None:
            replaced = server.counts.closed_replaced + sum(c.outbox.replaced for c in server.clients)
        return replaced + self._bus.overflows + self._fanout.counts.bad_ticks

    def pages(self) -> dict[str, Page]:
        return {
            "/health/live": self.live,
            "/health/ready": self.ready,
            "/status": self.status,
            metrics.PATH: lambda: (200, self._metrics.text()),
        }

    def adapter_status(self) -> str:
        """OpenAlgo's word where it has one."""
        state = self._upstream.state
        return "connected" if state in (FeedState.LIVE, FeedState.SILENT) else state.value

    def around(self) -> Around:
        """What the state of a subscription depends on, now."""
        upstream, now = self._upstream, self._clock.now()
        up = upstream.state is FeedState.LIVE
        return Around(
            now_s=self._clock.monotonic(),
            now_ns=self._clock.time_ns(),
            feed_reason="" if up else upstream.reason or upstream.state.value,
            is_open=lambda exchange: self._calendar.is_open(exchange, now),
            stale_after_s=self._settings.stream.stale_after_s,
        )

    def live(self) -> Answer:
        return 200, {"status": "ok", "process": "feed", **self._who()}

    def ready(self) -> Answer:
        """Ready once the sockets are bound, keys can be checked and the broker feed has said how it is."""
        waiting_for = [reason for reason in (self._database_problem(),) if reason]
        if not self._upstream.reported:
            waiting_for.append(f"the broker feed: {self._upstream.reason or self._upstream.state.value}")
        if not self._bus.is_open:
            waiting_for.append("the ZeroMQ socket")
        ready = not waiting_for
        body = {"ready": ready, **self._who(), "waiting_for": waiting_for, **self._stream()}
        return 200 if ready else 503, body

    def status(self) -> Answer:
        _, body = self.ready()
        around = self.around()
        states = Counter(c.status(around)[0].value for c in self._fanout.hub.channels())
        feed = self._upstream.feed
        return 200, {
            **body,
            "channels": {"total": states.total(), **states},
            "counts": asdict(self._fanout.counts) | {"stray_ticks": self._fanout.hub.stray_ticks},
            "feed_counters": asdict(feed.counters) if feed is not None else {},
            "heartbeat": self._heartbeat.plain() if self._heartbeat is not None else {},
            "bad_frames": self._bad_frames(),
            "feed_crashes": self._upstream.crashes,
            "websocket": self._websocket(),
            "bus": {
                "subscriptions": self._bus.subscriptions,
                "sent": self._bus.sent,
                "overflows": self._bus.overflows,
            },
            "order_updates": asdict(self._relay.counts) | {"waiting": len(self._relay)},
            "standing": {
                name: [{"symbol": f"{i.exchange}:{i.symbol}", "why": why} for i, why in s.waiting.items()][
                    :100
                ]
                for name, s in self._standings.items()
            },
        }

    def _who(self) -> dict[str, Any]:
        return {
            "instance": self._settings.name,
            "venue": self._settings.venue.value,
            "broker": self._settings.broker,
            "pid": os.getpid(),
            "started_at": self._started.isoformat(),
        }

    def _stream(self) -> dict[str, Any]:
        fanout, now_s = self._fanout, self._clock.monotonic()
        live = {c.entry.instrument.key for c in fanout.hub.channels() if c.live}
        age_s = None if fanout.last_tick_s is None else round(now_s - fanout.last_tick_s, 3)
        return {
            "feed": {
                "state": self._upstream.state.value,
                "reason": self._upstream.reason,
                "trouble": self._upstream.trouble,
            },
            "subscribed": len(fanout.hub),
            "live": len(live),
            "ticks_total": fanout.counts.ticks,
            "ticks_per_s": round(self.rate.per_s, 1),
            "last_tick_age_s": age_s,
            "clients": len(self._server.clients) if self._server else 0,
            "zmq": self._bus.is_open,
        }

    def _websocket(self) -> dict[str, Any]:
        if self._server is None:
            return {}
        clients, counts = self._server.clients, asdict(self._server.counts)
        return {
            **counts,
            "sent": counts.pop("closed_sent") + sum(c.outbox.sent for c in clients),
            "replaced": counts.pop("closed_replaced") + sum(c.outbox.replaced for c in clients),
            "behind": sum(c.outbox.behind for c in clients),
        }
