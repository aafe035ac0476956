"""Positions, holdings and limits in our words.

Source: Dhan API v2, "Portfolio", "Funds".
"""

from __future__ import annotations

from decimal import Decimal

from brokers.contract import InstrumentLookup
from brokers.dhan.mapping import words
from brokers.dhan.mapping.words import Row
from brokers.errors import WireError
from brokers.model import Funds, Holding, InstrumentKey, Position


def position(row: Row, lookup: InstrumentLookup) -> Position:
    """Dhan sends no last price here; profit is its own, over the day."""
    realized, unrealized = words.money(row.get("realizedProfit")), words.money(row.get("unrealizedProfit"))
    return Position(
        key=words.row_key(row, lookup),
        product=words.product_of(row.get("productType")),
        quantity=words.count(row.get("netQty")),
        average_price=words.money(row.get("costPrice")),
        ltp=None,
        pnl=realized + unrealized,
        realized_pnl=realized,
        unrealized_pnl=unrealized,
        buy_quantity=words.count(row.get("buyQty")),
        sell_quantity=words.count(row.get("sellQty")),
    )


def holding(row: Row, lookup: InstrumentLookup) -> Holding:
    """``exchange`` is "ALL": the id is tried as NSE's, then as BSE's, and must carry the same symbol."""
    security_id, symbol = words.field(row, "securityId"), words.field(row, "tradingSymbol")
    found = [lookup.by_token(segment, security_id) for segment in ("NSE_EQ", "BSE_EQ")]
    same = [i for i in found if i and i.broker_symbol == symbol] or [i for i in found if i]
    quantity = words.count(row.get("totalQty"))
    average = words.money(row.get("avgCostPrice"))
    ltp = words.money(row.get("lastTradedPrice")) or None
    pnl = percent = None
    if ltp is not None:
        pnl = (ltp - average) * quantity
        percent = (ltp - average) / average * 100 if average else None
    return Holding(
        key=same[0].key if same else InstrumentKey("NSE", symbol or security_id),
        quantity=quantity,
        average_price=average,
        ltp=ltp,
        pnl=pnl,
        pnl_percent=percent,
    )


def funds(row: Row, positions: list[Position]) -> Funds:
    """``availabelBalance`` (sic) includes the collateral; day profit comes from the positions."""
    collateral = words.money(row.get("collateralAmount"))
    balance = row.get("availabelBalance", row.get("availableBalance"))
    if balance is None:
        raise WireError("fund limit without availabelBalance")
    return Funds(
        available_cash=words.money(balance) - collateral,
        collateral=collateral,
        m2m_realized=sum((p.realized_pnl or Decimal(0) for p in positions), Decimal(0)),
        m2m_unrealized=sum((p.unrealized_pnl or Decimal(0) for p in positions), Decimal(0)),
        utilised_debits=words.money(row.get("utilizedAmount")),
        available_margin=words.money(balance),
    )
