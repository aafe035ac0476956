"""Named lists of instruments, shared by all instances."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from brokers.clock import Clock
from brokers.errors import InvalidRequest
from brokers.model import Exchange
from historify.control import Control
from historify.jobs.model import MOST_ITEMS, Conflict, Key, NoSuch, Watchlist
from historify.jobs.queue import rows_of

LONGEST_NAME = 60


class Watchlists:
    """Thread-safe. Every method raises ``StoreBusy`` when another process keeps ``control.db`` too long."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def create(self, name: str, keys: Iterable[Key] = (), *, note: str = "") -> Watchlist:
        """Raises ``Conflict`` when the name is taken, ``InvalidRequest`` for a bad name or key."""
        named = _name(name)
        wanted = checked(keys)
        with self._control.transaction(durable=False) as tx:
            fresh = tx.execute(
                "INSERT INTO watchlist_name(name, note, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (named, note, self._now()),
            ).rowcount
            if not fresh:
                raise Conflict(f"there is a watchlist {named} already")
            self._insert(tx, named, wanted)
        return self.show(named)

    def add(self, name: str, keys: Iterable[Key]) -> int:
        """Put instruments on a list, which is made if need be; returns how many were new to it."""
        named = _name(name)
        wanted = checked(keys)
        with self._control.transaction(durable=False) as tx:
            tx.execute(
                "INSERT INTO watchlist_name(name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (named, self._now()),
            )
            return self._insert(tx, named, wanted)

    def remove(self, name: str, keys: Iterable[Key]) -> int:
        """Returns how many were on it. Raises ``NoSuch``."""
        gone = 0
        with self._control.transaction(durable=False) as tx:
            self._must(tx, name)
            for exchange, symbol in dict.fromkeys(keys):
                gone += tx.execute(
                    "DELETE FROM watchlist WHERE name = ? AND exchange = ? AND symbol = ?",
                    (name, exchange, symbol),
                ).rowcount
        return gone

    def delete(self, name: str) -> None:
        """Raises ``NoSuch``, and ``Conflict`` while a schedule pulls it."""
        with self._control.transaction(durable=False) as tx:
            self._must(tx, name)
            users = [
                row[0]
                for row in tx.execute(
                    "SELECT name FROM schedule WHERE json_extract(spec, '$.watchlist') = ?", (name,)
                )
            ]
            if users:
                raise Conflict(f"schedule {', '.join(users)} pulls watchlist {name}; delete that first")
            tx.execute("DELETE FROM watchlist WHERE name = ?", (name,))
            tx.execute("DELETE FROM watchlist_name WHERE name = ?", (name,))

    def listing(self) -> list[Watchlist]:
        """By name."""
        return [
            Watchlist(*row)
            for row in rows_of(
                self._control,
                "SELECT w.name, w.note, count(i.name), w.created_at FROM watchlist_name w "
                "LEFT JOIN watchlist i ON i.name = w.name GROUP BY w.name ORDER BY w.name",
                (),
            )
        ]

    def show(self, name: str) -> Watchlist:
        """Raises ``NoSuch``."""
        for each in self.listing():
            if each.name == name:
                return each
        raise _none(name, [each.name for each in self.listing()])

    def keys(self, name: str) -> list[Key]:
        """Its instruments, by exchange and symbol. Raises ``NoSuch``."""
        self.show(name)
        return [
            (exchange, symbol)
            for exchange, symbol in rows_of(
                self._control,
                "SELECT exchange, symbol FROM watchlist WHERE name = ? ORDER BY exchange, symbol",
                (name,),
            )
        ]

    def _insert(self, tx: sqlite3.Connection, name: str, keys: Sequence[Key]) -> int:
        now, fresh = self._now(), 0
        for exchange, symbol in keys:
            fresh += tx.execute(
                "INSERT INTO watchlist(name, exchange, symbol, added_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (name, exchange, symbol, now),
            ).rowcount
        return fresh

    def _must(self, tx: sqlite3.Connection, name: str) -> None:
        names = [row[0] for row in tx.execute("SELECT name FROM watchlist_name ORDER BY name")]
        if name not in names:
            raise _none(name, names)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def checked(keys: Iterable[Key]) -> list[Key]:
    """Without repetitions. Raises ``InvalidRequest`` naming what is wrong."""
    found = list(dict.fromkeys(keys))
    known = set(Exchange)
    for exchange, symbol in found:
        if exchange not in known:
            raise InvalidRequest(f"{exchange} is not an exchange; one of {', '.join(Exchange)}")
        if not symbol or symbol != symbol.strip() or len(symbol) > 100:
            raise InvalidRequest(f"'{symbol}' is not a symbol: empty, padded or longer than 100 characters")
    if len(found) > MOST_ITEMS:
        raise InvalidRequest(f"at most {MOST_ITEMS} symbols; these are {len(found)}")
    return found


def _name(name: str) -> str:
    named = name.strip()
    if not 0 < len(named) <= LONGEST_NAME or not named.isprintable():
        raise InvalidRequest(f"a name of 1 to {LONGEST_NAME} printable characters is needed")
    return named


def _none(name: str, names: Sequence[str]) -> NoSuch:
    there = f"there is {', '.join(names)}" if names else "there is none yet"
    return NoSuch(f"no watchlist '{name}'; {there}")
