"""What the paper account blocks, kept up to date order by order. Pure.

Nothing here walks over the orders: of each (instrument, product) only the sums of its working orders count,
so the thousandth order costs what the first did.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from brokers.sim.exchange.types import PAISA, Kind, Listing, Side
from gateway.settings.sandbox import Leverage


def cost(leverage: Leverage, listing: Listing, product: str, side: Side, value: Decimal) -> Decimal:
    """Rupees that opening a position of this value blocks, unrounded.

    A sale of delivery shares needs the shares, not money. Every other side costs its value over the leverage
    of its class; options are valued at their premium, also when written (OpenAlgo's default).
    """
    if listing.kind is Kind.EQUITY:
        if product == "CNC":
            return value / leverage.equity_cnc if side is Side.BUY else Decimal(0)
        return value / leverage.equity_mis
    if listing.kind is Kind.FUTURE:
        return value / leverage.futures
    return value / (leverage.option_buy if side is Side.BUY else leverage.option_sell)


@dataclass(slots=True)
class Working:
    """Sums over the working orders of one side: quantity, and rupees at the prices they are valued at."""

    quantity: int = 0
    value: Decimal = Decimal(0)

    def add(self, quantity: int, price: Decimal) -> None:
        self.quantity += quantity
        self.value += quantity * price

    def opening(self, closes: int) -> Decimal:
        """Rupees of what would open a position after ``closes`` of it only closed one (at the average)."""
        rest = self.quantity - closes
        return self.value * rest / self.quantity if rest > 0 else Decimal(0)


@dataclass(slots=True)
class Holder:
    """One (instrument, product): the open position and what works on it."""

    listing: Listing
    product: str
    net: int
    average: Decimal
    buys: Working
    sells: Working
    blocked: Decimal = Decimal(0)

    def required(self, leverage: Leverage) -> Decimal:
        """Rupees blocked: the worse of all buys filling and all sells filling."""
        long = self._side(leverage, Side.BUY, self.net, self.buys)
        short = self._side(leverage, Side.SELL, -self.net, self.sells)
        return max(long, short).quantize(PAISA, rounding=ROUND_UP)

    def _side(self, leverage: Leverage, side: Side, held: int, working: Working) -> Decimal:
        value = max(held, 0) * self.average + working.opening(max(-held, 0))
        return cost(leverage, self.listing, self.product, side, value)


class Blocked:
    """The sum over every holder."""

    def __init__(self, leverage: Leverage) -> None:
        self._leverage = leverage
        self._holders: dict[tuple[str, str, str], Holder] = {}
        self.total = Decimal(0)

    def working(self, listing: Listing, product: str, side: Side) -> Working:
        holder = self._holder(listing, product)
        return holder.buys if side is Side.BUY else holder.sells

    def order(self, listing: Listing, product: str, side: Side, quantity: int, price: Decimal) -> None:
        """An order came to work (or, with a negative quantity, a part of it no longer does)."""
        holder = self._holder(listing, product)
        (holder.buys if side is Side.BUY else holder.sells).add(quantity, price)
        self._refresh(holder)

    def position(self, listing: Listing, product: str, net: int, average: Decimal) -> None:
        """The position after a trade."""
        holder = self._holder(listing, product)
        holder.net, holder.average = net, average
        self._refresh(holder)

    def more_for(self, listing: Listing, product: str, side: Side, quantity: int, price: Decimal) -> Decimal:
        """Rupees an order would block beyond what is blocked now; negative when it frees some."""
        holder = self._holder(listing, product)
        working = holder.buys if side is Side.BUY else holder.sells
        working.add(quantity, price)
        try:
            return holder.required(self._leverage) - holder.blocked
        finally:
            working.add(-quantity, price)

    def _holder(self, listing: Listing, product: str) -> Holder:
        key = (listing.exchange, listing.symbol, product)
        holder = self._holders.get(key)
        if holder is None:
            holder = Holder(listing, product, 0, Decimal(0), Working(), Working())
            self._holders[key] = holder
        return holder

    def _refresh(self, holder: Holder) -> None:
        now = holder.required(self._leverage)
        self.total += now - holder.blocked
        holder.blocked = now
