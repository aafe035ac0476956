"""``/health/*``: for the supervisor and for people; no key, but the Host allow-list holds."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response

from gateway.api import reply
from gateway.api.parts import Parts
from gateway.brokerday import hours, refresh
from gateway.brokerday.day import Day, Facts, judge
from gateway.brokerday.session import SessionStatus


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


def day_of(parts: Parts) -> Day:
    """Where this instance stands in the broker's day."""
    session, now, rules = parts.session.status(), parts.clock.now(), parts.settings.day
    exchanges = parts.settings.spec.capabilities.exchanges
    seeded = any(name.endswith("_TOTP_SECRET") for name in parts.settings.credentials)
    egress = parts.egress()
    facts = Facts(
        session=session.state,
        expires_at=session.expires_at,
        alone=seeded and rules.auto_login,
        market_open=hours.is_open(parts.hours, exchanges, now),
        next_open=hours.next_open(parts.hours, exchanges, now),
        stale=refresh.is_stale(
            parts.instruments.synced_at(), parts.instruments.count(), parts.hours, exchanges, now
        ),
        egress=egress.reason if egress.state == "mismatch" else "",
    )
    return judge(facts, now, timedelta(minutes=rules.open_deadline_minutes))


def _accepted_at(session: SessionStatus, read_at: str | None) -> str | None:
    """When the broker last answered a question asked with this session; None: not yet, or it refuses it."""
    if session.state != "valid" or read_at is None or session.issued_at is None:
        return None
    return read_at if datetime.fromisoformat(read_at) >= session.issued_at else None


def readiness(parts: Parts) -> dict[str, Any]:
    """Ready to trade: a broker session, an instrument table, orders reconciled. Says what it waits for."""
    session = parts.session.status()
    rows = parts.instruments.count()
    desk = parts.desk.status()
    day = day_of(parts)
    waiting: list[str] = []
    if session.state != "valid":
        waiting.append(f"broker session: {day.message or session.message or session.state}")
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
            "present": session.expires_at is not None,
            "accepted_at": _accepted_at(session, desk.orders_reconciled_at),
        },
        "broker_day": day.plain(),
        "egress": parts.egress().plain(),
        "roles": sorted(parts.settings.roles),
        "instruments": {
            "rows": rows,
            "synced_at": parts.instruments.synced_at(),
            "state": parts.sync.state,
        },
        "unknown": desk.unknown,
        "waiting_for": waiting,
    }
