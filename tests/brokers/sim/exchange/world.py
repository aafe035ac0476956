"""A small exchange under a clock moved by hand, shared by the tests of this folder."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from brokers.calendar import AlwaysOpen, Calendar
from brokers.clock import IST, ManualClock
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.types import Listing, NewOrder, Side, SimOrder, SimTrade, Status, Type, rupees
from brokers.sim.exchange.universe import Universe

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
"""A Friday, 12:00 IST."""
SEED = 7
BUY, SELL = Side.BUY, Side.SELL


def make_universe(on: date = date(2026, 11, 20), size: str = "small") -> Universe:
    return Universe(SEED, on, size)  # type: ignore[arg-type]


class World:
    """One exchange, its clock, and everything its order listener heard."""

    def __init__(
        self,
        at: datetime = NOON,
        hours: Calendar | None = None,
        state: Path | None = None,
        auto_square_off: bool = False,
        clock: ManualClock | None = None,
    ) -> None:
        hours = hours or AlwaysOpen()
        self.clock = clock or ManualClock(at)
        self.universe = make_universe(self.clock.now().astimezone(IST).date())
        self.prices = Prices(SEED, self.universe, hours)
        self.journal = Journal(state, "dhan") if state else None
        self.exchange = Exchange(
            universe=self.universe,
            prices=self.prices,
            clock=self.clock,
            hours=hours,
            journal=self.journal,
            auto_square_off=auto_square_off,
        )
        self.heard: list[tuple[SimOrder, SimTrade | None]] = []
        self.exchange.on_order(lambda order, trade: self.heard.append((order, trade)))

    def listing(self, symbol: str = "SBIN", exchange: str = "NSE") -> Listing:
        found = self.universe.find(exchange, symbol)
        assert found is not None
        return found

    def future(self) -> Listing:
        return next(
            x for x in self.universe.listings if x.symbol.startswith("NIFTY") and x.symbol.endswith("FUT")
        )

    def option(self, kind: str = "CE") -> Listing:
        """A NIFTY option near the money."""
        spot = self.prices.ltp(self.listing("NIFTY", "NSE_INDEX"), self.clock.now())
        options = [x for x in self.universe.listings if x.root == "NIFTY" and x.kind.value == kind]
        return min(options, key=lambda x: (x.expiry, abs(x.strike_paise - spot)))

    def ltp(self, listing: Listing | None = None) -> Decimal:
        return rupees(self.prices.ltp(listing or self.listing(), self.clock.now()))

    def new(
        self,
        side: Side = BUY,
        quantity: int = 100,
        type: Type = Type.MARKET,
        price: Decimal | int = 0,
        trigger: Decimal | int = 0,
        account: str = "A",
        product: str = "MIS",
        listing: Listing | None = None,
        validity: str = "DAY",
    ) -> NewOrder:
        return NewOrder(
            account,
            listing or self.listing(),
            side,
            type,
            product,
            quantity,
            Decimal(price),
            Decimal(trigger),
            validity=validity,
        )

    def place(self, *args: object, **words: object) -> SimOrder:
        """Submit and let it be accepted (10 ms later)."""
        order = self.exchange.submit(self.new(*args, **words))  # type: ignore[arg-type]
        self.wait(0.01)
        return order

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.exchange.step(self.clock.now())

    def wait_for(self, order: SimOrder, status: Status, within_s: int = 3600) -> None:
        """Let the market run until an order is in a state; market time, not wall time."""
        end = self.clock.now() + timedelta(seconds=within_s)
        while order.status is not status and self.clock.now() < end:
            self.wait(5)
        assert order.status is status, order
