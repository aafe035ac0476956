"""Our values as OpenAlgo's JSON rows. Pure.

Numbers for positions and orders, strings for funds, times in IST as ``YYYY-MM-DD HH:MM:SS``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from brokers.clock import IST
from brokers.model import (
    Action,
    Candle,
    Depth,
    Funds,
    Holding,
    Instrument,
    Level,
    Order,
    OrderStatus,
    Position,
    PriceType,
    Quote,
    Trade,
)
from brokers.reasons import code_of
from historify.model import Row

DEPTH_LEVELS = 5
INSTRUMENT_COLUMNS = (
    "symbol",
    "brsymbol",
    "name",
    "exchange",
    "brexchange",
    "token",
    "expiry",
    "strike",
    "lotsize",
    "instrumenttype",
    "tick_size",
)


def ist(at: datetime | None) -> str:
    return at.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def expiry_text(expiry: date | None) -> str:
    """``28-MAR-24``; empty for cash."""
    return expiry.strftime("%d-%b-%y").upper() if expiry else ""


def order_row(order: Order, strategy: str) -> dict[str, Any]:
    market = order.price_type is PriceType.MARKET
    pending = 0 if order.status.is_final else max(0, order.quantity - order.filled_quantity)
    row = {
        "symbol": order.key.symbol,
        "exchange": order.key.exchange,
        "action": order.action.value,
        "quantity": order.quantity,
        "price": 0.0 if market else float(order.price),
        "trigger_price": float(order.trigger_price),
        "pricetype": order.price_type.value,
        "product": str(order.product),
        "orderid": order.order_id,
        "order_status": order.status.value,
        "timestamp": ist(order.placed_at or order.updated_at),
        "average_price": float(order.average_price),
        "filled_quantity": order.filled_quantity,
        "pending_quantity": pending,
        "rejection_reason": order.rejection_reason,
        "strategy": strategy,
    }
    if code := rejection_code(order):
        # OpenAlgo has the prose alone
        row["rejection_code"] = code
    return row


def rejection_code(order: Order) -> str:
    """The code an error answer would carry; empty for an order that was not rejected."""
    if order.status is not OrderStatus.REJECTED:
        return ""
    return code_of(order.rejection_reason) or "ORDER_REJECTED"


def order_statistics(orders: Iterable[Order]) -> dict[str, int]:
    rows = list(orders)

    def count(status: OrderStatus) -> int:
        return sum(order.status is status for order in rows)

    return {
        "total_buy_orders": sum(order.action is Action.BUY for order in rows),
        "total_sell_orders": sum(order.action is Action.SELL for order in rows),
        "total_completed_orders": count(OrderStatus.COMPLETE),
        "total_open_orders": count(OrderStatus.OPEN),
        "total_rejected_orders": count(OrderStatus.REJECTED),
        "total_trigger_pending_orders": count(OrderStatus.TRIGGER_PENDING),
        "total_cancelled_orders": count(OrderStatus.CANCELLED),
        "total_unknown_orders": count(OrderStatus.UNKNOWN),
    }


def trade_row(trade: Trade, strategy: str) -> dict[str, Any]:
    return {
        "symbol": trade.key.symbol,
        "exchange": trade.key.exchange,
        "product": str(trade.product),
        "action": trade.action.value,
        "quantity": trade.quantity,
        "average_price": float(trade.price),
        "trade_value": float(round(trade.price * trade.quantity, 2)),
        "orderid": trade.order_id,
        "tradeid": trade.trade_id,
        "timestamp": ist(trade.traded_at),
        "strategy": strategy,
    }


def position_row(position: Position, last_price: float | None) -> dict[str, Any]:
    """``ltp`` and ``pnl`` are left out when neither broker nor feed knows a price; a zero would be a lie."""
    row: dict[str, Any] = {
        "symbol": position.key.symbol,
        "exchange": position.key.exchange,
        "product": str(position.product),
        "quantity": position.quantity,
        "average_price": float(position.average_price),
    }
    ltp = position.ltp
    if ltp is None and last_price is not None:
        ltp = Decimal(str(last_price))
    if ltp is not None:
        row["ltp"] = float(ltp)
    pnl = position.pnl
    if pnl is None and (ltp is not None or position.quantity == 0):
        open_pnl = ((ltp or Decimal(0)) - position.average_price) * position.quantity
        pnl = open_pnl + (position.realized_pnl or Decimal(0))
    if pnl is not None:
        row["pnl"] = float(round(pnl, 2))
    return row


def holding_row(holding: Holding) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": holding.key.symbol,
        "exchange": holding.key.exchange,
        "product": "CNC",
        "quantity": holding.quantity,
        "average_price": float(holding.average_price),
    }
    for name, value in (
        ("ltp", holding.ltp),
        ("pnl", holding.pnl),
        ("pnlpercent", holding.pnl_percent),
    ):
        if value is not None:
            row[name] = float(round(value, 2))
    return row


def holding_statistics(holdings: Iterable[Holding]) -> dict[str, float]:
    """Holdings without a price count at cost."""
    invested = value = Decimal(0)
    for holding in holdings:
        cost = holding.average_price * holding.quantity
        invested += cost
        value += holding.ltp * holding.quantity if holding.ltp is not None else cost
    gain = value - invested
    percent = gain / invested * 100 if invested else Decimal(0)
    return {
        "totalholdingvalue": float(round(value, 2)),
        "totalinvvalue": float(round(invested, 2)),
        "totalprofitandloss": float(round(gain, 2)),
        "totalpnlpercentage": float(round(percent, 2)),
    }


def funds_row(funds: Funds) -> dict[str, str]:
    return {
        "availablecash": f"{funds.available_cash:.2f}",
        "collateral": f"{funds.collateral:.2f}",
        "m2mrealized": f"{funds.m2m_realized:.2f}",
        "m2munrealized": f"{funds.m2m_unrealized:.2f}",
        "utiliseddebits": f"{funds.utilised_debits:.2f}",
    }


def price_places(instrument: Instrument | None) -> int:
    """Decimals of an instrument's prices: 2, or as many as its tick needs (currency: 4)."""
    if instrument is None:
        return 2
    exponent = instrument.tick_size.normalize().as_tuple().exponent
    return max(2, -exponent if isinstance(exponent, int) else 2)


def quote_row(quote: Quote, places: int) -> dict[str, Any]:
    return {
        "ltp": round(quote.ltp, places),
        "open": round(quote.open, places),
        "high": round(quote.high, places),
        "low": round(quote.low, places),
        "prev_close": round(quote.prev_close, places),
        "bid": round(quote.bid, places),
        "ask": round(quote.ask, places),
        "bid_qty": quote.bid_quantity,
        "ask_qty": quote.ask_quantity,
        "volume": quote.volume,
        "oi": quote.oi,
    }


def depth_row(quote: Quote, depth: Depth, places: int) -> dict[str, Any]:
    def side(levels: tuple[Level, ...]) -> list[dict[str, Any]]:
        rows = [{"price": round(level.price, places), "quantity": level.quantity} for level in levels]
        rows += [{"price": 0, "quantity": 0}] * (DEPTH_LEVELS - len(rows))
        return rows[:DEPTH_LEVELS]

    return {
        "bids": side(depth.bids),
        "asks": side(depth.asks),
        "ltp": round(quote.ltp, places),
        "ltq": quote.last_quantity,
        "open": round(quote.open, places),
        "high": round(quote.high, places),
        "low": round(quote.low, places),
        "prev_close": round(quote.prev_close, places),
        "volume": quote.volume,
        "oi": quote.oi,
        "totalbuyqty": quote.total_buy_quantity or sum(level.quantity for level in depth.bids),
        "totalsellqty": quote.total_sell_quantity or sum(level.quantity for level in depth.asks),
    }


def candle_row(candle: Candle, places: int) -> dict[str, Any]:
    return {
        "timestamp": candle.opened_at_s,
        "open": round(candle.open, places),
        "high": round(candle.high, places),
        "low": round(candle.low, places),
        "close": round(candle.close, places),
        "volume": candle.volume,
        "oi": candle.oi,
    }


def bar_rows(rows: Iterable[Row], places: int) -> list[dict[str, Any]]:
    """As ``candle_row``, of bars of the market-data store."""
    return [
        {
            "timestamp": ts,
            "open": round(opened, places),
            "high": round(high, places),
            "low": round(low, places),
            "close": round(close, places),
            "volume": volume,
            "oi": oi,
        }
        for ts, opened, high, low, close, volume, oi in rows
    ]


def instrument_row(instrument: Instrument) -> dict[str, Any]:
    """The 11 columns of ``/instruments`` plus ``freeze_qty``."""
    return {
        "symbol": instrument.key.symbol,
        "brsymbol": instrument.broker_symbol,
        "name": instrument.name,
        "exchange": str(instrument.key.exchange),
        "brexchange": instrument.broker_exchange,
        "token": instrument.token,
        "expiry": expiry_text(instrument.expiry),
        "strike": float(instrument.strike),
        "lotsize": instrument.lot_size,
        "instrumenttype": instrument.instrument_type,
        "tick_size": float(instrument.tick_size),
        "freeze_qty": instrument.freeze_qty or 1,
    }


def symbol_row(instrument: Instrument) -> dict[str, Any]:
    """With ``id``: a number that stays the same for an (exchange, symbol) across syncs."""
    return {"id": zlib.crc32(str(instrument.key).encode()), **instrument_row(instrument)}
