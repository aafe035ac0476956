"""``/internal/history*``: how the market-data store's process asks this instance's broker for candles.

It carries the home's secret, not the instance's: one process pulls through any instance of its home. The
broker's answer is passed on unread, through the data lane of the account's limiter.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validates_schema

from brokers.errors import AlgoError, SettingsError
from brokers.model import Instrument, InstrumentKey
from brokers.secret import Secret
from gateway.api import errors, reply
from gateway.api.dispatch import body_of
from gateway.api.parts import Parts
from historify.secretfile import HEADER, NAME, home_secret

RAW = "application/octet-stream"
_STATUS = {"AUTH_EXPIRED": 401, "SYMBOL_NOT_FOUND": 404, "SYMBOL_EXPIRED": 404}


class History(Schema):
    """``POST /internal/history``: one chunk of candles, as the broker sends it."""

    exchange = fields.String(required=True)
    symbol = fields.String(required=True)
    interval = fields.String(required=True)
    start = fields.Date(required=True)
    end = fields.Date(required=True)

    @validates_schema
    def ordered(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["start"] > data["end"]:
            raise ValidationError("is before start", "end")


@dataclass(slots=True)
class _Key:
    """The home's secret, read when first needed: the store may never be used."""

    parts: Parts
    known: Secret | None = None

    def fits(self, given: str) -> bool:
        if self.known is None:
            self.known = home_secret(self.parts.settings.run_dir / NAME)
        return hmac.compare_digest(given.encode(), self.known.reveal().encode())


def blueprint(parts: Parts) -> Blueprint:
    pulling = Blueprint("pulling", __name__, url_prefix="/internal/history")
    instance = parts.settings.name
    key = _Key(parts)

    @pulling.before_request
    def guard() -> Response | None:
        try:
            if key.fits(request.headers.get(HEADER, "")):
                return None
        except SettingsError as exc:
            return reply.problem(errors.of_exception(exc), instance)
        return reply.problem(
            errors.Problem(403, "FORBIDDEN", "for this home's market-data store only"), instance
        )

    @pulling.errorhandler(ValidationError)
    def on_invalid(exc: ValidationError) -> Response:
        return reply.problem(errors.invalid_fields(exc.messages, "V2"), instance)

    @pulling.errorhandler(AlgoError)
    def on_refused(exc: AlgoError) -> Response:
        found = errors.of_exception(exc)
        answer = reply.json(found.body(instance), _STATUS.get(found.code, found.status))
        if found.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{found.retry_after_s:.3f}"
        return answer

    @pulling.post("")
    def history() -> Response:
        asked: dict[str, Any] = History().load(body_of(request.get_data(cache=False)))
        key = InstrumentKey(asked["exchange"], asked["symbol"])
        start, end = asked["start"], asked["end"]
        instrument, body = parts.market.raw_candles(key, asked["interval"], start, end)
        return Response(
            body,
            content_type=RAW,
            headers={
                "X-Broker": parts.settings.broker,
                "X-Instrument": _shown(instrument, asked["interval"], start, end),
            },
        )

    @pulling.get("/capability")
    def capability() -> Response:
        return reply.json(capability_of(parts))

    return pulling


def capability_of(parts: Parts) -> dict[str, Any]:
    """What a puller may ask of this instance, and whether its broker session lets it."""
    session, offered = parts.session.status(), parts.settings.spec.capabilities
    return {
        "instance": parts.settings.name,
        "broker": parts.settings.broker,
        "session": session.state,
        "message": session.message,
        "intervals": sorted(offered.history_days),
        "exchanges": sorted(offered.history_exchanges),
        "chunk_days": dict(offered.history_days),
        "years": dict(offered.history_years),
        "oi": offered.history_oi,
    }


def _shown(instrument: Instrument, interval: str, start: date, end: date) -> str:
    """What the answer is about, for whoever decodes it. ASCII: it travels in a header."""
    return json.dumps(
        {
            "exchange": instrument.key.exchange,
            "symbol": instrument.key.symbol,
            "token": instrument.token,
            "broker_exchange": instrument.broker_exchange,
            "instrument_type": instrument.instrument_type,
            "interval": interval,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }
    )
