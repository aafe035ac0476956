"""Composition root of the api process: everything is built here and handed to those who need it."""

from __future__ import annotations

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
from gateway.store.gtt import GttRow
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.store.preferences import Preferences
from gateway.store.queued import QueuedOrders
from gateway.store.strategies import Strategies
from gateway.store.users import Users
from gateway.strategies import leasefile
from gateway.strategies.leasefile import Gatekeeper, LeaseFile
from gateway.strategies.queue import Queue
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.trading.riskdesk import DataMeter
from gateway.trading.stages import NOBODY
from gateway.triggers import build
from gateway.triggers.parts import shown
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
    database = engine.open(settings.databases.main, settings.venue)
    try:
        return _wire(settings, redactor, clock, database, broker, limits)
    except BaseException:
        database.close()
        raise


def _wire(
    settings: Settings,
    redactor: Redactor,
    clock: Clock,
    database: engine.Database,
    broker: Broker,
    limits: Limits,
) -> Composed:
    instruments = InstrumentStore(database, clock)
    context = _context(settings, clock, instruments)
    session = _session(settings, redactor, clock, database, broker, context)
    ticks = TickCache(settings.zmq_host, settings.zmq_port, clock)
    rest = broker.rest(context, session.current)
    recorder = latency.recorder(settings, context.calendar, clock, lambda: session.status().state == "valid")
    if recorder is not None:
        rest = metered(rest, recorder.called)
    leases = LeaseFile(settings.run_dir / leasefile.NAME, clock)
    egress = _egress(settings, rest, clock)
    market, desk = _trading(
        settings, context, instruments, database, rest, session, ticks, leases, egress, recorder
    )
    keeper = InstrumentKeeper(
        broker.instruments(context, session.current),
        instruments,
        clock,
        logged_in=lambda: session.status().state == "valid",
        calendar=context.calendar,
        exchanges=settings.spec.capabilities.exchanges,
    )
    users = Users(database, clock)
    code = OneTimeCode(needed=not users.exists())
    sessions = WebSessions(clock, database)
    live = Live(sessions)
    queue = Queue(
        QueuedOrders(database, clock),
        Strategies(database, clock),
        clock,
        mode=settings.order_mode,
        announce=lambda row: live.tell("pending_order_created", carrier.pending(row)),
    )
    for strategy in queue.strategies.all():
        redactor.add(Secret(strategy.webhook_id))
    sandbox = paper.build(settings, database, instruments, market.parts, context.calendar, clock)

    def missed(row: GttRow) -> None:
        live.tell("gtt_event", gtt_book.row_of(shown(row), None))

    parts = Parts(
        settings=settings,
        clock=clock,
        keys=Keys(database, settings.pepper, clock),
        users=users,
        session=session,
        desk=desk,
        instruments=instruments,
        market=market,
        sync=keeper,
        limits=limits,
        started_at=clock.now().isoformat(),
        owner_code=code,
        preferences=Preferences(database),
        data_meter=DataMeter(settings.risk.data_per_minute, clock.monotonic),
        on_update=live.on_update,
        queue=queue,
        hide=redactor.add,
        sandbox=sandbox,
        history=History(settings, context.calendar, clock),
        latency=recorder,
        leases=leases,
        hours=context.calendar,
        egress=lambda: egress.last,
        gtt=build.gtts(
            settings, broker, context, session.current, database, instruments, market, desk, missed
        ),
        paper_gtt=build.paper(settings, context, instruments, sandbox, missed),
    )
    parts = modes.two_moded(parts)
    app = web_app.create(parts, code, sessions, live)
    return Composed(
        database, session, keeper, ticks, desk, sandbox, live, queue, code, parts, app, egress, recorder
    )


def _egress(settings: Settings, rest: Rest, clock: Clock) -> EgressWatch:
    def registered() -> tuple[str, ...]:
        if settings.day.registered_ips or not isinstance(rest, KnowsAddresses):
            return settings.day.registered_ips
        return rest.registered_ips()

    # it must leave the way orders do, so it is made as they are
    return EgressWatch(settings.day.egress_url, registered, clock, Transport(read_timeout_s=5.0))


def _context(settings: Settings, clock: Clock, instruments: InstrumentStore) -> BrokerContext:
    always = settings.venue is Venue.SIM and settings.sim_hours == "always"
    calendar = hours.trading_calendar(always=always)
    return BrokerContext(
        credentials=settings.credentials,
        endpoints=settings.endpoints,
        options=settings.options,
        clock=clock,
        instruments=instruments,
        calendar=calendar,
        write_timeout_s=settings.trading.broker_timeout_s,
    )


def _session(
    settings: Settings,
    redactor: Redactor,
    clock: Clock,
    database: engine.Database,
    broker: Broker,
    context: BrokerContext,
) -> SessionManager:
    def hide(session: BrokerSession) -> None:
        for secret in session.secrets.values():
            redactor.add(secret)

    alone, hint = _unattended(settings, broker, context)
    return SessionManager(
        broker.auth(context),
        database,
        settings.pepper,
        settings.fernet_salt,
        clock,
        broker=settings.broker,
        lead_s=_lead_s(settings),
        on_session=hide,
        unattended=alone,
        hint=hint,
    )


def _unattended(settings: Settings, broker: Broker, context: BrokerContext) -> tuple[Auth | None, str]:
    """What logs in when nobody asked, and what to say where that cannot: the TOTP seed is used only with
    leave, while a token or its renewal needs none.
    """
    seeds = [name for name in context.credentials if name.endswith("_TOTP_SECRET")]
    if settings.day.auto_login or not seeds:
        return None, ""
    kept = {name: secret for name, secret in context.credentials.items() if name not in seeds}
    hint = f" ({seeds[0]} is stored; AUTO_LOGIN=yes lets it be used without you)"
    return broker.auth(replace(context, credentials=kept)), hint


def _trading(
    settings: Settings,
    context: BrokerContext,
    instruments: InstrumentStore,
    database: engine.Database,
    rest: Rest,
    session: SessionManager,
    ticks: TickCache,
    leases: LeaseFile,
    egress: EgressWatch,
    recorder: Recorder | None,
) -> tuple[Market, OrderDesk]:
    """Market data and orders over one limiter: they share the broker's account."""
    limiter = Limiter(settings.spec, context.clock)
    market = Market(
        MarketParts(
            rest=rest,
            instruments=instruments,
            limiter=limiter,
            capabilities=settings.spec.capabilities,
            clock=context.clock,
            ticks=ticks,
            on_login_required=session.renew_soon,
        )
    )
    desk = OrderDesk(
        DeskParts(
            rest=rest,
            instruments=instruments,
            journal=Journal(database, context.clock),
            limiter=limiter,
            calendar=context.calendar,
            clock=context.clock,
            rules=settings.trading,
            capabilities=settings.spec.capabilities,
            last_price=market.last_price,
            on_login_required=session.renew_soon,
            instance=settings.name,
            panic_file=settings.run_dir / panicfile.NAME,
            objection=Gatekeeper(
                leases, context.clock, settings.name, may_lease="control" in settings.roles
            ).objection,
            executes="execute" in settings.roles,
            egress=lambda: egress.last.reason if egress.last.state == "mismatch" else "",
            risk=settings.risk,
            price_now=market.price_now,
            stages=recorder or NOBODY,
        )
    )
    return market, desk


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
