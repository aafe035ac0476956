"""Positions, holdings and limits in our words.

Source: kotak-wire.md section 2.6 and 8; the cost of a carried cash position is the holding's, as in the
official SDK 3.0.9 (``positions_pnl``), because the position row values it at yesterday's close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.contract import InstrumentLookup
from brokers.kotak.mapping import words
from brokers.model import Funds, Holding, Position

PAISA = Decimal("0.01")
FINE = Decimal("0.0001")


def is_carried_cash(row: Mapping[str, Any]) -> bool:
    """Whether a position row needs the holding's cost: cash, with a quantity from an earlier day."""
    segment = words.field(row, "exSeg")
    carried = words.money(row.get("cfBuyQty")) - words.money(row.get("cfSellQty"))
    return segment.endswith("_cm") and carried != 0


def holding_costs(rows: list[Mapping[str, Any]]) -> dict[tuple[str, str], Decimal]:
    """(segment, exchange token) -> average price, from raw holdings rows."""
    return {
        (
            words.field(row, "exchangeSegment"),
            words.field(row, "exchangeIdentifier"),
        ): words.money(row.get("averagePrice"))
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class _Legs:
    """Quantities and amounts of both sides, carried and of the day."""

    buy_quantity: Decimal
    sell_quantity: Decimal
    buy_amount: Decimal
    sell_amount: Decimal


def number_factor(row: Mapping[str, Any]) -> Decimal:
    """Rupees per point and unit: multiplier x genNum/genDen x prcNum/prcDen; blanks and zeros count as 1."""

    def one(name: str) -> Decimal:
        return words.money(row.get(name)) or Decimal(1)

    return one("multiplier") * one("genNum") / one("genDen") * one("prcNum") / one("prcDen")


def _legs(row: Mapping[str, Any], cost: Decimal | None) -> _Legs:
    number = {
        name: words.money(row.get(name))
        for name in ("cfBuyQty", "cfSellQty", "flBuyQty", "flSellQty", "buyAmt", "sellAmt")
    }
    carried_buy = words.money(row.get("cfBuyAmt"))
    carried_sell = words.money(row.get("cfSellAmt"))
    carried = number["cfBuyQty"] - number["cfSellQty"]
    if cost is not None and is_carried_cash(row):
        carried_buy = cost * carried if carried > 0 else Decimal(0)
        carried_sell = cost * -carried if carried < 0 else Decimal(0)
    return _Legs(
        number["cfBuyQty"] + number["flBuyQty"],
        number["cfSellQty"] + number["flSellQty"],
        number["buyAmt"] + carried_buy,
        number["sellAmt"] + carried_sell,
    )


def position(
    row: Mapping[str, Any],
    lookup: InstrumentLookup,
    costs: Mapping[tuple[str, str], Decimal] | None = None,
) -> Position:
    """One position row.

    Args:
        costs: ``holding_costs``; without the holding a carried cash quantity is valued as the row values it.

    Returns:
        ``pnl`` is None when the position is open and the row has no ``ltp`` (the older path).

    Raises:
        WireError: A number that cannot be read.
    """
    segment, token = words.field(row, "exSeg"), words.field(row, "tok")
    legs = _legs(row, (costs or {}).get((segment, token)))
    factor = number_factor(row)
    net = legs.buy_quantity - legs.sell_quantity
    ltp = words.money(row.get("ltp")) or None
    average_buy = legs.buy_amount / (legs.buy_quantity * factor) if legs.buy_quantity else Decimal(0)
    average_sell = legs.sell_amount / (legs.sell_quantity * factor) if legs.sell_quantity else Decimal(0)
    average = average_buy if net > 0 else average_sell if net < 0 else Decimal(0)
    closed = min(legs.buy_quantity, legs.sell_quantity)
    realized = (average_sell - average_buy) * closed * factor
    pnl: Decimal | None = None
    if net == 0:
        pnl = legs.sell_amount - legs.buy_amount
    elif ltp is not None:
        pnl = legs.sell_amount - legs.buy_amount + net * ltp * factor
    return Position(
        key=words.key_of(lookup, segment, token, words.field(row, "trdSym", "sym")),
        product=words.product_of(words.field(row, "prod")),
        quantity=int(net),
        average_price=average.quantize(FINE),
        ltp=ltp,
        pnl=None if pnl is None else pnl.quantize(PAISA),
        realized_pnl=realized.quantize(PAISA) + 0,  # no negative zero
        unrealized_pnl=None if pnl is None else (pnl - realized).quantize(PAISA),
        buy_quantity=int(legs.buy_quantity),
        sell_quantity=int(legs.sell_quantity),
    )


def holding(row: Mapping[str, Any], lookup: InstrumentLookup) -> Holding:
    """One holdings row. The exchange token is ``exchangeIdentifier``; ``instrumentToken`` is internal.

    Raises:
        WireError: A number that cannot be read.
    """
    segment = words.field(row, "exchangeSegment")
    quantity = words.count(row.get("quantity"))
    cost, value = words.money(row.get("holdingCost")), words.money(row.get("mktValue"))
    pnl = value - cost
    return Holding(
        key=words.key_of(
            lookup,
            segment,
            words.field(row, "exchangeIdentifier"),
            words.field(row, "displaySymbol", "symbol"),
        ),
        quantity=quantity,
        average_price=words.money(row.get("averagePrice")),
        # the price the broker valued it at; the row names no last price
        ltp=(value / quantity).quantize(FINE) if quantity else None,
        pnl=pnl.quantize(PAISA),
        pnl_percent=(pnl / cost * 100).quantize(PAISA) if cost else None,
    )


def funds(root: Mapping[str, Any]) -> Funds:
    """The limits answer. ``Net`` and its like come as float artefacts, hence the rounding.

    Raises:
        WireError: A number that cannot be read.
    """

    def rupees(name: str) -> Decimal:
        return words.money(root.get(name))

    available = (
        rupees("CollateralValue") + rupees("RmsPayInAmt") - rupees("RmsPayOutAmt") + rupees("Collateral")
    )
    return Funds(
        available_cash=available.quantize(PAISA),
        collateral=rupees("Collateral").quantize(PAISA),
        m2m_realized=rupees("RealizedMtomPrsnt").quantize(PAISA),
        m2m_unrealized=rupees("UnrealizedMtomPrsnt").quantize(PAISA),
        utilised_debits=rupees("MarginUsed").quantize(PAISA),
        available_margin=rupees("Net").quantize(PAISA) if "Net" in root else None,
    )
