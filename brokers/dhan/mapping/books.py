"""Positions, holdings and limits in our words.

Source: Dhan API v2, "Portfolio", "Funds".
"""

from __future__ import annotations

from decimal import Decimal

from brokers import rows
from brokers.contract import InstrumentLookup
from brokers.dhan.mapping import words
from brokers.errors import WireError
from brokers.model import Funds, Holding, InstrumentKey, Position
from brokers.rows import PositionTable, Row

# profit is Dhan's own, over the day; it sends no last price here
POSITION = PositionTable(
    words=words.WORDS,
    place=words.ROW_PLACE,
    product="productType",
    quantity="netQty",
    average="costPrice",
    realized="realizedProfit",
    unrealized="unrealizedProfit",
    buy_quantity="buyQty",
    sell_quantity="sellQty",
)
position = POSITION.read


def holding(row: Row, lookup: InstrumentLookup) -> Holding:
    """``exchange`` is "ALL": the id is tried as NSE's, then as BSE's, and must carry the same symbol."""
    security_id, symbol = words.field(row, "securityId"), words.field(row, "tradingSymbol")
    found = [lookup.by_token(segment, security_id) for segment in ("NSE_EQ", "BSE_EQ")]
    same = [i for i in found if i and i.broker_symbol == symbol] or [i for i in found if i]
    return rows.holding(
        same[0].key if same else InstrumentKey("NSE", symbol or security_id),
        words.count(row.get("totalQty")),
        words.money(row.get("avgCostPrice")),
        words.money(row.get("lastTradedPrice")) or None,
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
