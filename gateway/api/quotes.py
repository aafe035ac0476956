"""Market data: quotes, multiquotes, depth, history, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from brokers.errors import InvalidRequest, NotSupported
from brokers.model import InstrumentKey
from gateway.api import present
from gateway.api.fields import INTERVALS
from gateway.api.parts import Call, Parts
from gateway.marketdata.history import History, NoBars, offered

CURRENCY = frozenset({"CDS", "BCD"})
INTERVAL_GROUPS = {"s": "seconds", "m": "minutes", "h": "hours", "D": "days", "W": "weeks", "M": "months"}


def quotes(parts: Parts, call: Call) -> dict[str, Any]:
    key = InstrumentKey(call.data["exchange"], call.data["symbol"])
    quote = parts.market.quote(key)
    return {"status": "success", "data": present.quote_row(quote, _places(parts, key))}


def multi_quotes(parts: Parts, call: Call) -> dict[str, Any]:
    """Unknown symbols come first, each with its error; only when all are unknown is it a 400."""
    keys = [InstrumentKey(item["exchange"], item["symbol"]) for item in call.data["symbols"]]
    found, errors = parts.market.quotes(keys)
    if not found and errors:
        raise InvalidRequest(
            f"No quote for any of the {len(keys)} symbols: {next(iter(errors.values()))}",
            fields={"invalid_symbols": _named(errors)},
            code="SYMBOL_NOT_FOUND",
        )
    results: list[dict[str, Any]] = _named(errors)
    for key in keys:
        if key in found:
            row = present.quote_row(found[key], _places(parts, key))
            results.append({"symbol": key.symbol, "exchange": key.exchange, "data": row})
    return {"status": "success", "results": results}


def _named(errors: dict[InstrumentKey, str]) -> list[dict[str, Any]]:
    return [{"symbol": k.symbol, "exchange": k.exchange, "error": text} for k, text in errors.items()]


def depth(parts: Parts, call: Call) -> dict[str, Any]:
    key = InstrumentKey(call.data["exchange"], call.data["symbol"])
    quote, levels = parts.market.depth(key)
    return {"status": "success", "data": present.depth_row(quote, levels, _places(parts, key))}


def history(parts: Parts, call: Call) -> dict[str, Any]:
    """Candles of the broker (`api`), of the store (`db`), or of the store with what it lacks (`auto`)."""
    key = InstrumentKey(call.data["exchange"], call.data["symbol"])
    interval, start, end = call.data["interval"], call.data["start_date"], call.data["end_date"]
    source = call.data["source"]
    if source == "db":
        return _stored(parts, key, interval, start, end)
    if source == "auto" and offered(interval):
        # unknown names are told here, before the store would ask the broker for them
        parts.market.instrument(key)
        bars = store_of(parts).filled(key, interval, start, end, parts.market.candles)
        return {"status": "success", "data": present.bar_rows(bars.rows(), _places(parts, key))}
    candles = parts.market.candles(key, interval, start, end)
    places = _places(parts, key)
    return {"status": "success", "data": [present.candle_row(candle, places) for candle in candles]}


def needs_no_broker(data: Mapping[str, Any]) -> bool:
    """Whether a request for history is about the store alone."""
    return data.get("source") == "db"


def _stored(parts: Parts, key: InstrumentKey, interval: str, start: date, end: date) -> dict[str, Any]:
    try:
        bars = store_of(parts).stored(key, interval, start, end)
    except NoBars:
        if parts.instruments.count() and parts.instruments.by_key(key) is None and not _known(parts, key):
            # raises with the nearest names: a misspelt symbol is not one without data
            parts.market.instrument(key)
        raise
    return {"status": "success", "data": present.bar_rows(bars.rows(), _places(parts, key))}


def _known(parts: Parts, key: InstrumentKey) -> bool:
    return bool(store_of(parts).store.catalog(key.exchange, key.symbol))


def store_of(parts: Parts) -> History:
    """Raises ``NotSupported`` in a process without one."""
    if parts.history is None:
        raise NotSupported("there is no market-data store here")
    return parts.history


def intervals(parts: Parts, _call: Call) -> dict[str, Any]:
    """What ``history`` serves here, in OpenAlgo's groups."""
    groups: dict[str, list[str]] = {name: [] for name in INTERVAL_GROUPS.values()}
    offered = parts.settings.spec.capabilities.intervals
    for interval in INTERVALS:
        if interval in offered and interval[-1] in INTERVAL_GROUPS:
            groups[INTERVAL_GROUPS[interval[-1]]].append(interval)
    return {"status": "success", "data": groups}


def _places(parts: Parts, key: InstrumentKey) -> int:
    found = parts.instruments.by_key(key)
    if found is None and key.exchange in CURRENCY:
        return 4  # an expired contract the table has forgotten
    return present.price_places(found)
