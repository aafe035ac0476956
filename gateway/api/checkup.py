"""``POST /internal/checkup``: the real path to the broker once, without an order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from brokers.errors import AlgoError
from brokers.model import InstrumentKey
from gateway.api import reply
from gateway.api.parts import Parts

KEY = InstrumentKey("NSE", "SBIN")
"""Traded every second of every session, at every broker."""
TICK_WAIT_S = 10.0
FRESH_S = 2.0
LOOK_S = 0.1


def add_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/checkup")
    def checkup() -> Response:
        return reply.json({"status": "success", "steps": steps(parts)})


def steps(parts: Parts) -> list[dict[str, Any]]:
    """Session, funds, quote, tick: each with whether it passed and what was seen.

    Ends at the first failure that the later ones need.
    """
    done = [_step("broker session", lambda: _session(parts))]
    if not done[0]["passed"]:
        return done
    done.append(_step("funds", lambda: f"{parts.desk.funds().available_cash:,.2f} available"))
    done.append(_step("quote", lambda: f"{KEY} {parts.market.quote(KEY).ltp:.2f}"))
    done.append(_step("tick", lambda: _tick(parts)))
    done.append(_step("orders", lambda: f"{len(parts.desk.orders())} in today's book"))
    return done


def _step(what: str, look: Callable[[], str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        seen, passed = look(), True
    except AlgoError as exc:
        seen, passed = str(exc), False
    return {"what": what, "passed": passed, "seen": f"{seen} ({(time.perf_counter() - began) * 1000:.0f} ms)"}


def _session(parts: Parts) -> str:
    """The session in use, else one login (which the login budget counts)."""
    if parts.session.status().state != "valid":
        parts.session.login(None)
    session = parts.session.current()
    return f"account {session.account}, until {session.expires_at:%Y-%m-%d %H:%M} UTC"


def _tick(parts: Parts) -> str:
    ends = time.monotonic() + TICK_WAIT_S
    parts.market.ticks.want([KEY])
    while time.monotonic() < ends:
        price = parts.market.ticks.last_price(KEY, FRESH_S)
        if price is not None:
            return f"{KEY} {price:.2f}"
        time.sleep(LOOK_S)
    if not parts.calendar.is_open(KEY.exchange, parts.clock.now()):
        return "none, the market is closed"
    raise NoTick(f"no tick of {KEY} in {TICK_WAIT_S:.0f} s; see: algo logs, feed process")


class NoTick(AlgoError):
    """The feed is connected and silent, or not connected."""

    code = "NO_TICK"
