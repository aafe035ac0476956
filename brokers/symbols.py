"""OpenAlgo's symbols of contracts: root, expiry as DDMMMYY, then ``FUT`` or strike and ``CE``/``PE``."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache, lru_cache

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@cache
def day_text(day: date) -> str:
    """``28OCT26``."""
    return f"{day.day:02d}{MONTHS[day.month - 1]}{day.year % 100:02d}"


@lru_cache(16384)
def plain(number: Decimal) -> str:
    """Digits without an exponent or zeros behind the point: 24000, 292.5."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def contract(root: str, expiry: date, kind: str, strike: Decimal) -> str:
    """``NIFTY28OCT26FUT``, ``NIFTY28OCT2624000CE``.

    Args:
        kind: ``FUT``, ``CE`` or ``PE``.
        strike: Rupees; unused for a future.
    """
    return f"{root}{day_text(expiry)}{'' if kind == 'FUT' else plain(strike)}{kind}"
