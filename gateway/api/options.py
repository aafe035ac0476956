"""Options: which contract an offset means, the chain of an expiry, the synthetic future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import wraps
from typing import Any

from flask import Response

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import Instrument, InstrumentKey, Quote
from gateway.api import present, reply
from gateway.api.errors import Problem
from gateway.api.option_schemas import expiry_given
from gateway.api.parts import Call, Handler, Parts
from gateway.options import chain as chains
from gateway.options import greeks, strikes

UNKNOWN = "SYMBOL_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Subject:
    """An underlying as the instrument table knows it.

    Attributes:
        key: What is quoted: the index, the share or the future.
        exchange: Where its options are listed.
        expiry: The one embedded in the caller's text.
    """

    root: str
    key: InstrumentKey
    exchange: str
    expiry: date | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One option by its distance from ATM. ``step``: the older way, see ``strikes.pick_by_step``."""

    expiry: date
    offset: str
    kind: str
    step: int | None = None


def unknown_is_404(handler: Handler) -> Handler:
    """Option services answer 404, not 400, for an underlying or a contract that is not there."""

    @wraps(handler)
    def wrapped(parts: Parts, call: Call) -> dict[str, Any] | Response:
        try:
            return handler(parts, call)
        except InvalidRequest as exc:
            if exc.code != UNKNOWN:
                raise
            return reply.problem(Problem(404, exc.code, str(exc), exc.fields), parts.settings.name)

    return wrapped


@unknown_is_404
def symbol(parts: Parts, call: Call) -> dict[str, Any]:
    """The expiry sent wins over an embedded one."""
    data = call.data
    about = subject(parts, data["underlying"], data["exchange"])
    expiry = expiry_given(data["expiry_date"], about.expiry)
    ltp = ltp_of(parts, about.key)
    wanted = Wanted(expiry, data["offset"], data["option_type"].upper(), data["strike_int"])
    found = option(parts, about, wanted, ltp)
    return {
        "status": "success",
        "symbol": found.key.symbol,
        "exchange": str(found.key.exchange),
        "lotsize": found.lot_size,
        "tick_size": float(found.tick_size),
        "freeze_qty": found.freeze_qty or 1,
        "underlying_ltp": ltp,
    }


@unknown_is_404
def chain(parts: Parts, call: Call) -> dict[str, Any]:
    """An embedded expiry wins over the one sent."""
    data = call.data
    about = subject(parts, data["underlying"], data["exchange"])
    expiry = expiry_given(about.expiry, data["expiry_date"])
    options = listed(parts, about, expiry)
    spot, quotes = _chain_quotes(parts, about.key, options, data["strike_count"])
    pairs = chains.pairs(options, spot.ltp, data["strike_count"])
    atm = next(pair for pair in pairs if pair.position == 0)
    ends, now = strikes.ends_at(expiry, about.exchange), parts.clock.now()
    pricing = None
    if data["with_greeks"]:
        rate = float(data["interest_rate"] or 0) / 100
        pricing = chains.Pricing(forward(atm, quotes, spot.ltp), greeks.years_until(ends, now), rate)
    return {
        "status": "success",
        "underlying": about.root,
        "underlying_symbol": about.key.symbol,
        "underlying_exchange": str(about.key.exchange),
        "underlying_ltp": spot.ltp,
        "underlying_prev_close": spot.prev_close,
        "expiry_date": strikes.compact(expiry),
        "expiry_ts": int(ends.timestamp()),
        "server_ts": int(now.timestamp()),
        "atm_strike": float(atm.strike),
        "quotes_included": True,
        "greeks_included": pricing is not None,
        "forward_price": None if pricing is None else round(pricing.forward, 4),
        "chain": [chains.row(pair, quotes, pricing) for pair in pairs],
    }


@unknown_is_404
def synthetic_future(parts: Parts, call: Call) -> dict[str, Any]:
    about = subject(parts, call.data["underlying"], call.data["exchange"])
    expiry: date = call.data["expiry_date"]
    options = listed(parts, about, expiry)
    ltp = ltp_of(parts, about.key)
    [atm] = chains.pairs(options, ltp, 0)
    if atm.call is None or atm.put is None:
        at = strikes.plain(atm.strike)
        raise InvalidRequest(
            f"{about.root} {strikes.compact(expiry)} {at}: call or put missing", code=UNKNOWN
        )
    quotes, errors = parts.market.quotes([atm.call.key, atm.put.key])
    price = chains.synthetic_forward(atm.strike, quotes.get(atm.call.key), quotes.get(atm.put.key))
    if price is None:
        why = next(iter(errors.values()), "one of them has not traded")
        raise InvalidRequest(f"No price for {atm.call.key} and {atm.put.key}: {why}", code="NO_DATA")
    return {
        "status": "success",
        "underlying": about.root,
        "underlying_ltp": ltp,
        "expiry": strikes.compact(expiry),
        "atm_strike": float(atm.strike),
        "synthetic_future_price": round(price, 2),
    }


def subject(parts: Parts, text: str, exchange: str) -> Subject:
    """What a request's ``underlying`` and ``exchange`` mean.

    Raises:
        InvalidRequest: No such underlying (``SYMBOL_NOT_FOUND``), or nothing with options.
        NotReady: No instrument table yet.
    """
    named = strikes.underlying(text)
    options = strikes.option_exchange(exchange)
    key = strikes.spot_key(named.root, exchange)
    if named.is_future and (key is None or exchange == "CRYPTO"):
        key = InstrumentKey(exchange, text.strip().upper())
    if key is None:
        future = parts.instruments.future(named.root, exchange, today(parts))
        key = future.key if future is not None else InstrumentKey(exchange, named.root)
    parts.market.instrument(key)
    return Subject(named.root, key, str(options), named.expiry)


def ltp_of(parts: Parts, key: InstrumentKey) -> float:
    """Raises ``InvalidRequest`` (``NO_DATA``) when there is no price above zero, and broker errors."""
    return _priced(parts, parts.market.quote(key)).ltp


def listed(parts: Parts, about: Subject, expiry: date) -> list[Instrument]:
    """Options of one expiry, not empty. Raises ``InvalidRequest`` (``SYMBOL_NOT_FOUND``)."""
    options = parts.instruments.chain(about.root, about.exchange, expiry)
    if not options:
        near = parts.instruments.expiries(about.root, about.exchange, "options", today(parts))
        hint = f"listed: {', '.join(map(strikes.compact, near[:3]))}" if near else "there are none"
        raise InvalidRequest(
            f"No {about.root} options of {strikes.compact(expiry)} on {about.exchange}; {hint}",
            fields={"expiries": [strikes.compact(day) for day in near]},
            code=UNKNOWN,
        )
    return options


def option(parts: Parts, about: Subject, wanted: Wanted, ltp: float) -> Instrument:
    """The contract ``wanted`` means at that price of the underlying.

    Raises:
        InvalidRequest: Not listed (``SYMBOL_NOT_FOUND``), beyond the ladder, or no such offset.
    """
    of_kind = [o for o in listed(parts, about, wanted.expiry) if o.instrument_type == wanted.kind]
    if wanted.step is not None:
        strike = strikes.pick_by_step(ltp, wanted.step, wanted.offset, wanted.kind)
    else:
        strike = strikes.pick(chains.ladder(of_kind), ltp, wanted.offset, wanted.kind)
    found = next((o for o in of_kind if o.strike == strike), None)
    if found is None:
        name = f"{about.root}{strikes.compact(wanted.expiry)}{strikes.plain(strike)}{wanted.kind}"
        raise InvalidRequest(
            f"Symbol '{name}' not found for exchange '{about.exchange}'.",
            fields={"suggestions": parts.instruments.nearest(name, about.exchange)},
            code=UNKNOWN,
        )
    return found


def forward(atm: chains.Pair, quotes: Mapping[InstrumentKey, Quote], spot: float) -> float:
    """The expiry's synthetic future, the spot where its two options have no price."""
    call, put = (quotes.get(leg.key) if leg else None for leg in (atm.call, atm.put))
    return chains.synthetic_forward(atm.strike, call, put) or spot


def today(parts: Parts) -> date:
    return parts.clock.now().astimezone(IST).date()


def _chain_quotes(
    parts: Parts, key: InstrumentKey, options: Sequence[Instrument], each_side: int | None
) -> tuple[Quote, dict[InstrumentKey, Quote]]:
    """The underlying's quote and the legs' in as few calls as the broker's batches allow."""
    legs = [option.key for option in options]
    if each_side is not None and len(legs) >= parts.settings.spec.capabilities.quote_batch:
        spot = _priced(parts, parts.market.quote(key))
        shown = chains.pairs(options, spot.ltp, each_side)
        legs = [leg.key for pair in shown for leg in (pair.call, pair.put) if leg is not None]
        return spot, parts.market.quotes(legs)[0]
    quotes, errors = parts.market.quotes([key, *legs])
    if key not in quotes:
        raise InvalidRequest(errors[key], code="NO_DATA")
    return _priced(parts, quotes[key]), quotes


def _priced(parts: Parts, quote: Quote) -> Quote:
    """An underlying's quote with its prices rounded to its tick."""
    if quote.ltp <= 0:
        raise InvalidRequest(f"{quote.key} has no price yet", code="NO_DATA")
    places = present.price_places(parts.instruments.by_key(quote.key))
    return replace(quote, ltp=round(quote.ltp, places), prev_close=round(quote.prev_close, places))
