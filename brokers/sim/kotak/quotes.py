"""Rows of the quote call: a bare array in which everything is a string.

Source: Kotak Neo documentation, quotes (fields, filters); OpenAlgo's measured limit of symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from brokers.sim.exchange.types import BookLevel, Snapshot
from brokers.sim.kotak.hsm import year_range
from brokers.sim.kotak.names import feed_token, segment, trading_symbol
from brokers.sim.kotak.shapes import Row


def paise4(paise: int) -> str:
    """Quotes show four decimals whatever the instrument."""
    return f"{Decimal(paise) / 100:.4f}"


def _levels(levels: Sequence[BookLevel]) -> list[Row]:
    filled = [*levels, *[BookLevel(0, 0, 0)] * 5][:5]
    return [
        {"price": paise4(v.price_paise), "quantity": str(v.quantity), "orders": str(v.orders)} for v in filled
    ]


QUOTE_FILTERS = {
    "ltp": ("ltp",),
    "ohlc": ("ohlc",),
    "depth": ("depth",),
    "oi": ("open_int",),
    "52W": ("year_high", "year_low"),
    "circuit_limits": ("low_price_range", "high_price_range"),
    "scrip_details": (
        "lstup_time", "last_traded_quantity", "last_volume", "total_buy", "total_sell", "avg_cost", "change",
        "per_change",
    ),
}  # fmt: skip


def quote_row(s: Snapshot, quote_filter: str) -> Row:
    """One row of the bare quote array; everything is a string."""
    change = s.ltp_paise - s.prev_close_paise
    high, low = year_range(s)
    row: Row = {
        "lstup_time": str(int(s.at.timestamp())),
        "ltp": paise4(s.ltp_paise),
        "last_traded_quantity": str(s.last_quantity),
        "last_volume": str(s.volume),
        "total_buy": str(s.total_buy),
        "total_sell": str(s.total_sell),
        "avg_cost": paise4(s.average_paise),
        "open_int": str(s.oi),
        "change": paise4(change),
        "per_change": f"{change / s.prev_close_paise * 100 if s.prev_close_paise else 0:.4f}",
        "low_price_range": paise4(s.lower_circuit_paise),
        "high_price_range": paise4(s.upper_circuit_paise),
        "year_high": paise4(high),
        "year_low": paise4(low),
        "ohlc": {
            "open": paise4(s.open_paise),
            "high": paise4(s.high_paise),
            "low": paise4(s.low_paise),
            "close": paise4(s.prev_close_paise),
        },
        "depth": {"buy": _levels(s.bids), "sell": _levels(s.asks)},
    }
    if quote_filter != "all":
        row = {name: row[name] for name in QUOTE_FILTERS[quote_filter]}
    identity = {
        "exchange_token": feed_token(s.listing),
        "display_symbol": trading_symbol(s.listing),
        "exchange": segment(s.listing),
    }
    return identity | row
