"""The one place where what went wrong becomes an HTTP status and a JSON body.

Decides by class and ``code``. Every body carries ``status``, ``message``, ``code`` and, where a person can do
something, ``next_step``.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.errors import (
    AlgoError,
    BrokerError,
    InvalidRequest,
    LeaseRefused,
    OrderRejected,
    RateLimited,
    RiskLimit,
    WireError,
)
from gateway.scopes import Scope, shown
from gateway.trading.answers import OrderAnswer

log = logging.getLogger(__name__)

INVALID_KEY = "Invalid openalgo apikey"
UNEXPECTED = "An unexpected error occurred"

STATUS: Mapping[str, int] = {
    "INVALID_REQUEST": 400,
    "INVALID_API_KEY": 403,
    "AUTH_EXPIRED": 403,
    "IP_NOT_ALLOWED": 403,
    "ENTRIES_BLOCKED": 403,
    "RISK_LIMIT": 403,
    "ROLE_MISSING": 403,
    "STRATEGY_LEASE_REQUIRED": 403,
    "HOST_NOT_ALLOWED": 403,
    "SEMI_AUTO": 403,
    "SCOPE_MISSING": 403,
    "NOT_FOUND": 404,
    "ORDER_NOT_FOUND": 404,
    "NO_STORED_DATA": 404,
    "SYMBOL_NOT_FOUND": 400,  # the symbol services answer 404, see ``Problem.with_status``
    "INSUFFICIENT_MARGIN": 400,
    "INVALID_QUANTITY": 400,
    "PRICE_OUT_OF_RANGE": 400,
    "DUPLICATE_ORDER": 400,
    "MARKET_CLOSED": 400,
    "ORDER_REJECTED": 400,
    "ORDER_NOT_OPEN": 400,
    "ORDER_IN_TRANSIT": 400,
    "MODIFICATION_LIMIT": 400,
    "CLIENT_ORDER_ID_REUSED": 400,
    "FREEZE_QUANTITY": 400,
    "INVALID_TRIGGER": 400,
    "INVALID_PRODUCT": 400,
    "NOT_TRADABLE": 400,
    "SYMBOL_EXPIRED": 400,
    "NO_DATA": 400,
    "NOT_AN_OPTION": 400,
    "NO_IMPLIED_VOLATILITY": 400,
    "ANALYZE_ONLY": 400,
    "INACTIVE": 400,
    "OUTSIDE_HOURS": 400,
    "DECIDED": 400,
    "WRONG_INTERVAL": 400,
    "IMPORT_REFUSED": 400,
    "BAD_BARS": 400,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "CONFLICT": 409,
    "PULLER_BUSY": 409,
    "LEASE_LOST": 409,
    "STRATEGY_LEASE_HELD": 409,
    "STRATEGY_LEASE_LOST": 409,
    "STRATEGY_LEASE_EXPIRED": 409,
    "TOO_LARGE": 413,
    "HEAD_TOO_LARGE": 431,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "SETTINGS": 500,
    "STORE_ERROR": 500,
    "STORE_DAMAGED": 500,
    "STORE_FOREIGN": 500,
    "STORE_UNSAFE_FOLDER": 500,
    "BROKER_ERROR": 502,
    "WIRE": 502,
    "NOT_SUPPORTED": 501,
    "BROKER_DISCONNECTED": 503,
    "MARGIN_UNKNOWN": 503,
    "NOT_READY": 503,
    "STORE": 503,
    "STORE_BUSY": 503,
    "STORE_FULL": 503,
    "STORE_LIMIT": 503,
    "STRATEGY_LEASE_UNAVAILABLE": 503,
    "TOO_MANY_CONNECTIONS": 503,
    "OUTCOME_UNKNOWN": 504,
}
"""Every code of an answer below ``/api``; ``tests/gateway/api/test_codes.py`` compares it with the source."""
NEXT_STEP: Mapping[str, str] = {
    "INVALID_API_KEY": "Make a key with: algo key create {instance}",
    "AUTH_EXPIRED": "Log in to the broker with: algo login {instance}",
    "IP_NOT_ALLOWED": "Register this machine's public address with the broker; orders need a static IP.",
    "ENTRIES_BLOCKED": "Allow entries again with: algo panic --resume",
    "RISK_LIMIT": "Orders that only reduce a position pass it. It is set in instances/{instance}.env, "
    "or since then on the settings page.",
    "ROLE_MISSING": "Use an instance that has the role, or change ROLES in instances/{instance}.env.",
    "SCOPE_MISSING": "Nothing was executed. Make a key that may: algo key create {instance} --scope …",
    "STRATEGY_LEASE_HELD": "Nothing was executed; exits pass. Who has it: algo strategy leases {instance}",
    "STRATEGY_LEASE_LOST": "Nothing was executed; exits and cancels pass. Another copy trades: end this one.",
    "STRATEGY_LEASE_EXPIRED": "Nothing was executed. Renew: POST /api/v1/strategy/lease, action renew.",
    "STRATEGY_LEASE_REQUIRED": "Nothing was executed. Take it: POST /api/v1/strategy/lease, action acquire.",
    "STRATEGY_LEASE_UNAVAILABLE": "Nothing was executed; exits and cancels pass. See: algo doctor {instance}",
    "INSUFFICIENT_MARGIN": "Nothing was executed. Add funds, close something, or order less.",
    "MARGIN_UNKNOWN": "Nothing was executed. Try again, or set RISK_MARGIN_UNKNOWN=allow.",
    "MARKET_CLOSED": "Nothing was executed. Trading hours: POST /api/v1/market/timings.",
    "DUPLICATE_ORDER": "The broker has an order with this mark already: look into the order book first.",
    "SEMI_AUTO": "Let orders leave by themselves again with: algo approvals mode {instance} auto",
    "OUTCOME_UNKNOWN": "Do not send it again. The order book shows it as 'unknown' until the broker's "
    "evidence settles it.",
    "BROKER_DISCONNECTED": "Nothing was executed. Try again, and see: algo status {instance}",
    "NOT_READY": "Nothing was executed. The gateway is still loading or reconciling; try again soon.",
    "STORE": "Nothing was executed. See the api log of {instance}: disk full or database locked.",
    "WRONG_INTERVAL": "GET /api/v1/historify/intervals lists what the store keeps and computes.",
    "IMPORT_REFUSED": "Nothing was imported. Mend the rows listed, or import with skip_bad.",
    "STORE_DAMAGED": "Only this series is affected. See: algo history verify",
    "STORE_BUSY": "Nothing was changed. Try again.",
    "STORE_FULL": "Nothing was changed and nothing is lost. Make room, or give rights to db/.",
    "STORE_LIMIT": "Ask for a shorter range or a longer interval.",
    "RATE_LIMITED": "Nothing was executed. Wait retry_after seconds.",
    "NOT_SUPPORTED": "See the README for what this broker and this version offer.",
    "WIRE": "The broker's answer could not be read; the log keeps it. Try again.",
    "INTERNAL": "The api log of {instance} has the details under this error_id.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is not success. ``extra`` is merged into the body."""

    status: int
    code: str
    message: object
    extra: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float | None = None

    def body(self, instance: str) -> dict[str, Any]:
        body: dict[str, Any] = {"status": "error", "message": self.message, "code": self.code}
        if step := NEXT_STEP.get(self.code):
            body["next_step"] = step.format(instance=instance)
        if self.retry_after_s is not None:
            body["retry_after"] = whole_seconds(self.retry_after_s)
        body.update(self.extra)
        return body


def whole_seconds(seconds: float) -> int:
    """Rounded up and at least 1, as ``Retry-After`` wants it."""
    return max(1, -int(-seconds // 1))


def invalid_key() -> Problem:
    return Problem(403, "INVALID_API_KEY", INVALID_KEY)


def scope_missing(needed: Scope, held: frozenset[Scope]) -> Problem:
    """A good key that may not do this."""
    has = shown(held)
    message = f"This API key has not the scope '{needed.value}'; it has {', '.join(has) or 'none'}."
    return Problem(403, "SCOPE_MISSING", message, {"scope": needed.value, "scopes": has})


def invalid_fields(messages: Mapping[Any, Any] | list[Any], style: str) -> Problem:
    """Validation errors in the style the endpoint is known for.

    V1 is the text of a Python dict, V2 an object, V3 and V4 are a sentence plus ``errors``.
    """
    plain = messages if isinstance(messages, Mapping) else {"_schema": list(messages)}
    if style == "V1":
        return Problem(400, "INVALID_REQUEST", str(plain))
    if style in ("V3", "V4"):
        words = "Validation error" if style == "V3" else "Validation failed"
        return Problem(400, "INVALID_REQUEST", words, {"errors": plain})
    return Problem(400, "INVALID_REQUEST", plain)


def rate_limited(retry_after_s: float) -> Problem:
    return Problem(
        429,
        "RATE_LIMITED",
        "Rate limit exceeded. Please slow down your requests.",
        retry_after_s=retry_after_s,
    )


def of_exception(exc: Exception) -> Problem:
    """The answer for anything raised while a request was served.

    What is not ours is logged with its trace under an id; the caller gets the id alone.
    """
    if isinstance(exc, InvalidRequest):
        extra: dict[str, Any] = {"errors": exc.fields} if exc.fields else {}
        if exc.code == "SYMBOL_NOT_FOUND":
            extra = exc.fields  # `suggestions` or `invalid_symbols`, at the top as OpenAlgo has them
        return Problem(STATUS.get(exc.code, 400), exc.code, str(exc), extra)
    if isinstance(exc, RateLimited):
        return Problem(429, exc.code, str(exc), _broker_code(exc), exc.retry_after_s)
    if isinstance(exc, OrderRejected):
        return Problem(400, exc.code, str(exc), _broker_code(exc))
    if isinstance(exc, WireError):
        log.error("unreadable answer of the broker: %s; frame %r", exc, exc.frame[:400])
        return Problem(502, exc.code, str(exc), _broker_code(exc))
    if isinstance(exc, BrokerError):
        return Problem(STATUS.get(exc.code, 502), exc.code, str(exc), _broker_code(exc))
    if isinstance(exc, RiskLimit):
        limit = {"limit": exc.limit, "present": exc.present, "allowed": exc.allowed}
        return Problem(STATUS.get(exc.code, 403), exc.code, str(exc), limit, exc.retry_after_s)
    if isinstance(exc, LeaseRefused):
        held = {"holder": exc.holder, "instance": exc.instance, "epoch": exc.epoch}
        shown = held if exc.holder else {}
        return Problem(STATUS.get(exc.code, 409), exc.code, str(exc), shown, exc.retry_after_s)
    if isinstance(exc, AlgoError):
        return Problem(STATUS.get(exc.code, 500), exc.code, str(exc))
    error_id = secrets.token_hex(6)
    log.error("request failed", exc_info=exc, extra={"error_id": error_id})
    return Problem(500, "INTERNAL", UNEXPECTED, {"error_id": error_id})


def of_answer(answer: OrderAnswer) -> Problem:
    """The answer for an order that reached the journal and did not succeed; a rejection is a 400."""
    extra: dict[str, Any] = {"journal_id": answer.journal_id, "order_status": answer.status.value}
    if answer.order_id:
        extra["orderid"] = answer.order_id
    if answer.broker_code:
        extra["broker_code"] = answer.broker_code
    if answer.repeated:
        extra["repeated"] = True
    status = STATUS.get(answer.code, 400)
    return Problem(status, answer.code, answer.message, extra, answer.retry_after_s)


def _broker_code(exc: BrokerError) -> dict[str, Any]:
    return {"broker_code": exc.broker_code} if exc.broker_code else {}
