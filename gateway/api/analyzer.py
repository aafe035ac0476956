"""Analyze mode: what it is, switching it, beginning anew.

Source: openalgo-api, sections 1.6 and 2.8. ``analyzer/reset`` and ``analyzer/days`` are this project's own.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from brokers.errors import NotSupported
from gateway.api.parts import Call, Endpoint, Parts
from gateway.api.schemas import KeyOnly
from gateway.sandbox.compose import Sandbox
from gateway.sandbox.mode import TradingMode
from gateway.scopes import Scope

TRUE = frozenset({True, "1", "true", "True", "TRUE", "on", "On", "ON", "yes", "Yes", "YES"})
FALSE = frozenset({False, "0", "false", "False", "FALSE", "off", "Off", "OFF", "no", "No", "NO"})


class Toggle(KeyOnly):
    """``mode`` sets, it does not flip."""

    mode = fields.Boolean(required=True, truthy=set(TRUE), falsy=set(FALSE))


class Days(KeyOnly):
    """``POST /analyzer/days``: how many of the newest days on paper."""

    limit = fields.Integer(load_default=30, validate=validate.Range(min=1, max=400))


def status(parts: Parts, _call: Call) -> dict[str, Any]:
    return {"status": "success", "data": _data(_sandbox(parts))}


def toggle(parts: Parts, call: Call) -> dict[str, Any]:
    """Switch the whole instance; on disk when it is answered. Requests under way end in their own mode."""
    sandbox = _sandbox(parts)
    mode = TradingMode.ANALYZE if call.data["mode"] else TradingMode.LIVE
    sandbox.switch.set(mode)
    message = f"Analyzer mode switched to {mode.value}"
    # what was asked for, not what somebody else may have switched to meanwhile
    return {"status": "success", "data": {**_data(sandbox, mode), "message": message}}


def reset(parts: Parts, _call: Call) -> dict[str, Any]:
    """No orders, positions, holdings: the starting capital again. The journal keeps what was."""
    sandbox = _sandbox(parts)
    state = sandbox.reset()
    return {
        "status": "success",
        "message": "The sandbox begins anew",
        "data": {"availablecash": f"{state.capital:.2f}", "reset_count": state.reset_count},
        "mode": TradingMode.ANALYZE.value,
    }


def days(parts: Parts, call: Call) -> dict[str, Any]:
    """Daily results, newest first; today's is as of now."""
    found = _sandbox(parts).exchange.results(call.data["limit"])
    hidden = ("marks",)
    rows = [{"date": day, **{k: v for k, v in body.items() if k not in hidden}} for day, body in found]
    return {"status": "success", "data": rows, "mode": TradingMode.ANALYZE.value}


def _sandbox(parts: Parts) -> Sandbox:
    if parts.sandbox is None:
        raise NotSupported("this instance has no sandbox")
    return parts.sandbox


def _data(sandbox: Sandbox, mode: TradingMode | None = None) -> dict[str, Any]:
    mode = mode or sandbox.switch.mode()
    return {
        "mode": mode.value,
        "analyze_mode": mode is TradingMode.ANALYZE,
        "total_logs": sandbox.logged(),
    }


OWN: tuple[Endpoint, ...] = (
    Endpoint("POST", "analyzer/reset", "API_RATE_LIMIT", "V1", "key", KeyOnly, reset, scope=Scope.MANAGE),
    Endpoint("POST", "analyzer/days", "API_RATE_LIMIT", "V2", "key", Days, days, scope=Scope.READ),
)
"""What OpenAlgo does not have as an endpoint."""
