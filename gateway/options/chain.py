"""An option chain as rows: strikes around ATM, quotes, and what they say about volatility. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.model import Instrument, InstrumentKey, Quote
from gateway.options import greeks as math
from gateway.options import strikes

KINDS = ("CE", "PE")


@dataclass(frozen=True, slots=True)
class Pair:
    """Call and put of one strike; None where not listed.

    Attributes:
        position: Strikes above ATM (below: negative).
    """

    strike: Decimal
    position: int
    call: Instrument | None
    put: Instrument | None

    def leg(self, kind: str) -> Instrument | None:
        return self.call if kind == "CE" else self.put


@dataclass(frozen=True, slots=True)
class Pricing:
    """What greeks of a whole chain share. ``rate`` is annual, as a fraction."""

    forward: float
    years: float
    rate: float


def ladder(options: Iterable[Instrument]) -> list[Decimal]:
    """Listed strikes, ascending, each once."""
    return sorted({option.strike for option in options})


def pairs(options: Sequence[Instrument], ltp: float, each_side: int | None) -> list[Pair]:
    """Ascending pairs around ATM; the whole ladder when ``each_side`` is None. ``options`` is not empty."""
    listed = ladder(options)
    middle = listed.index(strikes.nearest(listed, ltp))
    first, last = 0, len(listed)
    if each_side is not None:
        first, last = max(0, middle - each_side), middle + each_side + 1
    by_terms = {(option.strike, option.instrument_type): option for option in options}
    return [
        Pair(strike, at - middle, by_terms.get((strike, "CE")), by_terms.get((strike, "PE")))
        for at, strike in enumerate(listed)
        if first <= at < last
    ]


def synthetic_forward(strike: Decimal, call: Quote | None, put: Quote | None) -> float | None:
    """Strike + call - put; None when one of the two has no price."""
    if call is None or put is None or call.ltp <= 0 or put.ltp <= 0:
        return None
    return float(strike) + call.ltp - put.ltp


def row(pair: Pair, quotes: Mapping[InstrumentKey, Quote], pricing: Pricing | None) -> dict[str, Any]:
    """One strike as OpenAlgo's JSON."""
    legs = {kind.lower(): _leg(pair, kind, quotes, pricing) for kind in KINDS}
    return {"strike": float(pair.strike), **legs}


def _leg(
    pair: Pair, kind: str, quotes: Mapping[InstrumentKey, Quote], pricing: Pricing | None
) -> dict[str, Any] | None:
    option = pair.leg(kind)
    if option is None:
        return None
    quote = quotes.get(option.key) or Quote(option.key, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    leg: dict[str, Any] = {
        "symbol": option.key.symbol,
        "label": strikes.label(pair.position, kind),
        "ltp": _inr(quote.ltp, option),
        "bid": _inr(quote.bid, option),
        "ask": _inr(quote.ask, option),
        "bid_qty": quote.bid_quantity,
        "ask_qty": quote.ask_quantity,
        "open": _inr(quote.open, option),
        "high": _inr(quote.high, option),
        "low": _inr(quote.low, option),
        "prev_close": _inr(quote.prev_close, option),
        "volume": quote.volume,
        "oi": quote.oi,
        "lotsize": option.lot_size,
        "tick_size": float(option.tick_size),
    }
    if pricing is not None and quote.ltp > 0:
        leg |= _greeks(option, quote.ltp, pricing)
    return leg


def _greeks(option: Instrument, paid: float, pricing: Pricing) -> dict[str, float]:
    """Empty when the price says nothing: expired, or outside what any volatility can give."""
    if pricing.years <= 0 or pricing.forward <= 0 or option.strike <= 0:
        return {}
    contract = math.Contract(
        option.instrument_type, pricing.forward, float(option.strike), pricing.years, pricing.rate
    )
    volatility = math.implied_volatility(contract, paid)
    if volatility is None:
        return {}
    found = math.greeks(contract, volatility) if volatility else math.without_time_value(contract)
    return {"implied_volatility": round(volatility * 100, 2), **rounded(found)}


def rounded(found: math.Greeks) -> dict[str, float]:
    """Delta, gamma, theta and vega to the places OpenAlgo gives."""
    return {
        "delta": round(found.delta, 4),
        "gamma": round(found.gamma, 6),
        "theta": round(found.theta, 4),
        "vega": round(found.vega, 4),
    }


def _inr(price: float, option: Instrument) -> float:
    """As many decimals as the tick needs, at least two."""
    exponent = option.tick_size.normalize().as_tuple().exponent
    return round(price, max(2, -exponent if isinstance(exponent, int) else 2))
