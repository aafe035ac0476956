"""Alerts of other programs: TradingView, Chartink, the SDK's ``Strategy``. The path is the only secret.

An alert is checked, put on disk and answered; its order leaves in the background, at once as a rule, through
the same checks as any other (``gateway.strategies.queue``). Errors carry ``error`` as OpenAlgo's do, and
``status``, ``message`` and ``code`` like all others.

Source: openalgo-api, section 6.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from brokers.errors import InvalidRequest
from gateway.api import errors, reply
from gateway.api.dispatch import body_of
from gateway.api.parts import Parts
from gateway.api.surface import WEBHOOKS
from gateway.http.gate import caller
from gateway.store.queued import NewOrder, QueuedOrder, fingerprint_of
from gateway.strategies import alerts
from gateway.strategies.alerts import ALERT_TIMES, ID_FIELDS, Wanted
from gateway.strategies.model import CHARTINK, Strategy
from gateway.strategies.queue import Queue

LIMIT = "WEBHOOK_RATE_LIMIT"
MAX_BODY_BYTES = 64 * 1024
LONGEST_ID = 64
INACTIVE = "Strategy is inactive"
ABSENT = {
    "flow": "There are no workflows in this gateway; post the alert to a strategy's webhook",
    "postback": "Order updates come over the broker's own order feed; no postback address is needed",
    "strategy": "This process has no strategies",
    "chartink": "This process has no strategies",
}
SERVED = ("/strategy/webhook/<webhook_id>", "/chartink/webhook/<webhook_id>")
KNOWN_FIELDS = frozenset({"symbol", "action", "position_size", *ALERT_TIMES, *ID_FIELDS})


def blueprint(parts: Parts) -> Blueprint:
    """Every webhook in both slash forms; those that do not exist yet answer 501."""
    hooks = Blueprint("webhooks", __name__)
    views = dict(zip(SERVED, (_strategy, _chartink), strict=True))
    for rule in WEBHOOKS:
        view = _view(parts, rule, views.get(rule))
        for form in (rule, f"{rule}/"):
            hooks.add_url_rule(form, rule, view, methods=["POST"], strict_slashes=True)
    return hooks


Handler = Callable[[Parts, Queue, str, dict[str, Any]], Response]


def _view(parts: Parts, rule: str, handler: Handler | None) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        try:
            wait_s = parts.limits.hit(LIMIT, rule, caller(request.environ))
            if wait_s is not None:
                return _problem(parts, errors.rate_limited(wait_s))
            if handler is None or parts.queue is None:
                return _problem(parts, errors.Problem(501, "NOT_SUPPORTED", ABSENT[rule.split("/")[1]]))
            return handler(parts, parts.queue, path["webhook_id"], _body())
        except HTTPException:
            raise
        except Exception as exc:  # noqa: BLE001 (top of a request; of_exception logs what is not ours)
            return _problem(parts, errors.of_exception(exc))

    return view


def _strategy(parts: Parts, queue: Queue, webhook_id: str, alert: dict[str, Any]) -> Response:
    strategy = _known(queue, webhook_id, chartink=False)
    if not strategy.active:
        raise InvalidRequest(INACTIVE, code="INACTIVE")
    now = parts.clock.now()
    identity = alerts.identity(strategy, alert, request.headers.get("Idempotency-Key"), now)
    symbol = str(alert.get("symbol", "")).strip().upper()
    said = {name: alert.get(name) for name in ("symbol", "action", "position_size")}
    fingerprint = fingerprint_of("alert", said)
    client_id = _client_id(identity, symbol)
    if identity is not None and (known := queue.store.known([client_id])):
        # before anything else: a repeat may come when the hours are over
        return _again(known, fingerprint, symbol)
    parts.session.check()
    wanted = alerts.of_alert(strategy, alert, now)
    order = _new(parts, strategy, wanted, client_id, fingerprint)
    rows, repeated = queue.submit([order])
    if repeated:
        return _again(rows, fingerprint, symbol)
    body: dict[str, Any] = {
        "status": "success",
        "message": f"Order queued successfully for {wanted.body['symbol']}",
        "queued_ids": [row.id for row in rows],
    }
    if ignored := sorted(set(alert) - KNOWN_FIELDS)[:20]:
        # a stop in an alert is not a stop in the order: say so
        body["ignored"] = [name[:LONGEST_ID] for name in ignored]
    return reply.json(body)


def _chartink(parts: Parts, queue: Queue, webhook_id: str, scan: dict[str, Any]) -> Response:
    strategy = _known(queue, webhook_id, chartink=True)
    if not strategy.active:
        return reply.json({"status": "success", "message": INACTIVE})
    now = parts.clock.now()
    identity = alerts.identity(strategy, scan, request.headers.get("Idempotency-Key"), now)
    said = {name: scan.get(name) for name in ("scan_name", "stocks")}
    fingerprint = fingerprint_of("scan", said)
    if identity is not None:
        stocks = [part.strip().upper() for part in str(scan.get("stocks", "")).split(",")]
        known = queue.store.known(_client_id(identity, stock) for stock in stocks)
        if known:
            return _again(known, fingerprint, _names(known))
    parts.session.check()
    orders = [
        _new(parts, strategy, wanted, _client_id(identity, wanted.body["symbol"]), fingerprint)
        for wanted in alerts.of_scan(strategy, scan, now)
    ]
    if not orders:
        return reply.json({"status": "warning", "message": "No orders were queued"})
    rows, repeated = queue.submit(orders)
    if repeated:
        return _again(rows, fingerprint, _names(rows))
    message = f"Orders queued for symbols: {_names(rows)}"
    return reply.json({"status": "success", "message": message, "queued_ids": [row.id for row in rows]})


def _again(rows: list[QueuedOrder], fingerprint: str, names: str) -> Response:
    """The answer to an alert that was taken before; nothing is sent."""
    if any(row.fingerprint != fingerprint for row in rows):
        raise InvalidRequest("the id of this alert was used for another one", code="CLIENT_ORDER_ID_REUSED")
    message = f"Order queued successfully for {names}"
    ids = [row.id for row in rows]
    return reply.json({"status": "success", "message": message, "queued_ids": ids, "repeated": True})


def _known(queue: Queue, webhook_id: str, *, chartink: bool) -> Strategy:
    """Raises ``InvalidRequest`` (``NOT_FOUND``), the same for every wrong id."""
    strategy = queue.strategies.by_webhook(webhook_id) if len(webhook_id) <= LONGEST_ID else None
    if strategy is None:
        raise InvalidRequest("Invalid webhook ID", code="NOT_FOUND")
    if (strategy.platform == CHARTINK) is not chartink:
        where = "/chartink/webhook/" if not chartink else "/strategy/webhook/"
        raise InvalidRequest(f"The alerts of this strategy are posted to {where}…", code="NOT_FOUND")
    return strategy


def _new(parts: Parts, strategy: Strategy, wanted: Wanted, client_id: str, fingerprint: str) -> NewOrder:
    return NewOrder(
        client_id=client_id,
        source="webhook",
        kind=wanted.kind,
        body=dict(wanted.body),
        fingerprint=fingerprint,
        received_ns=request.environ.get("algo.received_ns") or time.time_ns(),
        strategy_id=strategy.id,
        paper=parts.analyzing(),
    )


def _client_id(identity: str | None, symbol: str) -> str:
    """Under which an alert's order is placed: the same for a repeat of it, else a new one."""
    if identity is None:
        return f"w{uuid.uuid4().hex}"
    return f"w{hashlib.sha256(f'{identity}|{symbol.upper()}'.encode()).hexdigest()[:40]}"


def _names(rows: list[QueuedOrder]) -> str:
    return ", ".join(str(row.body["symbol"]) for row in rows)


def _body() -> dict[str, Any]:
    """Raises ``InvalidRequest``: too long, not JSON, not an object."""
    raw = request.get_data(cache=False)
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidRequest(f"An alert has at most {MAX_BODY_BYTES // 1024} KiB", code="TOO_LARGE")
    body = body_of(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("Request body must be a JSON object")
    return body


def _problem(parts: Parts, found: errors.Problem) -> Response:
    """As everywhere, plus OpenAlgo's ``error``."""
    told: Mapping[str, Any] = {**found.body(parts.settings.name), "error": found.message}
    answer = reply.json(dict(told), found.status)
    if found.retry_after_s is not None:
        answer.headers["Retry-After"] = str(errors.whole_seconds(found.retry_after_s))
    return answer
