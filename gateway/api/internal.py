"""``/internal/*``: what this instance's other processes and the supervisor may ask, over loopback.

Every call carries ``X-Algo-Internal``, derived from the instance's ``APP_KEY``; nothing here is public API.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError

from brokers.errors import InvalidRequest, LoginRequired
from brokers.model import InstrumentKey, OrderUpdate
from gateway.api import (
    checkup,
    choosing,
    errors,
    latency,
    leases,
    panic,
    probing,
    reply,
    resolving,
    routed,
    stopping,
    waiting,
)
from gateway.api.dispatch import body_of
from gateway.api.health import readiness
from gateway.api.parts import Parts
from gateway.api.schemas import FailedGeneration, InstrumentFiles, Label, Totp
from gateway.scopes import parsed, shown

HEADER = "X-Algo-Internal"


def blueprint(parts: Parts) -> Blueprint:
    internal = Blueprint("internal", __name__, url_prefix="/internal")
    instance = parts.settings.name

    @internal.before_request
    def guard() -> Response | None:
        if is_own(parts, request.headers.get(HEADER, "")):
            return None
        found = errors.Problem(403, "FORBIDDEN", "for this instance's own processes only")
        return reply.problem(found, instance)

    @internal.errorhandler(ValidationError)
    def on_invalid(exc: ValidationError) -> Response:
        return reply.problem(errors.invalid_fields(exc.messages, "V2"), instance)

    _session_routes(internal, parts)
    _key_routes(internal, parts)
    _desk_routes(internal, parts)
    waiting.add_routes(internal, parts)
    return internal


def is_own(parts: Parts, given: str) -> bool:
    """Whether a request carries this instance's own key."""
    return hmac.compare_digest(given.encode(), parts.settings.internal_key.reveal().encode())


def take_updates(parts: Parts, raw: bytes) -> Response:
    """What the broker's order feed pushed, as the feed process passes it on.

    Raises:
        InvalidRequest: Not a list of order updates.
    """
    try:
        updates = msgspec.json.decode(raw, type=list[OrderUpdate])
    except msgspec.DecodeError as exc:
        raise InvalidRequest(f"not a list of order updates: {exc}") from exc
    for update in updates:
        parts.desk.on_update(update)
        parts.on_update(update)
        if parts.gtt is not None:
            parts.gtt.on_order(update.order)
    return Response(status=204)


def _session_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/session/renew")
    def renew() -> Response:
        wanted = _load(FailedGeneration())["failed_generation"]
        try:
            session = parts.session.renew(wanted)
        except LoginRequired as exc:
            return reply.json({"status": "error", "message": str(exc), "code": exc.code}, 401)
        return reply.json({"generation": session.generation})

    @internal.post("/login")
    def login() -> Response:
        session = parts.session.login(_load(Totp())["totp"])
        return reply.json(
            {
                "status": "success",
                "account": session.account,
                "expires_at": session.expires_at.isoformat(),
                "generation": session.generation,
            }
        )

    @internal.post("/instruments/sync")
    def sync() -> Response:
        names = _load(InstrumentFiles())["csv"]
        report, skipped = parts.sync.sync(_read(names) if names else None)
        return reply.json({"status": "success", **asdict(report), "skipped": dict(skipped)})

    @internal.get("/status")
    def status() -> Response:
        return reply.json(full_status(parts))


def _key_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/keys")
    def create() -> Response:
        asked = _load(Label())
        scopes = parsed(asked["scopes"])
        key_id, secret = parts.keys.create(asked["label"], scopes)
        return reply.json({"id": key_id, "key": secret.reveal(), "scopes": shown(scopes)})

    @internal.get("/keys")
    def listing() -> Response:
        rows = [
            {
                "id": row.id,
                "label": row.label,
                "scopes": shown(row.scopes),
                "created_at": row.created_at.isoformat(),
                "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
            }
            for row in parts.keys.list()
        ]
        return reply.json({"keys": rows})

    @internal.delete("/keys/<int:key_id>")
    def revoke(key_id: int) -> Response:
        if parts.keys.revoke(key_id):
            return reply.json({"status": "success", "id": key_id})
        found = errors.Problem(404, "NOT_FOUND", f"no unrevoked key {key_id}")
        return reply.problem(found, parts.settings.name)


def _desk_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/order-update")
    def order_update() -> Response:
        return take_updates(parts, request.get_data(cache=False))

    @internal.post("/reconcile")
    def reconcile() -> Response:
        """The feed may have missed a push: read the books now."""
        parts.desk.nudge()
        return Response(status=204)

    @internal.get("/positions-and-orders")
    def positions_and_orders() -> Response:
        held, working = map(set, parts.desk.books.in_play())
        for gtts in (parts.gtt, parts.paper_gtt):
            working |= gtts.keys() if gtts is not None else set()
        if parts.sandbox is not None:
            working |= parts.sandbox.exchange.keys()

        def shown(keys: set[InstrumentKey]) -> list[dict[str, str]]:
            return [{"exchange": k.exchange, "symbol": k.symbol} for k in sorted(keys)]

        both = {"positions": shown(held), "orders": shown(working)}
        return reply.json({"keys": shown(held | working), **both})

    panic.add_routes(internal, parts)
    resolving.add_routes(internal, parts)
    stopping.add_routes(internal, parts)
    checkup.add_routes(internal, parts)
    probing.add_routes(internal, parts)
    choosing.add_routes(internal, parts)
    leases.add_routes(internal, parts)
    routed.add_routes(internal, parts)
    latency.add_routes(internal, parts)


def full_status(parts: Parts) -> dict[str, Any]:
    """Everything a status page shows about this process."""
    session = parts.session.status()
    return {
        **readiness(parts),
        "url": parts.settings.url,
        "session_message": session.message,
        "desk": asdict(parts.desk.status()),
        "mode": "analyze" if parts.analyzing() else "live",
        "market": {
            "broker_quote_calls": parts.market.broker_calls,
            "ticks_heard": parts.market.ticks.heard,
        },
        "sync_error": parts.sync.error,
        "owner_code": parts.owner_code.current(),
        "warnings": list(parts.settings.warnings),
    }


def _load(schema: Schema) -> dict[str, Any]:
    """The body's fields; an empty body is an empty object."""
    raw = request.get_data(cache=False)
    loaded: dict[str, Any] = schema.load(body_of(raw) if raw else {})
    return loaded


def _read(names: list[str]) -> dict[str, bytes]:
    """Instrument files of this machine, by file name. Raises ``InvalidRequest`` naming an unreadable one."""
    try:
        return {Path(name).name: Path(name).read_bytes() for name in names}
    except OSError as exc:
        raise InvalidRequest(f"{exc.filename}: {exc.strerror}") from exc
