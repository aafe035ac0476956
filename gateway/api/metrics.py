"""``GET /metrics`` of the api process: no key, as the health pages; the Host allow-list holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from flask import Blueprint, Response
from prometheus_client.core import Metric

from gateway import metrics
from gateway.api.parts import Parts
from gateway.metrics import counter, counters, gauge, gauges

_LANES = {
    "granted": "Requests the broker limiter let through",
    "waited": "Requests that waited for a slot",
    "waited_s": "Seconds waited for slots",
    "refused": "Requests refused because no slot came in time",
}


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("metrics", __name__)
    settings = parts.settings
    labels = {
        "instance": settings.name,
        "broker": settings.broker,
        "venue": settings.venue.value,
        "process": "api",
    }
    page = metrics.Page(labels, lambda: _collect(parts))

    @pages.get(metrics.PATH)
    def show() -> Response:
        return Response(page.text(), content_type=metrics.CONTENT_TYPE)

    return pages


def _collect(parts: Parts) -> Iterator[Metric]:
    desk, session = parts.desk.status(), parts.session.status()
    figures = parts.desk.figures()
    yield from gauge("ready", "Orders are accepted", desk.ready)
    yield from gauge("broker_session_valid", "The broker session is good", session.state == "valid")
    yield from gauge("broker_session_generation", "Logins of this instance", session.generation)
    yield from gauge("instruments", "Rows of the instrument table", parts.instruments.count())
    yield from gauges("orders_today", "Today's and unfinished orders by state", "state", figures.today)
    yield from counters("order_events", "Journal events of all time by kind", "kind", figures.events)
    yield from gauge("orders_unknown", "Orders whose outcome is not known now", desk.unknown)
    yield from gauge("orders_foreign", "Orders of the account placed elsewhere, today", desk.foreign)
    yield from gauge("entries_blocked", "New entries are blocked", bool(desk.blocked))
    yield from gauge("drifts", "Differences to the broker's positions", len(desk.drift))
    for name, help_text in _LANES.items():
        values = {lane: asdict(counts)[name] for lane, counts in figures.lanes.items()}
        unit = "limiter_wait_seconds" if name == "waited_s" else f"limiter_{name}"
        yield from counters(unit, help_text, "lane", values)
    yield from counter("broker_quote_calls", "Quote calls to the broker", parts.market.broker_calls)
    ticks = parts.market.ticks
    yield from counter("ticks_heard", "Ticks heard from the own feed", ticks.heard)
    yield from counter("ticks_missed", "Ticks missing by their numbers", ticks.gaps)
