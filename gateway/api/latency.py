"""``/internal/latency`` and ``/internal/comparison``: stage times and daily figures for who compares brokers.

While the instance is down the same is in its file (``gateway.latency.reader``, ``gateway.latency.passive``).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from brokers.errors import InvalidRequest, NotSupported
from gateway.api.parts import Parts
from gateway.latency import passive, reader
from gateway.latency.model import ENDPOINTS, day_of
from gateway.latency.recorder import Recorder

A_DAY_NS = 86_400 * 1_000_000_000
LATEST_NS = 2**62


def add_routes(internal: Blueprint, parts: Parts) -> None:
    settings = parts.settings
    who = {"instance": settings.name, "broker": settings.broker, "venue": settings.venue.value}

    @internal.get("/latency")
    def latency() -> Response:
        """Requests received between ``since`` and ``until``; the last day unless given.

        Both are ISO 8601 with a zone, or epoch milliseconds. Of one ``endpoint`` or all, with ``probes=1``
        only those of probes.
        """
        args = request.args
        now_ns = parts.clock.time_ns()
        since_ns = moment_ns(args.get("since", ""), now_ns - A_DAY_NS)
        until_ns = moment_ns(args.get("until", ""), LATEST_NS)
        endpoint = args.get("endpoint", "")
        if endpoint not in ("", *ENDPOINTS):
            raise InvalidRequest(f"endpoint is '{endpoint[:40]}', expected one of {', '.join(ENDPOINTS)}")
        keeper = recorder_of(parts)
        keeper.refresh()
        found = reader.samples(
            keeper.database.path, since_ns, until_ns, endpoint=endpoint, probes=args.get("probes") == "1"
        )
        return _answer({**who, "dropped": keeper.dropped, "more": found.more, "columns": found.columns})

    @internal.get("/comparison")
    def comparison() -> Response:
        """Daily figures from IST day ``from`` to ``to`` (today), both inclusive."""
        today = day_of(parts.clock.time_ns())
        first, last = (day(request.args.get(name, ""), today) for name in ("from", "to"))
        keeper = recorder_of(parts)
        keeper.refresh()
        return _answer({**who, **passive.comparison(keeper.database.path, first, last)})


def recorder_of(parts: Parts) -> Recorder:
    """Raises ``NotSupported`` where stage times are not kept."""
    if parts.latency is None:
        raise NotSupported("stage times are not kept here: the log of the start says why")
    return parts.latency


def moment_ns(text: str, default: int) -> int:
    """Wall nanoseconds of ISO 8601 text with a zone, or of epoch milliseconds. Raises ``InvalidRequest``."""
    if not text:
        return default
    if text.isdigit() and len(text) <= 15:
        return int(text) * 1_000_000
    try:
        # a plus sign in a query is a space
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidRequest(f"'{text[:40]}' is no time: ISO 8601 with a zone, or epoch milliseconds")
    return int(at.timestamp() * 1e6) * 1000


def day(text: str, default: str) -> str:
    """An IST date. Raises ``InvalidRequest``."""
    try:
        return date.fromisoformat(text).isoformat() if text else default
    except ValueError:
        raise InvalidRequest(f"'{text[:40]}' is no date, expected 2026-11-20") from None


def _answer(found: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(found), content_type="application/json")
