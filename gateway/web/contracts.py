"""Which contract somebody means: the underlyings there are, the strikes of an expiry, the words of a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.errors import AlgoError, InvalidRequest
from brokers.model import Exchange, Instrument, InstrumentKey
from gateway.api import options, present
from gateway.api.parts import Parts
from gateway.options import chain as chains
from gateway.options import strikes

PLACES = tuple(dict.fromkeys(str(place) for place in strikes.OPTION_EXCHANGE.values()))
"""Exchanges with options, in the order an underlying without an exchange is looked for."""
KINDS = ("CE", "PE")
NEAREST = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a link asks for: the instrument, or why there is none, and what a strike picker begins with.

    ``expiry`` is DDMMMYY.
    """

    instrument: Instrument | None = None
    problem: str = ""
    underlying: str = ""
    exchange: str = ""
    expiry: str = ""
    kind: str = "CE"

    def row(self) -> dict[str, Any]:
        found = self.instrument
        return {
            "instrument": present.instrument_row(found) if found else None,
            "problem": self.problem,
            "underlying": self.underlying,
            "exchange": self.exchange,
            "expiry": self.expiry,
            "kind": self.kind,
        }


def underlyings(parts: Parts) -> list[dict[str, str]]:
    """Everything with options, by exchange and name."""
    return [
        {"underlying": root, "exchange": place}
        for place in PLACES
        for root in parts.instruments.underlyings(place)
    ]


def chosen(parts: Parts, words: Mapping[str, str]) -> Chosen:
    """The instrument of ``exchange`` and ``symbol``, or of ``underlying``, ``expiry``, ``strike``, ``type``.

    Without an expiry the next one, without a strike the one at the money, without a type the call. A link
    that cannot be followed is told, it never opens something else.
    """
    root = words.get("underlying", "").strip().upper()
    try:
        if words.get("symbol"):
            return _of(parts, parts.market.instrument(_key(words)))
        if not root:
            return Chosen()
        place = place_of(parts, root, words.get("exchange", ""))
    except AlgoError as exc:
        return Chosen(problem=str(exc), underlying=root)
    kind = words.get("type", "CE").strip().upper()
    try:
        if kind not in KINDS:
            raise InvalidRequest(f"type is '{kind}', expected CE or PE")
        expiry = _expiry(parts, root, place, words.get("expiry", ""))
        found = _option(parts, options.subject(parts, root, place), expiry, words.get("strike", ""), kind)
    except AlgoError as exc:
        return Chosen(problem=str(exc), underlying=root, exchange=place)
    return _of(parts, found)


def ladder(parts: Parts, root: str, exchange: str, expiry_text: str) -> dict[str, Any]:
    """The strikes of one expiry (the next one without a text), with the names of both contracts.

    ``ltp`` and ``atm`` are None while the underlying has no price; the strikes are there all the same.

    Raises:
        InvalidRequest: No such underlying, expiry, or no options.
        NotReady: No instrument table yet.
    """
    place = place_of(parts, root, exchange)
    about = options.subject(parts, root, place)
    expiry = _expiry(parts, about.root, place, expiry_text)
    listed = options.listed(parts, about, expiry)
    ltp: float | None = None
    problem = ""
    try:
        ltp = options.ltp_of(parts, about.key)
    except AlgoError as exc:
        problem = str(exc)
    pairs = chains.pairs(listed, ltp or 0.0, None)
    atm = next((float(pair.strike) for pair in pairs if ltp and pair.position == 0), None)
    days = parts.instruments.expiries(about.root, place, "options", options.today(parts))
    return {
        "underlying": about.root,
        "exchange": place,
        "spot": {"exchange": str(about.key.exchange), "symbol": about.key.symbol},
        "ltp": ltp,
        "atm": atm,
        "problem": problem,
        "expiries": [strikes.compact(day) for day in days],
        "expiry": strikes.compact(expiry),
        "strikes": [
            {"strike": float(pair.strike), "CE": _symbol(pair.call), "PE": _symbol(pair.put)}
            for pair in pairs
        ],
    }


def place_of(parts: Parts, root: str, exchange: str) -> str:
    """The exchange that lists the options of ``root``; a cash exchange stands for its derivatives.

    Raises:
        InvalidRequest: It has none there, or nowhere.
    """
    if exchange:
        if exchange not in {str(one) for one in Exchange}:
            raise InvalidRequest(f"there is no exchange {exchange}")
        return str(strikes.option_exchange(exchange))
    today = options.today(parts)
    for place in PLACES:
        if parts.instruments.expiries(root, place, "options", today):
            return place
    raise InvalidRequest(f"{root} has no options on any exchange here", code="SYMBOL_NOT_FOUND")


def _key(words: Mapping[str, str]) -> InstrumentKey:
    return InstrumentKey(words.get("exchange") or "NSE", words["symbol"].strip().upper())


def _of(parts: Parts, found: Instrument) -> Chosen:
    """With the options of the same underlying, where there are any."""
    if found.expiry is not None and found.instrument_type in KINDS:
        place, expiry = str(found.key.exchange), strikes.compact(found.expiry)
        return Chosen(found, "", found.name, place, expiry, found.instrument_type)
    root = found.name if found.instrument_type == "FUT" else found.key.symbol
    listed = strikes.OPTION_EXCHANGE.get(Exchange(found.key.exchange))
    if listed is None or not parts.instruments.expiries(root, listed, "options", options.today(parts)):
        return Chosen(found)
    return Chosen(found, "", root, str(listed))


def _expiry(parts: Parts, root: str, place: str, text: str) -> date:
    """``28MAR24``, ``28-MAR-24`` or ``2024-03-28``; the next one without a text."""
    days = parts.instruments.expiries(root, place, "options", options.today(parts))
    if not text:
        if not days:
            raise InvalidRequest(f"{root} has no options on {place}", code="SYMBOL_NOT_FOUND")
        return days[0]
    try:
        return date.fromisoformat(text)
    except ValueError:
        return strikes.expiry_date(text)


def _option(parts: Parts, about: options.Subject, expiry: date, text: str, kind: str) -> Instrument:
    listed = [o for o in options.listed(parts, about, expiry) if o.instrument_type == kind]
    steps = chains.ladder(listed)
    strike = _strike(text) or strikes.nearest(steps, options.ltp_of(parts, about.key))
    for one in listed:
        if one.strike == strike:
            return one
    near = sorted(sorted(steps, key=lambda step: abs(step - strike))[:NEAREST])
    raise InvalidRequest(
        f"{about.root} {strikes.compact(expiry)} has no {kind} at {strikes.plain(strike)}; "
        f"near it: {', '.join(map(strikes.plain, near))}",
        code="SYMBOL_NOT_FOUND",
    )


def _strike(text: str) -> Decimal | None:
    """None for the one at the money."""
    if text.strip().upper() in ("", "ATM"):
        return None
    try:
        strike = Decimal(text)
    except InvalidOperation:
        strike = Decimal("NaN")
    if not strike.is_finite() or not 0 < strike < 10**9:
        raise InvalidRequest(f"strike is '{text[:20]}', expected a number or ATM")
    return strike


def _symbol(option: Instrument | None) -> str | None:
    return option.key.symbol if option else None
