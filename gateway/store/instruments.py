"""An instance's instrument table: lookups and search.

Two tables of one shape: ``instruments`` (tradable) and ``instruments_expired`` (contracts that have passed or
left the broker's file; kept so that old orders still resolve). Lookups ask the tradable one first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from brokers.clock import Clock
from brokers.errors import StoreError
from brokers.model import DERIVATIVE_EXCHANGES, Instrument, InstrumentKey
from gateway.store import instrument_swap, similar
from gateway.store.cache import Recent
from gateway.store.engine import Database
from gateway.store.instrument_rows import CANONICAL, COLUMNS, EXPIRED, LIVE, RANK, from_row, squeeze
from gateway.store.instrument_swap import SyncReport

__all__ = ["InstrumentStore", "SyncReport"]

CACHE = 20_000
SERIAL_CHECK_S = 0.5
FEW = 20
"""With fewer candidates than this, the whole exchange is compared."""
_EVERYWHERE = f"exchange IN ({', '.join(repr(e) for e in RANK)})"


class InstrumentStore:
    """Read side (``InstrumentLookup``) and swap. Thread-safe; never all rows in memory.

    A read-only database is fine for everything but ``swap``; a swap by the api process is seen within 0.5 s.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._cache: Recent[tuple[object, ...], Instrument | None] = Recent(CACHE)
        self._serial = -1
        self._checked = float("-inf")
        self._swapping = threading.Lock()
        if not database.read_only:
            database.write(instrument_swap.make_tables)

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._one("exchange = ? AND symbol = ?", str(key.exchange), key.symbol)

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        return self._one("broker_exchange = ? AND token = ?", broker_exchange, token)

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        return self._one("broker_exchange = ? AND broker_symbol = ?", broker_exchange, broker_symbol)

    def find(self, text: str, exchange: str | None = None) -> Instrument | None:
        """By symbol, ``EXCHANGE:SYMBOL`` or the broker's display name, in any case.

        A symbol of several exchanges means the first in OpenAlgo's order of exchanges; tradable rows come
        before expired ones.
        """
        wanted = squeeze(text)
        head, colon, tail = wanted.partition(":")
        if colon and head in RANK:
            exchange, wanted = head, tail.strip()
        if exchange is None:
            return self._one(f"{_EVERYWHERE} AND symbol = ?", wanted, order=CANONICAL) or self._one(
                "display_key <> '' AND display_key = ?", wanted, order=CANONICAL
            )
        return self._one("exchange = ? AND symbol = ?", exchange, wanted) or self._one(
            "display_key <> '' AND display_key = ? AND exchange = ?", wanted, exchange
        )

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]:
        """Tradable symbols of that exchange most like ``symbol``, best first.

        A contract is answered by root, type, date and strike, not by its letters.
        """
        wanted = "".join(symbol.split()).upper()
        with self._database.read() as connection:
            if exchange not in DERIVATIVE_EXCHANGES:
                return similar.closest(wanted, _symbols_like(connection, wanted, exchange), n)
            contract = similar.parse(wanted)
            roots = (str(r[0]) for r in _all(connection, _ROOTS, exchange))
            root = next(iter(similar.closest(contract.root, roots, 1)), "")
            rows = _all(connection, _CONTRACTS, exchange, root)
        ranked = sorted(
            (similar.distance(contract, date.fromisoformat(r[1]), r[2], r[3]), r[1], str(r[0])) for r in rows
        )
        return [symbol for _, _, symbol in ranked[:n]]

    def search(self, query: str, exchange: str | None = None, limit: int = 500) -> list[Instrument]:
        """Terms AND-ed over symbol, broker symbol, name, token, strike and display name; tradable rows.

        Ranked: exact, then prefix of the symbol, then contained.
        """
        terms = query.upper().split()
        if not terms:
            return []
        whole = " ".join(terms)
        where = " AND ".join(["instr(haystack, ?) > 0"] * len(terms))
        parameters: list[Any] = list(terms)
        if exchange is not None:
            where += " AND exchange = ?"
            parameters.append(exchange)
        parameters += [whole, whole, whole, whole, len(terms[0]), terms[0], limit]
        statement = (
            f"SELECT {COLUMNS} FROM {LIVE} WHERE {where} ORDER BY "
            "CASE WHEN symbol = ? OR display_key = ? OR upper(broker_symbol) = ? OR token = ? THEN 0 "
            "WHEN substr(symbol, 1, ?) = ? THEN 1 ELSE 2 END, "
            f"length(symbol), {CANONICAL}, expiry, strike_inr, symbol LIMIT ?"
        )
        with self._database.read() as connection:
            return [from_row(r) for r in _all(connection, statement, *parameters)]

    def expiries(self, root: str, exchange: str, kind: str, today: date) -> list[date]:
        """Unexpired expiries ascending. ``kind``: ``futures`` or ``options``."""
        types = "('FUT')" if kind == "futures" else "('CE', 'PE')"
        statement = (
            f"SELECT DISTINCT expiry FROM {LIVE} WHERE exchange = ? AND name = ? AND expiry >= ? "
            f"AND instrument_type IN {types} ORDER BY expiry"
        )
        with self._database.read() as connection:
            rows = _all(connection, statement, exchange, root.upper(), today.isoformat())
            return [date.fromisoformat(r[0]) for r in rows]

    def underlyings(self, exchange: str) -> list[str]:
        """Roots that have options there, ascending; answered from an index alone."""
        statement = f"SELECT DISTINCT name FROM {LIVE} WHERE exchange = ? AND strike_inr > 0 ORDER BY name"
        with self._database.read() as connection:
            return [str(r[0]) for r in _all(connection, statement, exchange)]

    def chain(self, root: str, exchange: str, expiry: date) -> list[Instrument]:
        """Options of one root and expiry, by strike, CE before PE."""
        statement = (
            f"SELECT {COLUMNS} FROM {LIVE} WHERE exchange = ? AND name = ? AND expiry = ? "
            "AND instrument_type IN ('CE', 'PE') ORDER BY strike_inr, instrument_type"
        )
        with self._database.read() as connection:
            return [from_row(r) for r in _all(connection, statement, exchange, root.upper(), str(expiry))]

    def option(self, root: str, exchange: str, expiry: date, strike: Decimal, kind: str) -> Instrument | None:
        """One option by its terms; ``kind`` is ``CE`` or ``PE``."""
        options = self.chain(root, exchange, expiry)
        return next((i for i in options if i.strike == strike and i.instrument_type == kind), None)

    def futures(self, root: str, exchange: str, today: date) -> list[Instrument]:
        """The unexpired futures of a root, the nearest first."""
        statement = (
            f"SELECT {COLUMNS} FROM {LIVE} WHERE exchange = ? AND name = ? AND expiry >= ? "
            "AND instrument_type = 'FUT' ORDER BY expiry"
        )
        with self._database.read() as connection:
            return [from_row(r) for r in _all(connection, statement, exchange, root.upper(), str(today))]

    def future(self, root: str, exchange: str, today: date) -> Instrument | None:
        """The nearest unexpired future of a root."""
        return next(iter(self.futures(root, exchange, today)), None)

    def rows(self, exchange: str | None = None) -> Iterator[Instrument]:
        """Every tradable row, streamed from one snapshot."""
        where = "" if exchange is None else " WHERE exchange = ?"
        with self._database.read() as connection:
            cursor = connection.execution_options(stream_results=True).exec_driver_sql(
                f"SELECT {COLUMNS} FROM {LIVE}{where}", () if exchange is None else (exchange,)
            )
            for row in cursor:
                yield from_row(row)

    def texts(self) -> list[tuple[str, str, str]]:
        """Symbol, exchange and searched words of every tradable row, in the order ``search`` ranks them."""
        order = f"length(symbol), {CANONICAL}, expiry, strike_inr, symbol"
        with self._database.read() as connection:
            found = _all(connection, f"SELECT symbol, exchange, haystack FROM {LIVE} ORDER BY {order}")
        return [(str(symbol), str(exchange), str(words)) for symbol, exchange, words in found]

    def count(self) -> int:
        """Tradable rows."""
        with self._database.read() as connection:
            return int(_all(connection, f"SELECT count(*) FROM {LIVE}")[0][0])

    def synced_at(self) -> str | None:
        """ISO-8601 UTC of the last swap, None before the first."""
        with self._database.read() as connection:
            rows = _all(connection, "SELECT at FROM instrument_syncs ORDER BY serial DESC LIMIT 1")
            return str(rows[0][0]) if rows else None

    def swap(self, rows: Iterable[Instrument], today: date) -> SyncReport:
        """Replace the table in one step; readers see the old one or the new one.

        Args:
            rows: One per (exchange, symbol); read once, in chunks.
            today: IST date; a contract whose expiry is before it goes to the archive.

        Raises:
            WireError: Nothing in it, an exchange missing, or less than half of before; the old table stays.
            StoreError: Another swap is running, or the disk refused.
        """
        if not self._swapping.acquire(blocking=False):
            raise StoreError("an instrument swap is already running")
        try:
            report = instrument_swap.swap(self._database, rows, today, self._clock.now().isoformat())
        finally:
            self._swapping.release()
        self._checked = float("-inf")
        return report

    def _one(self, where: str, *values: str, order: str = "exchange") -> Instrument | None:
        # the serial is part of the slot: a value read before a swap can never answer after it
        slot = (self._current_serial(), where, *values)
        hit, found = self._cache.get(slot)
        if hit:
            return found
        with self._database.read() as connection:
            for table in (LIVE, EXPIRED):
                statement = f"SELECT {COLUMNS} FROM {table} WHERE {where} ORDER BY {order} LIMIT 1"
                rows = _all(connection, statement, *values)
                if rows:
                    found = from_row(rows[0], expired=table == EXPIRED)
                    break
        self._cache.put(slot, found)
        return found

    def _current_serial(self) -> int:
        """The table may have been swapped, here or by the api process: asked at most twice a second."""
        now = time.monotonic()
        if now - self._checked >= SERIAL_CHECK_S:
            with self._database.read() as connection:
                rows = _all(connection, "SELECT coalesce(max(serial), 0) FROM instrument_syncs")
            self._serial = int(rows[0][0])
            self._checked = now
        return self._serial


_ROOTS = f"SELECT DISTINCT name FROM {LIVE} WHERE exchange = ?"
_CONTRACTS = f"""SELECT symbol, expiry, strike_inr, instrument_type FROM {LIVE}
    WHERE exchange = ? AND name = ? AND expiry <> ''"""
_LIKE = f"""SELECT symbol FROM {LIVE} WHERE exchange = ?
    AND (substr(symbol, 1, 1) = ? OR instr(symbol, ?) > 0 OR instr(symbol, ?) > 0)"""


def _symbols_like(connection: Connection, wanted: str, exchange: str) -> list[str]:
    """Candidates of a cash exchange: the same first letter, or a piece of the middle or the end."""
    pieces = (wanted[:1], wanted[1:4] or wanted, wanted[-4:-1] or wanted)
    rows = _all(connection, _LIKE, exchange, *pieces)
    if len(rows) < FEW:
        rows = _all(connection, f"SELECT symbol FROM {LIVE} WHERE exchange = ?", exchange)
    return [str(r[0]) for r in rows]


def _all(connection: Connection, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(statement, parameters)]
