"""Composition root of the api process: everything is built here and handed to those who need it."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from brokers import registry
from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import Clock, SystemClock
from brokers.contract import Broker, BrokerContext, BrokerSession
from brokers.errors import SettingsError, StoreError
from brokers.model import Venue
from brokers.redact import Redactor
from gateway import app as web_app
from gateway import log as logs
from gateway.api.limits import Limits
from gateway.api.parts import Parts
from gateway.keys import Keys
from gateway.market import Market, MarketParts
from gateway.server import Server
from gateway.session import SessionManager
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.store.users import Users
from gateway.stream.topics import pin
from gateway.sync import InstrumentKeeper
from gateway.ticks import TickCache
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.web.access import OneTimeCode, WebSessions
from gateway.web.live import Live

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CRASH = 1
EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3
STOP_WITHIN_S = 2.0
SWITCH_S = 0.001
"""How long one thread may keep the interpreter while another waits. Beside a thread that only computes (the
instrument file being parsed) this doubles requests per second and halves their p99 against Python's 5 ms."""


@dataclass(slots=True)
class Process:
    """One api process, built and not yet started."""

    settings: Settings
    database: engine.Database
    session: SessionManager
    keeper: InstrumentKeeper
    ticks: TickCache
    desk: OrderDesk
    live: Live
    server: Server
    code: OneTimeCode
    parts: Parts

    def start(self) -> None:
        """Start every thread; returns while login, instruments and reconciliation still run."""
        threading.Thread(target=self.server.serve_forever, name="accept", daemon=True).start()
        self.ticks.start()
        self.ticks.want(pin(text) for text in self.settings.symbols)
        self.session.start()
        self.keeper.start()
        self.desk.start()
        self.live.start()
        if (code := self.code.current()) is not None:
            log.warning(
                "no owner account yet: open %s/setup and give the one-time code %s",
                self.settings.url,
                code,
                extra={"owner_code": code},
            )

    def stop(self) -> None:
        """No new requests first, the journal last."""
        steps: tuple[Callable[[], None], ...] = (
            self.live.stop,
            lambda: self.server.stop(STOP_WITHIN_S),
            self.keeper.stop,
            self.desk.stop,
            self.session.stop,
            self.ticks.stop,
            self.database.close,
        )
        for step in steps:
            try:
                step()
            except Exception:
                log.exception("stopping went wrong; going on")


def build(settings: Settings, redactor: Redactor, clock: Clock) -> Process:
    """Open the store (which takes the instance's lock), bind the port, wire everything.

    Raises:
        SettingsError: A wrong setting, or a database that is not ours.
        StoreError: Another api process of this instance runs.
        OSError: The port is taken.
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
) -> Process:
    def hide(session: BrokerSession) -> None:
        for secret in session.secrets.values():
            redactor.add(secret)

    always = settings.venue is Venue.SIM and settings.sim_hours == "always"
    calendar: Calendar = AlwaysOpen() if always else FileCalendar()
    instruments = InstrumentStore(database, clock)
    context = BrokerContext(
        credentials=settings.credentials,
        endpoints=settings.endpoints,
        options=settings.options,
        clock=clock,
        instruments=instruments,
        calendar=calendar,
    )
    session = SessionManager(
        broker.auth(context),
        database,
        settings.pepper,
        settings.fernet_salt,
        clock,
        broker=settings.broker,
        lead_s=_lead_s(settings),
        on_session=hide,
    )
    rest = broker.rest(context, session.current)
    limiter = Limiter(settings.spec, clock)
    ticks = TickCache(settings.zmq_host, settings.zmq_port, clock)
    market = Market(
        MarketParts(
            rest=rest,
            instruments=instruments,
            limiter=limiter,
            capabilities=settings.spec.capabilities,
            clock=clock,
            ticks=ticks,
            on_login_required=session.renew_soon,
        )
    )
    desk = OrderDesk(
        DeskParts(
            rest=rest,
            instruments=instruments,
            journal=Journal(database, clock),
            limiter=limiter,
            calendar=calendar,
            clock=clock,
            rules=settings.trading,
            capabilities=settings.spec.capabilities,
            last_price=market.last_price,
            on_login_required=session.renew_soon,
        )
    )
    keeper = InstrumentKeeper(
        broker.instruments(context, session.current),
        instruments,
        clock,
        logged_in=lambda: session.status().state == "valid",
    )
    users = Users(database, clock)
    code = OneTimeCode(needed=not users.exists())
    sessions = WebSessions(clock)
    live = Live(sessions)
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
        on_update=live.on_update,
    )
    app = web_app.create(parts, code, sessions, live)
    server = Server(app, settings.host, settings.port)
    return Process(settings, database, session, keeper, ticks, desk, live, server, code, parts)


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 1, 2 or 3)."""
    redactor = logs.setup("api", settings)
    sys.setswitchinterval(SWITCH_S)
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        process = build(settings, redactor, SystemClock())
    except SettingsError as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS
    except StoreError as exc:
        log.error("%s", exc)
        return EXIT_CRASH
    except OSError as exc:
        log.error(
            "%s: port %d of FLASK_PORT cannot be bound: %s; see what listens there, or change it",
            settings.where("FLASK_PORT"),
            settings.port,
            exc.strerror or exc,
        )
        return EXIT_PORT_TAKEN
    process.start()
    # what is loaded now stays: a full collection over it would only be a pause for some order
    gc.collect()
    gc.freeze()
    log.info("api of %s (%s, %s) on %s", settings.name, settings.broker, settings.venue.value, settings.url)
    stop.wait()
    log.info("stopping")
    process.stop()
    with contextlib.suppress(Exception):
        logging.shutdown()
    return EXIT_OK


def _lead_s(settings: Settings) -> float:
    """How long before its end a session is renewed; a broker may have its own setting in minutes."""
    name = f"{settings.broker.upper()}_LOGIN_LEAD_MINUTES"
    text = settings.options.get(name, "10")
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 < minutes <= 600:
        raise SettingsError(f"{settings.where(name)}: {name} is {text}, expected minutes above 0 to 600")
    return minutes * 60
