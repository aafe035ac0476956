"""Derivatives from their underlying: carry for futures, Black 1976 without discounting for options.

Every function is monotone in the spot price, which is what lets a derivative's candle be computed from the
four prices of its underlying's candle and still contain every one of its own ticks.
"""

from __future__ import annotations

from math import erf, log, sqrt

from brokers.sim.exchange.types import Kind

CARRY = 0.065
"""Yearly cost of carry of every future."""
_SQRT2 = sqrt(2.0)


def derive(
    kind: Kind, spot_paise: int, strike_paise: int, years: float, volatility: float, tick_paise: int
) -> int:
    """Price in paise, on tick and at least one tick, of a listing ``years`` before its expiry."""
    forward = spot_paise * (1.0 + CARRY * years)
    if kind is Kind.FUTURE:
        value = forward
    else:
        value = _call(forward, strike_paise, volatility * sqrt(years))
        if kind is Kind.PUT:
            value += strike_paise - forward  # put-call parity
    # a thousandth of a paisa absorbs float noise, so that equal maths give equal ticks
    return max(int((value + 0.001) // tick_paise), 1) * tick_paise


def _call(forward: float, strike: float, deviation: float) -> float:
    if deviation <= 0.0:
        return max(forward - strike, 0.0)
    d1 = log(forward / strike) / deviation + 0.5 * deviation
    n1 = 0.5 * (1.0 + erf(d1 / _SQRT2))
    n2 = 0.5 * (1.0 + erf((d1 - deviation) / _SQRT2))
    return forward * n1 - strike * n2
