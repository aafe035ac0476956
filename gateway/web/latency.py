"""The page "Latency" and what its script asks; figures of the pages' own (``POST /web/api/timings``).

The shape of the figures is in the docstring of ``gateway.latency``.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from brokers.errors import InvalidRequest
from gateway.api import reply
from gateway.api.dispatch import body_of
from gateway.api.latency import day, recorder_of
from gateway.latency import view
from gateway.latency.model import BROWSER, ENDPOINTS, STAGES, day_of
from gateway.latency.recorder import Timed
from gateway.store.users import User
from gateway.web.shell import Web, show, signed_in

LONGEST_MS = 60_000
AT_ONCE = 50
A_DAY_NS = 86_400 * 1_000_000_000


class OneTiming(Schema):
    """One of the browser's own times, in milliseconds from the press."""

    orderid = fields.String(required=True, validate=validate.Length(min=1, max=64))
    kind = fields.String(required=True, validate=validate.OneOf(BROWSER))
    ms = fields.Float(required=True, allow_nan=False, validate=validate.Range(0, LONGEST_MS))


class Timings(Schema):
    """What a page sends at once."""

    timings = fields.List(
        fields.Nested(OneTiming), required=True, validate=validate.Length(min=1, max=AT_ONCE)
    )


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/latency")
    def latency() -> Response:
        def page(user: User) -> Response:
            kept, today = web.parts.latency is not None, day_of(web.parts.clock.time_ns())
            nothing = {"day": today, "days": [], "stages": []}
            first = {"kept": kept, "overview": view.overview(_path(web), today) if kept else nothing}
            return show(web, "latency.html", user=user, module="pages/latency.js", first=first)

        return signed_in(web, page)


def add_calls(api: Blueprint, web: Web) -> None:
    parts = web.parts

    @api.post("/timings")
    def timings() -> Response:
        given = Timings().load(body_of(request.get_data()))["timings"]
        keeper = recorder_of(parts)
        now_ns = parts.clock.time_ns()
        # one look at the journal for each order, however many figures it has
        ours = {
            order_id: _sent_lately(web, order_id, now_ns) for order_id in {one["orderid"] for one in given}
        }
        kept = [one for one in given if ours[one["orderid"]]]
        for one in kept:
            keeper.timed(Timed(now_ns, one["orderid"], one["kind"], int(one["ms"] * 1000)))
        return reply.json({"status": "success", "kept": len(kept), "dropped": len(given) - len(kept)})

    @api.get("/latency")
    def overview() -> Response:
        """``?day=2026-11-20`` (today): every stage of the day, and the days there are."""
        return reply.json(view.overview(_path(web), _day(web)))

    @api.get("/latency/<endpoint>/<stage>")
    def one_stage(endpoint: str, stage: str) -> Response:
        """One stage of a ``day``: histogram, five-minute series, the slowest requests."""
        if endpoint not in ENDPOINTS or stage not in STAGES:
            raise InvalidRequest(
                f"'{endpoint[:40]}/{stage[:40]}' is no stage; endpoints: {', '.join(ENDPOINTS)}; "
                f"stages: {', '.join(STAGES)}"
            )
        return reply.json(view.one_stage(_path(web), _day(web), endpoint, stage))

    @api.get("/latency/order/<order_id>")
    def of_order(order_id: str) -> Response:
        """The stages of one order and of what was done to it."""
        return reply.json({"requests": view.of_order(_path(web), order_id)})


def _sent_lately(web: Web, order_id: str, now_ns: int) -> bool:
    """An order of this instance's own account, not of the sandbox and not of another terminal."""
    made_ns = web.parts.desk.made_ns(order_id)
    return made_ns is not None and now_ns - A_DAY_NS <= made_ns


def _path(web: Web) -> Path:
    keeper = recorder_of(web.parts)
    keeper.refresh()
    return keeper.database.path


def _day(web: Web) -> str:
    return day(request.args.get("day", ""), day_of(web.parts.clock.time_ns()))
