"""One api process in memory: real store, keys, session, desk, market and app; only the broker is scripted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from flask import Flask

from brokers.calendar import AlwaysOpen
from brokers.clock import IST, SystemClock
from brokers.contract import BrokerSession, ParsedInstruments
from brokers.errors import LoginRequired, NotFound
from brokers.model import (
    Action,
    Candle,
    Depth,
    Funds,
    Holding,
    Instrument,
    InstrumentKey,
    Level,
    Order,
    OrderStatus,
    Placement,
    Position,
    PriceType,
    Quote,
    SentTerms,
    Trade,
    Venue,
)
from brokers.secret import Secret
from gateway import app as web_app
from gateway import panicfile
from gateway import settings as gateway_settings
from gateway.api import carrier
from gateway.api.carrier import Carrier
from gateway.api.limits import Limits
from gateway.api.parts import Parts
from gateway.brokerday.session import SessionManager
from gateway.brokerday.sync import InstrumentKeeper
from gateway.keys import Keys
from gateway.latency import build as latency
from gateway.marketdata.history import History
from gateway.marketdata.market import Market, MarketParts
from gateway.marketdata.ticks import TickCache
from gateway.settings import RateLimits
from gateway.store import engine
from gateway.store.daypoints import DayPoints
from gateway.store.gtt import GttStore
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.store.preferences import Preferences
from gateway.store.queued import QueuedOrders
from gateway.store.riskchanges import RiskChanges
from gateway.store.strategies import Strategies
from gateway.store.users import Users
from gateway.strategies.queue import Queue
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.trading.risklimits import RiskLimits
from gateway.trading.stages import NOBODY
from gateway.triggers.kept import GatewayGtts
from gateway.triggers.parts import GttParts
from gateway.web.access import OneTimeCode, WebSessions
from gateway.web.live import Live
from tests.ports import free_ports

SBIN = InstrumentKey("NSE", "SBIN")
FREE = RateLimits(
    api="100000 per second",
    order="100000 per second",
    smart_order="100000 per second",
    login_minute="1000 per minute",
    login_hour="1000 per hour",
    webhook="1000 per minute",
)


def instrument(exchange: str, symbol: str, token: str, **changes: Any) -> Instrument:
    base = Instrument(
        key=InstrumentKey(exchange, symbol),
        token=token,
        broker_exchange={"NSE": "NSE_EQ", "NFO": "NSE_FNO", "NSE_INDEX": "IDX_I", "CDS": "NSE_CURRENCY"}[
            exchange
        ],
        broker_symbol=f"{symbol}-B",
        name=f"{symbol} LTD",
        instrument_type="EQ",
        lot_size=1,
        tick_size=Decimal("0.05"),
        display_name=symbol.title(),
    )
    return replace(base, **changes)


def table(today: date) -> list[Instrument]:
    near, far = today + timedelta(days=7), today + timedelta(days=35)
    rows = [
        instrument("NSE", symbol, str(number))
        for number, symbol in enumerate(("SBIN", "SBICARD", "RELIANCE", "TCS", "M&M"), start=100)
    ]
    rows.append(
        instrument("NSE_INDEX", "NIFTY", "13", instrument_type="INDEX", tick_size=Decimal(0), lot_size=0)
    )
    for number, expiry in enumerate((near, far), start=500):
        text = expiry.strftime("%d%b%y").upper()
        rows.append(
            instrument(
                "NFO",
                f"NIFTY{text}FUT",
                str(number),
                name="NIFTY",
                instrument_type="FUT",
                lot_size=65,
                expiry=expiry,
                freeze_qty=1800,
                display_name=f"NIFTY {expiry.strftime('%d %b').upper()} FUT",
            )
        )
    return rows


class ScriptedRest:
    """A broker that fills nothing by itself and fails on command: ``fail["place"] = [error]``."""

    def __init__(self) -> None:
        self.fail: dict[str, list[Exception]] = {}
        self.calls: list[str] = []
        self.placed: list[tuple[Any, ...]] = []
        self.book: dict[str, Order] = {}
        self.trade_rows: list[Trade] = []
        self.position_rows: list[Position] = []
        self.holding_rows: list[Holding] = []
        self.quote_calls: list[list[InstrumentKey]] = []
        self.no_quote: set[InstrumentKey] = set()
        self.sent: SentTerms | None = None
        self.before: Callable[[str], None] = lambda call: None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    def place(self, order: Any, row: Instrument, tag: str, *, ltp: float | None) -> Placement:
        self._called("place")
        self.placed.append((order, tag, ltp))
        order_id = f"2611200000{len(self.placed):05d}"
        self.book[order_id] = Order(
            order_id=order_id,
            key=order.key,
            action=order.action,
            quantity=order.quantity,
            price_type=order.price_type,
            product=order.product,
            price=order.price,
            trigger_price=order.trigger_price,
            status=OrderStatus.OPEN,
            filled_quantity=0,
            average_price=Decimal(0),
            tag=tag,
            placed_at=datetime(2026, 11, 20, 4, 30, tzinfo=UTC),
        )
        now = time.time_ns()
        sent = self.sent or SentTerms(order.price_type, order.price, order.trigger_price)
        return Placement(order_id, OrderStatus.OPEN, sent, now, now)

    def modify(self, change: Any, order: Order, row: Instrument) -> Placement:
        self._called("modify")
        self.book[change.order_id] = replace(
            self.book[change.order_id], quantity=change.quantity, price=change.price
        )
        now = time.time_ns()
        sent = SentTerms(change.price_type, change.price, change.trigger_price)
        return Placement(change.order_id, OrderStatus.OPEN, sent, now, now)

    def cancel(self, order_id: str) -> None:
        self._called("cancel")
        if order_id not in self.book:
            raise NotFound(f"Order {order_id} not found")
        self.book[order_id] = replace(self.book[order_id], status=OrderStatus.CANCELLED)

    def orders(self) -> list[Order]:
        self._called("orders")
        return list(self.book.values())

    def find_tag(self, tag: str) -> list[Order]:
        self._called("find_tag")
        return [order for order in self.book.values() if order.tag == tag]

    def trades(self) -> list[Trade]:
        self._called("trades")
        return list(self.trade_rows)

    def positions(self) -> list[Position]:
        self._called("positions")
        return list(self.position_rows)

    def holdings(self) -> list[Holding]:
        self._called("holdings")
        return list(self.holding_rows)

    def funds(self) -> Funds:
        self._called("funds")
        return Funds(Decimal("320.6"), Decimal(0), Decimal("-1.5"), Decimal(0), Decimal(10))

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        self.quote_calls.append([row.key for row in instruments])
        self._called("quotes")
        return {row.key: quote(row.key) for row in instruments if row.key not in self.no_quote}

    def candles(self, row: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        self._called("candles")
        opened = int(datetime.combine(start, datetime.min.time(), UTC).timestamp())
        return [Candle(opened, 100.0, 101.00000381, 99.5, 100.5, 1200, 7)]


def quote(key: InstrumentKey) -> Quote:
    depth = Depth((Level(801.45, 10, 2), Level(801.4, 20, 3)), (Level(801.55, 5, 1),))
    return Quote(
        key=key,
        ltp=801.5,
        open=799.0,
        high=805.0,
        low=798.25,
        prev_close=800.1,
        volume=123456,
        oi=0,
        bid=801.45,
        ask=801.55,
        bid_quantity=10,
        ask_quantity=5,
        last_quantity=3,
        depth=depth,
    )


def position(key: InstrumentKey, quantity: int, product: str = "MIS", **changes: Any) -> Position:
    base = Position(key, product, quantity, Decimal("83.74"), Decimal("84.00"), Decimal("2.60"))
    return replace(base, **changes)


def trade(order_id: str, quantity: int, price: str) -> Trade:
    at = datetime(2026, 11, 20, 4, 31, tzinfo=UTC)
    return Trade(f"T{quantity}", order_id, SBIN, Action.BUY, "MIS", quantity, Decimal(price), at)


def foreign_order(order_id: str, **changes: Any) -> Order:
    base = Order(
        order_id=order_id,
        key=SBIN,
        action=Action.SELL,
        quantity=10,
        price_type=PriceType.LIMIT,
        product="CNC",
        price=Decimal("810.50"),
        trigger_price=Decimal(0),
        status=OrderStatus.OPEN,
        filled_quantity=0,
        average_price=Decimal(0),
        placed_at=datetime(2026, 11, 20, 4, 30, tzinfo=UTC),
    )
    return replace(base, **changes)


class ScriptedAuth:
    """Logs in unless told otherwise."""

    def __init__(self) -> None:
        self.refuse = False
        self.codes: list[str | None] = []

    def login(self, *, totp: str | None = None) -> BrokerSession:
        self.codes.append(totp)
        if self.refuse:
            raise LoginRequired("the broker refused the login")
        now = datetime.now(UTC)
        return BrokerSession(
            "dhan",
            "1100000001",
            {"token": Secret("a-broker-token-of-the-test")},
            {},
            now,
            now + timedelta(days=1),
        )

    def renew(self, session: BrokerSession) -> BrokerSession:
        return self.login()


class ScriptedSource:
    """An instrument file that is a list of rows."""

    def __init__(self, rows: list[Instrument]) -> None:
        self.rows = rows
        self.downloads = 0
        self.fail: list[Exception] = []

    def download(self) -> dict[str, bytes]:
        self.downloads += 1
        if self.fail:
            raise self.fail.pop(0)
        return {"file": b""}

    def parse(self, files: Any, today: date) -> ParsedInstruments:
        return ParsedInstruments(list(self.rows), {"no lot size": 2})


@dataclass
class Rig:
    """Everything a test reaches for."""

    parts: Parts
    app: Flask
    rest: ScriptedRest
    auth: ScriptedAuth
    source: ScriptedSource
    code: OneTimeCode
    live: Live
    key: str
    headers: dict[str, str] = field(default_factory=dict)

    def post(
        self, path: str, raw: bytes | None = None, headers: dict[str, str] | None = None, **body: Any
    ) -> Any:
        """POST to ``/api/v1`` with the key unless the body brings its own."""
        client = self.app.test_client()
        given = {"apikey": self.key, **body}
        data = raw if raw is not None else _json(given)
        return client.post(f"/api/v1/{path}", data=data, headers=headers)

    def internal(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Algo-Internal": self.parts.settings.internal_key.reveal()}
        data = _json(body) if body is not None else None
        return self.app.test_client().open(f"/internal/{path}", method=method, data=data, headers=headers)

    def place(self, **changes: Any) -> Any:
        return self.post("placeorder", **{**ORDER, **changes})


ORDER = {
    "strategy": "test",
    "symbol": "SBIN",
    "exchange": "NSE",
    "action": "BUY",
    "quantity": "5",
    "pricetype": "LIMIT",
    "product": "MIS",
    "price": "800.05",
}

GTT = {
    "strategy": "t",
    "trigger_type": "OCO",
    "symbol": "SBIN",
    "exchange": "NSE",
    "action": "SELL",
    "product": "CNC",
    "quantity": 5,
    "price": 0,
    "triggerprice_sl": 700,
    "stoploss": 699.5,
    "triggerprice_tg": 900,
    "target": 901,
}


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


def write_env(home: Path, name: str, *lines: str) -> None:
    folder = home / "instances"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.env"
    ports = dict(zip(("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT"), free_ports(4), strict=True))
    text = [f"BROKER={name}", f"APP_KEY={'k' * 40}", f"API_KEY_PEPPER={'p' * 40}"]
    text += [f"{key}={port}" for key, port in ports.items()]
    path.write_text("\n".join([*text, *lines]) + "\n")
    path.chmod(0o600)


@contextmanager
def running(
    home: Path,
    *,
    rates: RateLimits = FREE,
    logged_in: bool = True,
    loaded: bool = True,
    reconciled: bool = True,
    timed: bool = False,
    env: tuple[str, ...] = (),
) -> Iterator[Rig]:
    """A rig with a key, a session and instruments (unless told otherwise); ``timed``: and stage times."""
    write_env(home, "dhan", *env)
    settings = replace(gateway_settings.load(home, "dhan", Venue.SIM), rate_limits=rates)
    clock = SystemClock()
    database = engine.open(settings.databases.main, settings.venue)
    auth, rest = ScriptedAuth(), ScriptedRest()
    store = InstrumentStore(database, clock)
    session = SessionManager(auth, database, settings.pepper, settings.fernet_salt, clock, broker="dhan")
    limiter = Limiter(settings.spec, clock)
    ticks = TickCache(settings.zmq_host, settings.zmq_port, clock)
    capabilities = settings.spec.capabilities
    risk = RiskLimits(settings.risk, RiskChanges(database, clock))
    market = Market(MarketParts(rest, store, limiter, capabilities, clock, ticks))
    recorder = latency.recorder(settings, AlwaysOpen(), clock, lambda: True) if timed else None
    desk = OrderDesk(
        DeskParts(
            rest=rest,
            instruments=store,
            journal=Journal(database, clock),
            limiter=limiter,
            calendar=AlwaysOpen(),
            clock=clock,
            rules=settings.trading,
            capabilities=capabilities,
            last_price=market.last_price,
            instance=settings.name,
            panic_file=settings.run_dir / panicfile.NAME,
            stages=recorder or NOBODY,
            risk=risk.book,
        )
    )
    today = clock.now().astimezone(IST).date()
    source = ScriptedSource(table(today))
    keeper = InstrumentKeeper(source, store, clock, logged_in=lambda: True)
    users, sessions = Users(database, clock), WebSessions(clock, database)
    code, live = OneTimeCode(needed=not users.exists()), Live(sessions, tick_s=0.05)
    keys = Keys(database, settings.pepper, clock)
    queue = Queue(
        QueuedOrders(database, clock),
        Strategies(database, clock),
        clock,
        announce=lambda row: live.tell("pending_order_created", carrier.pending(row)),
    )
    gtts = GatewayGtts(
        GttParts(
            title=settings.spec.title,
            store=GttStore(database, clock),
            desk=desk,
            table=store,
            exchanges=capabilities.exchanges,
            calendar=AlwaysOpen(),
            clock=clock,
            ticks=ticks,
            quotes=market.quotes,
            last_price=market.last_price,
            blocked=lambda: desk.status().blocked,
        )
    )
    parts = Parts(
        settings=settings,
        clock=clock,
        keys=keys,
        users=users,
        session=session,
        desk=desk,
        instruments=store,
        market=market,
        sync=keeper,
        limits=Limits(rates),
        started_at=clock.now().isoformat(),
        owner_code=code,
        preferences=Preferences(database),
        day_points=DayPoints(database),
        risk=risk,
        latency=recorder,
        on_update=live.on_update,
        queue=queue,
        gtt=gtts,
        history=History(settings, AlwaysOpen(), clock),
    )
    app = web_app.create(parts, code, sessions, live)
    if logged_in:
        session.login()
    if loaded:
        keeper.sync()
    if reconciled:
        desk.start()
        queue.start(Carrier(parts))
        end = time.monotonic() + 10
        while not desk.status().ready:
            assert time.monotonic() < end, desk.status()
            time.sleep(0.01)
    rig = Rig(parts, app, rest, auth, source, code, live, keys.create("test")[1].reveal())
    try:
        yield rig
    finally:
        queue.stop()
        live.stop()
        desk.stop()
        session.stop()
        if parts.history is not None:
            parts.history.close()
        if recorder is not None:
            recorder.stop()
        database.close()
