"""Live or analyze, decided in one place: which desk a request meets, and what its answer says of it.

A request is given the parts of the mode it begins in and ends in it, whatever is switched meanwhile.

Source: openalgo-api, sections 1.3 and 1.6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response

from gateway.api import reply, sandboxed
from gateway.api.errors import Problem
from gateway.api.parts import Endpoint, Parts
from gateway.sandbox.mode import TradingMode

ANALYZE = TradingMode.ANALYZE.value
BY_MODE = frozenset(
    (
        *("placeorder", "placesmartorder", "basketorder", "splitorder", "optionsorder", "optionsmultiorder"),
        *("modifyorder", "cancelorder", "cancelallorder", "closeposition", "orderstatus", "openposition"),
        *("orderbook", "tradebook", "positionbook", "holdings", "funds", "pnl/symbols"),
        *("placegttorder", "modifygttorder", "cancelgttorder", "gttorderbook"),
        *("orders/place", "smartorders/place", "orders", "smartorders", "positions", "account"),
    )
)
"""Paths whose answer depends on the mode. Market data, symbols and margin always come from the broker."""
PLAIN_VALIDATION = frozenset({"placeorder", "margin", "analyzer"})
"""OpenAlgo's validation errors of these do not tell the mode."""


def two_moded(parts: Parts) -> Parts:
    """Parts whose ``now`` chooses between the account and the sandbox."""
    sandbox = parts.sandbox
    assert sandbox is not None
    switch = sandbox.switch
    live = replace(parts, analyzing=lambda: False)
    paper = replace(parts, desk=sandbox.desk, market=sandbox.market, analyzing=lambda: True)
    choices = {TradingMode.LIVE: live, TradingMode.ANALYZE: paper}
    return replace(
        parts,
        analyzing=lambda: switch.mode() is TradingMode.ANALYZE,
        now=lambda: choices[switch.mode()],
    )


def pinned(parts: Parts, endpoint: Endpoint) -> Parts:
    """The parts a request of this endpoint keeps to its end."""
    return parts.now() if parts.now is not None and endpoint.path in BY_MODE else parts


def told(parts: Parts, endpoint: Endpoint, answer: dict[str, Any] | Response) -> dict[str, Any] | Response:
    """An answer with its mode; ``parts`` are pinned."""
    if not _says(parts, endpoint):
        return answer
    if isinstance(answer, Response):
        body = answer.get_json(silent=True)
        if not isinstance(body, dict):
            return answer
        marked = reply.json({**body, "mode": ANALYZE}, answer.status_code)
        if "Retry-After" in answer.headers:
            marked.headers["Retry-After"] = answer.headers["Retry-After"]
        return marked
    return {**sandboxed.extended(parts, endpoint.path, answer), "mode": ANALYZE}


def told_problem(parts: Parts, endpoint: Endpoint, found: Problem, *, validation: bool = False) -> Problem:
    """An error with the mode it happened in."""
    if not _says(parts, endpoint) or (validation and endpoint.path in PLAIN_VALIDATION):
        return found
    return replace(found, extra={**found.extra, "mode": ANALYZE})


def _says(parts: Parts, endpoint: Endpoint) -> bool:
    return endpoint.path in BY_MODE and parts.analyzing()
