"""``GET /metrics`` of the feed process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from brokers.model import FeedState
from gateway.metrics import counter, counters, gauge, gauges
from gateway.stream.vitals import Level

_FEED = {
    "frames": "Frames from the broker",
    "packets": "Packets in them",
    "bytes": "Bytes of them",
    "parse_errors": "Frames nobody could read",
    "reconnects": "Market sockets made again",
    "unknown_instruments": "Packets of instruments nobody asked for",
    "order_connects": "Times the order socket was accepted",
}
_OUT = {
    "ticks": "Ticks taken in",
    "encoded": "Ticks encoded, once per mode",
    "frames": "Frames handed to WebSocket clients",
    "bad_ticks": "Ticks dropped because a price was no number",
    "stray_ticks": "Ticks of instruments nobody holds",
}
_SOCKETS = ("connections", "stalled", "revoked", "refused_upgrades", "wrong_keys", "sent", "replaced")
_PULSE = {
    "coverage_pct": "Live among the subscribed instruments in session, percent",
    "parse_errors_pct": "Unreadable among all frames of the last seconds, percent",
    "last_tick_age_s": "Seconds since the last tick",
    "ticks_per_s": "Ticks a second",
    "cpu_pct": "Processor of this process, percent of a core",
    "memory_mb": "Resident memory, MB",
}


def collect(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Every figure of the ``/status`` page that is one."""
    yield from gauge(
        "ready", "Sockets bound, keys can be checked, the broker feed has said how it is", status["ready"]
    )
    now = status["feed"]["state"]
    yield from gauges(
        "feed_state",
        "1 for the state the broker feed is in",
        "state",
        {s.value: s.value == now for s in FeedState},
    )
    yield from gauge("subscribed_instruments", "Instruments wanted at the broker", status["subscribed"])
    yield from gauge("live_instruments", "Those with data", status["live"])
    channels = {k: v for k, v in status["channels"].items() if k != "total"}
    yield from gauges("subscriptions", "Channels held by state", "state", channels)
    for name, help_text in _FEED.items():
        yield from counter(f"feed_{name}", help_text, status["feed_counters"].get(name, 0))
    by_packet = status["feed_counters"].get("by_packet", {})
    yield from counters("feed_packets_by_kind", "Packets by kind", "kind", by_packet)
    yield from counter("feed_crashes", "Times the feed failed and was made anew", status["feed_crashes"])
    for name, help_text in _OUT.items():
        yield from counter(f"fanout_{name}", help_text, status["counts"].get(name, 0))
    yield from gauge("websocket_clients", "WebSocket clients", status["clients"])
    sockets = status["websocket"]
    for name in _SOCKETS:
        yield from counter(
            f"websocket_{name}", f"WebSocket clients: {name.replace('_', ' ')}", sockets.get(name, 0)
        )
    yield from gauge("websocket_behind", "Clients that read too slowly now", sockets.get("behind", 0))
    yield from counter("bus_sent", "ZeroMQ messages", status["bus"]["sent"])
    yield from counter("bus_overflows", "Times a ZeroMQ subscriber was full", status["bus"]["overflows"])
    yield from gauge("bus_subscriptions", "ZeroMQ topics subscribed", status["bus"]["subscriptions"])
    updates = status["order_updates"]
    yield from gauge(
        "order_updates_waiting", "Order updates the api process has not taken yet", updates["waiting"]
    )
    kinds = {name: count for name, count in updates.items() if name not in ("waiting", "last_event")}
    yield from counters("order_updates", "Order updates on their way to the api process", "what", kinds)
    yield from _pulse(status["heartbeat"])


def _pulse(beat: Mapping[str, Any]) -> Iterator[Metric]:
    for name, help_text in _PULSE.items():
        yield from gauge(f"feed_{name}", help_text, beat.get(name))
    p99_ms = beat.get("latency_p99_ms")
    yield from gauge(
        "tick_latency_p99_seconds",
        "From a frame's arrival to its tick being handed out, sampled",
        None if p99_ms is None else p99_ms / 1000,
    )
    yield from counter("feed_drops", "Values that did not reach a consumer", beat.get("drops", 0))
    yield from counter("feed_roused", "Times a mute feed was roused", beat.get("roused", 0))
    yield from counter("clock_jumps", "Jumps of the wall clock", beat.get("clock_jumps", 0))
    levels = {level.value: 0 for level in Level}
    for alert in beat.get("alerts", ()):
        levels[alert["level"]] += 1
    yield from gauges("alerts", "Thresholds exceeded now", "level", levels)
