"""The sandbox of one instance, put together: a paper broker behind an order desk of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.model import OrderUpdate
from gateway import panicfile
from gateway.marketdata.market import MarketParts
from gateway.panicfile import paper_name
from gateway.sandbox.account import PaperState
from gateway.sandbox.books import Books, tables
from gateway.sandbox.days import PaperDays
from gateway.sandbox.exchange import ExchangeParts
from gateway.sandbox.hours import Hours
from gateway.sandbox.keeper import Keeper, Teller
from gateway.sandbox.market import FeedMarket
from gateway.sandbox.mode import ModeSwitch
from gateway.sandbox.prices import LivePrices
from gateway.sandbox.rest import PaperRest
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.trading.risklimits import RiskBook


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Everything analyze mode is made of."""

    switch: ModeSwitch
    exchange: PaperDays
    prices: LivePrices
    desk: OrderDesk
    market: FeedMarket
    database: engine.Database
    keeper: Keeper
    teller: Teller

    def start(self, *tell: Callable[[OrderUpdate], None]) -> None:
        """Start its threads; ``tell`` hears of order updates after the desk."""
        self.desk.start()
        self.teller.start(self.desk.on_update, *tell)
        self.keeper.start()

    def stop(self) -> None:
        """No more fills first, the books last."""
        self.keeper.stop()
        self.teller.stop()
        self.desk.stop()
        self.database.close()

    def reset(self) -> PaperState:
        """Begin anew with the starting capital."""
        state = self.exchange.reset()
        self.desk.forget_positions()
        return state

    def logged(self) -> int:
        """Events in the sandbox's order log, which only grows."""
        with self.database.read() as connection:
            newest = connection.exec_driver_sql("SELECT max(id) FROM order_events").scalar()
        return int(newest or 0)


def build(
    settings: Settings,
    main: engine.Database,
    instruments: InstrumentStore,
    market: MarketParts,
    calendar: Calendar,
    clock: Clock,
    risk: RiskBook,
) -> Sandbox:
    """Open the sandbox's database and wire it; nothing is started.

    Raises:
        SettingsError: The database is not ours, or of the other venue.
        StoreError: Another process writes it.
    """
    rules = settings.sandbox
    database = engine.open(settings.databases.sandbox, settings.venue, metadata=tables())
    with ExitStack() as undo:
        undo.callback(database.close)
        prices = LivePrices(market.ticks, clock, rules.price_age_s)
        books, teller = Books(database), Teller(clock)
        exchange = PaperDays(
            ExchangeParts(
                prices, books, Hours(calendar, rules.square_off), clock, rules, changed=teller.changed
            )
        )
        # no broker stands behind it whose windows could be exceeded
        spec = replace(
            settings.spec, title="The sandbox", order_windows=(), data_windows=(), quote_windows=()
        )
        desk = OrderDesk(
            DeskParts(
                rest=PaperRest(exchange, prices, clock, rules.leverage),
                instruments=instruments,
                journal=Journal(database, clock),
                limiter=Limiter(spec, clock),
                calendar=calendar,
                clock=clock,
                rules=settings.trading,
                capabilities=replace(settings.spec.capabilities, modifications_per_order=None),
                last_price=prices.last_price,
                # a panic of the home is one on paper too; it writes what it did beside the instance's own
                instance=paper_name(settings.name),
                panic_file=settings.run_dir / panicfile.NAME,
                # the operator's limits hold on paper as they do live
                risk=risk,
                price_now=lambda key: prices.price_now(key, rules.price_wait_s),
            )
        )
        switch = ModeSwitch(main, analyze=rules.paper_trading)
        undo.pop_all()
    keeper = Keeper(exchange, prices, books, clock)
    market.ticks.listen(keeper.heard)
    return Sandbox(switch, exchange, prices, desk, FeedMarket(market), database, keeper, teller)
