"""Implied volatility and greeks of single options, one or fifty at a time, in at most two quote rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from brokers.errors import InvalidRequest
from brokers.model import Instrument, InstrumentKey, Quote
from gateway.api import options
from gateway.api.parts import Call, Parts
from gateway.options import chain as chains
from gateway.options import greeks, strikes

NO_TIME_VALUE = "No time value: the price is at or below what exercising would bring; volatility is 0."


@dataclass(frozen=True, slots=True)
class Ask:
    """One option to value.

    Attributes:
        forward: The caller's; None to find it.
        spot: What prices the underlying.
        chosen: The caller named ``spot``: its price is the forward, no synthetic one is made.
        rate: Percent per year.
    """

    option: Instrument
    expiry: date
    forward: float | None
    spot: InstrumentKey
    chosen: bool
    rate: float
    days: float


Failed = InvalidRequest
"""Why one of many has no greeks; a value here, because the others still have theirs."""
Group = tuple[str, str, date, InstrumentKey]


def one(parts: Parts, call: Call) -> dict[str, Any]:
    [found] = _values(parts, [_ask(parts, call.data, call.data)])
    if isinstance(found, Failed):
        raise found
    return found


def many(parts: Parts, call: Call) -> dict[str, Any]:
    """Always 200; ``status`` says whether all, some or none could be valued."""
    items: list[dict[str, Any]] = call.data["symbols"]
    asks: list[Ask | Failed] = []
    for item in items:
        try:
            asks.append(_ask(parts, item, call.data))
        except InvalidRequest as exc:
            asks.append(exc)
    rows = [_row(item, found) for item, found in zip(items, _values(parts, asks), strict=True)]
    failed = sum(row["status"] == "error" for row in rows)
    status = "success" if not failed else "error" if failed == len(rows) else "partial"
    body: dict[str, Any] = {
        "status": status,
        "data": rows,
        "summary": {"total": len(rows), "success": len(rows) - failed, "failed": failed},
    }
    if failed:
        body["message"] = f"{failed} of {len(rows)} symbols could not be valued"
    return body


def _row(item: Mapping[str, Any], found: dict[str, Any] | Failed) -> dict[str, Any]:
    if not isinstance(found, Failed):
        return found
    named = {"symbol": item["symbol"], "exchange": item["exchange"]}
    return {"status": "error", **named, "message": str(found), "code": found.code}


def _ask(parts: Parts, item: Mapping[str, Any], common: Mapping[str, Any]) -> Ask:
    """Raises ``InvalidRequest``: unknown, not an option, expired, or an underlying that is not there."""
    option = parts.market.instrument(InstrumentKey(item["exchange"], item["symbol"].strip().upper()))
    if option.instrument_type not in chains.KINDS or option.expiry is None or option.strike <= 0:
        raise InvalidRequest(f"{option.key} is not an option", code="NOT_AN_OPTION")
    ends = strikes.ends_at(option.expiry, option.key.exchange, common["expiry_time"])
    left = ends - parts.clock.now()
    if left.total_seconds() <= 0:
        raise InvalidRequest(f"{option.key} expired at {ends:%d-%b-%Y %H:%M} IST", code="SYMBOL_EXPIRED")
    forward = float(item.get("forward_price") or 0) or None
    named = item["underlying_symbol"]
    if named is not None:
        exchange = item["underlying_exchange"] or options.subject(parts, named, item["exchange"]).key.exchange
        spot = InstrumentKey(exchange, named.strip().upper())
        parts.market.instrument(spot)
    else:
        spot = options.subject(parts, option.name, item["underlying_exchange"] or item["exchange"]).key
    rate, days = float(common["interest_rate"] or 0), left.total_seconds() / 86_400
    return Ask(option, option.expiry, forward, spot, named is not None, rate, days)


def _values(parts: Parts, asks: Sequence[Ask | Failed]) -> list[dict[str, Any] | Failed]:
    """One result for each ask, in order. Raises broker errors."""
    good = [ask for ask in asks if isinstance(ask, Ask)]
    keys = [ask.option.key for ask in good] + [ask.spot for ask in good if ask.forward is None]
    quotes = dict(parts.market.quotes(keys)[0]) if keys else {}
    groups = {_group(ask) for ask in good if ask.forward is None and not ask.chosen}
    pairs = {group: pair for group in groups if (pair := _atm(parts, group, quotes)) is not None}
    legs = {leg.key for pair in pairs.values() for leg in (pair.call, pair.put) if leg is not None}
    if missing := [key for key in legs if key not in quotes]:
        quotes |= parts.market.quotes(missing)[0]
    return [_value(ask, quotes, pairs) if isinstance(ask, Ask) else ask for ask in asks]


def _group(ask: Ask) -> Group:
    return ask.option.name, str(ask.option.key.exchange), ask.expiry, ask.spot


def _atm(parts: Parts, group: Group, quotes: Mapping[InstrumentKey, Quote]) -> chains.Pair | None:
    root, exchange, expiry, spot = group
    price = quotes[spot].ltp if spot in quotes else 0.0
    listed = parts.instruments.chain(root, exchange, expiry)
    return chains.pairs(listed, price, 0)[0] if listed and price > 0 else None


def _value(
    ask: Ask, quotes: Mapping[InstrumentKey, Quote], pairs: Mapping[Group, chains.Pair]
) -> dict[str, Any] | Failed:
    option, quote = ask.option, quotes.get(ask.option.key)
    if quote is None or quote.ltp <= 0:
        return InvalidRequest(f"{option.key} has no price", code="NO_DATA")
    forward = ask.forward
    if forward is None:
        spot = quotes[ask.spot].ltp if ask.spot in quotes else 0.0
        pair = pairs.get(_group(ask))
        forward = spot if pair is None else options.forward(pair, quotes, spot)
        if forward <= 0:
            return InvalidRequest(f"{ask.spot} has no price; send forward_price", code="NO_DATA")
    contract = greeks.Contract(
        option.instrument_type, forward, float(option.strike), ask.days / 365, ask.rate / 100
    )
    volatility = greeks.implied_volatility(contract, quote.ltp)
    if volatility is None:
        return InvalidRequest(
            f"{option.key}: no volatility gives {quote.ltp:.2f} at a forward of {forward:.2f}",
            code="NO_IMPLIED_VOLATILITY",
        )
    return _body(ask, contract, quote.ltp, volatility)


def _body(ask: Ask, contract: greeks.Contract, paid: float, volatility: float) -> dict[str, Any]:
    found = greeks.greeks(contract, volatility) if volatility else greeks.without_time_value(contract)
    body: dict[str, Any] = {
        "status": "success",
        "symbol": ask.option.key.symbol,
        "exchange": str(ask.option.key.exchange),
        "underlying": ask.option.name,
        "strike": contract.strike,
        "option_type": contract.kind,
        "expiry_date": f"{ask.expiry:%d-%b-%Y}",
        "days_to_expiry": round(ask.days, 4),
        "spot_price": round(contract.forward, 4),
        "option_price": round(paid, 4),
        "interest_rate": ask.rate,
        "implied_volatility": round(volatility * 100, 2),
        "greeks": {**chains.rounded(found), "rho": round(found.rho, 6)},
    }
    if not volatility:
        body["intrinsic_value"] = round(contract.intrinsic, 4)
        body["time_value"] = round(max(0.0, paid - contract.intrinsic), 4)
        body["note"] = NO_TIME_VALUE
    return body
