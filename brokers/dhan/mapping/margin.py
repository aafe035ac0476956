"""Dhan's margin calculator: our orders -> its body, its answer -> ours. Pure.

Source: Dhan API v2, "Funds & Margin", multi order; keys as the official client sends them (``scripList``) and
as the page shows the answer (snake case, text) and users report it (camel case).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from brokers.contract import Margin, MarginLeg
from brokers.dhan.mapping import words
from brokers.errors import InvalidRequest, WireError
from brokers.model import PriceType

_AT_OWN_PRICE = (PriceType.LIMIT, PriceType.SL)
_NAMES = {
    "total": ("total_margin", "totalMargin"),
    "span": ("span_margin", "spanMargin"),
    "exposure": ("exposure_margin", "exposureMargin"),
    "benefit": ("hedge_benefit", "hedgeBenefit"),
}


def body(client_id: str, legs: Sequence[MarginLeg]) -> dict[str, Any]:
    """JSON of ``POST /margincalculator/multi``: these orders alone, without what the account holds.

    Raises:
        InvalidRequest: No leg, or a market order whose price nobody knows.
    """
    if not legs:
        raise InvalidRequest("margin needs at least one order")
    return {
        "dhanClientId": client_id,
        "includePosition": False,
        "includeOrder": False,
        "scripList": [_script(leg) for leg in legs],
    }


def _script(leg: MarginLeg) -> dict[str, Any]:
    order = leg.order
    own = order.price if order.price_type in _AT_OWN_PRICE else Decimal(0)
    # Dhan has no order type here: it values quantity times price, so a market order needs one too
    price = own or leg.price or order.price or order.trigger_price
    if price <= 0:
        raise InvalidRequest(f"no price is known for {order.key}; give one", code="NO_DATA")
    script: dict[str, Any] = {
        "exchangeSegment": leg.instrument.broker_exchange,
        "transactionType": order.action.value,
        "quantity": order.quantity,
        "productType": words.PRODUCT_WORD[order.product],
        "securityId": leg.instrument.token,
        "price": float(price),
    }
    if order.trigger_price > 0:
        script["triggerPrice"] = float(order.trigger_price)
    return script


def margin(row: Mapping[str, Any]) -> Margin:
    """Raises ``WireError`` for an answer without a total, which must not pass as "no margin needed"."""
    found = {
        ours: words.money(row[name])
        for ours, names in _NAMES.items()
        for name in names
        if row.get(name) not in (None, "")
    }
    total = found.get("total")
    if total is None:
        raise WireError("margin answer without a total")
    return Margin(total, found.get("span"), found.get("exposure"), found.get("benefit"))
