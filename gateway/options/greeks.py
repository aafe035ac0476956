"""Black-76: price, implied volatility and greeks of an option on a forward. Pure; floats, no money moves.

Price and volatility are Jaeckel's "Let's Be Rational" (``lets_be_rational``); the greeks are closed forms.
Units as OpenAlgo's and vollib's: theta per calendar day (365), vega and rho per one percent.

Source: F. Black, "The pricing of commodity contracts" (1976); J. Hull, "Options, Futures and Other
Derivatives", chapter on futures options; P. Jaeckel, "Let's Be Rational" (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import erf, exp, isfinite, log, pi, sqrt

from lets_be_rational import black, implied_volatility_from_a_transformed_rational_guess
from lets_be_rational.exceptions import VolatilityValueException

YEAR = timedelta(days=365)
LEAST_TIME_VALUE = 1e-9
"""Relative to the forward: below it a price has no volatility in it, only rounding."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One option to be valued.

    Attributes:
        kind: ``CE`` or ``PE``.
        forward, strike: Rupees, above zero.
        years: Time to expiry in years of 365 days, above zero.
        rate: Annual interest as a fraction (0.065), continuously compounded.
    """

    kind: str
    forward: float
    strike: float
    years: float
    rate: float = 0.0

    @property
    def sign(self) -> int:
        return 1 if self.kind == "CE" else -1

    @property
    def discount(self) -> float:
        return exp(-self.rate * self.years)

    @property
    def intrinsic(self) -> float:
        """What exercising at the forward would bring, discounted."""
        return self.discount * max(0.0, self.sign * (self.forward - self.strike))


@dataclass(frozen=True, slots=True)
class Greeks:
    """Theta per day, vega and rho per one percent."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


def years_until(end: datetime, now: datetime) -> float:
    """Zero or below once ``end`` has passed."""
    return (end - now) / YEAR


def price(contract: Contract, volatility: float) -> float:
    """Rupees for an annual volatility as a fraction (0.13)."""
    undiscounted: float = black(contract.forward, contract.strike, volatility, contract.years, contract.sign)
    return contract.discount * undiscounted


def implied_volatility(contract: Contract, paid: float) -> float | None:
    """The volatility at which the option is worth ``paid``; 0.0 without time value.

    None when no volatility gives that price: a call above its forward, a put above its strike.
    """
    if paid - contract.intrinsic <= LEAST_TIME_VALUE * contract.forward:
        return 0.0
    try:
        found: float = implied_volatility_from_a_transformed_rational_guess(
            paid / contract.discount, contract.forward, contract.strike, contract.years, contract.sign
        )
    except VolatilityValueException:
        return None
    return found if isfinite(found) and found > 0 else None


def greeks(contract: Contract, volatility: float) -> Greeks:
    """Sensitivities at an annual volatility above zero; ``without_time_value`` is the limit at zero."""
    f, k, t, r, sign = contract.forward, contract.strike, contract.years, contract.rate, contract.sign
    width = volatility * sqrt(t)
    d1 = log(f / k) / width + width / 2
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    discount, worth = contract.discount, price(contract, volatility)
    theta = r * worth - f * discount * density * volatility / (2 * sqrt(t))
    return Greeks(
        delta=sign * discount * _normal(sign * d1),
        gamma=discount * density / (f * width),
        theta=theta / 365,
        vega=f * discount * density * sqrt(t) / 100,
        rho=-t * worth / 100,
    )


def without_time_value(contract: Contract) -> Greeks:
    """An option worth no more than exercising it moves with the forward, one for one."""
    return Greeks(delta=float(contract.sign), gamma=0.0, theta=0.0, vega=0.0, rho=0.0)


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2
