"""A paper exchange without processes: ticks by hand, a clock by hand, real files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from brokers.calendar import Calendar, FileCalendar
from brokers.clock import ManualClock
from brokers.model import InstrumentKey, Mode, Order, Venue
from brokers.sim.exchange.types import Kind, Listing, NewOrder, Side, Type
from gateway.sandbox.account import NAME
from gateway.sandbox.books import Books, tables
from gateway.sandbox.days import PaperDays
from gateway.sandbox.exchange import ExchangeParts
from gateway.sandbox.hours import Hours
from gateway.sandbox.prices import DECIMALS, LivePrices
from gateway.settings.sandbox import Leverage, SandboxRules
from gateway.store import engine

FRIDAY = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
"""10:30 IST on a trading day."""
RULES = SandboxRules(
    paper_trading=False,
    capital=Decimal(1_000_000),
    leverage=Leverage(),
    square_off=dict.fromkeys(("NSE", "BSE", "NFO", "BFO"), time(15, 15)),
    reset_day=None,
    price_age_s=60.0,
    price_wait_s=0.05,
)
SBIN = InstrumentKey("NSE", "SBIN")


def listing(symbol: str = "SBIN", exchange: str = "NSE", **changes: Any) -> Listing:
    base = Listing(
        exchange=exchange,
        symbol=symbol,
        token=0,
        kind=Kind.EQUITY,
        name=symbol,
        root=symbol,
        isin="",
        lot_size=1,
        tick_paise=500,
        freeze_qty=0,
        base_paise=0,
        decimals=DECIMALS,
    )
    return replace(base, **changes)


SHARE = listing()


class Ticks:
    """What the paper exchange sees of a tick cache."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.newest: dict[tuple[InstrumentKey, Mode], bytes] = {}
        self.streamed: list[InstrumentKey] = []

    def want(self, keys: Any) -> None:
        pass

    def stream(self, keys: Any) -> None:
        self.streamed += keys

    def raw(self, key: InstrumentKey, mode: Mode) -> bytes | None:
        return self.newest.get((key, mode))


@dataclass
class World:
    """Ticks go in, orders come out; ``told`` is what the outside heard."""

    exchange: PaperDays
    prices: LivePrices
    ticks: Ticks
    clock: ManualClock
    database: engine.Database
    path: Path
    told: list[Order]

    def tick(
        self,
        ltp: float,
        bid: float = 0.0,
        ask: float = 0.0,
        *,
        key: InstrumentKey = SBIN,
        mode: Mode = Mode.QUOTE,
        depth: dict[str, Any] | None = None,
    ) -> None:
        """A tick as the bus carries it, and what the keeper makes of it."""
        data: dict[str, Any] = {"ltp": ltp, "timestamp": self.clock.time_ns() // 1_000_000}
        if mode is not Mode.LTP:
            data |= {"bid": bid, "ask": ask, "bid_quantity": 100, "ask_quantity": 100}
        if depth is not None:
            data["depth"] = depth
        payload = msgspec.json.encode(data)
        self.ticks.newest[key, mode] = payload
        touch = self.prices.decode(key, mode, payload)
        assert touch is not None
        self.exchange.quoted(key, touch)

    def order(
        self,
        side: str = "BUY",
        quantity: int = 10,
        type: str = "MARKET",
        price: str = "0",
        trigger: str = "0",
        product: str = "MIS",
        what: Listing = SHARE,
        tag: str = "",
    ) -> Order:
        terms = (Decimal(price), Decimal(trigger))
        new = NewOrder(NAME, what, Side(side), Type(type), product, quantity, *terms, tag=tag)
        return self.exchange.place(new)

    def now(self, order_id: str) -> Order:
        return next(order for order in self.exchange.orders() if order.order_id == order_id)

    def net(self, product: str = "MIS", what: Listing = SHARE) -> int:
        found = [
            p for p in self.exchange.positions() if (p.listing.symbol, p.product) == (what.symbol, product)
        ]
        return found[0].net if found else 0

    def go_to(self, at: datetime) -> None:
        """The wall's and the other clock move together, as they do; duties follow."""
        self.clock.advance((at - self.clock.now()).total_seconds())
        self.exchange.duties()


def make(
    path: Path, *, at: datetime = FRIDAY, rules: SandboxRules = RULES, calendar: Calendar | None = None
) -> World:
    clock = ManualClock(at)
    database = engine.open(path, Venue.SIM, metadata=tables())
    ticks = Ticks(clock)
    prices = LivePrices(ticks, clock, rules.price_age_s, sleep=clock.advance)  # type: ignore[arg-type]
    told: list[Order] = []
    hours = Hours(calendar or FileCalendar(), rules.square_off)
    parts = ExchangeParts(prices, Books(database), hours, clock, rules, changed=told.extend)
    return World(PaperDays(parts), prices, ticks, clock, database, path, told)


def again(world: World, *, at: datetime | None = None, rules: SandboxRules = RULES) -> World:
    """The same files in a new process, without a farewell of the old one beyond letting go of the lock."""
    world.database.close()
    return make(world.path, at=at or world.clock.now(), rules=rules)


def ist(day: date, text: str) -> datetime:
    """``15:15`` IST on a day, as UTC."""
    return datetime.fromisoformat(f"{day.isoformat()}T{text}:00+05:30").astimezone(UTC)
