"""One client's books: orders, trades, positions, holdings and money."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from brokers.sim.exchange.margin import Leg, required
from brokers.sim.exchange.types import (
    PAISA,
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Status,
    Type,
    rupees,
)

OPENING_CASH = Decimal("1000000.00")

PositionKey = tuple[str, str, str]
"""Exchange, symbol, product."""


@dataclass(slots=True)
class AccountState:
    """What an account carries into a day."""

    account: str
    opening: Decimal = OPENING_CASH
    holdings: list[SimHolding] = field(default_factory=list)
    carried: list[SimPosition] = field(default_factory=list)


def position_key(listing: Listing, product: str) -> PositionKey:
    return listing.exchange, listing.symbol, product


class Account:
    """One client's books of one IST day.

    Args:
        mark: Last price of a listing in paise, now.

    Attributes:
        orders: Every order of the day by id, oldest first.
        trades: Every trade of the day, oldest first.
        working: The orders that are not final.
    """

    def __init__(self, state: AccountState, mark: Callable[[Listing], int]) -> None:
        self.id = state.account
        self.opening = state.opening
        self.orders: dict[str, SimOrder] = {}
        self.trades: list[SimTrade] = []
        self.working: dict[str, SimOrder] = {}
        self._mark = mark
        self._holdings = {(h.listing.exchange, h.listing.symbol): h for h in state.holdings}
        self._positions = {position_key(p.listing, p.product): p for p in state.carried}

    # --- what venues read

    def positions(self) -> list[SimPosition]:
        """Every position of the day, closed ones included."""
        return list(self._positions.values())

    def holdings(self) -> list[SimHolding]:
        """Shares held, those sold today taken off; the ones bought today come in tomorrow."""
        found = []
        for (exchange, symbol), held in self._holdings.items():
            day = self._positions.get((exchange, symbol, "CNC"))
            left = held.quantity + min(day.net if day else 0, 0)
            if left > 0:
                found.append(replace(held, quantity=left))
        return found

    def funds(self) -> SimFunds:
        """Money now. ``available`` = opening + realized - utilised; unrealized profit is not money."""
        realized = sum((p.realized for p in self._positions.values()), Decimal(0))
        unrealized = sum(
            (
                p.unrealized(p.listing.rupees(self._mark(p.listing)))
                for p in self._positions.values()
                if p.net
            ),
            Decimal(0),
        )
        utilised = self.blocked(self.working.values())
        return SimFunds(
            opening=self.opening,
            available=self.opening + realized - utilised,
            utilised=utilised,
            collateral=Decimal("0.00"),
            realized=realized,
            unrealized=unrealized.quantize(PAISA),
        )

    # --- what the risk desk asks

    def blocked(self, working: Iterable[SimOrder]) -> Decimal:
        """Rupees blocked by the positions and the given working orders."""
        legs: dict[PositionKey, tuple[list[Leg], list[Leg]]] = {}
        listings = {key: p.listing for key, p in self._positions.items()}
        for order in working:
            new = order.new
            key = position_key(new.listing, new.product)
            listings.setdefault(key, new.listing)
            buys, sells = legs.setdefault(key, ([], []))
            leg = Leg(order.remaining, self.valuation(new))
            (buys if new.side is Side.BUY else sells).append(leg)
        total = Decimal(0)
        for key, listing in listings.items():
            position = self._positions.get(key)
            net, average = (position.net, position.average) if position else (0, Decimal(0))
            buys, sells = legs.get(key, ([], []))
            if net or buys or sells:
                total += required(listing, key[2], net, average, buys, sells)
        return total

    def valuation(self, new: NewOrder) -> Decimal:
        """The price at which an order is margined: its limit, its trigger, or the last price."""
        if new.type in (Type.LIMIT, Type.STOP_LIMIT):
            return new.price
        return new.trigger if new.type is Type.STOP_MARKET else new.listing.rupees(self._mark(new.listing))

    def check_risk(self, order: SimOrder, new: NewOrder | None = None) -> None:
        """Raise ``Refusal`` (HOLDING, MARGIN) if the account cannot carry the order beside its others.

        Args:
            new: Terms that would take the place of the order's own.
        """
        wanted = order if new is None else replace(order, new=new)
        new = wanted.new
        if new.product == "CNC" and new.side is Side.SELL:
            owned = self._owned(new.listing)
            if wanted.remaining + self._selling(order) > owned:
                raise Refusal(
                    RefusalCode.HOLDING,
                    f"cannot sell {wanted.remaining} {new.listing.symbol}: only {max(owned, 0)} held",
                )
        others = [o for o in self.working.values() if o is not order and o.status is not Status.TRANSIT]
        before, after = self.blocked(others), self.blocked([*others, wanted])
        free = self.opening + sum((p.realized for p in self._positions.values()), Decimal(0)) - before
        if after > before and after - before > free:
            raise Refusal(
                RefusalCode.MARGIN,
                f"insufficient funds: required {after - before:.2f}, available {free:.2f}",
            )

    def _owned(self, listing: Listing) -> int:
        held = self._holdings.get((listing.exchange, listing.symbol))
        day = self._positions.get(position_key(listing, "CNC"))
        return (held.quantity if held else 0) + (day.net if day else 0)

    def _selling(self, order: SimOrder) -> int:
        """Shares other accepted orders are already selling."""
        key = position_key(order.new.listing, "CNC")
        return sum(
            o.remaining
            for o in self.working.values()
            if o is not order
            and o.status is not Status.TRANSIT
            and o.new.side is Side.SELL
            and position_key(o.new.listing, o.new.product) == key
        )

    # --- what the engine writes

    def enter(self, order: SimOrder) -> None:
        self.orders[order.order_id] = order
        if not order.status.is_final:
            self.working[order.order_id] = order

    def book(self, trade: SimTrade) -> None:
        self.trades.append(trade)
        key = position_key(trade.listing, trade.product)
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = SimPosition(trade.listing, trade.product)
        value = trade.quantity * trade.price
        if trade.side is Side.BUY:
            position.buy_qty += trade.quantity
            position.buy_value += value
        else:
            position.sell_qty += trade.quantity
            position.sell_value += value

    def next_day(self, today: date, settle: Callable[[Listing], int]) -> AccountState:
        """What the account carries into ``today``.

        Delivery settles into holdings, expired contracts into cash, the rest is carried at its average price.

        Args:
            settle: Final price of an expired contract, in paise.
        """
        opening = self.opening
        holdings = {key: replace(h) for key, h in self._holdings.items()}
        carried = []
        for position in self._positions.values():
            listing, net = position.listing, position.net
            if listing.expiry is not None and listing.expiry < today:
                opening += position.total(listing.rupees(settle(listing))).quantize(PAISA)
                continue
            opening += position.realized
            if not net:
                continue
            if position.product == "CNC":
                opening -= (net * position.average).quantize(PAISA)
                _deliver(holdings, listing, net, position.average)
            else:
                carried.append(_carry(position))
        kept = [h for h in holdings.values() if h.quantity > 0]
        return AccountState(self.id, opening, kept, carried)


def _deliver(
    holdings: dict[tuple[str, str], SimHolding], listing: Listing, net: int, average: Decimal
) -> None:
    key = (listing.exchange, listing.symbol)
    held = holdings.get(key)
    if held is None:
        holdings[key] = SimHolding(listing, net, average.quantize(PAISA))
        return
    if net > 0:
        value = held.quantity * held.average + net * average
        held.average = (value / (held.quantity + net)).quantize(PAISA)
    held.quantity += net


def _carry(position: SimPosition) -> SimPosition:
    net, value = position.net, abs(position.net) * position.average
    if net > 0:
        return SimPosition(position.listing, position.product, carry_buy_qty=net, carry_buy_value=value)
    return SimPosition(position.listing, position.product, carry_sell_qty=-net, carry_sell_value=value)


def open_state(account_id: str, find: Callable[[str, str], Listing | None]) -> AccountState:
    """A new account: its cash and three holdings bought a little below yesterday's price."""
    holdings = []
    for symbol, quantity in (("RELIANCE", 50), ("INFY", 100), ("SBIN", 200)):
        listing = find("NSE", symbol)
        if listing is not None:
            paise = listing.base_paise * 95 // 100 // listing.tick_paise * listing.tick_paise
            holdings.append(SimHolding(listing, quantity, rupees(paise)))
    return AccountState(account_id, OPENING_CASH, holdings)
