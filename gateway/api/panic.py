"""``POST /api/v1/panic``: block entries on every instance of this home at once, then cancel what is open.

That is orders and GTT orders, the account's and those on paper.
The block is on disk before anything else happens. The answer comes within two seconds and tells of each
order what is known then; what is not confirmed goes on in the background and shows in status.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from gateway import panicfile
from gateway.api import reply
from gateway.api.dispatch import PREFIX, Dispatcher, body_of
from gateway.api.parts import Call, Endpoint, Parts
from gateway.api.schemas import KeyOnly
from gateway.panicfile import POLICIES, Panic, paper_name
from gateway.scopes import Scope
from gateway.settings import instance_names
from gateway.trading.fates import Fate, Report

ANSWER_S = 1.5
"""How long the answer waits for confirmations; with what else a request costs it stays below two seconds."""
HEARD_S = 0.5
"""Other instances look ten times a second; one that has not spoken by then does not run, or hangs."""


class PanicOf(KeyOnly):
    """``policy``: ``cancel`` open orders, ``block`` alone, or ``close`` every position too.

    ``day_loss`` with ``resume``: entries that RISK_DAY_LOSS stopped on this instance are allowed again, too.
    """

    resume = fields.Boolean(load_default=False)
    day_loss = fields.Boolean(load_default=False)
    policy = fields.String(load_default="cancel", validate=validate.OneOf(POLICIES))
    reason = fields.String(load_default="POST /api/v1/panic", validate=validate.Length(min=1, max=200))


class InternalPanic(Schema):
    """``serial``: of a word that stands in the file already (``algo panic`` writes it first)."""

    reason = fields.String(load_default="algo panic", validate=validate.Length(min=1, max=200))
    policy = fields.String(load_default="cancel", validate=validate.OneOf(POLICIES))
    serial = fields.Integer(load_default=0)


class InternalResume(Schema):
    """As ``PanicOf``."""

    day_loss = fields.Boolean(load_default=False)


def _resume(parts: Parts, *, day_loss: bool) -> None:
    if day_loss:
        parts.desk.guards.watch.resume()
        if parts.sandbox is not None:
            parts.sandbox.desk.guards.watch.resume()
    # one word for all: the paper desks of this home read it, too
    parts.desk.allow_entries()


def _scope_for(data: Mapping[str, Any]) -> Scope | None:
    """A strategy may stop everything; what it has stopped is for a person to start again."""
    return Scope.MANAGE if data.get("resume") else None


def panic(parts: Parts, call: Call) -> dict[str, Any]:
    """Block entries on every instance and cancel open orders; `resume` (scope `manage`) allows them again."""
    if call.data["resume"]:
        _resume(parts, day_loss=call.data["day_loss"])
        said = "Entries are allowed on every instance."
        return {"status": "success", "message": said, "entries": "allowed"}
    word = parts.desk.guards.panic(call.data["reason"], call.data["policy"])
    return told(parts, word, answer_s=ANSWER_S)


def told(parts: Parts, word: Panic, *, answer_s: float) -> dict[str, Any]:
    """What is known of a panic after at most ``answer_s``: own orders one by one, the others summed up."""
    desk, monotonic = parts.desk, parts.clock.monotonic
    began = monotonic()
    report = desk.guards.canceller.wait(word.serial, answer_s)
    while True:
        others = {**_own_paper(parts), **_others(parts, word.serial)}
        quiet = [name for name, one in others.items() if not one["blocked"]]
        going = [name for name, one in others.items() if one["blocked"] and not one["done"]]
        spent = monotonic() - began
        if spent >= answer_s or (not going and (not quiet or spent >= HEARD_S)):
            break
        time.sleep(min(0.05, answer_s - spent))
    report = desk.guards.canceller.report()
    whole = report.done and not report.not_closed
    whole = whole and not report.count(Fate.FAILED) and not report.count_gtts(Fate.FAILED)
    whole = whole and all(one["done"] and not one["failed"] for one in others.values() if one["blocked"])
    return {
        "status": "success" if whole else "partial",
        "message": _sentence(report, others),
        "entries": "blocked",
        **{name: value for name, value in report.plain().items() if name not in ("active", "serial")},
        "instances": {parts.settings.name: _summary(report.plain()), **others},
    }


def _others(parts: Parts, serial: int) -> dict[str, dict[str, Any]]:
    """The other instances of this home by name.

    ``blocked`` is false while one has not been heard: its entries are blocked all the same as soon as it
    looks or starts.
    """
    folder = parts.settings.run_dir / panicfile.FOLDER
    heard = panicfile.reports(folder, serial)
    names = [name for name in instance_names(parts.settings.home) if name != parts.settings.name]
    found = {name: _summary(heard.get(name)) for name in names}
    # a paper desk is part of its instance: it is not heard from when that does not run
    papers = {paper_name(name) for name in names} & heard.keys()
    return found | {name: _summary(heard[name]) for name in sorted(papers)}


def _own_paper(parts: Parts) -> dict[str, dict[str, Any]]:
    """What the paper desk of this instance has done."""
    if parts.sandbox is None:
        return {}
    report = parts.sandbox.desk.guards.canceller.report()
    return {paper_name(parts.settings.name): _summary(report.plain())}


def _summary(report: dict[str, Any] | None) -> dict[str, Any]:
    if report is None:
        silent = "not heard: it does not run, or hangs; its entries are blocked when it looks or starts"
        none = dict.fromkeys(("cancelled", "going", "failed", "gtts_cancelled", "gtts_left"), 0)
        return {"blocked": False, "done": False, **none, "message": silent}
    counts, gtts = report["counts"], report.get("gtt_counts", {})
    return {
        "blocked": True,
        "done": report["done"],
        "cancelled": counts["cancelled"],
        "going": counts["going"] + gtts.get("going", 0),
        "failed": counts["failed"] + gtts.get("failed", 0),
        "gtts_cancelled": gtts.get("cancelled", 0),
        "gtts_left": gtts.get("left", 0),
        "message": report["waiting"],
    }


def _sentence(report: Report, others: dict[str, dict[str, Any]]) -> str:
    counts = report.plain()["counts"]
    said = f"Entries are blocked. {counts['cancelled']} orders cancelled"
    if counts["ended"]:
        said += f", {counts['ended']} had ended"
    if counts["failed"]:
        said += f", {counts['failed']} could not be cancelled"
    if report.gtts:
        said += f"; {report.count_gtts(Fate.CANCELLED)} GTT orders cancelled"
    if failed := report.count_gtts(Fate.FAILED):
        said += f", {failed} could not be cancelled"
    if left := report.count_gtts(Fate.LEFT):
        said += f", {left} stay armed"
    if not report.done:
        going = counts["going"] + report.count_gtts(Fate.GOING)
        said += f"; {going} known to be still open, cancelling goes on"
    if report.waiting:
        said += f" ({report.waiting})"
    if quiet := sorted(name for name, one in others.items() if not one["blocked"]):
        said += f". Not heard from: {', '.join(quiet)}"
    return f"{said}."


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        *("POST", "panic", "API_RATE_LIMIT", "V2", "key"),
        *(PanicOf, panic),
        scope=Scope.TRADE,
        scope_for=_scope_for,
    ),
)
"""What OpenAlgo does not have."""


def blueprint(parts: Parts) -> Blueprint:
    """Both slash forms, without redirects."""
    dispatcher = Dispatcher(parts)
    api = Blueprint("panic", __name__)
    for endpoint in ENDPOINTS:
        schema = endpoint.schema()

        def view(endpoint: Endpoint = endpoint, schema: Any = schema) -> Response:
            return dispatcher.serve(endpoint, schema)

        for form in (f"{PREFIX}/{endpoint.path}", f"{PREFIX}/{endpoint.path}/"):
            api.add_url_rule(form, endpoint.path, view, methods=[endpoint.method], strict_slashes=True)
    return api


def add_routes(internal: Blueprint, parts: Parts) -> None:
    """``/internal/panic`` and ``/internal/resume``: this instance's part of ``algo panic``."""

    @internal.post("/panic")
    def called() -> Response:
        raw = request.get_data(cache=False)
        asked = InternalPanic().load(body_of(raw) if raw else {})
        state = parts.desk.guards.panicked()
        if state is None or not state.active or state.serial < asked["serial"] or not asked["serial"]:
            state = parts.desk.guards.panic(asked["reason"], asked["policy"])
        began = parts.clock.monotonic()
        parts.desk.guards.canceller.wait(state.serial, ANSWER_S)
        if parts.sandbox is not None:
            left_s = ANSWER_S - (parts.clock.monotonic() - began)
            parts.sandbox.desk.guards.canceller.wait(state.serial, max(0.0, left_s))
        return progress()

    @internal.get("/panic")
    def progress() -> Response:
        body = _by_fate(parts.desk.guards.canceller.report())
        if parts.sandbox is not None:
            paper = _by_fate(parts.sandbox.desk.guards.canceller.report())
            body["paper"] = paper
            body["done"] = body["done"] and paper["done"]
            for fate in ("failed", "going"):
                body[fate] += [{**row, "what": f"{row['what']} (paper)"} for row in paper[fate]]
        return reply.json({"status": "success", **body})

    @internal.post("/resume")
    def resume() -> Response:
        raw = request.get_data(cache=False)
        _resume(parts, **InternalResume().load(body_of(raw) if raw else {}))
        return reply.json({"status": "success"})


def _by_fate(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {fate.value: [] for fate in Fate}
    gtts: dict[str, Any] = {fate.value: [] for fate in Fate}
    for one in report.orders:
        row = {"what": one.orderid, "code": one.code, "message": one.message}
        plain = one.state in (Fate.CANCELLED, Fate.ENDED)
        found[one.state.value].append(one.orderid if plain else row)
    for one in report.gtts:
        row = {"what": f"GTT {one.orderid}", "code": one.code, "message": one.message}
        if one.state in (Fate.CANCELLED, Fate.ENDED, Fate.LEFT):
            gtts[one.state.value].append(one.orderid)
        else:
            found[one.state.value].append(row)
    found["failed"] += [{"what": text, "code": "", "message": ""} for text in report.not_closed]
    return {
        **found,
        "left": gtts["left"],
        "gtts_cancelled": gtts["cancelled"],
        "gtts_ended": gtts["ended"],
        "closed": report.closed,
        "done": report.done,
        "waiting": report.waiting,
        "active": report.active,
        "reason": report.reason,
    }
