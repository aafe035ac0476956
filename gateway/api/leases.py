"""``POST /api/v1/strategy/lease``: the right to trade under a strategy id, for one copy of a program.

A program acquires it, sends ``strategy_lease`` with its entries, renews within the time it asked for, and
releases at its end. Another copy is refused; taking over names the epoch of the lease that is to end, so that
it is done on purpose and one of two that try at once succeeds. Exits and cancels never need it.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from brokers.errors import NotReady, RoleMissing
from brokers.secret import Secret
from gateway.api import reply
from gateway.api.dispatch import PREFIX, Dispatcher, body_of
from gateway.api.fields import Number, Whole, named
from gateway.api.parts import Call, Endpoint, Parts
from gateway.api.schemas import KeyOnly
from gateway.scopes import Scope
from gateway.strategies import lease
from gateway.strategies.lease import Exclusive, Lease
from gateway.strategies.leasefile import LeaseFile

ACTIONS = ("acquire", "renew", "release", "show")


class LeaseOf(KeyOnly):
    """``ttl``: seconds until it ends unless renewed, 5 to 3600. ``takeover``: the epoch that is to end."""

    strategy = named(longest=256)
    action = fields.String(load_default="acquire", validate=validate.OneOf(ACTIONS))
    holder = fields.String(load_default="", validate=validate.Length(max=100))
    ttl = Number(
        load_default=lease.USUAL_TTL_S, validate=validate.Range(min=lease.LEAST_TTL_S, max=lease.MOST_TTL_S)
    )
    lease = fields.String(load_default="", validate=validate.Length(max=128))
    takeover = Whole(load_default=0, validate=validate.Range(min=0))

    @validates_schema
    def _needs(self, data: dict[str, Any], **_: Any) -> None:
        action = data.get("action")
        if action == "acquire" and not data.get("holder"):
            raise ValidationError("Say who asks, for example a host name and process id.", "holder")
        if action in ("renew", "release") and not data.get("lease"):
            raise ValidationError("The lease that acquire answered.", "lease")


class Marked(Schema):
    """``exclusive``: whether orders of a strategy id need its lease."""

    exclusive = fields.String(required=True, validate=validate.OneOf([one.value for one in Exclusive]))


def answer(parts: Parts, call: Call) -> dict[str, Any]:
    """Acquire, renew, release or show the lease of a strategy id."""
    data, file = call.data, _file(parts)
    strategy, action = data["strategy"], data["action"]
    if action == "show":
        return {"status": "success", **shown(parts, file.look(strategy))}
    if action == "release":
        return {"status": "success", **shown(parts, file.apply(strategy, lease.Release(data["lease"])))}
    if "control" not in parts.settings.roles:
        raise RoleMissing("this instance has not the role control: it gives no leases")
    ttl_s = float(data["ttl"])
    event: lease.Event = lease.Renew(data["lease"], ttl_s)
    if action == "acquire":
        secret = secrets.token_hex(12)
        name = parts.settings.name
        event = lease.Acquire(data["holder"], name, ttl_s, secret, data["takeover"])
    row = file.apply(strategy, event)
    if action == "acquire":
        parts.hide(Secret(row.token))
    return {"status": "success", "lease": row.token, **shown(parts, row)}


def shown(parts: Parts, row: Lease) -> dict[str, Any]:
    """A lease without its secret."""
    live = row.is_live(parts.clock.time_ns())
    return {
        "strategy": row.strategy,
        "state": "held" if live else "free",
        "exclusive": row.exclusive.value,
        "epoch": row.epoch,
        "holder": row.holder,
        "instance": row.instance,
        "taken_at": _at(row.taken_ns),
        "renewed_at": _at(row.renewed_ns),
        "expires_at": _at(row.ends_ns),
    }


def _at(ns: int) -> str | None:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds") if ns else None


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "strategy/lease", "API_RATE_LIMIT", "V2", "key", LeaseOf, answer, scope=Scope.TRADE),
)
"""What OpenAlgo does not have."""


def blueprint(parts: Parts) -> Blueprint:
    """Both slash forms, without redirects."""
    dispatcher = Dispatcher(parts)
    api = Blueprint("leases", __name__)
    for endpoint in ENDPOINTS:
        schema = endpoint.schema()

        def view(endpoint: Endpoint = endpoint, schema: Schema = schema) -> Response:
            return dispatcher.serve(endpoint, schema)

        for form in (f"{PREFIX}/{endpoint.path}", f"{PREFIX}/{endpoint.path}/"):
            api.add_url_rule(form, endpoint.path, view, methods=[endpoint.method], strict_slashes=True)
    return api


def add_routes(internal: Blueprint, parts: Parts) -> None:
    """``/internal/leases``: what ``algo strategy`` shows and changes."""

    @internal.get("/leases")
    def leases() -> Response:
        return reply.json({"leases": [shown(parts, row) for row in _file(parts).all()]})

    @internal.post("/leases/<path:strategy>/exclusive")
    def mark(strategy: str) -> Response:
        asked = Marked().load(body_of(request.get_data(cache=False)))
        row = _file(parts).apply(strategy, lease.Mark(Exclusive(asked["exclusive"])))
        return reply.json(shown(parts, row))

    @internal.delete("/leases/<path:strategy>")
    def free(strategy: str) -> Response:
        return reply.json(shown(parts, _file(parts).apply(strategy, lease.Free())))


def _file(parts: Parts) -> LeaseFile:
    if parts.leases is None:
        raise NotReady("this instance has no lease file")
    return parts.leases
