"""Invented instruments and report rows shared by the tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from brokers.model import Instrument, InstrumentKey


def instrument(
    exchange: str, symbol: str, segment: str, token: str, trading_symbol: str, **more: Any
) -> Instrument:
    return Instrument(
        key=InstrumentKey(exchange, symbol),
        token=token,
        broker_exchange=segment,
        broker_symbol=trading_symbol,
        name=more.pop("name", symbol),
        instrument_type=more.pop("instrument_type", "EQ"),
        lot_size=more.pop("lot_size", 1),
        tick_size=more.pop("tick_size", Decimal("0.05")),
        **more,
    )


DEMO = instrument("NSE", "DEMOIND", "nse_cm", "90001", "DEMOIND-EQ")
DEMO_TWO = instrument("NSE", "DEMOTWO", "nse_cm", "90002", "DEMOTWO-BE")
OPTION = instrument(
    "NFO",
    "NIFTY24NOV2624000CE",
    "nse_fo",
    "50001",
    "NIFTY26NOV24000CE",
    instrument_type="CE",
    lot_size=65,
    strike=Decimal(24000),
    expiry=date(2026, 11, 24),
)
NIFTY = instrument(
    "NSE_INDEX",
    "NIFTY",
    "nse_cm",
    "26000",
    "NIFTY",
    instrument_type="INDEX",
    tick_size=Decimal(0),
    feed_token="Nifty 50",
)


class Table:
    """An instrument table in memory."""

    def __init__(self, rows: Iterable[Instrument] = (DEMO, DEMO_TWO, OPTION, NIFTY)) -> None:
        rows = list(rows)
        self._keys = {r.key: r for r in rows}
        self._tokens = {(r.broker_exchange, r.token): r for r in rows}
        self._symbols = {(r.broker_exchange, r.broker_symbol): r for r in rows}

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._keys.get(key)

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        return self._tokens.get((broker_exchange, token))

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        return self._symbols.get((broker_exchange, broker_symbol))


def order_row(**changes: Any) -> dict[str, Any]:
    """A book row as section 2.5 describes it."""
    return {
        "nOrdNo": "261120000000001",
        "ordSt": "open",
        "stat": "open",
        "trdSym": "DEMOIND-EQ",
        "sym": "DEMOIND",
        "tok": "90001",
        "exSeg": "nse_cm",
        "trnsTp": "B",
        "prcTp": "L",
        "prod": "MIS",
        "qty": 10,
        "fldQty": 4,
        "unFldSz": 6,
        "prc": "1025.50",
        "avgPrc": "1025.45",
        "trgPrc": "0.00",
        "rejRsn": "--",
        "exOrdId": "1100000000000001",
        "ordDtTm": "20-Nov-2026 10:15:30",
        "ordEntTm": "20-Nov-2026 10:15:29",
        "hsUpTm": "2026/11/20 10:15:31",
        "updRecvTm": 1795149930123456789,
        "GuiOrdId": "t1",
        **changes,
    }


def trade_row(**changes: Any) -> dict[str, Any]:
    """A trade row: ``tok`` empty, ``qty`` 0, ``prc`` empty, as the broker sends it."""
    return {
        "nOrdNo": "261120000000001",
        "exOrdId": "1100000000000001",
        "trdSym": "DEMOIND-EQ",
        "sym": "DEMOIND",
        "tok": "",
        "exSeg": "nse_cm",
        "trnsTp": "S",
        "prcTp": "L",
        "prod": "CNC",
        "qty": 0,
        "prc": "",
        "avgPrc": "1025.4500",
        "fldQty": 4,
        "flId": "77001",
        "flDt": "20-Nov-2026",
        "flTm": "10:15:31",
        "exTm": "20-Nov-2026 10:15:30",
        **changes,
    }


def position_row(**changes: Any) -> dict[str, Any]:
    return {
        "trdSym": "DEMOIND-EQ",
        "sym": "DEMOIND",
        "tok": "90001",
        "exSeg": "nse_cm",
        "prod": "MIS",
        "flBuyQty": "10",
        "flSellQty": "4",
        "cfBuyQty": "0",
        "cfSellQty": "0",
        "buyAmt": "10000.00",
        "sellAmt": "4100.00",
        "cfBuyAmt": "0.00",
        "cfSellAmt": "0.00",
        "multiplier": "1",
        "genNum": "1",
        "genDen": "1",
        "prcNum": "1",
        "prcDen": "1",
        "precision": "2",
        "ltp": "1010.00",
        **changes,
    }


def holding_row(**changes: Any) -> dict[str, Any]:
    return {
        "displaySymbol": "DEMOIND-EQ",
        "symbol": "DEMOIND",
        "averagePrice": 900.5,
        "quantity": 10,
        "sellableQuantity": 10,
        "exchangeSegment": "nse_cm",
        "exchangeIdentifier": "90001",
        "instrumentToken": 1234567,
        "holdingCost": 9005.0,
        "mktValue": 10255.0,
        "closingPrice": 1022.0,
        "instrumentType": "Equity",
        **changes,
    }


def quote_row(**changes: Any) -> dict[str, Any]:
    level = {"price": "112.3000", "quantity": "150", "orders": "2"}
    return {
        "exchange_token": "50001",
        "display_symbol": "NIFTY 24 NOV 24000 CE",
        "exchange": "nse_fo",
        "ltp": "112.3500",
        "lstup_time": "1795149930",
        "last_traded_quantity": "75",
        "last_volume": "75000",
        "total_buy": "410200",
        "total_sell": "398750",
        "avg_cost": "110.1200",
        "open_int": "1500000",
        "change": "12.3500",
        "per_change": "12.35",
        "low_price_range": "0.0500",
        "high_price_range": "450.0000",
        "year_high": "400.0000",
        "year_low": "0.0500",
        "ohlc": {"open": "105.0000", "high": "120.0000", "low": "98.0000", "close": "100.0000"},
        "depth": {"buy": [level] * 5, "sell": [{**level, "price": "112.4000", "quantity": "225"}] * 5},
        **changes,
    }
