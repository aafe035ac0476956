"""``GET /internal/probing``: what ``algo compare --orders`` must know before it sends, in one look."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from brokers.model import InstrumentKey
from gateway.api import reply
from gateway.api.health import readiness
from gateway.api.parts import Parts
from gateway.latency.model import PROBE_STRATEGY
from gateway.trading.limiter import Lane


def add_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.get("/probing")
    def probing() -> Response:
        key = InstrumentKey(request.args.get("exchange", ""), request.args.get("symbol", ""))
        look = request.args.get("quote") == "1"
        return reply.json(
            {"status": "success", **_standing(parts, key), **(_market(parts, key) if look else {})}
        )


def _standing(parts: Parts, key: InstrumentKey) -> dict[str, Any]:
    """Orders and positions of one contract, in the broker's words and the journal's.

    Raises:
        BrokerError: The books could not be read: nobody may conclude from that that they are empty.
    """
    ready = readiness(parts)
    own = [row for row in parts.desk.unknowns.today() if row.strategy == PROBE_STRATEGY and row.key == key]
    probes = {row.known.order_id for row in own if row.known.order_id}
    return {
        "ready": ready["ready"],
        "waiting_for": ready["waiting_for"],
        "roles": ready["roles"],
        "broker": parts.settings.broker,
        "venue": parts.settings.venue.value,
        "mode": "analyze" if parts.analyzing() else "live",
        "market_open": parts.hours.is_open(key.exchange, parts.clock.now()),
        "orders": [
            {
                "orderid": order.order_id,
                "action": order.action.value,
                "quantity": order.quantity,
                "status": order.status.value,
                "probe": order.order_id in probes,
            }
            for order in parts.desk.orders()
            if order.key == key and not order.status.is_final
        ],
        "positions": [p.quantity for p in parts.desk.positions() if p.key == key and p.quantity],
        "probes": [
            {
                "client_order_id": row.client_order_id or "",
                "orderid": row.known.order_id,
                "status": row.to_order().status.value,
                "filled": row.known.filled,
                "reason": row.known.reason,
            }
            for row in own
        ],
    }


def _market(parts: Parts, key: InstrumentKey) -> dict[str, Any]:
    """What a plan is made from.

    ``lower_circuit`` and ``upper_circuit`` are None where the broker does not say; ``windows`` are the order
    windows of the account, with what is used of each.

    Raises:
        InvalidRequest: No such contract, or no price.
    """
    instrument, quote = parts.market.instrument(key), parts.market.asked(key)
    return {
        "ltp": quote.ltp,
        "tick_size": str(instrument.tick_size),
        "lot_size": instrument.lot_size,
        "lower_circuit": quote.lower_circuit or None,
        "upper_circuit": quote.upper_circuit or None,
        "windows": [asdict(usage) for usage in parts.market.limiter.usage(Lane.ENTRY)],
    }
