"""A desk on a real database with a scripted broker, for the tables of outcomes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from brokers import dhan
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.contract import RateWindow
from brokers.errors import BrokerError
from brokers.model import (
    Action,
    InstrumentKey,
    Order,
    OrderRequest,
    OrderStatus,
    Placement,
    PriceType,
    Product,
    SentTerms,
    Venue,
)
from gateway.settings import TradingRules
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.trading.desk import DeskParts, OrderDesk
from gateway.trading.limiter import Limiter
from gateway.trading.reconcile import SettleRules
from tests.gateway.store.rows import TODAY, market

SBIN = InstrumentKey("NSE", "SBIN")
WIDE = replace(dhan.SPEC, order_windows=(RateWindow(1000, 1.1),), data_windows=(RateWindow(1000, 1.1),))
RULES = TradingRules(
    order_deadline_s=2.0, broker_timeout_s=3.0, reconcile_positions_s=3600, reconcile_orders_s=3600
)
FAST = SettleRules(horizon_s=0.3, gap_s=0.1, reads=3)


def request(**more) -> OrderRequest:
    given = {
        "key": SBIN,
        "action": Action.BUY,
        "quantity": 5,
        "price_type": PriceType.LIMIT,
        "product": Product.MIS,
        "price": Decimal("800.05"),
    }
    return OrderRequest(**{**given, **more})


def book_row(order_id: str, tag: str = "", **more) -> Order:
    given = {
        "order_id": order_id,
        "key": SBIN,
        "action": Action.BUY,
        "quantity": 5,
        "price_type": PriceType.LIMIT,
        "product": "MIS",
        "price": Decimal("800.05"),
        "trigger_price": Decimal(0),
        "status": OrderStatus.OPEN,
        "filled_quantity": 0,
        "average_price": Decimal(0),
        "tag": tag,
    }
    return Order(**{**given, **more})


class FakeRest:
    """A broker in memory. ``on_place`` (…) decide how a write ends; each gets the order as it would be."""

    def __init__(self) -> None:
        self.book: dict[str, Order] = {}
        self.trade_rows = []
        self.position_rows = []
        self.calls: list[tuple[str, object]] = []
        self.ids = itertools.count(1)
        self.lock = threading.Lock()
        self.on_place: Callable[[Order], BaseException | None] = lambda order: None
        self.on_change: Callable[[str, Order], BaseException | None] = lambda kind, order: None
        self.on_read: Callable[[str], None] = lambda name: None

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)

    def _note(self, name: str, what: object = None) -> None:
        with self.lock:
            self.calls.append((name, what))

    def place(self, order, instrument, tag, *, ltp):
        self._note("place", tag)
        with self.lock:
            order_id = str(next(self.ids))
        row = book_row(
            order_id, tag, key=order.key, action=order.action, quantity=order.quantity,
            price_type=order.price_type, product=str(order.product), price=order.price,
        )  # fmt: skip
        error = self.on_place(row)
        if error is not None:
            raise error
        self.book[order_id] = row
        now = time.time_ns()
        sent = SentTerms(order.price_type, order.price, order.trigger_price)
        return Placement(order_id, OrderStatus.OPEN, sent, now, now)

    def modify(self, change, order, instrument):
        self._note("modify", change)
        error = self.on_change("modify", order)
        if error is not None:
            raise error
        self.book[change.order_id] = replace(
            self.book[change.order_id], quantity=change.quantity, price=change.price
        )
        now = time.time_ns()
        return Placement(
            change.order_id,
            OrderStatus.OPEN,
            SentTerms(change.price_type, change.price, change.trigger_price),
            now,
            now,
        )

    def cancel(self, order_id):
        self._note("cancel", order_id)
        error = self.on_change("cancel", self.book[order_id])
        if error is not None:
            raise error
        self.book[order_id] = replace(self.book[order_id], status=OrderStatus.CANCELLED)

    def _read(self, name):
        self._note(name)
        self.on_read(name)

    def orders(self):
        self._read("orders")
        return list(self.book.values())

    def find_tag(self, tag):
        self._read("find_tag")
        return [o for o in self.book.values() if o.tag.startswith(tag)]

    def trades(self):
        self._read("trades")
        return list(self.trade_rows)

    def positions(self):
        self._read("positions")
        return list(self.position_rows)

    def holdings(self):
        return []

    def funds(self):
        raise BrokerError("no funds here")


class Bench:
    """One database, and as many desks after each other as a test restarts."""

    def __init__(self, path: Path, **more) -> None:
        self.path = path
        self.rest = FakeRest()
        self.logins = 0
        self.more = more
        self.database: engine.Database | None = None
        self.desk: OrderDesk | None = None
        self.journal: Journal | None = None

    def open(self, *, start: bool = True) -> OrderDesk:
        self.database = engine.open(self.path, Venue.SIM)
        clock = SystemClock()
        instruments = InstrumentStore(self.database, clock)
        if not instruments.count():
            instruments.swap(market(), TODAY)
        self.journal = Journal(self.database, clock)
        given = {
            "rest": self.rest,
            "instruments": instruments,
            "journal": self.journal,
            "limiter": Limiter(WIDE, clock),
            "calendar": AlwaysOpen(),
            "clock": clock,
            "rules": RULES,
            "capabilities": dhan.SPEC.capabilities,
            "on_login_required": self._login,
            "patience_s": 0.5,
            "settle": FAST,
        }
        self.desk = OrderDesk(DeskParts(**{**given, **self.more}))
        if start:
            self.desk.start()
            until(lambda: self.desk.status().ready)
        return self.desk

    def _login(self) -> None:
        self.logins += 1

    def close(self) -> None:
        if self.desk is not None:
            self.desk.stop()
        if self.database is not None:
            self.database.close()

    def restart(self) -> OrderDesk:
        self.close()
        return self.open()

    def place(self, **more):
        names = ("client_order_id", "is_exit", "strategy")
        beside = {name: more.pop(name) for name in names if name in more}
        return self.desk.place(request(**more), received_ns=time.time_ns(), **beside)


def until(fact: Callable[[], object], seconds: float = 10.0):
    """Poll until something is true; its value. The only clock a test waits on."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
    return value


def at(hour: int) -> datetime:
    return datetime(2026, 11, 20, hour, tzinfo=UTC)
