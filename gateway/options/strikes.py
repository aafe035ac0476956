"""From an underlying, an expiry and an offset to one strike of the listed ladder. Pure.

Source: openalgo-api, sections 1.7, 1.8 and 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import Exchange, InstrumentKey

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MOST_STEPS = 50
OFFSETS = ("ATM", *(f"{side}{n}" for side in ("ITM", "OTM") for n in range(1, MOST_STEPS + 1)))
OPTION_EXCHANGE = {
    Exchange.NSE: Exchange.NFO,
    Exchange.NSE_INDEX: Exchange.NFO,
    Exchange.BSE: Exchange.BFO,
    Exchange.BSE_INDEX: Exchange.BFO,
    **{e: e for e in (Exchange.NFO, Exchange.BFO, Exchange.MCX, Exchange.CDS, Exchange.BCD)},
    **{e: e for e in (Exchange.NCO, Exchange.NCDEX, Exchange.CRYPTO)},
}
"""Where the options of an underlying are listed."""
SPOTLESS = frozenset({Exchange.MCX, Exchange.CDS, Exchange.BCD, Exchange.NCDEX, Exchange.NCO})
"""Exchanges without a spot price: the underlying is a future."""
NSE_INDICES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX"})
BSE_INDICES = frozenset({"SENSEX", "BANKEX", "SENSEX50"})
CLOSES = {
    Exchange.CDS: time(12, 30),
    Exchange.BCD: time(12, 30),
    Exchange.MCX: time(23, 30),
    Exchange.NCO: time(23, 30),
    Exchange.NCDEX: time(23, 30),
}
"""IST time at which options of an exchange end on their last day; 15:30 elsewhere."""

_EMBEDDED = re.compile(rf"([A-Z0-9&_.-]+?)([0-9]{{2}}(?:{'|'.join(MONTHS)})[0-9]{{2}})(FUT)?")
_DATE = re.compile(r"([0-9]{2})([A-Z]{3})([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Underlying:
    """What a caller named: ``NIFTY``, ``NIFTY28MAR24`` or ``NIFTY28MAR24FUT``."""

    root: str
    expiry: date | None = None
    is_future: bool = False


def underlying(text: str) -> Underlying:
    """Any case, surrounding blanks dropped. An impossible embedded date makes the whole text a root."""
    plain = text.strip().upper()
    found = _EMBEDDED.fullmatch(plain)
    if found is None:
        return Underlying(plain)
    try:
        expiry = expiry_date(found[2])
    except InvalidRequest:
        return Underlying(plain)
    return Underlying(found[1], expiry, found[3] is not None)


def expiry_date(text: str) -> date:
    """``28MAR24`` or ``28-MAR-24``, any case.

    Raises:
        InvalidRequest: Not such a date.
    """
    found = _DATE.fullmatch(text.strip().upper().replace("-", ""))
    try:
        if found is None:
            raise ValueError
        return date(2000 + int(found[3]), MONTHS.index(found[2]) + 1, int(found[1]))
    except ValueError as exc:
        message = f"expiry_date is '{text}', expected DDMMMYY such as 28MAR24"
        raise InvalidRequest(message, fields={"expiry_date": [message]}) from exc


def compact(expiry: date) -> str:
    """``28MAR24``."""
    return f"{expiry.day:02d}{MONTHS[expiry.month - 1]}{expiry.year % 100:02d}"


def ends_at(expiry: date, exchange: str, at: time | None = None) -> datetime:
    """When an option stops trading on its last day; aware, IST. ``at`` overrides the exchange's time."""
    return datetime.combine(expiry, at or CLOSES.get(Exchange(exchange), time(15, 30)), IST)


def option_exchange(exchange: str) -> Exchange:
    """Raises ``InvalidRequest`` for an exchange whose instruments have no options."""
    found = OPTION_EXCHANGE.get(Exchange(exchange))
    if found is None:
        raise InvalidRequest(f"There are no options on instruments of {exchange}", code="INVALID_EXCHANGE")
    return found


def spot_key(root: str, exchange: str) -> InstrumentKey | None:
    """The cash instrument that prices a root named on ``exchange``; None when only futures can."""
    if exchange in SPOTLESS:
        return None
    if exchange == Exchange.NFO:
        return InstrumentKey("NSE_INDEX" if root in NSE_INDICES else "NSE", root)
    if exchange == Exchange.BFO:
        return InstrumentKey("BSE_INDEX" if root in BSE_INDICES else "BSE", root)
    return InstrumentKey(str(exchange), root)


def nearest(ladder: Sequence[Decimal], price: float) -> Decimal:
    """The listed strike nearest to a price; the lower one of two equally near. ``ladder`` is not empty."""
    at = Decimal(str(price))
    return min(ladder, key=lambda strike: (abs(strike - at), strike))


def steps(offset: str, kind: str) -> int:
    """Positions from ATM along the ascending ladder: ITM is down for a call and up for a put.

    Raises:
        InvalidRequest: Not one of ``OFFSETS``.
    """
    plain = offset.strip().upper()
    if plain not in OFFSETS:
        message = f"offset is '{offset}', expected ATM, ITM1 to ITM{MOST_STEPS} or OTM1 to OTM{MOST_STEPS}"
        raise InvalidRequest(message, fields={"offset": [message]}, code="INVALID_OFFSET")
    if plain == "ATM":
        return 0
    count = int(plain[3:])
    up = (plain[:3] == "OTM") == (kind == "CE")
    return count if up else -count


def pick(ladder: Sequence[Decimal], price: float, offset: str, kind: str) -> Decimal:
    """The strike ``offset`` means, counted along the listed strikes.

    Args:
        ladder: Ascending, not empty.
        kind: ``CE`` or ``PE``.

    Raises:
        InvalidRequest: Unknown offset, or beyond the ladder's end.
    """
    at = ladder.index(nearest(ladder, price)) + steps(offset, kind)
    if not 0 <= at < len(ladder):
        raise InvalidRequest(
            f"offset {offset} is beyond the listed strikes {plain(ladder[0])} to {plain(ladder[-1])}",
            code="OUT_OF_LADDER",
        )
    return ladder[at]


def pick_by_step(price: float, step: int, offset: str, kind: str) -> Decimal:
    """The older way: ATM is the price rounded to ``step``; the strike may not be listed."""
    middle = (Decimal(str(price)) / step).to_integral_value(ROUND_HALF_UP) * step
    return middle + steps(offset, kind) * step


def label(position: int, kind: str) -> str:
    """``ATM``, ``ITM3``, ``OTM1``: a leg ``position`` strikes above (below: negative) ATM."""
    if position == 0:
        return "ATM"
    out = (position > 0) == (kind == "CE")
    return f"{'OTM' if out else 'ITM'}{abs(position)}"


def plain(strike: Decimal) -> str:
    """``26000`` and ``292.5``, never ``2.6E+4``."""
    return f"{strike.normalize():f}"
