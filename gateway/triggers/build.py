"""Who keeps GTT orders, and what with: part of the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from brokers.contract import Broker, BrokerContext, SessionSource
from gateway.marketdata.market import Market
from gateway.sandbox.compose import Sandbox
from gateway.sandbox.purse import GttPurse
from gateway.settings import Settings
from gateway.store.engine import Database
from gateway.store.gtt import GttRow, GttStore
from gateway.store.instruments import InstrumentStore
from gateway.trading.desk import OrderDesk
from gateway.triggers.kept import GatewayGtts
from gateway.triggers.native import BrokerGtts, BrokerParts
from gateway.triggers.parts import GttParts, Gtts


def gtts(
    settings: Settings,
    broker: Broker,
    context: BrokerContext,
    session: SessionSource,
    database: Database,
    instruments: InstrumentStore,
    market: Market,
    desk: OrderDesk,
    announce: Callable[[GttRow], None],
) -> Gtts:
    """The account's GTT orders: the broker's where it has them, else this gateway's. Nothing is started."""
    capabilities = settings.spec.capabilities
    store = GttStore(database, context.clock)
    parts = _parts(settings.spec.title, settings, context, store, instruments, market, desk)
    parts = replace(parts, announce=announce)
    if not capabilities.native_gtt:
        return _obeying(GatewayGtts(parts), desk)
    beside = BrokerParts(
        rest=broker.gtt(context, session),
        limiter=market.limiter,
        order_deadline_s=settings.trading.order_deadline_s,
        on_login_required=market.login_required,
    )
    made = BrokerGtts(replace(parts, family=desk), beside)
    desk.strangers.listen(made.stranger)
    return _obeying(made, desk)


def _obeying(gtts: Gtts, desk: OrderDesk) -> Gtts:
    """A panic of the desk is theirs too."""
    desk.guards.canceller.gtts.attach(gtts)
    return gtts


def paper(
    settings: Settings,
    context: BrokerContext,
    instruments: InstrumentStore,
    sandbox: Sandbox,
    announce: Callable[[GttRow], None],
) -> Gtts:
    """The sandbox's: kept here, fired by the feed's ticks, sent to the paper broker's desk."""
    store = GttStore(sandbox.database, context.clock)
    store.make_tables()
    parts = _parts("The sandbox", settings, context, store, instruments, sandbox.market, sandbox.desk)
    parts = replace(parts, announce=announce, purse=GttPurse(sandbox.exchange))
    return _obeying(GatewayGtts(parts), sandbox.desk)


def _parts(
    title: str,
    settings: Settings,
    context: BrokerContext,
    store: GttStore,
    instruments: InstrumentStore,
    market: Market,
    desk: OrderDesk,
) -> GttParts:
    return GttParts(
        title=title,
        store=store,
        desk=desk,
        table=instruments,
        exchanges=settings.spec.capabilities.exchanges,
        calendar=context.calendar,
        clock=context.clock,
        ticks=market.ticks,
        quotes=market.quotes,
        last_price=market.last_price,
        blocked=desk.guards.blocked,
        fires_missed=settings.trading.fires_missed_gtts,
    )
