"""Dhan's quotes and candles <-> ours, and the plan of history calls. Pure.

Source: Dhan API v2, "Market Quote", "Historical Data".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from brokers.candles import DAY_S, IST_OFFSET_S, within
from brokers.contract import InstrumentLookup
from brokers.dhan.mapping import words
from brokers.errors import WireError
from brokers.model import (
    DERIVATIVE_EXCHANGES,
    INDEX_EXCHANGES,
    Candle,
    Depth,
    Instrument,
    InstrumentKey,
    Level,
    Quote,
)

_INDEX_ROOTS = frozenset(
    {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
)


def quote_body(instruments: Iterable[Instrument]) -> dict[str, list[int]]:
    """Body of ``marketfeed/*``: integer ids by segment (text ids are refused with 814)."""
    body: dict[str, list[int]] = {}
    for instrument in instruments:
        body.setdefault(instrument.broker_exchange, []).append(int(instrument.token))
    return body


def quotes(data: Mapping[str, Any], instruments: Iterable[Instrument]) -> dict[InstrumentKey, Quote]:
    """``data`` of a ``marketfeed/quote`` answer. An id Dhan does not know is simply missing."""
    found: dict[InstrumentKey, Quote] = {}
    for instrument in instruments:
        segment = data.get(instrument.broker_exchange)
        row = segment.get(instrument.token) if isinstance(segment, Mapping) else None
        if isinstance(row, Mapping) and row.get("last_price") is not None:
            found[instrument.key] = quote(row, instrument.key)
    return found


def quote(row: Mapping[str, Any], key: InstrumentKey) -> Quote:
    """One snapshot. ``ohlc.close`` is the previous close (during the session)."""
    ohlc = row.get("ohlc") or {}
    depth = row.get("depth") or {}
    bids, asks = _levels(depth.get("buy")), _levels(depth.get("sell"))
    traded = words.time_of(row.get("last_trade_time"))
    return Quote(
        key=key,
        ltp=_price(row, "last_price"),
        open=_price(ohlc, "open"),
        high=_price(ohlc, "high"),
        low=_price(ohlc, "low"),
        prev_close=_price(ohlc, "close"),
        volume=_whole(row, "volume"),
        oi=_whole(row, "oi"),
        bid=bids[0].price if bids else 0.0,
        ask=asks[0].price if asks else 0.0,
        bid_quantity=bids[0].quantity if bids else 0,
        ask_quantity=asks[0].quantity if asks else 0,
        last_quantity=_whole(row, "last_quantity"),
        average_price=_price(row, "average_price"),
        total_buy_quantity=_whole(row, "buy_quantity"),
        total_sell_quantity=_whole(row, "sell_quantity"),
        lower_circuit=_price(row, "lower_circuit_limit"),
        upper_circuit=_price(row, "upper_circuit_limit"),
        last_trade_ms=int(traded.timestamp() * 1000) if traded else None,
        depth=Depth(bids, asks) if depth else None,
    )


def _levels(rows: object) -> tuple[Level, ...]:
    if not isinstance(rows, Sequence):
        return ()
    return tuple(
        Level(_price(row, "price"), _whole(row, "quantity"), _whole(row, "orders"))
        for row in rows
        if row.get("price") or row.get("quantity")
    )


def _price(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        return float(value) if value is not None else 0.0
    except (TypeError, ValueError) as exc:
        raise WireError(f"{name} is not a number") from exc


def _whole(row: Mapping[str, Any], name: str) -> int:
    return int(_price(row, name))


def instrument_word(instrument: Instrument, lookup: InstrumentLookup) -> str:
    """Dhan's ``instrument`` of a history call (``FUTIDX``, ``OPTSTK`` …), which our row does not keep.

    A derivative is an index's when its root is a known index or no share of that name exists.
    """
    exchange, kind = instrument.key.exchange, instrument.instrument_type
    if exchange in INDEX_EXCHANGES:
        return "INDEX"
    if exchange not in DERIVATIVE_EXCHANGES:
        return "EQUITY"
    head = "FUT" if kind == "FUT" else "OPT"
    if exchange in ("CDS", "BCD"):
        return head + "CUR"
    root = instrument.name
    if exchange == "MCX":
        if head == "OPT":
            return "OPTFUT"
        return "FUTIDX" if root.startswith("MCX") else "FUTCOM"
    home = "BSE" if exchange == "BFO" else "NSE"
    is_index = root in _INDEX_ROOTS or lookup.by_key(InstrumentKey(home, root)) is None
    return head + ("IDX" if is_index else "STK")


def history_body(
    instrument: Instrument, word: str, interval: str, start: date, end: date
) -> tuple[str, dict[str, Any]]:
    """Path and body of one history call, both dates inclusive.

    Daily calls take an exclusive ``toDate``; minute calls take IST times, so the last second is named.
    """
    body: dict[str, Any] = {
        "securityId": instrument.token,
        "exchangeSegment": instrument.broker_exchange,
        "instrument": word,
        "oi": instrument.instrument_type in ("FUT", "CE", "PE"),
    }
    if interval == "D":
        until = end + timedelta(days=1)
        return "/charts/historical", body | {
            "expiryCode": 0,
            "fromDate": start.isoformat(),
            "toDate": until.isoformat(),
        }
    return "/charts/intraday", body | {
        "interval": interval,
        "fromDate": f"{start.isoformat()} 00:00:00",
        "toDate": f"{end.isoformat()} 23:59:59",
    }


def candles(data: Mapping[str, Any], daily: bool, start: date, end: date) -> list[Candle]:
    """Parallel arrays -> ascending candles within [start, end] (IST dates), one for each time.

    Dhan's times are true UTC epochs; a daily bar is stamped IST midnight and becomes 00:00 UTC of its
    trading date. Numbers arrive as floats, also in exponent form.

    Raises:
        WireError: Arrays of different lengths or without numbers.
    """
    names = ("timestamp", "open", "high", "low", "close", "volume")
    columns = [data.get(name) or [] for name in names]
    size = len(columns[0])
    oi = data.get("open_interest") or [0] * size
    if any(len(column) != size for column in columns) or len(oi) != size:
        raise WireError("candle arrays of different lengths")
    found: list[Candle] = []
    try:
        for at, opened, high, low, close, volume, interest in zip(*columns, oi, strict=True):
            when = int(float(at))
            stamp = (when + IST_OFFSET_S) // DAY_S * DAY_S if daily else when
            prices = float(opened), float(high), float(low), float(close)
            if not math.isfinite(sum(prices)):
                raise WireError("candle price is not a number")
            found.append(Candle(stamp, *prices, int(float(volume or 0)), int(float(interest or 0))))
    except (TypeError, ValueError) as exc:
        raise WireError("candle value is not a number") from exc
    return within(found, start, end, daily=daily)
