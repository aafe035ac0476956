"""Strategies and what they may trade."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from brokers.clock import Clock
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey, Product
from gateway.store.engine import Database
from gateway.store.tables import METADATA
from gateway.strategies.model import Hours, Mapped, Strategy, TradingMode, time_of

MOST_SYMBOLS = 1000

STRATEGIES = Table(
    "strategies",
    METADATA,
    # never reused: orders of a deleted strategy keep pointing at nothing
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("webhook_id", String, nullable=False, unique=True),
    Column("platform", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("start", String, nullable=False, server_default="", comment="HH:MM IST; empty: positional"),
    Column("end", String, nullable=False, server_default=""),
    Column("square_off", String, nullable=False, server_default=""),
    Column("active", Integer, nullable=False, server_default="1"),
    Column("changed_ns", Integer, nullable=False),
    sqlite_autoincrement=True,
)

STRATEGY_SYMBOLS = Table(
    "strategy_symbols",
    METADATA,
    Column("strategy_id", Integer, ForeignKey("strategies.id", ondelete="CASCADE"), primary_key=True),
    Column("symbol", String, primary_key=True),
    Column("exchange", String, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("product", String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class NewStrategy:
    """A strategy about to be made.

    Attributes:
        webhook_id: Known elsewhere already; empty for a fresh one.
    """

    name: str
    platform: str
    mode: TradingMode
    hours: Hours | None
    symbols: Sequence[Mapped]
    webhook_id: str = ""
    active: bool = True


class Strategies:
    """Strategies of one instance. Thread-safe; every write is durable when it returns."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, new: NewStrategy) -> Strategy:
        """With a webhook id of its own, unless one is given.

        Raises:
            InvalidRequest: The name is taken, or a symbol stands twice.
        """
        hours = new.hours
        values = {
            "name": new.name,
            "webhook_id": new.webhook_id or str(uuid.uuid4()),
            "active": int(new.active),
            "platform": new.platform,
            "mode": new.mode.value,
            "start": f"{hours.start:%H:%M}" if hours else "",
            "end": f"{hours.end:%H:%M}" if hours else "",
            "square_off": f"{hours.square_off:%H:%M}" if hours else "",
            "changed_ns": self._clock.time_ns(),
        }

        def work(connection: Connection) -> int:
            statement = insert(STRATEGIES).values(values).returning(STRATEGIES.c.id)
            strategy_id = int(connection.execute(statement).scalar_one())
            for mapped in new.symbols:
                connection.execute(insert(STRATEGY_SYMBOLS).values(_symbol_values(strategy_id, mapped)))
            return strategy_id

        try:
            strategy_id = self._database.write(work)
        except IntegrityError as exc:
            raise InvalidRequest(
                f"there is a strategy '{new.name}' already, or a symbol stands twice"
            ) from exc
        return self._the(strategy_id)

    def all(self) -> list[Strategy]:
        """All, in the order they were made."""
        with self._database.read() as connection:
            return _read(connection, STRATEGIES.c.id > 0)

    def get(self, name: str) -> Strategy:
        """Raises ``InvalidRequest`` (``NOT_FOUND``)."""
        with self._database.read() as connection:
            found = _read(connection, STRATEGIES.c.name == name)
        if not found:
            raise InvalidRequest(f"there is no strategy '{name}'", code="NOT_FOUND")
        return found[0]

    def by_webhook(self, webhook_id: str) -> Strategy | None:
        with self._database.read() as connection:
            return next(iter(_read(connection, STRATEGIES.c.webhook_id == webhook_id)), None)

    def intraday(self) -> list[Strategy]:
        """Active ones with hours."""
        with self._database.read() as connection:
            return _read(connection, (STRATEGIES.c.active == 1) & (STRATEGIES.c.start != ""))

    def switch(self, name: str, active: bool) -> Strategy:
        """Raises ``InvalidRequest`` (``NOT_FOUND``)."""
        values = {"active": int(active), "changed_ns": self._clock.time_ns()}
        statement = update(STRATEGIES).where(STRATEGIES.c.name == name, STRATEGIES.c.active != int(active))
        self._database.write(lambda c: c.execute(statement.values(values)))
        return self.get(name)

    def map(self, name: str, mapped: Mapped) -> Strategy:
        """Add a symbol, or replace what is said of it.

        Raises:
            InvalidRequest: No such strategy, or it has 1,000 symbols.
        """
        strategy = self.get(name)
        if len(strategy.symbols) >= MOST_SYMBOLS and strategy.mapped(mapped.key.symbol) is None:
            raise InvalidRequest(f"a strategy has {MOST_SYMBOLS} symbols at most")

        def work(connection: Connection) -> None:
            connection.execute(_symbol(strategy.id, mapped.key.symbol))
            connection.execute(insert(STRATEGY_SYMBOLS).values(_symbol_values(strategy.id, mapped)))

        self._database.write(work)
        return self.get(name)

    def unmap(self, name: str, symbol: str) -> Strategy:
        """Raises ``InvalidRequest`` (``NOT_FOUND``) when strategy or symbol is not there."""
        strategy = self.get(name)
        mapped = strategy.mapped(symbol)
        if mapped is None:
            raise InvalidRequest(f"{name} does not know {symbol}", code="NOT_FOUND")
        self._database.write(lambda c: c.execute(_symbol(strategy.id, mapped.key.symbol)))
        return self.get(name)

    def delete(self, name: str) -> None:
        """Its webhook answers 404 from now on. Raises ``InvalidRequest`` (``NOT_FOUND``)."""
        strategy = self.get(name)
        self._database.write(lambda c: c.execute(delete(STRATEGIES).where(STRATEGIES.c.id == strategy.id)))

    def _the(self, strategy_id: int) -> Strategy:
        with self._database.read() as connection:
            return _read(connection, STRATEGIES.c.id == strategy_id)[0]


def _symbol(strategy_id: int, symbol: str) -> Any:
    where = (STRATEGY_SYMBOLS.c.strategy_id == strategy_id, STRATEGY_SYMBOLS.c.symbol == symbol)
    return delete(STRATEGY_SYMBOLS).where(*where)


def _symbol_values(strategy_id: int, mapped: Mapped) -> dict[str, Any]:
    return {
        "strategy_id": strategy_id,
        "symbol": mapped.key.symbol,
        "exchange": str(mapped.key.exchange),
        "quantity": mapped.quantity,
        "product": mapped.product.value,
    }


def _read(connection: Connection, where: ColumnElement[bool]) -> list[Strategy]:
    rows = connection.execute(select(STRATEGIES).where(where).order_by(STRATEGIES.c.id)).all()
    symbols: dict[int, list[Mapped]] = {row.id: [] for row in rows}
    known = select(STRATEGY_SYMBOLS).where(STRATEGY_SYMBOLS.c.strategy_id.in_(symbols))
    for row in connection.execute(known.order_by(STRATEGY_SYMBOLS.c.symbol)):
        key = InstrumentKey(row.exchange, row.symbol)
        symbols[row.strategy_id].append(Mapped(key, row.quantity, Product(row.product)))
    return [_strategy(row, tuple(symbols[row.id])) for row in rows]


def _strategy(row: Row[Any], symbols: tuple[Mapped, ...]) -> Strategy:
    hours = Hours(time_of(row.start), time_of(row.end), time_of(row.square_off)) if row.start else None
    return Strategy(
        id=row.id,
        name=row.name,
        webhook_id=row.webhook_id,
        platform=row.platform,
        mode=TradingMode(row.mode),
        hours=hours,
        active=bool(row.active),
        changed_ns=row.changed_ns,
        symbols=symbols,
    )
