"""The paper account: the simulated exchange's books of one client, with running sums instead of walks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from brokers.sim.exchange.account import Account, AccountState
from brokers.sim.exchange.types import (
    PAISA,
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimFunds,
    SimOrder,
    SimPosition,
    SimTrade,
    Type,
)
from gateway.sandbox.margin import Blocked
from gateway.settings.sandbox import Leverage

NAME = "paper"


@dataclass(slots=True)
class PaperState:
    """Everything the account carries into a day; written when the day turns and when it is reset.

    Attributes:
        day: The IST date these books are of.
        capital: Rupees it began with, at the start or the last reset.
        realized_before: Rupees earned on earlier days since then.
        last_reset: ISO-8601 UTC.
        settled: ISO date on which each holding arrived, by ``EXCHANGE:SYMBOL``.
    """

    day: date
    capital: Decimal
    account: AccountState
    realized_before: Decimal = Decimal(0)
    last_reset: str = ""
    reset_count: int = 0
    settled: dict[str, str] = field(default_factory=dict)


class PaperAccount(Account):
    """One account of one day; blocked margin and realized profit are kept as running sums.

    Not thread-safe: the exchange's lock guards it.

    Attributes:
        reserved: Rupees blocked beside orders and positions (``purse``).
    """

    def __init__(
        self, state: AccountState, leverage: Leverage, mark: Callable[[Listing], int | None]
    ) -> None:
        super().__init__(state, lambda listing: mark(listing) or 0)
        self._maybe_mark = mark
        self._blocked = Blocked(leverage)
        self._valued: dict[str, tuple[int, Decimal]] = {}
        self.realized = Decimal(0)
        self.reserved = Decimal(0)
        for position in self._positions.values():
            self._blocked.position(position.listing, position.product, position.net, position.average)

    @property
    def utilised(self) -> Decimal:
        return self._blocked.total + self.reserved

    @property
    def available(self) -> Decimal:
        """Rupees new orders may block. Unrealized profit is not money."""
        return self.opening + self.realized - self.utilised

    def unrealized(self) -> Decimal:
        """Rupees of every open position at its last known price; one without a price counts as zero."""
        total = Decimal(0)
        for position in self._positions.values():
            if position.net:
                mark = self._maybe_mark(position.listing)
                price = position.average if mark is None else position.listing.rupees(mark)
                total += position.unrealized(price)
        return total.quantize(PAISA)

    def funds(self) -> SimFunds:
        return SimFunds(
            opening=self.opening,
            available=self.available,
            utilised=self.utilised,
            collateral=Decimal("0.00"),
            realized=self.realized,
            unrealized=self.unrealized(),
        )

    def blocked(self, working: Iterable[SimOrder]) -> Decimal:
        """The running sum; it knows the working orders already."""
        return self.utilised

    def more_for(self, listing: Listing, product: str, side: Side, quantity: int, price: Decimal) -> Decimal:
        """Rupees an order would block beyond what is blocked now; negative when it frees some."""
        return self._blocked.more_for(listing, product, side, quantity, price)

    def value(self, new: NewOrder) -> Decimal:
        """The price an order is margined at.

        A market order without any price is worth nothing known: it is refused before it gets here.
        """
        if new.type is Type.MARKET:
            mark = self._maybe_mark(new.listing)
            return Decimal(0) if mark is None else new.listing.rupees(mark)
        return new.trigger if new.type is Type.STOP_MARKET else new.price

    def check_new(self, new: NewOrder, price: Decimal) -> None:
        """Raise ``Refusal`` (HOLDING, MARGIN) if the account cannot carry the order beside the others.

        Args:
            price: What the order is valued at, from ``value``.
        """
        if new.product == "CNC" and new.side is Side.SELL:
            free = self._owned(new.listing) - self._blocked.working(new.listing, "CNC", Side.SELL).quantity
            if new.quantity > free:
                raise Refusal(
                    RefusalCode.HOLDING,
                    f"cannot sell {new.quantity} {new.listing.symbol}: {max(free, 0)} held and not on sale",
                )
        more = self.more_for(new.listing, new.product, new.side, new.quantity, price)
        if more > 0 and more > self.available:
            raise Refusal(
                RefusalCode.MARGIN,
                f"insufficient funds in the sandbox: required {more:.2f}, available {self.available:.2f}",
            )

    # --- what the exchange writes

    def work(self, order: SimOrder, price: Decimal) -> None:
        """An order begins to work (or has new terms)."""
        self.working[order.order_id] = order
        self._valued[order.order_id] = (order.remaining, price)
        self._sum(order, order.remaining, price)

    def valued(self, order_id: str) -> Decimal:
        """The price a working order is valued at."""
        return self._valued[order_id][1]

    def rest(self, order: SimOrder) -> None:
        """An order no longer works, or is about to be valued anew."""
        self.working.pop(order.order_id, None)
        valued = self._valued.pop(order.order_id, None)
        if valued is not None and valued[0]:
            self._sum(order, -valued[0], valued[1])

    def book(self, trade: SimTrade) -> None:
        """A trade, with everything it changes: position, profit, blocked margin."""
        key = (trade.listing.exchange, trade.listing.symbol, trade.product)
        before = self._positions.get(key)
        earned = Decimal(0) if before is None else before.realized
        super().book(trade)
        position = self._positions[key]
        self.realized += position.realized - earned
        valued = self._valued.get(trade.order_id)
        if valued is not None:
            left, price = valued
            self._valued[trade.order_id] = (left - trade.quantity, price)
            # what is blocked is worked out once, below
            self._blocked.working(trade.listing, trade.product, trade.side).add(-trade.quantity, price)
        self._blocked.position(trade.listing, trade.product, position.net, position.average)

    def position(self, listing: Listing, product: str) -> SimPosition | None:
        return self._positions.get((listing.exchange, listing.symbol, product))

    def _sum(self, order: SimOrder, quantity: int, price: Decimal) -> None:
        new = order.new
        self._blocked.order(new.listing, new.product, new.side, quantity, price)
