"""Positions, holdings, limits and margins in our words.

Rupees; each function raises ``WireError`` for what it cannot read.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from brokers.zenith.mapping import words

from brokers import rows
from brokers.contract import InstrumentLookup, Margin, MarginLeg
from brokers.errors import InvalidRequest, WireError
from brokers.model import Funds, Holding, PriceType
from brokers.rows import PositionTable, Row

POSITION = PositionTable(
    words=words.WORDS,
    place=words.PLACE,
    product="product",
    quantity="net",
    average="average",
    realized="realized",
    unrealized="unrealized",
    buy_quantity="bought",
    sell_quantity="sold",
)
position = POSITION.read


def holding(row: Row, lookup: InstrumentLookup) -> Holding:
    """One holding of the demat account."""
    key, ltp = words.WORDS.key(row, words.PLACE, lookup), words.WORDS.money(row, "last") or None
    return rows.holding(key, words.WORDS.count(row, "quantity"), words.WORDS.money(row, "average"), ltp)


def funds(data: Any) -> Funds:
    """The limits answer."""
    if not isinstance(data, dict) or "cash" not in data:
        raise WireError("funds without cash")
    money = partial(words.WORDS.money, data)
    return Funds(
        available_cash=money("cash"),
        collateral=money("collateral"),
        m2m_realized=money("realized"),
        m2m_unrealized=money("unrealized"),
        utilised_debits=money("used"),
        available_margin=money("cash") + money("collateral"),
    )


def margin_body(leg: MarginLeg) -> dict[str, object]:
    """JSON of a margin call about one order. Raises ``InvalidRequest`` without a price it needs."""
    order = leg.order
    price = leg.price if order.price_type in (PriceType.MARKET, PriceType.SL_M) else order.price
    if price is None:
        raise InvalidRequest(f"margin of {order.key} needs a price")
    return {
        "segment": leg.instrument.broker_exchange,
        "token": leg.instrument.token,
        "side": words.SIDE[order.action],
        "product": words.PRODUCT_WORD[order.product],
        "quantity": order.quantity,
        "price": str(price),
    }


def margin(data: Any) -> Margin:
    """An answer without a total is a ``WireError``, which must not pass as "no margin needed"."""
    if not isinstance(data, dict) or "total" not in data:
        raise WireError("margin answer without a total")
    return Margin(words.WORDS.money(data, "total"))
