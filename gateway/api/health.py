"""``/health/*``: for the supervisor and for people; no key, but the Host allow-list holds."""

from __future__ import annotations

import os
from typing import Any

from flask import Blueprint, Response

from gateway.api import reply
from gateway.api.parts import Parts


def blueprint(parts: Parts) -> Blueprint:
    health = Blueprint("health", __name__, url_prefix="/health")
    settings = parts.settings

    @health.get("/live")
    def live() -> Response:
        return reply.json(
            {
                "status": "ok",
                "pid": os.getpid(),
                "instance": settings.name,
                "venue": settings.venue.value,
            }
        )

    @health.get("/ready")
    def ready() -> Response:
        body = readiness(parts)
        return reply.json(body, 200 if body["ready"] else 503)

    return health


def readiness(parts: Parts) -> dict[str, Any]:
    """Ready to trade: a broker session, an instrument table, orders reconciled. Says what it waits for."""
    session = parts.session.status()
    rows = parts.instruments.count()
    desk = parts.desk.status()
    waiting: list[str] = []
    if session.state != "valid":
        waiting.append(f"broker session: {session.message or session.state}")
    if rows == 0:
        waiting.append(f"instruments: {parts.sync.error or parts.sync.state}")
    if not desk.ready:
        waiting.append(f"orders: {desk.waiting_for or 'not reconciled yet'}")
    return {
        "ready": not waiting,
        "instance": parts.settings.name,
        "broker": parts.settings.broker,
        "venue": parts.settings.venue.value,
        "pid": os.getpid(),
        "started_at": parts.started_at,
        "broker_session": {
            "state": session.state,
            "account": session.account,
            "expires_at": session.expires_at.isoformat() if session.expires_at else None,
            "generation": session.generation,
        },
        "instruments": {
            "rows": rows,
            "synced_at": parts.instruments.synced_at(),
            "state": parts.sync.state,
        },
        "unknown": desk.unknown,
        "waiting_for": waiting,
    }
