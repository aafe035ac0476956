"""The matching engine and the risk desk in front of it. Single-threaded; deterministic under ``step``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.types import (
    Listing,
    NewOrder,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Snapshot,
    Type,
)
from brokers.sim.exchange.universe import Universe

OrderId = Callable[[datetime, int], str]
OrderListener = Callable[[SimOrder, SimTrade | None], None]
MarketListener = Callable[[list[Snapshot]], None]


class Account:
    """One client's books. ``orders`` keeps every order of the IST day in the order of submission."""

    id: str
    orders: dict[str, SimOrder]
    trades: list[SimTrade]

    def positions(self) -> list[SimPosition]:
        raise NotImplementedError

    def holdings(self) -> list[SimHolding]:
        raise NotImplementedError

    def funds(self) -> SimFunds:
        raise NotImplementedError


class Exchange:
    """One exchange with its accounts.

    Attributes:
        order_id: Makes an order's id from its time and a running number of the day (1, 2, …); a venue
            assigns its broker's format before the first order.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        prices: Prices,
        clock: Clock,
        hours: Calendar,
        order_id: OrderId | None = None,
        accept_delay_s: float = 0.005,
        tick_s: float = 0.25,
    ) -> None:
        self.universe = universe
        self.prices = prices
        self.clock = clock
        self.hours = hours
        self.order_id: OrderId = order_id or (lambda at, n: f"{at:%y%m%d}{n:08d}")
        self.accept_delay_s = accept_delay_s
        self.tick_s = tick_s

    def account(self, account_id: str) -> Account:
        """The account, opened with its cash and holdings at first use."""
        raise NotImplementedError

    def orders(self) -> Iterator[SimOrder]:
        """Every order of every account, oldest first."""
        raise NotImplementedError

    def submit(self, new: NewOrder) -> SimOrder:
        """Take an order in; it is TRANSIT and moves on by itself.

        Raises:
            Refusal: Refused before an id exists (lot, tick, freeze, closed market, …). What the risk
                desk refuses (margin, holding, band, product) becomes a REJECTED order instead.
        """
        raise NotImplementedError

    def modify(
        self,
        account_id: str,
        order_id: str,
        *,
        type: Type,
        quantity: int,
        price: Decimal,
        trigger: Decimal,
        disclosed: int = 0,
    ) -> SimOrder:
        """Replace an order's terms (full resend). Raises ``Refusal``."""
        raise NotImplementedError

    def cancel(self, account_id: str, order_id: str) -> SimOrder:
        """Take an order out. Raises ``Refusal`` (NOT_FOUND, FINAL, IN_TRANSIT)."""
        raise NotImplementedError

    def square_off(self, account_id: str) -> list[SimOrder]:
        """Cancel every working order and send market orders that flatten every position."""
        raise NotImplementedError

    def margin_required(self, new: NewOrder) -> Decimal:
        """Rupees an order would block if it opened a position."""
        raise NotImplementedError

    def snapshot(self, listing: Listing) -> Snapshot:
        """The market now, users' own trades included in volume."""
        raise NotImplementedError

    def on_order(self, listener: OrderListener) -> None: ...

    def on_market(self, listener: MarketListener) -> None: ...

    def watch(self, listing: Listing) -> None:
        """Count one more reader; watched listings tick."""

    def unwatch(self, listing: Listing) -> None: ...

    async def run(self) -> None:
        """Step every ``tick_s`` until cancelled."""

    def step(self, at: datetime) -> None:
        """Accept what is due, move the market to ``at``, match, report."""
