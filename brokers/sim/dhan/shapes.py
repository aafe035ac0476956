"""Rows and bodies of Dhan's REST answers, from the exchange's values. Pure.

Odd spellings (``availabelBalance``, ``receiveableAmount``) are the broker's. "None" is spelled ``NA``, ``0``,
``0001-01-01`` or ``null``, by field. Times are IST without a zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal

from brokers.clock import IST
from brokers.sim.dhan import ids
from brokers.sim.dhan.ids import Directory
from brokers.sim.exchange.types import (
    BookLevel,
    Listing,
    SimCandle,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Snapshot,
    Status,
    Type,
)

NEVER = "0001-01-01 00:00:00"
STATUS = {
    Status.TRANSIT: "TRANSIT",
    Status.OPEN: "PENDING",
    Status.TRIGGER_PENDING: "PENDING",
    Status.PARTIAL: "PART_TRADED",
    Status.FILLED: "TRADED",
    Status.CANCELLED: "CANCELLED",
    Status.REJECTED: "REJECTED",
    Status.EXPIRED: "EXPIRED",
}
ORDER_TYPE = {
    Type.LIMIT: "LIMIT",
    Type.MARKET: "MARKET",
    Type.STOP_LIMIT: "STOP_LOSS",
    Type.STOP_MARKET: "STOP_LOSS_MARKET",
}
PRODUCT = {"CNC": "CNC", "MIS": "INTRADAY", "NRML": "MARGIN"}

Row = dict[str, object]


def ist_text(at: datetime | None) -> str:
    """``2026-09-18 11:42:07``, or Dhan's year one."""
    return NEVER if at is None else f"{at.astimezone(IST):%Y-%m-%d %H:%M:%S}"


def rupees(paise: int) -> float:
    return paise / 100


def order_product(order: SimOrder) -> str:
    """The product as asked (MTF is delivery to the exchange)."""
    return order.new.extra.get("productType") or PRODUCT[order.new.product]


def order_row(order: SimOrder, directory: Directory) -> Row:
    """One order of the book; quantities in Dhan's units (lots on MCX and currency)."""
    new = order.new
    unit = ids.units_per_lot(new.listing)
    final_reason = order.reason if order.status is Status.REJECTED else ""
    confirmed = "" if order.accepted_at is None else "CONFIRMED"
    return {
        "dhanClientId": new.account,
        "orderId": order.order_id,
        "exchangeOrderId": order.exchange_order_id or "0",
        "correlationId": new.tag or "NA",
        "orderStatus": STATUS[order.status],
        "transactionType": new.side.value,
        "exchangeSegment": ids.segment(new.listing),
        "productType": order_product(order),
        "orderType": ORDER_TYPE[new.type],
        "validity": new.validity,
        "tradingSymbol": ids.trading_symbol(new.listing),
        "securityId": str(directory.id(new.listing)),
        "quantity": new.quantity // unit,
        "disclosedQuantity": new.disclosed // unit,
        "price": float(new.price),
        "triggerPrice": float(new.trigger),
        "afterMarketOrder": new.extra.get("afterMarketOrder") == "1",
        "boProfitValue": 0.0,
        "boStopLossValue": 0.0,
        "legName": "NA",
        "createTime": ist_text(order.created_at),
        "updateTime": ist_text(order.updated_at),
        "exchangeTime": ist_text(order.accepted_at),
        **contract(new.listing),
        "omsErrorCode": "1" if final_reason else "0",
        "omsErrorDescription": final_reason or confirmed,
        "algoId": "0",
        "remainingQuantity": order.remaining // unit,
        "averageTradedPrice": round(float(order.average), 4),
        "filledQty": order.filled // unit,
    }


def contract(listing: Listing) -> Row:
    """The three contract fields of orders, trades and positions."""
    if listing.expiry is None:
        return {"drvExpiryDate": "0001-01-01", "drvOptionType": None, "drvStrikePrice": 0.0}
    option = ids.is_option(listing)
    return {
        "drvExpiryDate": listing.expiry.isoformat(),
        "drvOptionType": ids.drv_option_type(listing) if option else "NA",
        "drvStrikePrice": rupees(listing.strike_paise) if option else 0.0,
    }


def trade_row(trade: SimTrade, order: SimOrder, directory: Directory) -> Row:
    """One fill of the day."""
    at = ist_text(trade.at)
    return {
        "dhanClientId": trade.account,
        "orderId": trade.order_id,
        "exchangeOrderId": order.exchange_order_id or "0",
        "exchangeTradeId": trade.trade_id,
        "transactionType": trade.side.value,
        "exchangeSegment": ids.segment(trade.listing),
        "productType": order_product(order),
        "orderType": ORDER_TYPE[order.new.type],
        "tradingSymbol": ids.trading_symbol(trade.listing),
        "customSymbol": None,
        "securityId": str(directory.id(trade.listing)),
        "tradedQuantity": trade.quantity // ids.units_per_lot(trade.listing),
        "tradedPrice": float(trade.price),
        "createTime": ist_text(order.created_at),
        "updateTime": at,
        "exchangeTime": at,
        **contract(trade.listing),
    }


def position_row(position: SimPosition, account: str, directory: Directory, ltp_paise: int) -> Row:
    """One position with its profit; there is no last price in Dhan's row."""
    listing = position.listing
    unit = ids.units_per_lot(listing)
    (bought, buy_value), (sold, sell_value) = position.bought, position.sold
    buy_avg, sell_avg = _average(buy_value, bought), _average(sell_value, sold)
    net = position.net
    cost = buy_avg if net > 0 else sell_avg if net < 0 else buy_avg or sell_avg
    return {
        "dhanClientId": account,
        "tradingSymbol": ids.trading_symbol(listing),
        "securityId": str(directory.id(listing)),
        "positionType": "LONG" if net > 0 else "SHORT" if net < 0 else "CLOSED",
        "exchangeSegment": ids.segment(listing),
        "productType": PRODUCT[position.product],
        "buyAvg": _float(buy_avg),
        "buyQty": bought // unit,
        "costPrice": _float(cost),
        "sellAvg": _float(sell_avg),
        "sellQty": sold // unit,
        "netQty": net // unit,
        "realizedProfit": _float(position.realized),
        "unrealizedProfit": _float(position.unrealized(Decimal(ltp_paise) / 100)) if net else 0.0,
        "rbiReferenceRate": 1.0,
        "multiplier": unit,
        "carryForwardBuyQty": position.carry_buy_qty // unit,
        "carryForwardSellQty": position.carry_sell_qty // unit,
        "carryForwardBuyValue": _float(position.carry_buy_value),
        "carryForwardSellValue": _float(position.carry_sell_value),
        "dayBuyQty": position.buy_qty // unit,
        "daySellQty": position.sell_qty // unit,
        "dayBuyValue": _float(position.buy_value),
        "daySellValue": _float(position.sell_value),
        **contract(listing),
        "crossCurrency": False,
    }


def holding_row(holding: SimHolding, directory: Directory, ltp_paise: int) -> Row:
    return {
        "exchange": "ALL",
        "tradingSymbol": ids.trading_symbol(holding.listing),
        "securityId": str(directory.id(holding.listing)),
        "isin": holding.listing.isin,
        "totalQty": holding.quantity,
        "dpQty": holding.quantity,
        "t1Qty": 0,
        "availableQty": holding.quantity,
        "collateralQty": 0,
        "avgCostPrice": _float(holding.average),
        "lastTradedPrice": rupees(ltp_paise),
    }


def fund_row(account: str, funds: SimFunds) -> Row:
    """The balance includes collateral; whoever wants cash takes it off."""
    available = funds.available + funds.collateral
    return {
        "dhanClientId": account,
        "availabelBalance": _float(available),
        "sodLimit": _float(funds.opening),
        "collateralAmount": _float(funds.collateral),
        "receiveableAmount": 0.0,
        "utilizedAmount": _float(funds.utilised),
        "blockedPayoutAmount": 0.0,
        "withdrawableBalance": _float(funds.available),
    }


def margin_row(required: Decimal, available: Decimal, value: Decimal) -> Row:
    """One order's margin; rupees as floats, the leverage as text."""
    leverage = value / required if required else Decimal(1)
    return {
        "totalMargin": _float(required),
        "spanMargin": 0.0,
        "exposureMargin": 0.0,
        "availableBalance": _float(available),
        "variableMargin": _float(required),
        "insufficientBalance": _float(max(required - available, Decimal(0))),
        "brokerage": 20.0,
        "leverage": f"{leverage:.2f}",
    }


def ltp_body(snapshot: Snapshot) -> Row:
    return {"last_price": rupees(snapshot.ltp_paise)}


def ohlc_body(snapshot: Snapshot) -> Row:
    """``close`` is yesterday's."""
    return {
        **ltp_body(snapshot),
        "ohlc": {
            "open": rupees(snapshot.open_paise),
            "close": rupees(snapshot.prev_close_paise),
            "high": rupees(snapshot.high_paise),
            "low": rupees(snapshot.low_paise),
        },
    }


def quote_body(snapshot: Snapshot) -> Row:
    at = snapshot.last_trade_at.astimezone(IST)
    traded = snapshot.volume > 0 or not snapshot.listing.tradable
    return {
        **ohlc_body(snapshot),
        "average_price": rupees(snapshot.average_paise),
        "buy_quantity": snapshot.total_buy,
        "sell_quantity": snapshot.total_sell,
        "depth": {"buy": _side(snapshot.bids), "sell": _side(snapshot.asks)},
        "last_quantity": snapshot.last_quantity,
        "last_trade_time": f"{at:%d/%m/%Y %H:%M:%S}" if traded else "01/01/1980 00:00:00",
        "lower_circuit_limit": rupees(snapshot.lower_circuit_paise),
        "upper_circuit_limit": rupees(snapshot.upper_circuit_paise),
        "net_change": round(rupees(snapshot.ltp_paise - snapshot.prev_close_paise), 2),
        "volume": snapshot.volume,
        "oi": snapshot.oi,
        "oi_day_high": snapshot.oi_day_high,
        "oi_day_low": snapshot.oi_day_low,
    }


def candles_body(candles: Iterable[SimCandle], *, daily: bool, oi: bool) -> Row:
    """Parallel arrays of floats; true UTC epochs, a day's candle stamped IST midnight."""
    rows = list(candles)
    return {
        "open": [rupees(c.open_paise) for c in rows],
        "high": [rupees(c.high_paise) for c in rows],
        "low": [rupees(c.low_paise) for c in rows],
        "close": [rupees(c.close_paise) for c in rows],
        "volume": [float(c.volume) for c in rows],
        "timestamp": [_stamp(c.opens_at, daily) for c in rows],
        "open_interest": [float(c.oi) if oi else 0.0 for c in rows],
    }


def option_side(snapshot: Snapshot, security_id: int) -> Row:
    """One side of a strike. The greeks are rough numbers, not a pricing."""
    best_bid = snapshot.bids[0] if snapshot.bids else BookLevel(0, 0, 0)
    best_ask = snapshot.asks[0] if snapshot.asks else BookLevel(0, 0, 0)
    sign = 1 if snapshot.listing.kind.value == "CE" else -1
    return {
        "average_price": rupees(snapshot.average_paise),
        "greeks": {"delta": 0.5 * sign, "theta": -10.0, "gamma": 0.001, "vega": 10.0},
        "implied_volatility": 15.0,
        "last_price": rupees(snapshot.ltp_paise),
        "oi": snapshot.oi,
        "previous_close_price": rupees(snapshot.prev_close_paise),
        "previous_oi": snapshot.prev_oi,
        "previous_volume": 0,
        "security_id": security_id,
        "top_ask_price": rupees(best_ask.price_paise),
        "top_ask_quantity": best_ask.quantity,
        "top_bid_price": rupees(best_bid.price_paise),
        "top_bid_quantity": best_bid.quantity,
        "volume": snapshot.volume,
    }


def _stamp(opens_at: datetime, daily: bool) -> float:
    if not daily:
        return opens_at.timestamp()
    return midnight(opens_at.astimezone(IST).date()).timestamp()


def midnight(on: date) -> datetime:
    """The beginning of an IST day."""
    return datetime.combine(on, time(0), IST)


def _side(levels: tuple[BookLevel, ...]) -> list[Row]:
    rows: list[Row] = [
        {"quantity": level.quantity, "orders": level.orders, "price": rupees(level.price_paise)}
        for level in levels[:5]
    ]
    return rows + [{"quantity": 0, "orders": 0, "price": 0.0}] * (5 - len(rows))


def _average(value: Decimal, quantity: int) -> Decimal:
    return value / quantity if quantity else Decimal(0)


def _float(value: Decimal) -> float:
    return round(float(value), 2)
