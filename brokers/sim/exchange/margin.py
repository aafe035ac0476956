"""What the risk desk blocks. Plausible rates, not the exchange's SPAN files; pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from brokers.sim.exchange.types import PAISA, Kind, Listing, Side, rupees

INTRADAY_SHARE = Decimal("0.20")
INDEX_DERIVATIVE = Decimal("0.12")
STOCK_DERIVATIVE = Decimal("0.18")
_INDEX_ROOTS = frozenset({"NIFTY", "BANKNIFTY", "SENSEX", "FINNIFTY"})


@dataclass(frozen=True, slots=True)
class Leg:
    """A quantity at a price in rupees: an open position's or a working order's."""

    quantity: int
    price: Decimal


def cost(listing: Listing, product: str, side: Side, leg: Leg) -> Decimal:
    """Rupees that opening a leg blocks, unrounded.

    Delivery: the full value (a sale needs the holding, not money). Intraday shares: 20 %. Futures: 12 % on
    indices, 18 % on stocks. Bought options: the premium; written ones: the same rates on the strike.
    """
    value = leg.quantity * leg.price
    if listing.kind is Kind.EQUITY:
        if product == "CNC":
            return value if side is Side.BUY else Decimal(0)
        return value * INTRADAY_SHARE
    rate = INDEX_DERIVATIVE if listing.root in _INDEX_ROOTS else STOCK_DERIVATIVE
    if listing.kind is Kind.FUTURE:
        return value * rate
    if side is Side.BUY:
        return value
    return leg.quantity * rupees(listing.strike_paise) * rate


def required(
    listing: Listing, product: str, net: int, average: Decimal, buys: Iterable[Leg], sells: Iterable[Leg]
) -> Decimal:
    """Rupees blocked by one (listing, product): the worse of all buys filling and all sells filling.

    Orders that only close the position block nothing.
    """
    long = _side(listing, product, Side.BUY, net, average, list(buys))
    short = _side(listing, product, Side.SELL, -net, average, list(sells))
    return max(long, short).quantize(PAISA, rounding=ROUND_UP)


def _side(
    listing: Listing, product: str, side: Side, held: int, average: Decimal, legs: list[Leg]
) -> Decimal:
    blocked = cost(listing, product, side, Leg(held, average)) if held > 0 else Decimal(0)
    closing = max(-held, 0)
    # the cheapest legs close first, so that the order of arrival changes nothing and the estimate is safe
    for leg in sorted(legs, key=lambda leg: leg.price):
        opening = max(leg.quantity - closing, 0)
        closing -= leg.quantity - opening
        blocked += cost(listing, product, side, Leg(opening, leg.price))
    return blocked
