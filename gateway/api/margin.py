"""What a set of new orders would block. Nothing is sent to the exchange.

Source: openalgo-api, section 2.4, margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from brokers.contract import Margin, MarginLeg
from brokers.errors import InvalidRequest
from brokers.model import Instrument, InstrumentKey
from gateway.api import orders
from gateway.api.parts import Call, Parts

NO_PARTS = "This broker gives the total alone: span_margin and exposure_margin are not known and stand as 0."


def margin(parts: Parts, call: Call) -> dict[str, Any]:
    """The broker's own figure. Orders without a price of their own are valued at the last price.

    Raises:
        InvalidRequest: An instrument that is unknown or cannot be traded, a broken lot, no price to be had.
    """
    positions: list[dict[str, Any]] = call.data["positions"]
    rows = [_instrument(parts, position) for position in positions]
    unpriced = [row.key for row, position in zip(rows, positions, strict=True) if not position["price"]]
    prices = _prices(parts, unpriced)
    legs = [
        MarginLeg(
            orders.request_of({**position, "disclosed_quantity": 0}),
            row,
            position["price"] or prices.get(row.key),
        )
        for position, row in zip(positions, rows, strict=True)
    ]
    found = parts.desk.margin(legs)
    body: dict[str, Any] = {"status": "success", "data": _data(found)}
    if found.span is None or found.exposure is None:
        body["message"] = NO_PARTS
    return body


def _data(found: Margin) -> dict[str, float]:
    data = {
        "total_margin_required": _rupees(found.total),
        # OpenAlgo's clients read a number here whatever the broker
        "span_margin": _rupees(found.span or Decimal(0)),
        "exposure_margin": _rupees(found.exposure or Decimal(0)),
    }
    if found.benefit is not None:
        data["margin_benefit"] = _rupees(found.benefit)
    return data


def _rupees(amount: Decimal) -> float:
    return float(round(amount, 2))


def _instrument(parts: Parts, position: Mapping[str, Any]) -> Instrument:
    row = parts.market.instrument(InstrumentKey(position["exchange"], position["symbol"]))
    if row.tick_size <= 0 or row.lot_size <= 0:
        raise InvalidRequest(f"{row.key} cannot be traded", code="NOT_TRADABLE")
    quantity = int(position["quantity"])
    if quantity % row.lot_size:
        raise InvalidRequest(
            f"quantity {quantity} is not a multiple of the lot of {row.key.symbol}, {row.lot_size}",
            code="INVALID_QUANTITY",
        )
    return row


def _prices(parts: Parts, keys: list[InstrumentKey]) -> dict[InstrumentKey, Decimal]:
    """Last prices: known ones, then one quote call for the rest. Raises the broker's errors."""
    known = {key: parts.market.last_price(key) for key in keys}
    missing = [key for key, price in known.items() if not price]
    quotes = parts.market.quotes(missing)[0] if missing else {}
    found = {key: price for key, price in known.items() if price}
    found |= {key: quote.ltp for key, quote in quotes.items() if quote.ltp > 0}
    return {key: Decimal(str(price)) for key, price in found.items()}
