"""Composition root of the api process: everything is built here and handed to those who need it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from flask import Flask

from brokers import registry
from brokers.clock import Clock
from brokers.contract import Auth, Broker, BrokerContext, BrokerSession, KnowsAddresses, Rest
from brokers.errors import SettingsError
from brokers.model import Venue
from brokers.redact import Redactor
from brokers.secret import Secret
from brokers.transport import Transport
from gateway import app as web_app
from gateway import panicfile
from gateway.api import carrier, modes
from gateway.api import gtt as gtt_book
from gateway.api.limits import Limits
from gateway.api.parts import Parts
from gateway.brokerday import hours
from gateway.brokerday.egress import EgressWatch
from gateway.brokerday.session import SessionManager
from gateway.brokerday.sync import InstrumentKeeper
from gateway.keys import Keys
from gateway.latency import build as latency
from gateway.latency.metered import metered
from gateway.latency.recorder import Recorder
from gateway.marketdata.history import History
from gateway.marketdata.market import Market, MarketParts
from gateway.marketdata.ticks import TickCache
from gateway.sandbox import compose as paper
from gateway.sandbox.compose import Sandbox
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.daypoints import DayPoints
from gateway.store.gtt import GttRow
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.store.preferences import Preferences
from gateway.store.queued import QueuedOrders
from gateway.store.riskchanges import RiskChanges
from gateway.store.strategies import Strategies
from gateway.store.users import Users
from gateway.strategies import leasefile
from gateway.strategies.leasefile import Gatekeeper, LeaseFile
from gateway.strategies.queue import Queue
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.trading.riskdesk import DataMeter
from gateway.trading.risklimits import RiskLimits
from gateway.trading.stages import NOBODY
from gateway.triggers import build as triggers
from gateway.triggers.parts import Gtts, shown
from gateway.web.access import OneTimeCode, WebSessions
from gateway.web.live import Live


@dataclass(frozen=True, slots=True)
class Composed:
    """Everything an api process is made of, nothing of it started, no port bound."""

    database: engine.Database
    session: SessionManager
    keeper: InstrumentKeeper
    ticks: TickCache
    desk: OrderDesk
    sandbox: Sandbox
    live: Live
    queue: Queue
    code: OneTimeCode
    parts: Parts
    app: Flask
    egress: EgressWatch
    latency: Recorder | None


def compose(settings: Settings, redactor: Redactor, clock: Clock) -> Composed:
    """Open the store (which takes the instance's lock) and wire everything.

    Raises:
        SettingsError: A wrong setting, or a database that is not ours.
        StoreError: Another api process of this instance runs.
    """
    limits = Limits(settings.rate_limits)
    broker = registry.open_broker(settings.broker)
    with ExitStack() as undo:
        database = engine.open(settings.databases.main, settings.venue)
        undo.callback(database.close)
        instruments = InstrumentStore(database, clock)
        context = _context(settings, clock, instruments)
        risk = RiskLimits(settings.risk, RiskChanges(database, clock))
        ground = _Ground(settings, redactor, clock, database, broker, instruments, context, risk)
        made = _wire(ground, limits)
        undo.pop_all()
    return made


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    settings: Settings
    redactor: Redactor
    clock: Clock
    database: engine.Database
    broker: Broker
    instruments: InstrumentStore
    context: BrokerContext
    risk: RiskLimits


@dataclass(frozen=True, slots=True)
class _Account:
    """The way to the broker's account, and what watches it."""

    session: SessionManager
    rest: Rest
    ticks: TickCache
    leases: LeaseFile
    egress: EgressWatch
    recorder: Recorder | None


def _wire(ground: _Ground, limits: Limits) -> Composed:
    settings, clock, database, context = ground.settings, ground.clock, ground.database, ground.context
    account = _account(ground)
    market, desk = _trading(ground, account)
    keeper = _keeper(ground, account.session)
    users = Users(database, clock)
    code = OneTimeCode(needed=not users.exists())
    sessions = WebSessions(clock, database)
    live = Live(sessions)
    queue = _queue(ground, live)
    sandbox = paper.build(
        settings, database, ground.instruments, market.parts, context.calendar, clock, ground.risk.book
    )
    gtts, paper_gtts = _gtts(ground, account, market, desk, sandbox, live)
    parts = Parts(
        settings=settings,
        clock=clock,
        keys=Keys(database, settings.pepper, clock),
        users=users,
        session=account.session,
        desk=desk,
        instruments=ground.instruments,
        market=market,
        sync=keeper,
        limits=limits,
        started_at=clock.now().isoformat(),
        owner_code=code,
        preferences=Preferences(database),
        day_points=DayPoints(database),
        risk=ground.risk,
        data_meter=DataMeter(ground.risk.book, clock.monotonic),
        on_update=live.on_update,
        queue=queue,
        hide=ground.redactor.add,
        sandbox=sandbox,
        history=History(settings, context.calendar, clock),
        latency=account.recorder,
        leases=account.leases,
        hours=context.calendar,
        egress=lambda: account.egress.last,
        gtt=gtts,
        paper_gtt=paper_gtts,
    )
    parts = modes.two_moded(parts)
    return Composed(
        database=database,
        session=account.session,
        keeper=keeper,
        ticks=account.ticks,
        desk=desk,
        sandbox=sandbox,
        live=live,
        queue=queue,
        code=code,
        parts=parts,
        app=web_app.create(parts, code, sessions, live),
        egress=account.egress,
        latency=account.recorder,
    )


def _gtts(
    ground: _Ground, account: _Account, market: Market, desk: OrderDesk, sandbox: Sandbox, live: Live
) -> tuple[Gtts, Gtts]:
    """The account's and the sandbox's; a missed price is shown on the pages of either."""

    def missed(row: GttRow) -> None:
        live.tell("gtt_event", gtt_book.row_of(shown(row), None))

    settings, context = ground.settings, ground.context
    own = triggers.gtts(
        settings,
        ground.broker,
        context,
        account.session.current,
        ground.database,
        ground.instruments,
        market,
        desk,
        missed,
    )
    return own, triggers.paper(settings, context, ground.instruments, sandbox, missed)


def _context(settings: Settings, clock: Clock, instruments: InstrumentStore) -> BrokerContext:
    always = settings.venue is Venue.SIM and settings.sim_hours == "always"
    return BrokerContext(
        credentials=settings.credentials,
        endpoints=settings.endpoints,
        options=settings.options,
        clock=clock,
        instruments=instruments,
        calendar=hours.trading_calendar(always=always),
        write_timeout_s=settings.trading.broker_timeout_s,
    )


def _account(ground: _Ground) -> _Account:
    settings, clock, context = ground.settings, ground.clock, ground.context
    session = _session(ground)
    rest = ground.broker.rest(context, session.current)
    recorder = latency.recorder(settings, context.calendar, clock, lambda: session.status().state == "valid")
    if recorder is not None:
        rest = metered(rest, recorder.called)
    return _Account(
        session=session,
        rest=rest,
        ticks=TickCache(settings.zmq_host, settings.zmq_port, clock),
        leases=LeaseFile(settings.run_dir / leasefile.NAME, clock),
        egress=_egress(settings, rest, clock),
        recorder=recorder,
    )


def _session(ground: _Ground) -> SessionManager:
    def hide(session: BrokerSession) -> None:
        for secret in session.secrets.values():
            ground.redactor.add(secret)

    settings, broker, context = ground.settings, ground.broker, ground.context
    alone, hint = _unattended(settings, broker, context)
    return SessionManager(
        broker.auth(context),
        ground.database,
        settings.pepper,
        settings.fernet_salt,
        ground.clock,
        broker=settings.broker,
        lead_s=_lead_s(settings),
        on_session=hide,
        unattended=alone,
        hint=hint,
    )


def _unattended(settings: Settings, broker: Broker, context: BrokerContext) -> tuple[Auth | None, str]:
    """What logs in when nobody asked, and what to say where that cannot.

    The TOTP seed is used only with leave, while a token or its renewal needs none.
    """
    seeds = [name for name in context.credentials if name.endswith("_TOTP_SECRET")]
    if settings.day.auto_login or not seeds:
        return None, ""
    kept = {name: secret for name, secret in context.credentials.items() if name not in seeds}
    hint = f" ({seeds[0]} is stored; AUTO_LOGIN=yes lets it be used without you)"
    return broker.auth(replace(context, credentials=kept)), hint


def _egress(settings: Settings, rest: Rest, clock: Clock) -> EgressWatch:
    def registered() -> tuple[str, ...]:
        if settings.day.registered_ips or not isinstance(rest, KnowsAddresses):
            return settings.day.registered_ips
        return rest.registered_ips()

    # it must leave the way orders do, so it is made as they are
    return EgressWatch(settings.day.egress_url, registered, clock, Transport(read_timeout_s=5.0))


def _trading(ground: _Ground, account: _Account) -> tuple[Market, OrderDesk]:
    """Market data and orders over one limiter: they share the broker's account."""
    settings, context = ground.settings, ground.context
    limiter = Limiter(settings.spec, ground.clock)
    market = Market(
        MarketParts(
            rest=account.rest,
            instruments=ground.instruments,
            limiter=limiter,
            capabilities=settings.spec.capabilities,
            clock=ground.clock,
            ticks=account.ticks,
            on_login_required=account.session.renew_soon,
        )
    )
    may_lease = "control" in settings.roles
    egress = account.egress
    desk = OrderDesk(
        DeskParts(
            rest=account.rest,
            instruments=ground.instruments,
            journal=Journal(ground.database, ground.clock),
            limiter=limiter,
            calendar=context.calendar,
            clock=ground.clock,
            rules=settings.trading,
            capabilities=settings.spec.capabilities,
            last_price=market.last_price,
            on_login_required=account.session.renew_soon,
            instance=settings.name,
            panic_file=settings.run_dir / panicfile.NAME,
            objection=Gatekeeper(account.leases, ground.clock, settings.name, may_lease=may_lease).objection,
            executes="execute" in settings.roles,
            egress=lambda: egress.last.reason if egress.last.state == "mismatch" else "",
            risk=ground.risk.book,
            price_now=market.price_now,
            stages=account.recorder or NOBODY,
        )
    )
    return market, desk


def _keeper(ground: _Ground, session: SessionManager) -> InstrumentKeeper:
    return InstrumentKeeper(
        ground.broker.instruments(ground.context, session.current),
        ground.instruments,
        ground.clock,
        logged_in=lambda: session.status().state == "valid",
        calendar=ground.context.calendar,
        exchanges=ground.settings.spec.capabilities.exchanges,
    )


def _queue(ground: _Ground, live: Live) -> Queue:
    """Orders that wait, with their strategies, whose webhook ids are as good as keys."""
    queue = Queue(
        QueuedOrders(ground.database, ground.clock),
        Strategies(ground.database, ground.clock),
        ground.clock,
        mode=ground.settings.order_mode,
        announce=lambda row: live.tell("pending_order_created", carrier.pending(row)),
    )
    for strategy in queue.strategies.all():
        ground.redactor.add(Secret(strategy.webhook_id))
    return queue


def _lead_s(settings: Settings) -> float:
    """How long before its end a session is renewed; a broker may have its own setting in minutes."""
    name = f"{settings.broker.upper()}_LOGIN_LEAD_MINUTES"
    text = settings.options.get(name, "10")
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= 600:
        raise SettingsError(f"{settings.where(name)}: {name} is {text}, expected 0 to 600 minutes")
    return minutes * 60
