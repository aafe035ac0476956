"""Market data: quotes, multiquotes, depth, history, intervals."""

from __future__ import annotations

from typing import Any

from brokers.errors import InvalidRequest, NotSupported
from brokers.model import InstrumentKey
from gateway.api import present
from gateway.api.fields import INTERVALS
from gateway.api.parts import Call, Parts

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
    if call.data["source"] == "db":
        raise NotSupported("history with source=db is not available yet; use source=api")
    key = InstrumentKey(call.data["exchange"], call.data["symbol"])
    candles = parts.market.candles(key, call.data["interval"], call.data["start_date"], call.data["end_date"])
    places = _places(parts, key)
    return {"status": "success", "data": [present.candle_row(candle, places) for candle in candles]}


def intervals(parts: Parts, _call: Call) -> dict[str, Any]:
    """What ``history`` serves here, in OpenAlgo's groups."""
    groups: dict[str, list[str]] = {name: [] for name in INTERVAL_GROUPS.values()}
    offered = parts.settings.spec.capabilities.intervals
    for interval in INTERVALS:
        if interval in offered and interval[-1] in INTERVAL_GROUPS:
            groups[INTERVAL_GROUPS[interval[-1]]].append(interval)
    return {"status": "success", "data": groups}


def _places(parts: Parts, key: InstrumentKey) -> int:
    return present.price_places(parts.instruments.by_key(key))
