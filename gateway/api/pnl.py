"""Profit and loss by symbol, of the sandbox's day.

Source: openalgo-api, section 2.8 (``pnl/symbols``: in live mode a 400).
"""

from __future__ import annotations

from typing import Any

from brokers.errors import InvalidRequest
from gateway.api import sandboxed
from gateway.api.parts import Call, Parts

LIVE = "pnl/symbols is available in analyze mode only; positionbook has the account's profit and loss"


def symbols(parts: Parts, _call: Call) -> dict[str, Any]:
    """One row for each position of the day, closed ones too.

    Raises:
        InvalidRequest: The instance is in live mode.
    """
    if not parts.analyzing():
        raise InvalidRequest(LIVE, code="ANALYZE_ONLY")
    positions = parts.desk.positions()
    more, totals = sandboxed.profits(positions)
    rows = [
        {
            "symbol": position.key.symbol,
            "exchange": position.key.exchange,
            "product": str(position.product),
            "quantity": position.quantity,
            "pnl": profit["total_pnl_today"],
            **{name: profit[name] for name in ("unrealized_pnl", "today_realized_pnl", "total_pnl_today")},
        }
        for position, profit in zip(positions, more, strict=True)
    ]
    return {"status": "success", "data": rows, **totals}
